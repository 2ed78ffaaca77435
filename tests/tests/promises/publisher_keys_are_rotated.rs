//! Verifies that publishers can replace all their keys while machines are enrolled. Connected machines follow at once.
//! One that was off follows the whole chain when it is back. One that enrols later begins at the first root. All of
//! them install what the new keys sign.

use banyan_proto::admin::DeploymentState;
use banyan_tests::{World, test_package::Behaviour};

const FOLLOWS: &str = "publishers' new root accepted";

#[test]
fn what_the_new_keys_sign_installs_everywhere() {
    let mut world = World::start(3);
    let keys = world.path("keys");
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "1.0 is installed", |status| status.state == DeploymentState::Finished);
    world.kill_agent(2);
    for version in 2..=3 {
        world.banyan(&["keys", "rotate", "--key", &keys]);
        // Nothing is deployed: the server's announcement alone makes machines follow.
        world.wait_until("the connected machines follow", |world| {
            (0..2).all(|which| world.log_of(which).matches(FOLLOWS).count() == version - 1)
        });
    }
    world.start_agent(2);
    world.add_agent();
    world.wait_until("the others follow the whole chain", |world| {
        (2..4).all(|which| world.log_of(which).contains(FOLLOWS))
    });
    // The accepted roots outlive a restart and are not requested again.
    world.kill_agent(0);
    world.start_agent(0);
    world.wait_until("every machine is online", |world| {
        world.machines().iter().filter(|machine| machine.online).count() == 4
    });
    world.publish("hello", "2.0", 300_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "2.0 is installed", |status| status.state == DeploymentState::Finished);
    for which in 0..4 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 2.0"), "m{which}\n{}", world.logs());
    }
    assert_eq!(world.log_of(0).matches(FOLLOWS).count(), 2, "{}", world.log_of(0));
    // Root and targets list are signed for another year on request, and the machines follow that, too.
    world.banyan(&["keys", "renew", "--key", &keys]);
    world.wait_until("every machine follows", |world| {
        let steps = [0, 1, 2, 3].map(|which| world.log_of(which).matches(FOLLOWS).count());
        // Two of the machines took the first two steps at once.
        steps == [3, 3, 2, 2]
    });
    let checks: serde_json::Value =
        serde_json::from_str(&world.banyan(&["doctor", "--json"])).expect("doctor --json gives JSON");
    let signatures = checks.as_array().and_then(|all| all.iter().find(|check| check["what"] == "signatures"));
    assert_eq!(signatures.map(|check| check["verdict"].clone()), Some("good".into()), "{checks}");
}
