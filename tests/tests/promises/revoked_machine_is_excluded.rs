//! Verifies that a revoked machine gets nothing from the server or any machine, and that the others are not affected.

use banyan_proto::admin::Stage;
use banyan_tests::{World, test_package::Behaviour};

#[test]
fn it_gets_nothing_and_the_others_do() {
    let world = World::start(3);
    world.banyan(&["machines", "revoke", "m1"]);
    world.wait_until("the server has closed its connection", |world| {
        world.machines().iter().any(|machine| machine.label == "m1" && machine.revoked && !machine.online)
    });
    world.publish("hello", "1.0", 500_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 1);
    world.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 2
    });
    assert_eq!(world.says(1, "hello"), None);
}
