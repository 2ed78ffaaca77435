//! Verifies that server and agent work on when nobody can take their logs: the disk below is full, or the reader is gone.

use banyan_proto::admin::DeploymentState;
use banyan_tests::{TestNetwork, test_package::Behaviour};

#[test]
fn services_whose_logs_cannot_be_written_work_as_before() {
    let mut network = TestNetwork::start(2);
    network.kill_server();
    (0..2).for_each(|which| network.kill_agent(which));
    network.has_full_logs = true;
    network.start_server();
    (0..2).for_each(|which| network.start_agent(which));
    let all_online = |network: &TestNetwork| network.machines().iter().all(|machine| machine.online);
    network.wait_until("both machines are online", all_online);
    // Both sides log when they lose each other.
    network.stop_server();
    network.start_server();
    network.wait_until("both machines are online again", all_online);
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "both machines have it", |status| status.state == DeploymentState::Finished);
    network.stop_server();
}
