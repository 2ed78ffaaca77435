//! Heads that are unreachable or may not forward: their parts still reach every machine.

use crate::{
    address_lists::children,
    simulated_network::{Fault, Plan, World},
};
use banyan_proto::{Reason, api::Event};
use std::time::Duration;

fn over(world: &World, by: usize, who: usize) -> usize {
    let is = |event: &&Event| matches!(event, Event::SteppedOver { machine, .. } if world.number(*machine) == who);
    world.hosts[by].reports.iter().filter(is).count()
}

#[test]
fn an_unreachable_head_is_skipped_and_gets_help_later() {
    let mut world = World::new(Plan { chunks: 64, ..Plan::default() });
    let head = children(&world.lists[0], 0)[0];
    world.hosts[head].unreachable = true;
    world.plant();
    assert!(world.run_until(Duration::from_secs(120), World::all_installed));
    assert_eq!(over(&world, 0, head), 1);
    assert!(world.makespan((1..17).filter(|n| *n != head)) < 3.0, "the others do not wait for the unreachable head");
}

#[test]
fn dead_subtrees_do_not_hold_up_the_living() {
    let mut world = World::new(Plan { machines: 30, chunks: 64, ..Plan::default() });
    let dead: Vec<usize> = (1..=30).filter(|n| n % 3 == 0).collect();
    dead.iter().for_each(|n| world.fault(Fault::Vanish(*n)));
    world.plant();
    let alive = |world: &World| world.everyone(|host| !host.up || host.disk.installs == 1);
    // No machine needs the server's help, which would come only after twenty seconds.
    assert!(world.run_until(Duration::from_secs(20), alive));
    let stepped: usize = (0..=30).map(|by| dead.iter().map(|who| over(&world, by, *who)).sum::<usize>()).sum();
    assert_eq!(stepped, dead.len() * 2, "each dead head is skipped once in each stripe");
}

#[test]
fn a_machine_that_may_not_forward_receives_and_sends_nothing() {
    let mut world = World::new(Plan { chunks: 64, ..Plan::default() });
    let head = children(&world.lists[0], 0)[0];
    world.fault(Fault::Forward(head, false));
    world.plant();
    assert!(world.run_until(Duration::from_secs(20), World::all_installed));
    assert_eq!(world.hosts[head].chunks_sent, 0);
    assert_eq!(over(&world, 0, head), 0, "the head is not skipped");
}

#[test]
fn a_machine_that_may_no_longer_forward_sends_its_children_away() {
    let mut world = World::new(Plan { chunks: 400, ..Plan::default() });
    let head = children(&world.lists[0], 0)[0];
    let half = world.file_time() / 2;
    world.fault_at(half, Fault::Forward(head, false));
    world.plant();
    assert!(world.run_until(Duration::from_secs(120), World::all_installed));
    let refused = |event: &Event| matches!(event, Event::Source { left: Some(Reason::MayNotForward), .. });
    for child in children(&world.lists[0], head) {
        assert!(world.hosts[child].reports.iter().any(refused));
    }
}

/// A head takes its part and dies before delegating it: its parent takes over.
#[test]
fn a_part_is_not_lost_with_the_head_that_took_it() {
    let plan = Plan { chunks: 64, latency: Duration::from_millis(40), ..Plan::default() };
    for at in (20..600).step_by(20) {
        let mut world = World::new(plan.clone());
        let head = children(&world.lists[0], 0)[0];
        world.fault_at(Duration::from_millis(at), Fault::Kill(head));
        world.plant();
        let others = |world: &World| world.everyone(|host| !host.up || host.disk.installs == 1);
        assert!(world.run_until(Duration::from_secs(20), others), "killed after {at} ms");
    }
}
