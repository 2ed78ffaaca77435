//! A machine that feeds others disappears at half time: only the machines it fed look for another source.

use crate::{
    address_lists::children,
    simulated_network::{Fault, Plan, World},
};
use banyan_proto::api::Event;

/// Returns the machines that feed others and are not fed by the server.
fn interior(world: &World) -> Vec<usize> {
    let heads: Vec<usize> = world.lists.iter().flat_map(|list| children(list, 0)).collect();
    let feeds = |n: &usize| world.lists.iter().any(|list| !children(list, *n).is_empty());
    (1..world.hosts.len()).filter(|n| feeds(n) && !heads.contains(n)).collect()
}

fn dies(victim: impl Fn(&World) -> usize, stripes: u8, fault: fn(usize) -> Fault) -> (World, usize) {
    let mut world = World::new(Plan { stripes, chunks: 800, ..Plan::default() });
    let victim = victim(&world);
    let half = world.file_time().mul_f64(0.5);
    world.fault_at(half, fault(victim));
    world.plant();
    let end = world.file_time() * 6;
    let done =
        |world: &World| (1..world.hosts.len()).filter(|n| *n != victim).all(|n| world.hosts[n].disk.installs == 1);
    assert!(world.run_until(end, done), "a machine did not complete after {victim} disappeared");
    (world, victim)
}

fn only_children_moved(world: &World, victim: usize) {
    let mut fed: Vec<usize> = world.lists.iter().flat_map(|list| children(list, victim)).collect();
    fed.sort_unstable();
    fed.dedup();
    assert_eq!(world.fled(), fed, "only the machines that {victim} fed change their source");
}

#[test]
fn only_its_children_move_when_it_is_killed() {
    for stripes in [1, 2] {
        for at in [0, 2, 4] {
            let (world, victim) = dies(|world| interior(world)[at], stripes, Fault::Kill);
            only_children_moved(&world, victim);
        }
    }
}

#[test]
fn only_its_children_move_when_it_goes_silent() {
    for stripes in [1, 2] {
        let (world, victim) = dies(|world| interior(world)[1], stripes, Fault::Vanish);
        only_children_moved(&world, victim);
    }
}

#[test]
fn the_head_of_a_stripe_may_die() {
    let (world, victim) = dies(|world| children(&world.lists[0], 0)[0], 2, Fault::Kill);
    only_children_moved(&world, victim);
    let makespan = world.makespan((1..17).filter(|n| *n != victim));
    assert!(makespan < 1.6, "{makespan}");
}

#[test]
fn a_cut_connection_is_made_again() {
    let (world, _) = dies(|_| 0, 2, |_| Fault::Cut(3));
    assert!(world.copies(0) < 1.3, "{}", world.copies(0));
    let mut affected: Vec<usize> = world.lists.iter().flat_map(|list| children(list, 3)).chain([3]).collect();
    affected.sort_unstable();
    affected.dedup();
    assert_eq!(world.fled(), affected, "only machine 3 and the machines it feeds lost a connection");
    for n in affected {
        for event in &world.hosts[n].reports {
            if let Event::Source { stripe, source, .. } = event {
                let parent = world.offer_for(n, *stripe).proof.ancestors().next_back();
                assert_eq!(Some(*source), parent, "machine {n} asks its parent again, and no other machine");
            }
        }
    }
}
