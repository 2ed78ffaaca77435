//! Verifies recovery from `kill -9` in the middle of a transfer: the others finish without the dead machine, which
//! resumes from its stored chunks when it restarts.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{World, test_package::Behaviour};

/// Large enough that the transfer takes a while even on loopback.
const BYTES: usize = 150_000_000;

#[test]
fn the_others_finish_and_so_does_it_when_it_comes_back() {
    let mut world = World::start(5);
    world.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    // The head of stripe 0: two other machines get half of all data through it.
    let status = world.wait_for_status(&deployment, "every machine receives", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Receiving)
    });
    let head = status.addressees[0].label.clone();
    let which =
        world.agents.iter().position(|agent| agent.label == head).expect("the head is one of the test's machines");
    let held = |world: &World| {
        let content = world.agents[which].data.join("content");
        let files = std::fs::read_dir(content).expect("the agent has a content folder");
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum::<u64>()
    };
    world.kill_agent(which);
    assert!(held(&world) > 0, "nothing had arrived yet");
    world.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 4
    });
    let server_sent = world.status(&deployment).server_sent;
    world.start_agent(which);
    let status = world
        .wait_for_status(&deployment, "the killed machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    // The machine did not download its stored chunks again.
    let again = status.server_sent - server_sent;
    assert!(again < status.size, "{again} bytes were sent to the restarted machine");
}
