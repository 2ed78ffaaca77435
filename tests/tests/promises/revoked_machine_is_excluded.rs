//! Verifies that a revoked machine gets nothing from the server or any machine, and that the others are not affected.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::process::Stdio;

#[test]
fn a_revoked_machine_gets_nothing_and_the_others_do() {
    let network = TestNetwork::start(3);
    network.banyan(&["machines", "revoke", "m1"]);
    network.wait_until("the server has closed its connection", |network| {
        network.machines().iter().any(|machine| machine.label == "m1" && machine.revoked && !machine.online)
    });
    network.publish("hello", "1.0", 500_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 1);
    network.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 2
    });
    assert_eq!(network.says(1, "hello"), None);
}

#[test]
fn a_deployment_ends_when_the_machine_it_waits_for_is_revoked() {
    let mut network = TestNetwork::start(2);
    network.publish("hello", "1.0", 100_000, Behaviour::Works);
    network.kill_agent(1);
    let wait = ["deploy", "hello", "--to", "all", "--wait", "--json"];
    let waiting = network.command(&wait).stdout(Stdio::null()).spawn().expect("banyan can be run");
    network.wait_until("one machine has it", |network| network.says(0, "hello").is_some());
    network.banyan(&["machines", "revoke", "m1"]);
    let output = waiting.wait_with_output().expect("banyan can be waited for");
    assert_eq!(output.status.code(), Some(3));
    let status = network.status("latest");
    assert_eq!(status.state, DeploymentState::Finished);
    let revoked = status.addressees.iter().find(|machine| machine.label == "m1").expect("it is a target");
    assert_eq!((revoked.stage, revoked.reason), (Stage::Failed, Some(Reason::Revoked)));
}
