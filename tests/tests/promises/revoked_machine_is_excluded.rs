//! Verifies that a revoked machine gets nothing from the server or any machine, and that the others are not affected.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
    local::{LOCAL_VERSION, Reply, Request},
};
use banyan_tests::{TestNetwork, programs, test_package::Behaviour};
use std::{fs, process::Stdio};

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

#[test]
fn a_revoked_machine_does_not_ignore_a_new_join_code() {
    let mut network = TestNetwork::start(1);
    network.banyan(&["machines", "revoke", "m0"]);
    network.wait_until("the agent knows that it was revoked", |network| {
        network.ask(0).trouble.is_some_and(|trouble| trouble.reason == Reason::Revoked)
    });
    let code = network.join_code(2);
    let request = Request::Enrol { code: code.clone() };
    let hello = Request::Hello { version: LOCAL_VERSION };
    let replies = network.say(0, &[hello, request]);
    let Some(Reply::Error(refused)) = replies.last() else { panic!("{replies:?}") };
    assert!(refused.reason == Reason::Revoked && refused.detail.contains("was not used"), "{refused}");

    network.kill_agent(0);
    let file = network.path("code");
    fs::write(&file, &code).expect("the file can be written");
    // As a service that is started again and again.
    for _ in 0..2 {
        let mut command = programs::agent();
        command.arg("--data").arg(&network.agents[0].data).args(["--listen", "127.0.0.1:0", "--join-file", &file]);
        command.arg("--install-root").arg(&network.agents[0].root);
        let refused = command.output().expect("the agent can be run");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains("the new join code was not used") && said.contains("[revoked]"), "{said}");
    }
    // The cure that it names.
    network.reinstall(0, code);
    network.start_agent(0);
    network.wait_until("the machine is back with a new identity", |network| {
        network.machines().iter().filter(|machine| machine.online && !machine.revoked).count() == 1
    });
}
