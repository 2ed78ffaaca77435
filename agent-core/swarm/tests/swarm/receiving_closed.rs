//! The schedule closes receiving, before or during the transfer: no chunks arrive, the others bypass the machine, and
//! receiving later resumes from the chunks already here.

use crate::{
    address_lists::children,
    simulated_network::{Fault, Plan, World},
};
use std::time::Duration;

fn world() -> (World, usize) {
    let world = World::new(Plan { chunks: 400, ..Plan::default() });
    let head = children(&world.lists[0], 0)[0];
    (world, head)
}

fn others_done(world: &World, but: usize) -> bool {
    (1..world.hosts.len()).all(|n| n == but || world.hosts[n].disk.installs == 1)
}

fn held(world: &World, n: usize) -> u32 {
    (0..world.plan.stripes).map(|stripe| world.held(n, stripe)).sum()
}

#[test]
fn receiving_closed_in_the_middle_stops_and_resumes_from_the_held_chunks() {
    let (mut world, head) = world();
    world.plant();
    world.run_until(world.file_time() / 2, |_| false);
    world.fault(Fault::Receive(head, false));
    let before = held(&world, head);
    assert!(before > 0 && before < 400, "in the middle: {before}");
    assert!(world.run_until(Duration::from_secs(120), |world| others_done(world, head)));
    let makespan = world.makespan((1..=16).filter(|n| *n != head));
    assert!(makespan < 1.7, "the others took {makespan} units");
    assert_eq!(held(&world, head), before, "nothing arrived while receiving was closed");
    assert_eq!(world.hosts[head].machine.next_wake(), None, "the machine has no wake time");
    world.fault(Fault::Receive(head, true));
    assert!(world.run_until(world.now + Duration::from_secs(120), World::all_installed));
    let sent: u64 = world.hosts.iter().map(|host| host.chunks_sent).sum();
    assert!(sent <= 400 * 16 + 60, "{sent} chunks were sent: only those in transit may be sent again");
}

#[test]
fn an_offer_that_arrives_while_receiving_is_closed_is_deferred_and_used_when_it_opens() {
    let (mut world, head) = world();
    world.fault(Fault::Receive(head, false));
    world.plant();
    assert!(world.run_until(Duration::from_secs(120), |world| others_done(world, head)));
    assert_eq!(held(&world, head), 0);
    // The machine is skipped, and its two parts get their stripe from the server itself: half a copy more, and no more
    // than that.
    assert!(world.copies(0) < 1.6, "the server sent {} copies", world.copies(0));
    world.fault(Fault::Receive(head, true));
    assert!(world.run_until(world.now + Duration::from_secs(120), World::all_installed));
}

#[test]
fn machines_that_are_all_closed_get_it_when_the_night_begins() {
    let (mut world, _) = world();
    for n in 1..=16 {
        world.fault(Fault::Receive(n, false));
        world.fault_at(Duration::from_secs(3600), Fault::Receive(n, true));
    }
    world.plant();
    world.run_until(Duration::from_secs(3599), |_| false);
    assert!(world.everyone(|host| host.chunks_sent == 0));
    assert!(world.run_until(Duration::from_secs(3900), World::all_installed));
}
