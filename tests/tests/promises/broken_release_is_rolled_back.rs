//! Verifies that a release whose probe fails leaves every machine with its previous version.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{World, test_package::Behaviour};

#[test]
fn the_old_version_runs_again() {
    let world = World::start(2);
    world.publish("hello", "1.0", 100_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "1.0 is installed", |status| status.state == DeploymentState::Finished);
    world.publish("hello", "2.0", 100_000, Behaviour::Broken);
    let deployment = world.deploy("hello", "all", 2);
    let status =
        world.wait_for_status(&deployment, "2.0 was tried", |status| status.state == DeploymentState::Finished);
    for machine in &status.addressees {
        assert_eq!((machine.stage, machine.reason), (Stage::Failed, Some(Reason::ProbeFailed)), "{machine:?}");
    }
    for which in 0..2 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
    // The command line also reports that not every machine succeeded.
    let wait = world.command(&["deploy", "hello@2.0", "--to", "all", "--wait"]).output().expect("banyan can be run");
    assert_eq!(wait.status.code(), Some(3), "{wait:?}");
}
