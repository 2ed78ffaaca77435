//! The server is killed in the middle and comes back: nothing is sent again, receipts wait, everyone finishes.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{World, package::Behaviour};

#[test]
fn receipts_wait_and_everyone_finishes() {
    let mut world = World::start(4);
    world.publish("hello", "1.0", 100_000_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "everyone receives", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Receiving)
    });
    world.kill_server();
    world.start_server();
    let status =
        world.wait_for_status(&deployment, "everyone has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    for which in 0..4 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
}
