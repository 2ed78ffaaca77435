//! Verifies that a machine that is off during a deployment gets the release when it comes back, and that the other
//! machines do not wait for it.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{TestNetwork, test_package::Behaviour};

#[test]
fn a_machine_that_was_off_receives_from_the_tree_or_the_server() {
    let mut network = TestNetwork::start(4);
    network.kill_agent(2);
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 3
    });
    network.start_agent(2);
    network.wait_for_status(&deployment, "the late machine has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(2, "hello").as_deref(), Some("hello 1.0"));
}
