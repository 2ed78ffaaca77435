//! Verifies that a halted deployment only reaches the disk: no machine installs it before it is resumed.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{TestNetwork, test_package::Behaviour};

#[test]
fn nothing_is_installed_until_the_deployment_is_resumed() {
    let network = TestNetwork::start(2);
    network.publish("hello", "1.0", 60_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.banyan(&["halt", &deployment]);
    network.wait_for_status(&deployment, "every machine holds it", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Verified)
    });
    for which in 0..2 {
        assert_eq!(network.says(which, "hello"), None, "installed although the deployment is halted");
    }
    network.banyan(&["resume", &deployment]);
    network.wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    for which in 0..2 {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
}
