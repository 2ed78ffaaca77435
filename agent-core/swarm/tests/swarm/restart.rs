//! Machines and servers that restart continue where they stopped.

use crate::{
    address_lists::children,
    simulated_host::Dice,
    simulated_network::{Fault, Plan, World},
};
use std::time::Duration;

#[test]
fn a_killed_machine_finishes_from_what_it_held() {
    let mut world = World::new(Plan { chunks: 400, ..Plan::default() });
    let head = children(&world.lists[0], 0)[0];
    let half = world.file_time() / 2;
    world.fault_at(half, Fault::Kill(head));
    world.fault_at(half + Duration::from_secs(5), Fault::Start(head));
    world.plant();
    assert!(world.run_until(Duration::from_secs(120), World::all_installed));
    let sent: u64 = world.hosts.iter().map(|host| host.chunks_sent).sum();
    let needed = u64::from(world.plan.chunks) * 16;
    assert!(
        sent <= needed + 40,
        "{sent} chunks were sent, {needed} are needed: only those in transit may be sent again"
    );
}

#[test]
fn the_server_may_restart_in_the_middle() {
    let mut world = World::new(Plan { chunks: 400, ..Plan::default() });
    let half = world.file_time() / 2;
    world.fault_at(half, Fault::Kill(0));
    world.fault_at(half + Duration::from_secs(12), Fault::Start(0));
    world.plant();
    assert!(world.run_until(Duration::from_secs(120), World::all_installed));
    assert!(world.copies(0) < 1.02, "the server sent {} copies", world.copies(0));
    let heads: Vec<usize> = world.lists.iter().flat_map(|list| children(list, 0)).collect();
    assert!(world.fled().iter().all(|n| heads.contains(n)), "the others keep waiting at their parents");
}

/// While the server is away for long, every machine asks an ancestor now and then, and keeps its source.
#[test]
fn a_long_absence_of_the_server_does_not_break_up_the_tree() {
    let mut world = World::new(Plan { chunks: 400, ..Plan::default() });
    let half = world.file_time() / 2;
    world.fault_at(half, Fault::Kill(0));
    world.fault_at(half + Duration::from_secs(600), Fault::Start(0));
    world.plant();
    assert!(world.run_until(Duration::from_secs(1200), World::all_installed));
    assert!(world.copies(0) < 1.3, "the server sent {} copies", world.copies(0));
}

/// Each starts at a random time within three seconds; parents start before or after their children.
#[test]
fn when_everyone_restarts_the_server_does_not_send_what_others_hold() {
    let mut copies = Vec::new();
    for seed in 1..=20 {
        let mut world = World::new(Plan { chunks: 1024, seed, ..Plan::default() });
        let half = world.file_time() / 2;
        let mut dice = Dice::new(seed);
        for n in 0..=16 {
            world.fault_at(half, Fault::Kill(n));
            let pause = Duration::from_secs(2) + dice.up_to(Duration::from_secs(3));
            world.fault_at(half + pause, Fault::Start(n));
        }
        world.plant();
        assert!(world.run_until(Duration::from_secs(300), World::all_installed), "seed {seed}");
        println!("seed {seed}: the server sent {:.2} copies", world.copies(0));
        copies.push(world.copies(0));
    }
    assert!(copies.iter().all(|copies| *copies <= 1.6), "{copies:?}");
}

#[test]
fn an_installed_order_is_not_installed_again_after_a_restart() {
    let mut world = World::new(Plan { machines: 3, chunks: 16, ..Plan::default() });
    world.plant();
    assert!(world.run_until(Duration::from_secs(60), World::all_installed));
    for n in 1..=3 {
        world.fault(Fault::Kill(n));
        world.fault(Fault::Start(n));
    }
    let end = world.now + Duration::from_secs(300);
    world.run_until(end, |_| false);
    assert!(world.everyone(|host| host.disk.installs == 1));
}
