//! Machines with slow links: nobody waits for them longer than for their own link. To print the table:
//! `cargo nextest run -p banyan-swarm --cargo-profile ci --no-capture unequal_links`.

use crate::{
    networks::Network,
    simulated_network::{Plan, World},
};
use std::time::Duration;

/// 16 machines whose links carry 20 Mbit/s, and chunks of 256 KiB.
pub(crate) fn sixteen(mebibytes: u32, seed: u64) -> Plan {
    Plan { machines: 16, stripes: 2, chunks: mebibytes * 4, rate: 9.54, seed, ..Plan::default() }
}

/// Runs to the end. Returns the time until the last machine with a full link holds the file, in units of file size /
/// full rate, and the time until the last other one does, in units of file size / its own rate. Then the copies that the
/// server sent, and the most that any machine sent.
pub(crate) fn measure(world: &mut World) -> [f64; 4] {
    world.plant();
    let done = |world: &World| world.everyone(|host| !host.up || host.disk.verified.is_some());
    assert!(world.run_until(Duration::from_secs(3600), done));
    let (mut fast, mut slow) = (0.0f64, 0.0f64);
    for host in &world.hosts[1..] {
        let Some(verified) = host.disk.verified else { continue };
        let own = f64::from(world.plan.chunks) / host.downlink_rate;
        let units = verified.as_secs_f64() / own;
        if host.downlink_rate < world.plan.rate { slow = slow.max(units) } else { fast = fast.max(units) }
    }
    let most = (1..world.hosts.len()).map(|n| world.copies(n)).fold(0.0, f64::max);
    [fast, slow, world.copies(0), most]
}

#[test]
fn fast_machines_do_not_wait_for_slow_ones() {
    type Links = fn(&mut Network);
    // The bounds: time of the fast machines, time of the slow ones, copies from the server, copies from any machine.
    // Without better sources, the last fast machine needs about ten units beside a machine with a tenth of the rate.
    let rows: [(&str, u32, Links, [f64; 4]); 8] = [
        ("equal, 4 MiB", 4, |_| {}, [1.5, 0.0, 1.0, 1.0]),
        ("equal, 16 MiB", 16, |_| {}, [1.15, 0.0, 1.0, 1.0]),
        ("equal, 64 MiB", 64, |_| {}, [1.1, 0.0, 1.05, 1.0]),
        ("head at a tenth", 16, |network| network.slow(&[1], 0.1), [2.3, 1.3, 1.6, 1.55]),
        ("inner machine at a tenth", 16, |network| network.slow(&[3], 0.1), [1.6, 1.45, 1.4, 1.55]),
        ("four at a tenth", 16, |network| network.slow(&[2, 5, 9, 14], 0.1), [4.6, 1.4, 1.5, 1.65]),
        ("four at a tenth, 64 MiB", 64, |network| network.slow(&[2, 5, 9, 14], 0.1), [2.7, 1.3, 1.6, 1.75]),
        // All are alike, so nobody moves until the first ones are done.
        (
            "all send at a quarter",
            16,
            |network| network.up[1..].iter_mut().for_each(|up| *up *= 0.25),
            [4.4, 0.0, 1.0, 1.05],
        ),
    ];
    println!("{:26} {:>6} {:>6} {:>6} {:>6}", "links", "fast", "slow", "server", "most");
    for (name, mebibytes, links, bounds) in rows {
        for seed in 1..=2 {
            let mut network = Network::new(sixteen(mebibytes, seed));
            links(&mut network);
            let measured = measure(&mut network.next_world());
            let [fast, slow, server, most] = measured;
            println!("{name:26} {fast:6.2} {slow:6.2} {server:6.2} {most:6.2}");
            assert!(measured.iter().zip(bounds).all(|(is, bound)| *is <= bound + 0.01), "{name}, seed {seed}");
        }
    }
}
