//! Networks for the simulated swarm: links, sites, who can be dialled and who forwards, and what the server knows of
//! that.

use crate::{
    address_lists::id,
    chunk_transfer::CHUNK_BYTES,
    flow_reports,
    simulated_host::Dice,
    simulated_network::{Fault, Plan, SiteLink, World},
};
use banyan_proto::{Address, Artifact, KnownRate, KnownRates, LinkRates, MeasuredRate, Reach, UnixSeconds};
use banyan_swarm::{
    known_rates,
    planner::{self, Candidate, Site},
};
use std::{collections::BTreeSet, time::Duration};

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// Bytes on a link for each byte of content.
pub(crate) const HEADERS: f64 = 1.046;

/// Returns a plan with the chunks that a file of this size has, and links of `mbit` Mbit/s.
pub(crate) fn file(machines: usize, mebibytes: u64, mbit: f64, seed: u64) -> Plan {
    let bytes = mebibytes << 20;
    let chunk = Artifact::chunk_size_for(bytes);
    let rate = mbit * 1e6 / 8.0 / HEADERS / f64::from(chunk);
    let chunks = (bytes / u64::from(chunk)) as u32;
    Plan {
        machines,
        stripes: 2,
        chunks,
        rate,
        seed,
        in_flight: (65_536 / chunk).max(2),
        takes_turns: true,
        chunk_bytes: chunk,
        ..Plan::default()
    }
}

/// The most that a check of a link shows (Mbit/s).
const CHECKED_MBIT: f64 = 50.0;

/// Machines with their links, and what the server knows of them.
pub(crate) struct Network {
    pub(crate) plan: Plan,
    /// Chunks a second, by machine; the server is number 0.
    pub(crate) down: Vec<f64>,
    pub(crate) up: Vec<f64>,
    pub(crate) known: Vec<KnownRates>,
    /// The site of each machine, if there are several.
    pub(crate) sites: Vec<usize>,
    /// Chunks a second that each site's link carries, in each direction.
    pub(crate) site_rate: f64,
    pub(crate) undialable: BTreeSet<usize>,
    /// Whether the server knows who can be dialled.
    pub(crate) is_reach_known: bool,
    /// Those whose owners do not let them forward. The server knows, since they say so when they check in.
    pub(crate) receive_only: BTreeSet<usize>,
    /// How many copies the server may send.
    pub(crate) server_copies: f64,
    pub(crate) faults: Vec<(Duration, Fault)>,
}

impl Network {
    pub(crate) fn new(plan: Plan) -> Self {
        let rates = vec![plan.rate; plan.machines + 1];
        let known = vec![KnownRates::default(); plan.machines + 1];
        let sites = vec![0; plan.machines + 1];
        Self {
            plan,
            down: rates.clone(),
            up: rates,
            known,
            sites,
            site_rate: f64::INFINITY,
            undialable: BTreeSet::new(),
            is_reach_known: true,
            receive_only: BTreeSet::new(),
            server_copies: 1.0,
            faults: Vec::new(),
        }
    }
    /// Returns this many machines, picked at random.
    pub(crate) fn pick(&self, count: usize) -> Vec<usize> {
        let mut dice = Dice::new(self.plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..8).for_each(|_| _ = dice.roll(2));
        let mut left: Vec<usize> = (1..=self.plan.machines).collect();
        (0..count).map(|_| left.swap_remove(dice.roll(left.len() as u64) as usize)).collect()
    }
    /// Gives these machines links with this share of the usual rate.
    pub(crate) fn slow(&mut self, which: &[usize], share: f64) {
        for n in which {
            self.up[*n] *= share;
            self.down[*n] *= share;
        }
    }
    pub(crate) fn is_slow(&self, n: usize) -> bool {
        self.down[n] < self.plan.rate
    }
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let site = |n: usize| format!("10.0.{}.{n}:1", self.sites[n]).parse::<Address>().unwrap();
        let candidate = |n: usize| Candidate {
            id: id(n),
            site: Site::of(&[site(n)]),
            online: true,
            forwards: !self.receive_only.contains(&n),
            reach: if self.is_reach_known && self.undialable.contains(&n) { Reach::Nobody } else { Reach::Everyone },
            down: known_rates::current(self.known[n].down, NOW),
            up: known_rates::current(self.known[n].up, NOW),
        };
        (1..=self.plan.machines).map(candidate).collect()
    }
    /// Returns a swarm for the next deployment, planned with what is known.
    pub(crate) fn next_world(&self) -> World {
        let lists = planner::plan(id(0), None, &self.candidates(), self.plan.stripes).unwrap().lists;
        let mut world = World::with_lists(self.plan.clone(), lists);
        world.flow_advisor =
            flow_reports::advisor(&self.candidates(), &world.lists, self.plan.chunks, self.server_copies);
        for (n, host) in world.hosts.iter_mut().enumerate() {
            (host.downlink_rate, host.uplink_rate) = (self.down[n], self.up[n]);
            host.unreachable = self.undialable.contains(&n);
            host.site = (n > 0 && self.site_rate.is_finite()).then(|| self.sites[n]);
        }
        let sites = self.sites.iter().max().map_or(0, |most| most + 1);
        world.site_links = vec![SiteLink::new(self.site_rate); sites];
        for (n, known) in self.known.iter().enumerate().skip(1) {
            if let Some(most) = known_rates::current(known.up, NOW).and_then(|rate| rate.at_most) {
                world.advisor.set_uplink(id(n), most as f64 / CHUNK_BYTES as f64);
            }
        }
        for &n in self.undialable.iter().filter(|_| self.is_reach_known) {
            world.known_undialable.insert(n);
            world.remind(n);
        }
        self.receive_only.iter().for_each(|n| world.fault(Fault::Forward(*n, false)));
        self.faults.iter().for_each(|(at, fault)| world.fault_at(*at, *fault));
        world
    }
    /// Tells the server what its checks of the links show: about what a link carries, or that it carries much. A check
    /// also passes the server's own link, and that of the site.
    pub(crate) fn check_links(&mut self) {
        let mut dice = Dice::new(self.plan.seed ^ 0x6c69_6e6b);
        (0..8).for_each(|_| _ = dice.roll(2));
        let most = CHECKED_MBIT * 1e6 / 8.0 / HEADERS / f64::from(self.plan.chunk_bytes);
        for n in 1..=self.plan.machines {
            let mut check = |link: f64, server: f64| {
                let noise = 0.85 + 0.25 * dice.roll(1 << 20) as f64 / f64::from(1 << 20);
                let seen = link.min(server).min(self.site_rate) * noise;
                let rate = (seen.min(most) * CHUNK_BYTES as f64) as u64;
                Some(MeasuredRate { at_least: rate, at_most: (seen < most).then_some(rate), is_rough: true })
            };
            let (down, up) = (check(self.down[n], self.up[0]), check(self.up[n], self.down[0]));
            known_rates::record_check(&mut self.known[n], &LinkRates { down, up }, NOW);
        }
    }
    /// Tells the server the exact rates of every link.
    pub(crate) fn know_exactly(&mut self) {
        let exactly = |chunks: &f64| {
            let rate = (chunks * CHUNK_BYTES as f64) as u64;
            Some(KnownRate {
                rate: MeasuredRate { at_least: rate, at_most: Some(rate), is_rough: false },
                measured: NOW,
            })
        };
        for (known, (down, up)) in self.known.iter_mut().zip(self.down.iter().zip(&self.up)) {
            *known = KnownRates { down: exactly(down), up: exactly(up) };
        }
    }
    /// Remembers what the machines have measured.
    pub(crate) fn learn(&mut self, world: &mut World) {
        for (known, host) in self.known.iter_mut().zip(&mut world.hosts) {
            known_rates::combine(known, &host.link_meter.take_rates(None, None), NOW);
        }
    }
    /// Returns the shortest time in which a machine can have the file, if all machines send together (seconds).
    pub(crate) fn bound(&self, n: usize) -> f64 {
        let forwards = |n: &usize| !self.receive_only.contains(n);
        let all: f64 = (0..self.up.len()).filter(forwards).map(|n| self.up[n]).sum();
        let machines = self.plan.machines as f64;
        f64::from(self.plan.chunks) * (1.0 / self.down[n]).max(1.0 / self.up[0]).max(machines / all)
    }
}

/// A network whose rates are log-normal over two decades around the usual rate. Machines send at a tenth of what they
/// receive, or more.
pub(crate) fn random_network(plan: Plan) -> Network {
    let mut dice = Dice::new(plan.seed);
    let mut uniform = move || (dice.roll(1 << 20) + 1) as f64 / f64::from(1 << 20);
    let mut network = Network::new(plan);
    for n in 1..=network.plan.machines {
        let normal = (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        network.down[n] = network.plan.rate * 10f64.powf(normal.clamp(-2.0, 2.0) / 2.0);
        network.up[n] = network.down[n] * 10f64.powf(-uniform());
    }
    network
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
