//! Verifies that a halted deployment stops: no machine receives, forwards or installs it before it is resumed. A machine
//! that cannot reach the server learns of the halt from another machine. Some tests run in network namespaces, as root.

use banyan_proto::{
    Reason,
    admin::{AddresseeStatus, DeploymentState, DeploymentStatus, Stage},
};
use banyan_tests::{
    TestNetwork,
    test_package::Behaviour,
    virtual_network::{Family, VirtualNetwork},
};
use std::time::{Duration, Instant};

const BYTES: usize = 30_000_000;
/// Slow enough that the transfer is under way when it is halted (bytes a second).
const UPLOAD: &str = "upload = 2000000\n";

/// Returns the bytes of the deployment that are on a machine's disk.
fn held(network: &TestNetwork, which: usize) -> u64 {
    network.snapshot(which).updates.iter().map(|update| update.progress.held).sum()
}

/// Returns whether a machine has the whole content.
fn is_complete(network: &TestNetwork, which: usize) -> bool {
    network.snapshot(which).updates.iter().any(|update| update.progress.held == update.progress.of)
}

fn is_stopped(machine: &AddresseeStatus) -> bool {
    machine.stage < Stage::Installing && machine.reason == Some(Reason::Halted)
}

fn finished(status: &DeploymentStatus) -> bool {
    status.state == DeploymentState::Finished
}

/// Starts a deployment. Returns when every machine receives it.
fn deploy(network: &TestNetwork) -> String {
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_until("every machine receives", |network| {
        (0..network.agents.len()).all(|which| held(network, which) > 1_000_000)
    });
    deployment
}

/// Checks that no more content arrives at these machines.
fn assert_nothing_arrives(network: &TestNetwork, machines: usize) {
    let all = || -> Vec<u64> { (0..machines).map(|which| held(network, which)).collect() };
    let before = all();
    // That nothing happens is no event.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(all(), before, "content arrives although the deployment is halted");
    let is_over = (0..machines).any(|which| is_complete(network, which));
    assert!(!is_over, "the transfer was over before the halt: {before:?}");
}

#[test]
fn nothing_is_received_or_installed_until_the_deployment_is_resumed() {
    let mut network = TestNetwork::start(4);
    network.set_policy(UPLOAD, None);
    let deployment = deploy(&network);
    let halted = Instant::now();
    network.banyan(&["halt", &deployment]);
    network
        .wait_for_status(&deployment, "every machine has stopped", |status| status.addressees.iter().all(is_stopped));
    println!("every machine had stopped after {:?}", halted.elapsed());
    assert_nothing_arrives(&network, 4);
    // Neither a restart of the server nor one of an agent ends the halt.
    network.stop_server();
    network.start_server();
    network.restart_agent(0);
    assert_nothing_arrives(&network, 4);

    network.banyan(&["resume", &deployment]);
    let status = network.wait_for_status(&deployment, "every machine has it", finished);
    assert!((0..4).all(|which| network.says(which, "hello").as_deref() == Some("hello 1.0")));
    let copies = status.server_sent as f64 / status.size as f64;
    println!("the server sent {copies:.3} copies");
    assert!(copies < 1.3, "the server sent {copies:.3} copies");
}

/// Halts and resumes a deployment to this many machines. Some of those that receive from other machines alone cannot
/// reach the server.
fn halt_with_machines_cut_off(machines: u8, cut: usize) {
    let mut network = TestNetwork::start_on(VirtualNetwork::start(Family::V4, machines + 1), &[]);
    network.set_policy(UPLOAD, None);
    let deployment = deploy(&network);
    let status = network.status(&deployment);
    let leaves = status.addressees.iter().filter(|machine| !machine.planned.contains(&status.server));
    let place =
        |label: &str| network.agents.iter().position(|agent| agent.label == label).expect("a machine of this test");
    let cut: Vec<usize> = leaves.take(cut).map(|machine| place(&machine.label)).collect();
    cut.iter().for_each(|which| network.computers().set_way(which + 1, 0, false));
    let knows = |network: &TestNetwork, which: usize| {
        let updates = network.snapshot(which).updates;
        updates.iter().any(|update| update.waits.as_ref().is_some_and(|wait| wait.reason == Reason::Halted))
    };
    let halted = Instant::now();
    network.banyan(&["halt", &deployment]);
    network.wait_until("the machines with a server have stopped", |network| {
        (0..machines.into()).all(|which| cut.contains(&which) || knows(network, which))
    });
    println!("{} machines with a server had stopped after {:?}", usize::from(machines) - cut.len(), halted.elapsed());
    network.wait_until("the others have stopped", |network| cut.iter().all(|which| knows(network, *which)));
    println!("{} machines without one had stopped after {:?}", cut.len(), halted.elapsed());
    assert!(halted.elapsed() < Duration::from_secs(30));
    assert_nothing_arrives(&network, machines.into());

    network.banyan(&["resume", &deployment]);
    network.wait_until("the machines without a server have received the rest", |network| {
        cut.iter().all(|which| is_complete(network, *which))
    });
    cut.iter().for_each(|which| network.computers().set_way(which + 1, 0, true));
    let status = network.wait_for_status(&deployment, "every machine has it", finished);
    let received: u64 = status.addressees.iter().flat_map(|machine| &machine.sources).map(|source| source.bytes).sum();
    let copies = received as f64 / (status.size * u64::from(machines)) as f64;
    println!("each machine received {copies:.3} copies");
    assert!(copies < 1.02, "each machine received {copies:.3} copies");
}

#[test]
fn a_machine_that_cannot_reach_the_server_is_stopped_by_the_others() {
    halt_with_machines_cut_off(6, 1);
}

#[test]
#[ignore = "starts 64 agents, and takes minutes"]
fn many_machines_stop_within_seconds() {
    halt_with_machines_cut_off(64, 6);
}
