//! Verifies that background transfers mark their packets as lower effort at both ends, that a transfer which a user wants
//! now does not, and that the policy decides. Runs in network namespaces, as root.

use banyan_proto::{
    admin::{DeploymentState, DeploymentStatus},
    local::Request,
    schedule::{Stage, Wish},
};
use banyan_tests::{
    TestNetwork,
    test_package::Behaviour,
    virtual_network::{Family, MarkedBytes, VirtualNetwork},
};

const BYTES: usize = 24_000_000;
/// Connections, TLS and requests of one deployment are far below this.
const LITTLE: u64 = 3_000_000;

/// Starts a server and two machines, which receive this many bytes a second at most.
fn start(family: Family, policy: &str) -> TestNetwork {
    let network = TestNetwork::start_on(VirtualNetwork::start(family, 3), &[]);
    network.set_policy(policy, None);
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    network
}

fn wait_until_finished(network: &TestNetwork, deployment: &str) -> DeploymentStatus {
    network.wait_for_status(deployment, "both have it", |status| status.state == DeploymentState::Finished)
}

fn count_marks(network: &mut TestNetwork) {
    (0..3).for_each(|host| network.computers().count_marks(host));
}

/// Returns what the server and the two machines have sent.
fn marks(network: &mut TestNetwork) -> [MarkedBytes; 3] {
    [0, 1, 2].map(|host| network.computers().marks(host))
}

#[test]
fn background_transfers_are_marked_at_both_ends_in_both_families() {
    for family in [Family::V4, Family::V6] {
        let mut network = start(family, "");
        count_marks(&mut network);
        let deployment = network.deploy("hello", "all", 2);
        let size = wait_until_finished(&network, &deployment).size;
        let [server, one, other] = marks(&mut network);
        assert!(server.lower > size * 9 / 10 && server.normal < LITTLE, "{server:?}");
        assert!(one.lower + other.lower > size * 9 / 10, "{one:?} {other:?}");
        // Each of them at least acknowledges what it receives.
        for machine in [one, other] {
            assert!(machine.lower > 10_000 && machine.normal < LITTLE, "{machine:?}");
        }
    }
}

#[test]
fn a_policy_can_switch_the_mark_off() {
    let mut network = start(Family::V4, "[background]\ndscp = \"default\"\n");
    count_marks(&mut network);
    let deployment = network.deploy("hello", "all", 2);
    let size = wait_until_finished(&network, &deployment).size;
    let sent = marks(&mut network);
    assert!(sent.iter().all(|sent| sent.lower == 0), "{sent:?}");
    assert!(sent[0].normal > size * 9 / 10, "{sent:?}");
}

/// Its sources leave the mark out, too, from the middle of the transfer on.
#[test]
fn a_transfer_that_a_user_wants_now_loses_the_mark() {
    let mut network = start(Family::V4, "download = 3000000\n");
    count_marks(&mut network);
    let deployment = network.deploy("hello", "machine:m0", 2);
    network.wait_until("something has arrived", |network| {
        network.snapshot(0).updates.first().is_some_and(|update| update.progress.held > 3_000_000)
    });
    let order = network.snapshot(0).updates[0].order;
    network.tell(0, &Request::Wish { order, stage: Stage::Receive, wish: Wish::Now });
    let size = wait_until_finished(&network, &deployment).size;
    let [server, machine, _] = marks(&mut network);
    assert!(server.lower > 3_000_000 && server.normal > size / 4, "{server:?}");
    assert!(server.lower + server.normal < size * 11 / 10, "the pull was served anew: {server:?}");
    assert!(machine.lower > 1_000 && machine.normal > 10_000, "{machine:?}");
}
