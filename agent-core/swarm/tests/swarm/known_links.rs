//! The second deployment to the same machines: each has measured its link, and the planner uses that. To print the
//! tables: `cargo nextest run -p banyan-swarm --cargo-profile ci --no-capture known_links`.

use crate::{
    address_lists::id,
    chunk_transfer::CHUNK_BYTES,
    simulated_host::Dice,
    simulated_network::{Plan, World},
    unequal_links::{measure, sixteen},
};
use banyan_proto::{KnownRate, KnownRates, MeasuredRate, Reach, UnixSeconds};
use banyan_swarm::{
    known_rates,
    planner::{self, Candidate, Site},
};
use std::time::Duration;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// Machines with their links, and what the server knows of them.
struct Network {
    plan: Plan,
    /// Chunks a second, by machine; the server is number 0.
    down: Vec<f64>,
    up: Vec<f64>,
    known: Vec<KnownRates>,
}

impl Network {
    fn new(plan: Plan) -> Self {
        let rates = vec![plan.rate; plan.machines + 1];
        let known = vec![KnownRates::default(); plan.machines + 1];
        Self { plan, down: rates.clone(), up: rates, known }
    }
    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |n: usize| Candidate {
            id: id(n),
            site: Site::of(&[]),
            online: true,
            forwards: true,
            reach: Reach::Everyone,
            down: known_rates::current(self.known[n].down, NOW),
            up: known_rates::current(self.known[n].up, NOW),
        };
        (1..=self.plan.machines).map(candidate).collect()
    }
    /// Returns a swarm for the next deployment, planned with what is known.
    fn next_world(&self) -> World {
        let plan = planner::plan(id(0), None, &self.candidates(), self.plan.stripes).unwrap();
        let mut world = World::with_lists(self.plan.clone(), plan.lists);
        for (n, host) in world.hosts.iter_mut().enumerate() {
            (host.downlink_rate, host.uplink_rate) = (self.down[n], self.up[n]);
        }
        for (n, known) in self.known.iter().enumerate().skip(1) {
            if let Some(most) = known_rates::current(known.up, NOW).and_then(|rate| rate.at_most) {
                world.advisor.set_uplink(id(n), most as f64 / CHUNK_BYTES as f64);
            }
        }
        world
    }
    /// Tells the server the exact rates of every link.
    fn know_exactly(&mut self) {
        let exactly = |chunks: &f64| {
            let rate = (chunks * CHUNK_BYTES as f64) as u64;
            Some(KnownRate { rate: MeasuredRate { at_least: rate, at_most: Some(rate) }, measured: NOW })
        };
        for (known, (down, up)) in self.known.iter_mut().zip(self.down.iter().zip(&self.up)) {
            *known = KnownRates { down: exactly(down), up: exactly(up) };
        }
    }
    /// Remembers what the machines have measured.
    fn learn(&mut self, world: &mut World) {
        for (known, host) in self.known.iter_mut().zip(&mut world.hosts) {
            known_rates::combine(known, &host.link_meter.take_rates(None, None), NOW);
        }
    }
    /// Deploys a file to all. Returns the figures of [`measure`].
    fn deploy(&mut self) -> [f64; 4] {
        let mut world = self.next_world();
        let measured = measure(&mut world);
        self.learn(&mut world);
        measured
    }
    /// Returns the shortest time in which a machine can have the file, if all machines send together (seconds).
    fn bound(&self, n: usize) -> f64 {
        let all: f64 = self.up.iter().sum();
        let machines = self.plan.machines as f64;
        f64::from(self.plan.chunks) * (1.0 / self.down[n]).max(1.0 / self.up[0]).max(machines / all)
    }
    fn is_slow(&self, n: usize) -> bool {
        self.down[n] < self.plan.rate
    }
}

fn slow(network: &mut Network, which: &[usize], share: f64) {
    for n in which {
        network.up[*n] *= share;
        network.down[*n] *= share;
    }
}

type Links = fn(&mut Network);
/// Networks of 16 machines, and the most that the last fast machine may take in the second deployment and in the fourth
/// (units).
const NETWORKS: [(&str, u32, Links, [f64; 2]); 10] = [
    ("equal", 16, |_| {}, [1.15, 1.15]),
    ("equal, 64 MiB", 64, |_| {}, [1.05, 1.05]),
    ("one at a half", 16, |network| slow(network, &[3], 0.5), [1.2, 1.2]),
    ("one at a tenth", 16, |network| slow(network, &[3], 0.1), [1.2, 1.2]),
    ("head at a tenth", 16, |network| slow(network, &[1], 0.1), [1.2, 1.2]),
    ("two at a quarter", 16, |network| slow(network, &[3, 8], 0.25), [1.25, 1.25]),
    ("four at a tenth", 16, |network| slow(network, &[2, 5, 9, 14], 0.1), [1.7, 1.7]),
    ("four at a tenth, 64 MiB", 64, |network| slow(network, &[2, 5, 9, 14], 0.1), [1.25, 1.1]),
    // Everyone gets what slow machines leave, so the fast ones show what they can do only near the top.
    ("eight at a quarter, 64 MiB", 64, |network| slow(network, &[1, 2, 5, 7, 9, 11, 14, 16], 0.25), [4.2, 4.2]),
    // All are alike, so nobody moves, and the server sends no more than one copy.
    ("all send at a quarter, 64 MiB", 64, |network| network.up[1..].iter_mut().for_each(|up| *up *= 0.25), [4.4, 4.4]),
];

#[test]
fn machines_known_to_be_slow_hold_nobody_up() {
    println!("{:30} fast, slow, copies from the server, in the first four deployments and with exact rates", "links");
    for (name, mebibytes, links, bounds) in NETWORKS {
        for seed in 1..=3 {
            let mut network = Network::new(sixteen(mebibytes, seed));
            links(&mut network);
            let mut runs: Vec<[f64; 4]> = (0..4).map(|_| network.deploy()).collect();
            network.know_exactly();
            runs.push(network.deploy());
            let figures = runs.iter().map(|[fast, slow, server, _]| format!("{fast:6.2} {slow:6.2} {server:6.2}"));
            let figures: Vec<_> = figures.collect();
            println!("{name:30} {}", figures.join("  "));
            for (run, bound) in [&runs[1], &runs[3]].into_iter().zip(bounds) {
                assert!(run[0] <= bound + 0.01, "{name}, seed {seed}: {runs:?}");
                assert!(run[2] <= 1.05, "{name}, seed {seed}: the server sent {:.2} copies", run[2]);
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
                network.deploy();
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

/// A network whose rates are log-normal over two decades around the usual rate. Machines send at a tenth of what they
/// receive, or more.
fn random_network(seed: u64) -> Network {
    let mut dice = Dice::new(seed);
    let mut uniform = move || (dice.roll(1 << 20) + 1) as f64 / f64::from(1 << 20);
    let mut network = Network::new(sixteen(64, seed));
    for n in 1..=network.plan.machines {
        let normal = (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        network.down[n] = network.plan.rate * 10f64.powf(normal.clamp(-2.0, 2.0) / 2.0);
        network.up[n] = network.down[n] * 10f64.powf(-uniform());
    }
    network
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn random_networks_come_nearer_to_the_bound_once_they_are_known() {
    const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;
    let mut ratios = [const { Vec::new() }; 4];
    let mut worst = [(0.0f64, 0); 4];
    for seed in SEEDS {
        let mut network = random_network(seed);
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
    let medians = ratios.map(|mut ratios| median(&mut ratios));
    for (median, (worst, seed)) in medians.iter().zip(worst) {
        println!("each machine's time / its bound: median {median:.2}, worst {worst:.2} (seed {seed})");
    }
    assert!(medians[1] < medians[0], "{medians:?}");
}
