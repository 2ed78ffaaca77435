//! Verifies that a revoked machine gets nothing from the server or any machine, and that the others are not affected.

use banyan_proto::admin::Stage;
use banyan_tests::{TestNetwork, test_package::Behaviour};

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
