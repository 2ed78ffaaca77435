//! The table of networks: what each row must show, beside what the simulated swarm needs. To print it:
//! `cargo nextest run -p banyan-swarm --cargo-profile ci --no-capture network_table`.
//!
//! Chunks have the sizes that the protocol gives them. A unit is the size of the file over the nominal rate of a link;
//! packet headers are counted, so 1.046 units is the best possible. Each figure is the median over the seeds.

use crate::{
    networks::{HEADERS, Network, file, median, random_network},
    simulated_host::Dice,
    simulated_network::{Fault, Plan, World},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// What one deployment has shown.
#[derive(Debug, Default)]
struct Figures {
    /// When the last fast machine held the file (units).
    fast: f64,
    /// When the last slow machine did, divided by the time of its own link.
    slow: f64,
    server: f64,
    most: f64,
    /// The most copies that entered a site.
    entered: f64,
    /// The time of each machine, divided by its own bound.
    each: Vec<f64>,
}

/// Deploys once, and learns. Machines in `left_out` are not waited for.
fn deploy(network: &mut Network, left_out: &[usize]) -> Figures {
    let mut world = network.next_world();
    // Other tests check the invariants; here it would take minutes.
    world.is_checked = false;
    world.plant();
    let counts = |n: usize| n > 0 && !left_out.contains(&n);
    let is_done = |world: &World| (0..world.hosts.len()).all(|n| !counts(n) || world.is_verified(n));
    let is_finished = world.run_until(Duration::from_secs(36_000), is_done);
    assert!(is_finished, "seed {}: not everyone has the file", network.plan.seed);
    let unit = world.file_time().as_secs_f64();
    let mut figures = Figures::default();
    for n in (0..world.hosts.len()).filter(|n| counts(*n)) {
        let time = world.hosts[n].disk.verified.unwrap_or_default().as_secs_f64();
        let own = f64::from(world.plan.chunks) / network.down[n];
        match network.is_slow(n) {
            true => figures.slow = figures.slow.max(time / own),
            false => figures.fast = figures.fast.max(time / unit * HEADERS),
        }
        figures.each.push(time / network.bound(n));
    }
    figures.server = world.copies(0);
    figures.most = (1..world.hosts.len()).map(|n| world.copies(n)).fold(0.0, f64::max);
    let chunks = f64::from(world.plan.chunks);
    figures.entered = world.site_links.iter().map(|site| site.entered as f64 / chunks).fold(0.0, f64::max);
    network.learn(&mut world);
    figures
}

/// A figure that a row must show, and the most that it may be.
struct Cell {
    row: String,
    what: &'static str,
    values: Vec<(f64, u64)>,
    bound: f64,
}

/// The table, filled seed by seed.
#[derive(Default)]
struct Table {
    cells: Vec<Cell>,
    at: BTreeMap<(String, &'static str), usize>,
    /// The seed of the figures that follow.
    seed: u64,
}

impl Table {
    fn add(&mut self, row: &str, what: &'static str, value: f64, bound: f64) {
        let at = *self.at.entry((row.to_owned(), what)).or_insert_with(|| {
            self.cells.push(Cell { row: row.to_owned(), what, values: Vec::new(), bound });
            self.cells.len() - 1
        });
        self.cells[at].values.push((value, self.seed));
    }
    fn print(&self) -> Vec<(String, &'static str, f64)> {
        let mut missed = Vec::new();
        let mut text =
            format!("{:44} {:22} {:>7} {:>13} {:>7}\n", "network", "figure", "median", "worst (seed)", "bound");
        for Cell { row, what, values, bound } in &self.cells {
            let value = median(&values.iter().map(|(value, _)| *value).collect::<Vec<_>>());
            let worst = values.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default();
            let verdict = if value <= bound + 0.005 { "ok" } else { "missed" };
            let _ =
                writeln!(text, "{row:44} {what:22} {value:7.2} {:8.2} ({:2}) {bound:7.2} {verdict}", worst.0, worst.1);
            if value > bound + 0.005 {
                missed.push((row.clone(), *what, value));
            }
        }
        println!("{text}");
        missed
    }
    /// The times of fast and slow machines, and the copies that server and machines send.
    fn add_all(&mut self, row: &str, figures: &Figures, fast: (f64, f64), slow: Option<f64>, server: f64, most: f64) {
        let (scale, bound) = fast;
        self.add(row, if scale == 1.0 { "fast (units)" } else { "fast / equal" }, figures.fast / scale, bound);
        if let Some(slow) = slow {
            self.add(row, "slow / own link", figures.slow, slow);
        }
        self.add(row, "copies: server", figures.server, server);
        self.add(row, "copies: most", figures.most, most);
    }
}

const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

fn sixteen(mebibytes: u64, seed: u64) -> Plan {
    file(16, mebibytes, 20.0, seed)
}

fn equal_rows(table: &mut Table) {
    for (name, machines, mebibytes, mbit, bound) in [
        ("equal, 64 MiB", 16, 64, 20.0, 1.12),
        ("equal, 64 MiB, N = 32 at 10 Mbit/s", 32, 64, 10.0, 1.12),
        ("equal, 16 MiB", 16, 16, 20.0, 1.15),
        ("equal, 4 MiB", 16, 4, 20.0, 1.3),
    ] {
        let mut network = Network::new(file(machines, mebibytes, mbit, table.seed));
        network.check_links();
        let figures = deploy(&mut network, &[]);
        table.add_all(name, &figures, (1.0, bound), None, 1.05, 1.05);
    }
    let mut network = Network::new(sixteen(16, table.seed));
    network.server_copies = f64::INFINITY;
    let figures = deploy(&mut network, &[]);
    table.add_all("equal, 16 MiB: any number of copies", &figures, (1.0, 1.15), None, 1.05, 1.05);
    let mut network = Network::new(sixteen(64, table.seed));
    network.up[0] *= 10.0;
    network.check_links();
    let figures = deploy(&mut network, &[]);
    table.add_all("64 MiB, server 200 Mbit/s", &figures, (1.0, 1.1), None, 1.05, 1.05);
}

/// Networks of which the server knows nothing. For information: it checks the links of all machines.
fn unknown_rows(table: &mut Table, equal: &BTreeMap<u64, f64>) {
    for (name, mebibytes, count, share) in
        [("four at 2 Mbit/s, 16 MiB: unknown", 16, 4, 0.1), ("eight at 5 Mbit/s, 64 MiB: unknown", 64, 8, 0.25)]
    {
        let mut network = Network::new(sixteen(mebibytes, table.seed));
        let slow = network.pick(count);
        network.slow(&slow, share);
        let figures = deploy(&mut network, &[]);
        table.add_all(name, &figures, (equal[&mebibytes], f64::INFINITY), Some(1.15), 1.3, 1.5);
    }
}

fn slow_rows(table: &mut Table, equal: &BTreeMap<u64, f64>) {
    for (name, mebibytes, count, share, first, second, own) in [
        ("one at 2 Mbit/s, 16 MiB", 16, 1, 0.1, 1.35, 1.15, [1.15, 1.1]),
        ("four at 2 Mbit/s, 16 MiB", 16, 4, 0.1, 1.6, 1.25, [1.15, 1.1]),
        ("one at 2 Mbit/s, 64 MiB", 64, 1, 0.1, 1.35, 1.15, [1.15, 1.1]),
        ("four at 2 Mbit/s, 64 MiB", 64, 4, 0.1, 1.6, 1.25, [1.15, 1.1]),
        ("eight at 5 Mbit/s, 64 MiB", 64, 8, 0.25, 1.3, 1.3, [1.1, 1.1]),
    ] {
        let mut network = Network::new(sixteen(mebibytes, table.seed));
        let slow = network.pick(count);
        network.slow(&slow, share);
        network.check_links();
        for (deployment, bound) in [("first", first), ("second", second)] {
            let figures = deploy(&mut network, &[]);
            let row = format!("{name}: {deployment}");
            let own = own[usize::from(deployment == "second")];
            table.add_all(&row, &figures, (equal[&mebibytes], bound), Some(own), 1.3, 1.5);
        }
    }
    let mut network = Network::new(sixteen(64, table.seed));
    network.check_links();
    let inner = inner_machine(&network);
    let half = network.next_world().file_time() / 2;
    let slow = network.plan.rate / 20.0;
    network.faults.push((half, Fault::Link(inner, slow)));
    let figures = deploy(&mut network, &[inner]);
    table.add_all("inner drops to 1 Mbit/s at half, 64 MiB", &figures, (equal[&64], 1.25), None, 1.3, 1.5);
    let mut network = Network::new(sixteen(64, table.seed));
    for n in network.pick(4) {
        // What BBR or CUBIC reach with a loss of 2 % depends on the round trip; half is a cautious guess.
        network.down[n] *= 0.999;
        network.up[n] *= 0.5;
    }
    network.check_links();
    let figures = deploy(&mut network, &[]);
    table.add_all("four send at half (2 % lost), 64 MiB", &figures, (equal[&64], 1.3), Some(1.3), 1.3, 1.5);
}

/// Returns a machine that has two children in the first stripe, and is no head.
fn inner_machine(network: &Network) -> usize {
    let world = network.next_world();
    let list = &world.lists[0];
    let children = |n: usize| crate::address_lists::children(list, n);
    let heads = children(0);
    network.pick(16).into_iter().find(|n| !heads.contains(n) && children(*n).len() == 2).unwrap()
}

fn asymmetric_rows(table: &mut Table) {
    for (row, copies, bound, server) in [
        ("16 MiB, 20 down, 5 up: one copy", 1.0, 1.15 * 3.75 * HEADERS, 1.05),
        // The bound is 0.9 of what libtorrent needs in the lab: 28.1 s.
        ("16 MiB, 20 down, 5 up: any number of copies", f64::INFINITY, 0.9 * 28.1 / 6.71, f64::INFINITY),
    ] {
        let mut network = Network::new(sixteen(16, table.seed));
        network.server_copies = copies;
        network.up[1..].iter_mut().for_each(|up| *up *= 0.25);
        network.check_links();
        let figures = deploy(&mut network, &[]);
        table.add_all(row, &figures, (1.0, bound), None, server, 1.5);
    }
}

fn other_rows(table: &mut Table, equal: &BTreeMap<u64, f64>) {
    let mut network = Network::new(sixteen(16, table.seed));
    network.receive_only = network.pick(4).into_iter().collect();
    network.check_links();
    let figures = deploy(&mut network, &[]);
    let bound = 1.15 * (16.0f64 / 13.0) * HEADERS;
    table.add_all("a quarter may not forward, 16 MiB", &figures, (1.0, bound), None, 2.0, 1.5);

    let mut network = Network::new(sixteen(16, table.seed));
    network.site_rate = network.plan.rate;
    for n in 1..=16 {
        network.sites[n] = n % 2;
        network.up[n] *= 10.0;
        network.down[n] *= 10.0;
    }
    network.check_links();
    let figures = deploy(&mut network, &[]);
    table.add("two sites, 16 MiB", "fast (units)", figures.fast, 1.15);
    table.add("two sites, 16 MiB", "copies: into a site", figures.entered, 1.1);
    table.add("two sites, 16 MiB", "copies: server", figures.server, 1.05);

    for (name, count) in [("one forwarding machine killed at half, 64 MiB", 1), ("four leave, 64 MiB", 4)] {
        let mut network = Network::new(sixteen(64, table.seed));
        network.check_links();
        let unit = network.next_world().file_time();
        let victims = if count == 1 { vec![inner_machine(&network)] } else { network.pick(4) };
        for (at, victim) in victims.iter().enumerate() {
            network.faults.push((unit * (at as u32 + 1) / (count + 1), Fault::Kill(*victim)));
        }
        let figures = deploy(&mut network, &victims);
        let bound = if count == 1 { 1.2 } else { 1.3 };
        table.add_all(name, &figures, (equal[&64], bound), None, 1.5, 1.5);
    }

    let mut network = Network::new(sixteen(64, table.seed));
    network.check_links();
    let half = network.next_world().file_time() / 2;
    let mut dice = Dice::new(table.seed);
    for n in 0..=16 {
        let pause = Duration::from_secs(2) + dice.up_to(Duration::from_secs(3));
        network.faults.extend([(half, Fault::Kill(n)), (half + pause, Fault::Start(n))]);
    }
    let figures = deploy(&mut network, &[]);
    table.add("all killed at half and restarted, 64 MiB", "copies: server", figures.server, 1.6);
}

fn undialable_rows(table: &mut Table, equal: &BTreeMap<u64, f64>) {
    for (row, count, is_known, bound, server) in [
        ("half cannot be dialled, 16 MiB: known", 8, true, 1.3, 1.5),
        ("half cannot be dialled, 16 MiB: unknown", 8, false, 1.3, 1.5),
        // Only the server and one machine, with 1.5 copies, can send to the others. That machine can receive half a copy
        // from one of them.
        ("all but one cannot, 16 MiB: known", 15, true, 14.0, 14.0),
        ("all but one cannot, 16 MiB: unknown", 15, false, 14.0, 14.0),
    ] {
        let mut network = Network::new(sixteen(16, table.seed));
        network.undialable = network.pick(count).into_iter().collect();
        network.is_reach_known = is_known;
        network.check_links();
        let figures = deploy(&mut network, &[]);
        table.add_all(row, &figures, (equal[&16], bound), None, server, 1.5);
    }
}

fn random_rows(table: &mut Table) {
    let mut each = [const { Vec::new() }; 2];
    for seed in 1..=30 {
        let mut network = random_network(sixteen(64, seed));
        network.check_links();
        for each in &mut each {
            each.extend(deploy(&mut network, &[]).each.into_iter().map(|ratio| (ratio, seed)));
        }
    }
    for (row, each) in ["30 random networks, 64 MiB: first", "30 random networks, 64 MiB: second"].iter().zip(each) {
        for (ratio, seed) in &each {
            table.seed = *seed;
            table.add(row, "each / own bound", *ratio, 1.25);
        }
        let worst = each.iter().copied().fold((0.0, 0), |a: (f64, u64), b| if b.0 > a.0 { b } else { a });
        table.seed = worst.1;
        table.add(row, "worst / own bound", worst.0, 2.0);
    }
}

/// Cells that are missed, and the most that they may be until they are met.
const KNOWN_MISSES: &[(&str, &str, f64)] = &[
    ("16 MiB, 20 down, 5 up: any number of copies", "fast (units)", 4.05),
    ("half cannot be dialled, 16 MiB: unknown", "fast / equal", 4.0),
    ("half cannot be dialled, 16 MiB: unknown", "copies: server", 2.1),
    ("half cannot be dialled, 16 MiB: unknown", "copies: most", 2.1),
    ("all but one cannot, 16 MiB: unknown", "copies: most", 3.1),
    ("30 random networks, 64 MiB: first", "worst / own bound", 2.3),
];

#[test]
fn links_that_fluctuate_make_nobody_send_more_than_planned() {
    for seed in SEEDS {
        for is_checked in [false, true] {
            let mut network = Network::new(Plan { noise: 0.3, ..sixteen(64, seed) });
            if is_checked {
                network.check_links();
            }
            let figures = deploy(&mut network, &[]);
            assert!(figures.server <= 1.05 && figures.most <= 1.05, "seed {seed}: {figures:?}");
        }
    }
}

#[test]
fn every_cell_of_the_network_table_is_met_or_known_to_be_missed() {
    let mut table = Table::default();
    for seed in SEEDS {
        table.seed = seed;
        let equal: BTreeMap<u64, f64> =
            [16, 64].map(|size| (size, deploy(&mut Network::new(sixteen(size, seed)), &[]).fast)).into();
        unknown_rows(&mut table, &equal);
        equal_rows(&mut table);
        slow_rows(&mut table, &equal);
        asymmetric_rows(&mut table);
        other_rows(&mut table, &equal);
        undialable_rows(&mut table, &equal);
    }
    random_rows(&mut table);
    let missed = table.print();
    let is_known = |(row, what, value): &&(String, &str, f64)| {
        KNOWN_MISSES.iter().any(|(known, figure, most)| row == known && what == figure && *value <= most + 0.005)
    };
    let new: Vec<_> = missed.iter().filter(|miss| !is_known(miss)).collect();
    assert!(new.is_empty(), "{new:?}");
}
