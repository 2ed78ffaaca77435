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

#[test]
fn a_source_that_withholds_chunks_is_detected_by_probing_an_ancestor() {
    let (world, liar) = with_liar(Character::Miser);
    assert_eq!(world.fled(), children(&world.lists[0], liar), "only the liar's children change their source");
}

#[test]
fn a_machine_that_refuses_everything_is_skipped() {
    let (world, liar) = with_liar(Character::Refuser);
    let over = |event: &Event| matches!(event, Event::SteppedOver { machine, reason: Reason::NotAddressed, .. } if world.number(*machine) == liar);
    assert!(world.hosts[0].reports.iter().any(over));
}
