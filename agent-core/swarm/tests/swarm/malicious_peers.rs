//! A machine that lies, placed where it can do most harm: the machines below it still get everything.

use crate::{
    address_lists::children,
    simulated_host::Character,
    simulated_network::{Plan, World},
};
use banyan_proto::{Reason, api::Event};
use std::time::Duration;

fn with_liar(character: Character) -> (World, usize) {
    let mut world = World::new(Plan::default());
    let liar = children(&world.lists[0], 0)[0];
    world.hosts[liar].character = character;
    world.plant();
    assert!(world.run_until(Duration::from_secs(900), World::all_installed), "{character:?}");
    (world, liar)
}

#[test]
fn a_sender_of_bad_bytes_is_reported_and_never_used_again() {
    let (world, liar) = with_liar(Character::Forger);
    let liars = |event: &&Event| matches!(event, Event::BadChunk { source, .. } if world.number(*source) == liar);
    for child in children(&world.lists[0], liar) {
        assert_eq!(world.hosts[child].reports.iter().filter(liars).count(), 1, "machine {child}");
    }
    let elsewhere = world.hosts.iter().flat_map(|host| &host.reports).filter(liars).count();
    assert_eq!(elsewhere, children(&world.lists[0], liar).len(), "bad bytes are not forwarded");
}

#[test]
fn a_source_that_claims_everything_and_sends_nothing_is_dropped() {
    let (world, liar) = with_liar(Character::Boaster);
    let left = |event: &Event| matches!(event, Event::Source { left: Some(Reason::Busy), .. });
    for child in children(&world.lists[0], liar) {
        assert!(world.hosts[child].reports.iter().any(left), "machine {child}: {:?}", world.hosts[child].reports);
    }
    assert!(world.now < Duration::from_secs(30), "{:?}", world.now);
}

/// Runs with a machine that withholds everything, or what comes after the first half. Returns the longest time for which
/// a machine received nothing, and the copies that the server sent.
fn withheld(plan: Plan, miser: usize, character: Character, from_the_start: bool) -> (Duration, f64) {
    const STEP: Duration = Duration::from_millis(250);
    let mut world = World::new(plan);
    let half = if from_the_start { Duration::ZERO } else { world.file_time() / 2 };
    world.plant();
    world.run_until(half, |_| false);
    world.hosts[miser].character = character;
    let done = |world: &World| world.everyone(|host| host.disk.verified.is_some());
    let mut longest = Duration::ZERO;
    while !world.run_until(world.now + STEP, done) {
        let waiting = world.hosts[1..].iter().filter(|host| host.disk.verified.is_none());
        let pauses = waiting.map(|host| world.now.saturating_sub(host.last_chunk));
        longest = longest.max(pauses.max().unwrap_or_default());
        assert!(world.now < Duration::from_secs(900), "machine {miser} withholds");
    }
    (longest, world.copies(0))
}

#[test]
fn a_machine_that_withholds_chunks_costs_those_below_little_time_and_the_server_one_copy() {
    for machines in [5, 16] {
        for stripes in [1, 2] {
            let plan = Plan { machines, stripes, ..Plan::default() };
            let world = World::new(plan.clone());
            let feeds = |n: &usize| world.lists.iter().any(|list| !children(list, *n).is_empty());
            // In a plain binary tree, the server feeds two machines.
            let planned =
                world.lists.iter().map(|list| children(list, 0).len()).sum::<usize>() as f64 / f64::from(stripes);
            for miser in (1..=machines).filter(feeds) {
                for (character, from_the_start, bound) in
                    [(Character::Miser, true, 30), (Character::Miser, false, 30), (Character::LyingMiser, true, 40)]
                {
                    let (pause, server) = withheld(plan.clone(), miser, character, from_the_start);
                    let case =
                        format!("{machines} machines, {stripes} stripes, {character:?} {miser}, {from_the_start}");
                    println!("{case}: {pause:?}, {server:.2} copies");
                    assert!(pause < Duration::from_secs(bound), "{case}: nothing arrives for {pause:?}");
                    // When a machine leaves the server, chunks in transit to it are sent again.
                    let in_transit = f64::from(plan.in_flight) / f64::from(plan.chunks);
                    assert!(server <= planned + 1.0 + in_transit, "{case}: the server sent {server} copies");
                }
            }
        }
    }
}

#[test]
fn without_the_servers_advice_a_source_that_withholds_chunks_is_detected_by_probing_an_ancestor() {
    let mut world = World::new(Plan::default());
    let liar = children(&world.lists[0], 0)[0];
    world.hosts[liar].character = Character::Miser;
    world.gives_advice = false;
    world.plant();
    assert!(world.run_until(Duration::from_secs(900), World::all_installed));
    assert_eq!(world.fled(), children(&world.lists[0], liar), "only the liar's children change their source");
}

#[test]
fn a_machine_that_refuses_everything_is_skipped() {
    let (world, liar) = with_liar(Character::Refuser);
    let over = |event: &Event| matches!(event, Event::SteppedOver { machine, reason: Reason::NotAddressed, .. } if world.number(*machine) == liar);
    assert!(world.hosts[0].reports.iter().any(over));
}
