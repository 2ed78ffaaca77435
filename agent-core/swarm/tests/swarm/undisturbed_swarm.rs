//! An undisturbed swarm with equal links: the server sends one copy, no machine sends more than one, no machine changes
//! its source, and no connection stays open.

use crate::{
    address_lists::children,
    simulated_network::{Plan, World},
};
use banyan_proto::api::Event;
use std::time::Duration;

fn run(machines: usize, stripes: u8) -> World {
    let mut world = World::new(Plan { machines, stripes, chunks: 64, ..Plan::default() });
    world.plant();
    assert!(world.run_until(Duration::from_secs(120), World::all_installed), "{machines} machines, {stripes} stripes");
    world
}

#[test]
fn the_server_sends_one_copy_and_no_machine_sends_more_than_one() {
    for machines in 1..=33 {
        let world = run(machines, 2);
        assert_eq!(world.hosts[0].chunks_sent, u64::from(world.plan.chunks), "{machines} machines");
        for n in 1..=machines {
            let planned: u64 = (0..2u8)
                .map(|stripe| {
                    let fed = children(&world.lists[usize::from(stripe)], n).len() as u64;
                    fed * u64::from(world.chunks_of(stripe))
                })
                .sum();
            assert_eq!(world.hosts[n].chunks_sent, planned, "machine {n} of {machines} sends what the plan says");
            assert!(planned <= u64::from(world.plan.chunks));
        }
    }
}

#[test]
fn one_stripe_is_the_plain_binary_tree() {
    for machines in [1, 2, 3, 7, 16, 31] {
        let world = run(machines, 1);
        for n in 0..=machines {
            let planned = children(&world.lists[0], n).len() as u64 * u64::from(world.plan.chunks);
            assert_eq!(world.hosts[n].chunks_sent, planned, "machine {n} of {machines}");
        }
    }
}

#[test]
fn each_step_is_reported_once() {
    let world = run(16, 2);
    for n in 1..=16 {
        let count = |of: fn(&Event) -> bool| world.hosts[n].reports.iter().filter(|event| of(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Offered { .. })), 2);
        assert_eq!(count(|event| matches!(event, Event::Source { left: None, .. })), 2);
        assert_eq!(count(|event| matches!(event, Event::Source { left: Some(_), .. })), 0);
        assert_eq!(count(|event| matches!(event, Event::Authenticated)), 1);
        assert_eq!(count(|event| matches!(event, Event::Installing)), 1);
        let expected = [2, 2, 1, 1].iter().sum::<usize>() + count(|event| matches!(event, Event::Progress { .. }));
        assert_eq!(world.hosts[n].reports.len(), expected, "no other reports: {:?}", world.hosts[n].reports);
        let mut parents: Vec<usize> = (0..2u8)
            .map(|stripe| world.number(world.offer_for(n, stripe).proof.ancestors().next_back().unwrap()))
            .collect();
        let mut confirmed = world.hosts[n].confirmed_to.clone();
        parents.sort_unstable();
        confirmed.sort_unstable();
        assert_eq!(confirmed, parents, "each stripe's parent receives the confirmation");
    }
}

#[test]
fn no_connection_stays_open_at_the_end_and_no_machine_wakes_up() {
    let mut world = run(16, 2);
    let end = world.now + Duration::from_secs(5);
    world.run_until(end, |_| false);
    assert!(world.connections.iter().all(|connection| !connection.up));
    assert!(world.hosts.iter().all(|host| host.machine.next_wake().is_none()));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, two) = (run(12, 2), run(12, 2));
    assert_eq!(one.now, two.now);
    assert!(one.hosts.iter().zip(&two.hosts).all(|(one, two)| one.history() == two.history()));
}
