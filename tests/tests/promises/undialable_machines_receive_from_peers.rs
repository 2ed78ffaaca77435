//! Verifies that machines behind a firewall, which nobody can dial, receive from the other machines and forward to them:
//! the server sends about one copy. Runs in network namespaces, as root.

use banyan_proto::{
    Reach,
    admin::{DeploymentState, DeploymentStatus, Stage},
};
use banyan_tests::{
    TestNetwork,
    test_package::Behaviour,
    virtual_network::{Family, VirtualNetwork},
};

const MACHINES: u8 = 8;
/// Large enough that the transfer takes a while.
const BYTES: usize = 60_000_000;

/// Deploys to machines of which nobody can dial the first ones. Waits until the server knows them, if it may.
fn deploy(undialable: u8, waits: bool) -> DeploymentStatus {
    let computers = VirtualNetwork::start(Family::V4, MACHINES + 1);
    (1..=undialable).for_each(|host| computers.refuse_connections(host.into()));
    let network = TestNetwork::start_on(computers, &[]);
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    if waits {
        network.wait_until("the server knows whom it can dial", |network| {
            let machines = network.machines();
            let of = |reach| machines.iter().filter(|machine| machine.reach == Some(reach)).count();
            of(Reach::Nobody) == usize::from(undialable) && of(Reach::Everyone) == usize::from(MACHINES - undialable)
        });
    }
    let deployment = network.deploy("hello", "all", 2);
    let status = network
        .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    let last = status.addressees.iter().filter_map(|machine| machine.verified_after).max();
    let copies = status.server_sent as f64 / status.size as f64;
    println!("{undialable} of {MACHINES} cannot be dialled: {copies:.2} copies, the last after {last:?}");
    status
}

/// The simulated swarm bounds the time; here it depends on the computer.
#[test]
fn when_half_cannot_be_dialled_the_server_sends_two_copies_at_most() {
    deploy(0, true);
    let status = deploy(MACHINES / 2, true);
    // One copy on an idle computer. On a busy one, a machine may come to the server for a stripe before its parent knows
    // the order. Without the other machines, the server would send more than four.
    let most = status.size * 2 + status.size / 100;
    assert!(status.server_sent <= most, "the server sent {} of {}", status.server_sent, status.size);
}

#[test]
fn when_nothing_is_known_machines_that_cannot_be_dialled_get_it_too() {
    deploy(MACHINES / 2, false);
}

#[test]
fn when_only_one_can_be_dialled_the_server_sends_what_that_one_does_not() {
    let status = deploy(MACHINES - 1, true);
    // What the one machine cannot send to the others.
    let most = u64::from(MACHINES - 2);
    assert!(status.server_sent <= most * status.size, "the server sent {} of {}", status.server_sent, status.size);
}
