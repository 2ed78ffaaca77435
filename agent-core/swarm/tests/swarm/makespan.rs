//! Measures the distribution time in units of file size / link rate. To print the table:
//! `cargo nextest run -p banyan-swarm --cargo-profile ci --no-capture makespan`.

use crate::{
    address_lists::children,
    simulated_network::{Fault, Plan, World},
};
use std::time::Duration;

/// Runs undisturbed, or with `victim` killed at half time. Returns the makespan of all others, the copies that the
/// server sent, and the most that any other machine sent.
fn measure(machines: usize, stripes: u8, victim: Option<usize>) -> (f64, f64, f64) {
    let mut world = World::new(Plan { machines, stripes, chunks: 1024, rate: 20.0, ..Plan::default() });
    if let Some(victim) = victim {
        let half = world.file_time() / 2;
        world.fault_at(half, Fault::Kill(victim));
    }
    world.plant();
    let done = |world: &World| world.everyone(|host| !host.up || host.disk.verified.is_some());
    assert!(world.run_until(world.file_time() * 8 + Duration::from_secs(60), done));
    let most = (1..=machines).map(|n| world.copies(n)).fold(0.0, f64::max);
    (world.makespan((1..=machines).filter(|n| Some(*n) != victim)), world.copies(0), most)
}

#[test]
fn makespan_stays_near_the_bound() {
    println!("machines stripes  disturbance          makespan  server copies  largest upload");
    for machines in [16, 32] {
        for stripes in [1u8, 2] {
            let world = World::new(Plan { machines, stripes, ..Plan::default() });
            let head = children(&world.lists[0], 0)[0];
            let inner = children(&world.lists[0], head)[0];
            for (what, victim, bound) in
                [("none", None, 1.1), ("interior node killed", Some(inner), 1.5), ("head killed", Some(head), 1.6)]
            {
                let (makespan, server, most) = measure(machines, stripes, victim);
                println!("{machines:8} {stripes:7}  {what:20} {makespan:8.3}  {server:13.3}  {most:14.3}");
                // A plain binary tree halves every uplink, and loses more when a machine dies.
                let bound = if stripes == 1 { bound * 2.1 } else { bound };
                assert!(makespan < bound, "{machines} machines, {stripes} stripes, {what}: {makespan}");
            }
        }
    }
}
