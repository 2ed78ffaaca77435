//! Machines that no other machine can dial: they dial their parents, receive over that connection, and forward to those
//! whom they can dial. To print the table:
//! `cargo nextest run -p banyan-swarm --cargo-profile ci --no-capture undialable`.

use crate::{
    address_lists::id,
    simulated_network::{Plan, World},
    unequal_links::sixteen,
};
use banyan_proto::Reach;
use banyan_swarm::planner::{self, Candidate, Site};
use std::time::Duration;

/// Returns a swarm in which nobody can dial `undialable`. If the server knows that, it plans with it, and those machines
/// learn of their order when they check in.
fn world(plan: Plan, undialable: &[usize], is_known: bool) -> World {
    let candidate = |n: usize| Candidate {
        id: id(n),
        site: Site::of(&[]),
        online: true,
        forwards: true,
        reach: if is_known && undialable.contains(&n) { Reach::Nobody } else { Reach::Everyone },
        down: None,
        up: None,
    };
    let candidates: Vec<Candidate> = (1..=plan.machines).map(candidate).collect();
    let lists = planner::plan(id(0), None, &candidates, plan.stripes).unwrap().lists;
    let mut world = World::with_lists(plan, lists);
    for &n in undialable {
        world.hosts[n].unreachable = true;
        if is_known {
            world.remind(n);
        }
    }
    world
}

/// Returns the time until the last machine holds the file, in units of file size / link rate, the copies that the server
/// sent, and the most that any machine sent.
fn measure(mut world: World) -> [f64; 3] {
    world.plant();
    assert!(world.run_until(Duration::from_secs(3600), |world| world.everyone(|host| host.disk.verified.is_some())));
    let most = (1..world.hosts.len()).map(|n| world.copies(n)).fold(0.0, f64::max);
    [world.makespan(1..world.hosts.len()), world.copies(0), most]
}

#[test]
fn half_of_the_machines_cannot_be_dialled() {
    println!("{:40} {:>6} {:>6} {:>6}", "", "time", "server", "most");
    for machines in [8, 16] {
        for seed in 1..=6 {
            let plan = Plan { machines, ..sixteen(16, seed) };
            let without = measure(world(plan.clone(), &[], true))[0];
            // Every second one, the first or the last half, and a random half.
            let mut random: Vec<usize> = (1..=machines).collect();
            random.sort_by_key(|&n| (n as u64 * 0x9e37_79b9 + seed * 0x85eb_ca6b) % 1009);
            let halves: [Vec<usize>; 4] = [
                (1..=machines).step_by(2).collect(),
                (1..=machines / 2).collect(),
                (machines / 2 + 1..=machines).collect(),
                random[..machines / 2].to_vec(),
            ];
            for half in halves {
                let [time, server, most] = measure(world(plan.clone(), &half, true));
                println!("{machines} machines, {half:?}: {:6.2} {server:6.2} {most:6.2}", time / without);
                assert!(time <= 1.3 * without, "{half:?}: {time} instead of {without}");
                assert!(server <= 1.5, "{half:?}: {server}");
            }
        }
    }
}

#[test]
fn all_but_one_cannot_be_dialled_or_nothing_is_known() {
    println!("{:24} {:>10} {:>6} {:>6} {:>6}", "", "known", "time", "server", "most");
    for machines in [8, 16] {
        let plan = Plan { machines, ..sixteen(16, 1) };
        let half: Vec<usize> = (1..=machines).step_by(2).collect();
        let (all_but_one, all) = ((1..machines).collect::<Vec<_>>(), (1..=machines).collect::<Vec<_>>());
        let copies = machines as f64;
        // The most copies that the server sends. Those who cannot be dialled get theirs from the server, or from machines
        // that can: so the server sends at least what those others do not.
        for (name, undialable, is_known, bound) in [
            ("half", &half, false, copies / 3.0),
            ("all but one", &all_but_one, false, copies - 1.0),
            // The one that can be dialled sends 1.5 copies.
            ("all but one", &all_but_one, true, copies - 1.5),
            ("all", &all, false, copies),
            ("all", &all, true, copies),
        ] {
            let [time, server, most] = measure(world(plan.clone(), undialable, is_known));
            println!("{machines:3} {name:20} {is_known:>10} {time:6.2} {server:6.2} {most:6.2}");
            assert!(server <= bound + 0.5, "{name} of {machines}: {server} copies");
            assert!(!is_known || most <= 1.5, "{name} of {machines}: a machine sent {most} copies");
        }
    }
}
