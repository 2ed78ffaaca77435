//! The second deployment to the same machines: each has measured its link, and the planner uses that. To print the
//! tables: `cargo nextest run -p banyan-swarm --cargo-profile ci --no-capture known_links`.

use crate::{
    chunk_transfer::CHUNK_BYTES,
    networks::{Network, median, random_network},
    simulated_network::World,
    unequal_links::{measure, sixteen},
};
use banyan_proto::KnownRates;
use std::time::Duration;

/// Deploys a file to all. Returns the figures of [`measure`].
fn deploy(network: &mut Network) -> [f64; 4] {
    let mut world = network.next_world();
    let measured = measure(&mut world);
    network.learn(&mut world);
    measured
}

type Links = fn(&mut Network);
/// Networks of 16 machines, and the most that the last fast machine may take in the second deployment and in the fourth
/// (units), and the copies that the server may send then.
const NETWORKS: [(&str, u32, Links, [f64; 3]); 10] = [
    ("equal", 16, |_| {}, [1.15, 1.15, 1.1]),
    ("equal, 64 MiB", 64, |_| {}, [1.05, 1.05, 1.1]),
    ("one at a half", 16, |network| network.slow(&[3], 0.5), [1.2, 1.2, 1.1]),
    ("one at a tenth", 16, |network| network.slow(&[3], 0.1), [1.2, 1.2, 1.1]),
    ("head at a tenth", 16, |network| network.slow(&[1], 0.1), [1.2, 1.2, 1.1]),
    ("two at a quarter", 16, |network| network.slow(&[3, 8], 0.25), [1.25, 1.25, 1.2]),
    ("four at a tenth", 16, |network| network.slow(&[2, 5, 9, 14], 0.1), [1.7, 1.7, 1.4]),
    ("four at a tenth, 64 MiB", 64, |network| network.slow(&[2, 5, 9, 14], 0.1), [1.25, 1.1, 1.4]),
    // Everyone gets what slow machines leave, so the fast ones show what they can do only near the top.
    ("eight at a quarter, 64 MiB", 64, |network| network.slow(&[1, 2, 5, 7, 9, 11, 14, 16], 0.25), [4.2, 4.2, 1.4]),
    // All are alike. As long as only some uplinks are known, machines try others in vain, and some turn to the server.
    (
        "all send at a quarter, 64 MiB",
        64,
        |network| network.up[1..].iter_mut().for_each(|up| *up *= 0.25),
        [5.6, 5.4, 3.2],
    ),
];

#[test]
fn machines_known_to_be_slow_hold_nobody_up() {
    println!("{:30} fast, slow, copies from the server, in the first four deployments and with exact rates", "links");
    for (name, mebibytes, links, bounds) in NETWORKS {
        for seed in 1..=3 {
            let mut network = Network::new(sixteen(mebibytes, seed));
            links(&mut network);
            let mut runs: Vec<[f64; 4]> = (0..4).map(|_| deploy(&mut network)).collect();
            network.know_exactly();
            runs.push(deploy(&mut network));
            let figures = runs.iter().map(|[fast, slow, server, _]| format!("{fast:6.2} {slow:6.2} {server:6.2}"));
            let figures: Vec<_> = figures.collect();
            println!("{name:30} {}", figures.join("  "));
            let [second, fourth, server] = bounds;
            for (run, bound) in [(&runs[1], second), (&runs[3], fourth)] {
                assert!(run[0] <= bound + 0.01, "{name}, seed {seed}: {runs:?}");
                assert!(run[2] <= server + 0.01, "{name}, seed {seed}: the server sent {:.2} copies", run[2]);
            }
        }
    }
}

#[test]
fn links_are_measured_soundly() {
    for (name, mebibytes, links, _) in NETWORKS {
        for seed in 1..=3 {
            let mut network = Network::new(sixteen(mebibytes, seed));
            links(&mut network);
            for _ in 0..3 {
                deploy(&mut network);
            }
            for n in 1..=network.plan.machines {
                let share = |rate: u64, of: f64| rate as f64 / CHUNK_BYTES as f64 / of;
                let KnownRates { down, up } = network.known[n];
                let down = down.expect("every machine received").rate;
                let case = format!("{name}, seed {seed}, machine {n} of {}: {down:?} {up:?}", network.down[n]);
                assert!(share(down.at_least, network.down[n]) < 1.1, "{case}");
                assert!(up.is_none_or(|up| share(up.rate.at_least, network.up[n]) < 1.1), "{case}");
                if network.is_slow(n) {
                    let most = down.at_most.unwrap_or(down.at_least);
                    assert!((0.8..1.1).contains(&share(most, network.down[n])), "{case}");
                }
            }
        }
    }
}

#[test]
fn random_networks_come_nearer_to_the_bound_once_they_are_known() {
    const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;
    let mut ratios = [const { Vec::new() }; 4];
    let mut worst = [(0.0f64, 0); 4];
    for seed in SEEDS {
        let mut network = random_network(sixteen(64, seed));
        for deployment in 0..4 {
            if deployment == 3 {
                network.know_exactly();
            }
            let mut world = network.next_world();
            world.plant();
            let done = |world: &World| world.everyone(|host| host.disk.verified.is_some());
            assert!(world.run_until(Duration::from_secs(36_000), done), "seed {seed}");
            for n in 1..=network.plan.machines {
                let ratio = world.hosts[n].disk.verified.unwrap().as_secs_f64() / network.bound(n);
                ratios[deployment].push(ratio);
                if ratio > worst[deployment].0 {
                    worst[deployment] = (ratio, seed);
                }
            }
            network.learn(&mut world);
        }
    }
    let medians = ratios.map(|ratios| median(&ratios));
    for (median, (worst, seed)) in medians.iter().zip(worst) {
        println!("each machine's time / its bound: median {median:.2}, worst {worst:.2} (seed {seed})");
    }
    assert!(medians[1] < medians[0], "{medians:?}");
}
