//! Verifies that a release whose probe fails leaves every machine with its previous version.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};

#[test]
fn the_previous_version_is_restored() {
    let network = TestNetwork::start(2);
    network.publish("hello", "1.0", 100_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "1.0 is installed", |status| status.state == DeploymentState::Finished);
    network.publish("hello", "2.0", 100_000, Behaviour::Broken);
    let deployment = network.deploy("hello", "all", 2);
    let status =
        network.wait_for_status(&deployment, "2.0 was tried", |status| status.state == DeploymentState::Finished);
    for machine in &status.addressees {
        assert_eq!((machine.stage, machine.reason), (Stage::Failed, Some(Reason::ProbeFailed)), "{machine:?}");
    }
    for which in 0..2 {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
    // The command line also reports that not every machine succeeded.
    let wait = network.command(&["deploy", "hello@2.0", "--to", "all", "--wait"]).output().expect("banyan can be run");
    assert_eq!(wait.status.code(), Some(3), "{wait:?}");
}
