//! `kill -9` in the middle: the others finish without the dead machine; started again, it goes on from what it had.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{World, package::Behaviour};

/// Large enough that the transfer is under way for a while even on loopback.
const BYTES: usize = 150_000_000;

#[test]
fn the_others_finish_and_so_does_it_when_it_comes_back() {
    let mut world = World::start(5);
    world.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    // The head of stripe 0: two others get half of everything through it.
    let status = world.wait_for_status(&deployment, "everyone receives", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Receiving)
    });
    let head = status.addressees[0].label.clone();
    let which = world.agents.iter().position(|agent| agent.label == head).expect("the head is one of ours");
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
    let status =
        world.wait_for_status(&deployment, "the killed one has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    // What it had was not fetched again.
    let again = status.server_sent - server_sent;
    assert!(again < status.size, "{again} bytes were sent to the machine that came back");
}
