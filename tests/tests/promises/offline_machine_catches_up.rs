//! Verifies that a machine that is off during a deployment gets the release when it comes back, and that the other
//! machines do not wait for it.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{World, test_package::Behaviour};

#[test]
fn from_the_tree_or_the_server() {
    let mut world = World::start(4);
    world.kill_agent(2);
    world.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 3
    });
    world.start_agent(2);
    world.wait_for_status(&deployment, "the late machine has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(world.says(2, "hello").as_deref(), Some("hello 1.0"));
}
