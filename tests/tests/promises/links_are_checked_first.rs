//! Verifies that the server knows slow links before the first deployment, and that a machine which may not transfer does
//! not check its link. Runs in network namespaces, as root.

use banyan_proto::admin::{DeploymentState, Machine};
use banyan_tests::{
    TestNetwork,
    test_package::Behaviour,
    virtual_network::{Family, VirtualNetwork},
};

const MACHINES: u8 = 6;
/// The host with a slow link.
const SLOW: usize = 2;
/// Its rate (bytes a second): 4 Mbit/s.
const RATE: f64 = 500_000.0;

fn at_most(machine: &Machine) -> [Option<u64>; 2] {
    [machine.rates.down, machine.rates.up].map(|known| known.and_then(|known| known.rate.at_most))
}

fn is_checked(machine: &Machine) -> bool {
    machine.rates.down.is_some() && machine.rates.up.is_some()
}

#[test]
fn a_slow_machine_is_a_leaf_in_the_first_deployment() {
    let computers = VirtualNetwork::start(Family::V4, MACHINES + 1);
    computers.limit(SLOW, 4);
    let network = TestNetwork::start_on(computers, &[]);
    network.wait_until("every machine has checked its link", |network| network.machines().iter().all(is_checked));
    let machines = network.machines();
    let slow = machines.iter().find(|machine| machine.label == network.agents[SLOW - 1].label).unwrap();
    for rate in at_most(slow) {
        let share = rate.expect("the link is slow") as f64 / RATE;
        assert!((0.7..1.3).contains(&share), "{:?}", slow.rates);
    }
    network.publish("hello", "1.0", 3_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let status = network
        .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    let children = status.addressees.iter().filter(|one| one.planned.contains(&slow.id)).count();
    assert_eq!(children, 0, "{status:#?}");
}
