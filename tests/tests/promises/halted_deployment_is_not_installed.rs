//! Verifies that a halted deployment only reaches the disk: no machine installs it before it is resumed.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{World, test_package::Behaviour};

#[test]
fn until_it_is_resumed() {
    let world = World::start(2);
    world.publish("hello", "1.0", 60_000_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.banyan(&["halt", &deployment]);
    world.wait_for_status(&deployment, "every machine holds it", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Verified)
    });
    for which in 0..2 {
        assert_eq!(world.says(which, "hello"), None, "installed although the deployment is halted");
    }
    world.banyan(&["resume", &deployment]);
    world.wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    for which in 0..2 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
}
