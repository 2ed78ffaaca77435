//! Verifies what loopback cannot show: a machine that moves to another address is known there, one whose cable is pulled
//! is bypassed and then shown offline, and a server that vanishes is found at the address that it announced. Runs in
//! network namespaces, as root.

use banyan_proto::{
    Address,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{
    TestNetwork,
    test_package::Behaviour,
    virtual_network::{Family, VirtualNetwork},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Large enough that the transfer takes a while.
const BYTES: usize = 100_000_000;
/// The option that shortens the time after which silence counts, and what it is set to.
const SOON: [&str; 2] = ["--offline-after", "8"];
/// How much later than after that time something may be noticed.
const SLACK: Duration = Duration::from_secs(15);

fn online(network: &TestNetwork) -> Vec<String> {
    network.machines().into_iter().filter(|machine| machine.online).map(|machine| machine.label).collect()
}

/// In a network without IPv4, the machine is also served and bypasses nobody.
#[test]
fn a_machine_that_moves_is_known_at_its_new_address_within_a_minute() {
    const NEW: u8 = 77;
    let mut network = TestNetwork::start_on(VirtualNetwork::start(Family::V6, 5), &[]);
    let address = |ip| Address::from(SocketAddr::new(ip, 7711));
    let (old, new) = (address(network.computers().address(1)), address(Family::V6.address(NEW)));
    let known = |network: &TestNetwork| {
        network.machines().into_iter().find(|machine| machine.label == "m0").expect("m0 is enrolled").addresses
    };
    assert_eq!(known(&network), [old]);

    let moved = Instant::now();
    network.computers().set_cable(1, false);
    network.computers().change_address(1, NEW);
    network.computers().set_cable(1, true);
    network.wait_until("the server knows the new address alone", |network| known(network) == [new.clone()]);
    let took = moved.elapsed();
    println!("the new address was known after {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");

    // The others reach it there: nobody needs a second copy from the server.
    network.publish("hello", "1.0", 2_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let status = network
        .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    assert!(status.server_sent < status.size * 3 / 2, "the server sent {} of {}", status.server_sent, status.size);
}

/// Pulls the cable of the machine that others receive from. Checks that they finish, and that the machine is shown
/// offline within this time; then plugs it in again.
fn pull_a_cable(arguments: &[&str], within: Duration) {
    let mut network = TestNetwork::start_on(VirtualNetwork::start(Family::V4, 6), arguments);
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let status = network.wait_for_status(&deployment, "every machine receives", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Receiving)
    });
    // The head of stripe 0.
    let vanished = status.addressees[0].label.clone();
    let computer = 1 + network.agents.iter().position(|agent| agent.label == vanished).expect("a machine of this test");
    let pulled = Instant::now();
    network.computers().set_cable(computer, false);

    let has_it = |machine: &&banyan_proto::admin::AddresseeStatus| machine.stage == Stage::Installed;
    let status = network.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(has_it).count() == 4
    });
    println!("the others had it {:?} after the cable was pulled", pulled.elapsed());
    assert!(!has_it(&&status.addressees[0]), "the cable was pulled too late");
    while online(&network).contains(&vanished) {
        assert!(pulled.elapsed() < within, "{vanished} is still shown online\n{}", network.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("it was shown offline after {:?}", pulled.elapsed());
    assert_eq!(online(&network).len(), 4, "the others stay online");

    network.computers().set_cable(computer, true);
    let finished = |status: &banyan_proto::admin::DeploymentStatus| status.state == DeploymentState::Finished;
    network.wait_for_status(&deployment, "the machine is back and has it", finished);
}

#[test]
fn a_machine_whose_cable_is_pulled_is_bypassed_and_shown_offline() {
    pull_a_cable(&SOON, Duration::from_secs(8) + SLACK);
}

#[test]
#[ignore = "takes three minutes: the same with the usual times"]
fn a_machine_whose_cable_is_pulled_is_shown_offline_within_three_minutes() {
    pull_a_cable(&[], Duration::from_secs(180));
}

/// Lets the server vanish and come back at an address that it has announced. Checks that the machines find it there
/// within this time.
fn lose_the_server(arguments: &[&str], within: Duration) {
    const NEW: u8 = 99;
    let mut network = TestNetwork::start_on(VirtualNetwork::start(Family::V4, 4), arguments);
    let at = |ip| SocketAddr::new(ip, 7700);
    let (old, new) = (at(network.computers().address(0)), at(Family::V4.address(NEW)));
    network.kill_server();
    network.server_arguments.extend(["--advertise".into(), format!("{old},{new}")]);
    network.start_server();
    network.wait_until("the machines know both addresses", |network| {
        network.machines().iter().all(|machine| machine.online && machine.knows_server_addresses == Some(true))
    });
    // The cable is pulled first, so that the end of the process closes no connection.
    network.computers().set_cable(0, false);
    network.kill_server();
    network.computers().change_address(0, NEW);
    network.move_server(new);
    network.server_arguments.truncate(arguments.len());
    network.start_server();
    let back = Instant::now();
    network.computers().set_cable(0, true);
    while online(&network).len() < 3 {
        assert!(back.elapsed() < within, "{:?} are back\n{}", online(&network), network.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("the machines found the server after {:?}", back.elapsed());
    network.publish("hello", "1.0", 1000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 1);
    let finished = |status: &banyan_proto::admin::DeploymentStatus| status.state == DeploymentState::Finished;
    network.wait_for_status(&deployment, "every machine has it", finished);
}

#[test]
fn a_server_that_vanished_is_found_at_the_address_that_it_announced() {
    lose_the_server(&SOON, Duration::from_secs(8) + SLACK);
}

#[test]
#[ignore = "takes three minutes: the same with the usual times"]
fn a_server_that_vanished_is_found_within_three_minutes() {
    lose_the_server(&[], Duration::from_secs(180));
}
