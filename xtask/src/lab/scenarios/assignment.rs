//! A scenario with the machines picked: the plan of the network, who deviates in which way, and what happens when.

use super::scenario::{Element, Scenario, When};
use crate::lab::{
    network::{
        plan::{MachinePlan, NetworkPlan},
        rates::{LinkRates, Rate},
    },
    random::SplitMix64,
};

/// Two decades, between two standard deviations below and above the median.
const DECADES_PER_DEVIATION: f64 = 0.5;
/// The range of random rates, as factors of the nominal rate.
const RANDOM_RANGE: std::ops::RangeInclusive<f64> = 0.1..=10.0;

/// One run of a scenario. Machines are numbers from 0 in the order of their labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) seed: u64,
    pub(crate) plan: NetworkPlan,
    /// Machines with slower links than the others. They are judged by their own links.
    pub(crate) slow: Vec<usize>,
    pub(crate) no_forwarding: Vec<usize>,
    pub(crate) no_dial: Vec<usize>,
    /// Machines that lose packets, and the share that they lose.
    pub(crate) lossy: Vec<(usize, f64)>,
    /// The budget of each site over its uplink.
    pub(crate) budget: Option<Rate>,
    pub(crate) incidents: Vec<Incident>,
}

/// Something that happens during the transfer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Incident {
    pub(crate) when: When,
    pub(crate) what: What,
    /// Picks among the machines that forward much; those are known only when the server has planned.
    pub(crate) pick: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    /// The link of a forwarding machine changes.
    SlowDown(LinkRates),
    /// A forwarding machine is killed and stays away.
    Kill,
    /// This machine is killed and stays away.
    Leave(usize),
    /// Server and machines are killed and started again.
    Restart,
}

impl Assignment {
    /// Picks the machines of a scenario at random.
    pub(crate) fn pick(scenario: &Scenario, machines: u8, rate: Rate, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        let count = usize::from(machines);
        let mut picked = Self {
            seed,
            plan: NetworkPlan::equal(machines, rate),
            slow: Vec::new(),
            no_forwarding: Vec::new(),
            no_dial: Vec::new(),
            lossy: Vec::new(),
            budget: None,
            incidents: Vec::new(),
        };
        // Each kind of machine is picked from all, except that nobody is slow twice.
        let mut may_be_slow = random.order(count);
        for element in &scenario.elements {
            let mut some = |count_of: super::scenario::Count| {
                let mut machines = random.order(count);
                machines.truncate(count_of.of(count));
                machines.sort_unstable();
                machines
            };
            match *element {
                Element::Lines(link) => picked.plan.machines.iter_mut().for_each(|machine| machine.link = link),
                Element::Server(link) => picked.plan.server = link,
                Element::Slow(number, link) => {
                    let slow = may_be_slow.split_off(may_be_slow.len().saturating_sub(number.of(count)));
                    slow.iter().for_each(|&machine| picked.plan.machines[machine].link = link);
                    picked.slow.extend(slow);
                    picked.slow.sort_unstable();
                }
                Element::NoForwarding(number) => picked.no_forwarding = some(number),
                Element::NoDial(number) => picked.no_dial = some(number),
                Element::Loss(number, share) => {
                    picked.lossy = some(number).into_iter().map(|machine| (machine, share)).collect();
                }
                Element::Sites { uplink, lan } => picked.put_on_sites(uplink, lan),
                Element::Budget(rate) => picked.set_budget(rate),
                Element::RandomRates => picked.set_random_rates(rate, &mut random),
                Element::SlowDown(link, when) => picked.add_incident(when, What::SlowDown(link), &mut random),
                Element::Kill(when) => picked.add_incident(when, What::Kill, &mut random),
                Element::Restart(when) => picked.add_incident(when, What::Restart, &mut random),
                Element::Leave(number) => {
                    let leaving = some(number);
                    for (at, &machine) in leaving.iter().enumerate() {
                        let share = (at + 1) as f64 / (leaving.len() + 1) as f64;
                        picked.add_incident(When::Share(share), What::Leave(machine), &mut random);
                    }
                }
            }
        }
        picked
    }
    fn add_incident(&mut self, when: When, what: What, random: &mut SplitMix64) {
        self.incidents.push(Incident { when, what, pick: (random.unit() * 1e6) as usize });
    }
    fn put_on_sites(&mut self, uplink: Rate, lan: Rate) {
        self.plan.uplinks = vec![LinkRates::both(uplink); 2];
        let half = self.plan.machines.len().div_ceil(2);
        for (number, machine) in self.plan.machines.iter_mut().enumerate() {
            machine.site = Some(number / half);
            machine.link = LinkRates::both(lan);
        }
    }
    /// Gives each site a budget, and adds a host outside and one at the first site.
    fn set_budget(&mut self, rate: Rate) {
        self.budget = Some(rate);
        let fast = LinkRates::both(Rate::of_mbit(200.0));
        self.plan.bystanders = [None, Some(0)].map(|site| MachinePlan { link: fast, site }).to_vec();
    }
    /// Sets each machine's rate down at random, and its rate up to a tenth of it or more.
    fn set_random_rates(&mut self, median: Rate, random: &mut SplitMix64) {
        for machine in &mut self.plan.machines {
            let factor = 10_f64.powf(DECADES_PER_DEVIATION * random.normal());
            let down = median.mbit() * factor.clamp(*RANDOM_RANGE.start(), *RANDOM_RANGE.end());
            let up = down * 10_f64.powf(-random.unit());
            machine.link = LinkRates { down: Rate::of_mbit(down), up: Rate::of_mbit(up) };
        }
    }
    /// Returns whether something is special about this machine from the start.
    pub(crate) fn deviates(&self, machine: usize) -> bool {
        [&self.slow, &self.no_forwarding, &self.no_dial].iter().any(|some| some.contains(&machine))
    }
    /// Returns the least time in which a machine can hold a file of this size, whatever the scheme (seconds): no faster
    /// than the server sends it once, than its own link receives it, and than all together send it to all.
    pub(crate) fn fluid_bound(&self, machine: usize, size: u64) -> f64 {
        let all = size * self.plan.machines.len() as u64;
        let up = Rate::of_mbit(self.machines_up() + self.plan.server.up.mbit());
        self.own_bound(machine, size).max(up.seconds(all))
    }
    /// Returns the same if the server sends the file once and the machines send the rest to each other.
    pub(crate) fn one_copy_bound(&self, machine: usize, size: u64) -> f64 {
        let rest = size * (self.plan.machines.len() as u64 - 1);
        self.own_bound(machine, size).max(Rate::of_mbit(self.machines_up()).seconds(rest))
    }
    /// Returns the bound by the server's link, the machine's own and that of its site.
    pub(crate) fn own_bound(&self, machine: usize, size: u64) -> f64 {
        let plan = self.plan.machines[machine];
        let uplink = plan.site.map_or(0.0, |site| self.uplink(site).seconds(size));
        [self.plan.server.up.seconds(size), plan.link.down.seconds(size), uplink].into_iter().fold(0.0, f64::max)
    }
    /// Returns what Banyan may receive over a site's uplink.
    pub(crate) fn uplink(&self, site: usize) -> Rate {
        let rate = self.plan.uplinks[site].down;
        self.budget.filter(|budget| *budget < rate).unwrap_or(rate)
    }
    /// Returns the sum of the rates up of the machines that forward (Mbit/s).
    fn machines_up(&self) -> f64 {
        let machines = self.plan.machines.iter().enumerate();
        let forwarding = machines.filter(|(number, _)| !self.no_forwarding.contains(number));
        forwarding.map(|(_, machine)| machine.link.up.mbit()).sum()
    }
    /// Returns a sentence with everyone who deviates.
    pub(crate) fn sentence(&self, label: impl Fn(usize) -> String) -> String {
        let names = |machines: &[usize]| machines.iter().map(|&m| label(m)).collect::<Vec<_>>().join(" ");
        let mut parts = vec![format!("seed {}", self.seed)];
        if !self.slow.is_empty() {
            parts.push(format!("slow: {}", names(&self.slow)));
        }
        if !self.no_forwarding.is_empty() {
            parts.push(format!("not forwarding: {}", names(&self.no_forwarding)));
        }
        if !self.no_dial.is_empty() {
            parts.push(format!("cannot be dialled: {}", names(&self.no_dial)));
        }
        if !self.lossy.is_empty() {
            let lossy: Vec<usize> = self.lossy.iter().map(|&(machine, _)| machine).collect();
            parts.push(format!("losing packets: {}", names(&lossy)));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(text: &str, seed: u64) -> Assignment {
        Assignment::pick(&Scenario::parse(text).unwrap(), 16, Rate::of_mbit(20.0), seed)
    }

    #[test]
    fn slow_machines_are_picked_by_the_seed_and_nobody_twice() {
        let both = picked("slow:4x2+slow:8x5", 3);
        assert_eq!(both.slow.len(), 12);
        let count = |mbit: f64| both.plan.machines.iter().filter(|m| m.link.down == Rate::of_mbit(mbit)).count();
        assert_eq!((count(2.0), count(5.0), count(20.0)), (4, 8, 4));
        assert_eq!(picked("four-slow", 3), picked("four-slow", 3));
        assert_ne!(picked("four-slow", 3).slow, picked("four-slow", 4).slow);
    }

    #[test]
    fn the_bound_is_the_narrowest_of_server_link_and_sum() {
        let mib16 = 16 << 20;
        let unit = Rate::of_mbit(20.0).seconds(mib16);
        assert!((picked("equal", 1).fluid_bound(0, mib16) / unit - 1.0).abs() < 1e-9);
        // 16 copies through 20 + 16 × 5 Mbit/s.
        assert!((picked("asymmetric", 1).fluid_bound(0, mib16) / unit - 3.2).abs() < 1e-9);
        // 15 copies through 16 × 5 Mbit/s.
        assert!((picked("asymmetric", 1).one_copy_bound(0, mib16) / unit - 3.75).abs() < 1e-9);
        let slow = picked("one-slow", 1);
        assert!((slow.fluid_bound(slow.slow[0], mib16) / unit - 10.0).abs() < 1e-9);
        assert!((picked("two-sites", 1).fluid_bound(0, mib16) / unit - 1.0).abs() < 1e-9);
        assert!((picked("two-sites+budget:5", 1).fluid_bound(0, mib16) / unit - 4.0).abs() < 1e-9);
    }

    #[test]
    fn random_rates_span_two_decades_around_the_nominal_rate() {
        let rates: Vec<f64> =
            (0..40).flat_map(|seed| picked("random", seed).plan.machines).map(|m| m.link.down.mbit()).collect();
        assert!(rates.iter().all(|rate| (2.0..=200.0).contains(rate)));
        let below = rates.iter().filter(|&&rate| rate < 20.0).count() as f64 / rates.len() as f64;
        assert!((0.4..0.6).contains(&below), "{below}");
        assert!(rates.iter().any(|&rate| rate < 3.0) && rates.iter().any(|&rate| rate > 130.0));
    }
}
