//! Verifies recovery from `kill -9` in the middle of a transfer: the others finish without the dead machine, which
//! resumes from its stored chunks when it restarts.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{TestNetwork, test_package::Behaviour};

/// Large enough that the transfer takes a while even on loopback.
const BYTES: usize = 150_000_000;

#[test]
fn the_others_finish_and_the_killed_agent_does_after_its_restart() {
    let mut network = TestNetwork::start(5);
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    // The head of stripe 0: two other machines get half of all data through it.
    let status = network.wait_for_status(&deployment, "every machine receives", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Receiving)
    });
    let head = status.addressees[0].label.clone();
    let which =
        network.agents.iter().position(|agent| agent.label == head).expect("the head is one of the test's machines");
    let held = |network: &TestNetwork| {
        let content = network.agents[which].data.join("content");
        let files = std::fs::read_dir(content).expect("the agent has a content folder");
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum::<u64>()
    };
    network.kill_agent(which);
    assert!(held(&network) > 0, "nothing had arrived yet");
    network.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 4
    });
    let server_sent = network.status(&deployment).server_sent;
    network.start_agent(which);
    let status = network
        .wait_for_status(&deployment, "the killed machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"));
    // The machine did not download its stored chunks again.
    let again = status.server_sent - server_sent;
    assert!(again < status.size, "{again} bytes were sent to the restarted machine");
}
