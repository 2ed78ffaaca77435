//! Verifies that publishers can replace all their keys while machines are enrolled. Connected machines follow at once.
//! One that was off follows the whole chain when it is back. One that enrols later begins at the first root. All of
//! them install what the new keys sign.

use banyan_proto::admin::DeploymentState;
use banyan_tests::{TestNetwork, test_package::Behaviour};

const FOLLOWS: &str = "publishers' new root accepted";

#[test]
fn every_machine_installs_what_the_new_keys_sign() {
    let mut network = TestNetwork::start(3);
    let keys = network.path("keys");
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "1.0 is installed", |status| status.state == DeploymentState::Finished);
    network.kill_agent(2);
    for version in 2..=3 {
        network.banyan(&["keys", "rotate", "--key", &keys]);
        // Nothing is deployed: the server's announcement alone makes machines follow.
        network.wait_until("the connected machines follow", |network| {
            (0..2).all(|which| network.log_of(which).matches(FOLLOWS).count() == version - 1)
        });
    }
    network.start_agent(2);
    network.add_agent();
    network.wait_until("the others follow the whole chain", |network| {
        (2..4).all(|which| network.log_of(which).contains(FOLLOWS))
    });
    // The accepted roots outlive a restart and are not requested again.
    network.kill_agent(0);
    network.start_agent(0);
    network.wait_until("every machine is online", |network| {
        network.machines().iter().filter(|machine| machine.online).count() == 4
    });
    network.publish("hello", "2.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "2.0 is installed", |status| status.state == DeploymentState::Finished);
    for which in 0..4 {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 2.0"), "m{which}\n{}", network.logs());
    }
    assert_eq!(network.log_of(0).matches(FOLLOWS).count(), 2, "{}", network.log_of(0));
    // Root and targets list are signed for another year on request, and the machines follow that, too.
    network.banyan(&["keys", "renew", "--key", &keys]);
    network.wait_until("every machine follows", |network| {
        let steps = [0, 1, 2, 3].map(|which| network.log_of(which).matches(FOLLOWS).count());
        // Two of the machines took the first two steps at once.
        steps == [3, 3, 2, 2]
    });
    let checks: serde_json::Value =
        serde_json::from_str(&network.banyan(&["doctor", "--json"])).expect("doctor --json gives JSON");
    let signatures = checks.as_array().and_then(|all| all.iter().find(|check| check["what"] == "signatures"));
    assert_eq!(signatures.map(|check| check["verdict"].clone()), Some("good".into()), "{checks}");
}
