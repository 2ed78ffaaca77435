//! Verifies the basic promise: one package and a list of machines, and every machine has it verified, authenticated,
//! installed and running.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{TestNetwork, test_package::Behaviour};

#[test]
fn a_release_is_installed_on_one_machine() {
    let network = TestNetwork::start(1);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the machine has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.0"));
}

#[test]
fn seven_machines_install_in_a_binary_tree_and_in_two_stripes() {
    let network = TestNetwork::start(7);
    for (version, stripes) in [("1.0", 1), ("2.0", 2)] {
        network.publish("hello", version, 5_000_000, Behaviour::Works);
        let deployment = network.deploy("hello", "all", stripes);
        let status = network
            .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
        for machine in &status.addressees {
            assert_eq!(machine.stage, Stage::Installed, "{machine:?}");
        }
        for which in 0..7 {
            assert_eq!(network.says(which, "hello"), Some(format!("hello {version}")));
        }
        // With one stripe the server feeds two heads; with two stripes it feeds one head for each.
        let copies = if stripes == 1 { 2 } else { 1 };
        assert_eq!(status.server_sent, copies * status.size, "bytes that the server sent");
    }
}
