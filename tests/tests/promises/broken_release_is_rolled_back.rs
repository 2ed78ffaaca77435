//! Verifies that a release whose probe fails leaves every machine with its previous version.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};

/// A probe that prints megabytes, in colours and another encoding: whoever looks sees the cause and the end, once.
#[test]
fn long_output_is_told_once_and_cut() {
    let network = TestNetwork::start(3);
    network.publish("hello", "1.0", 100_000, Behaviour::FailsAtLength);
    let deployment = network.deploy("hello", "all", 1);
    let status =
        network.wait_for_status(&deployment, "it has failed", |status| status.state == DeploymentState::Finished);
    for machine in &status.addressees {
        let detail = machine.detail.as_deref().unwrap_or_default();
        assert!(detail.starts_with("the probe exited with code 1"), "{detail}");
        assert!(detail.contains("\n100%\nno \u{fffd} licence"), "{detail}");
        assert!(detail.len() <= banyan_proto::limits::FAILURE_DETAIL_BYTES, "{}", detail.len());
        assert!(!detail.contains("\\u{1b}") && !detail.contains("50%"), "{detail}");
    }
    let told = network.banyan(&["status", &deployment]);
    assert_eq!(told.matches("no \u{fffd} licence").count(), 1, "three machines failed alike:\n{told}");
    assert_eq!(told.matches("next: read the probe's output").count(), 1, "{told}");
    assert!(told.len() < 8000 && !told.contains('\u{1b}'), "{}", told.len());
    let log = network.log_of(0);
    assert!(log.contains("the probe exited with code 1") && !log.contains("trying"), "{log}");
    let wait = network.command(&["deploy", "hello@1.0", "--to", "all", "--wait"]).output().expect("banyan can be run");
    let told = String::from_utf8_lossy(&wait.stdout).into_owned() + &String::from_utf8_lossy(&wait.stderr);
    assert_eq!(told.matches("licence").count(), 1, "{told}");
}

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
