//! Verifies `--server-copies`: with `auto`, the server sends what machines with slow uplinks cannot.

use banyan_proto::{ServerCopies, admin::DeploymentState};
use banyan_tests::{TestNetwork, test_package::Behaviour};

const MACHINES: usize = 5;

#[test]
fn the_server_helps_machines_that_send_slowly_if_it_may() {
    let network = TestNetwork::start(MACHINES);
    network.set_policy("upload = 150000\n", None);
    network.publish("hello", "1.0", 3_000_000, Behaviour::Works);
    let deploy = ["deploy", "hello", "--to", "all", "--server-copies", "auto", "--wait", "--timeout", "120s", "--json"];
    let done = network.command(&deploy).output().expect("banyan can be run");
    assert!(done.status.success(), "{done:?}");
    let status: banyan_proto::admin::DeploymentStatus = serde_json::from_slice(&done.stdout).expect("a status");
    assert_eq!((status.state, status.server_copies), (DeploymentState::Finished, ServerCopies::Auto));
    let copies = status.server_sent as f64 / status.size as f64;
    assert!((1.5..=MACHINES as f64).contains(&copies), "the server sent {copies:.2} copies");
}
