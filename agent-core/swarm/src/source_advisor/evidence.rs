//! What is known about the sources of one order: the planned senders, the sources that machines report, and their
//! reports that they are held up.

use crate::io::Now;
use banyan_proto::{AddresseeList, MachineId, api::SourcesRequest, frame::Holdup};
use std::{collections::HashMap, time::Duration};

/// The copies that a machine can send in the time in which it receives one, as long as nothing else is known.
const USUAL_COPIES: f64 = 1.0;
/// The most copies that a machine may be asked to send in all.
const MOST_COPIES: f64 = 1.5;
/// What the server may send beyond what the administrator allows, when machines are slow (copies).
const SERVER_EXTRA: f64 = 0.5;
/// A machine that gets less than this share of the best rate is held up.
const HELD_UP: f64 = 0.5;
/// A report counts for this long. Machines repeat it more often.
pub(super) const RECENT: Duration = Duration::from_secs(8);

/// Who sends a stripe to a machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) source: MachineId,
    /// How much the machine takes: 1 at the best rate.
    pub(super) share: f64,
    /// How much of the stripe it still lacked when it began with this source.
    pub(super) lacked: f64,
    /// What it last said of this source.
    report: Option<Report>,
    /// The source was named, and the machine has not reported yet whether it delivers.
    is_trial: bool,
    /// Since when the machine has reported, again and again, that nothing arrives; and when it last did so.
    starving: Option<(Now, Now)>,
}

/// A machine's report that it is held up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    at: Now,
    pub(super) holdup: Holdup,
    pub(super) in_every_stripe: bool,
    /// The rate at which the stripe arrives, in chunks a second, as far as it is reported.
    pub(super) rate: Option<f64>,
}

impl Edge {
    /// Returns the machine's report, if it still counts.
    pub(super) fn recent(&self, now: Now) -> Option<Report> {
        self.report.filter(|report| now.saturating_sub(report.at) < RECENT)
    }
    /// Returns for how long the machine has reported that nothing arrives, if it still does.
    pub(super) fn starves_for(&self, now: Now) -> Option<Duration> {
        self.starving.filter(|_| self.recent(now).is_some()).map(|(since, _)| now.saturating_sub(since))
    }
    /// Returns whether the machine gets little.
    pub(super) fn is_slow(&self) -> bool {
        self.share < HELD_UP
    }
    /// Returns whether the machine's last report on this source says that it is held up there.
    pub(super) fn is_held_up(&self, place: Holdup) -> bool {
        self.report.is_some_and(|report| report.holdup == place)
    }
}

/// What is known about one machine of an order.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// By stripe.
    pub(super) edges: Vec<Option<Edge>>,
    /// How many copies it can send in the time in which the file arrives at the best rate.
    pub(super) rate: f64,
    /// How many copies the machines below it take in that time.
    pub(super) load: f64,
    /// How many copies they take as planned.
    pub(super) planned: f64,
    /// How many copies it may send in all.
    pub(super) limit: f64,
    /// The most that its uplink carries, in chunks a second, if that is known.
    pub(super) uplink: Option<f64>,
    /// How often a machine reported that this one delivers nothing.
    pub(super) failures: u32,
}

impl Node {
    /// Returns whether the machine sends much less than others.
    pub(super) fn is_slow(&self) -> bool {
        self.rate < HELD_UP
    }
}

/// The machines of one order and their sources.
#[derive(Debug)]
pub(super) struct Evidence {
    /// One copy of a stripe, in copies of the file.
    pub(super) unit: f64,
    pub(super) server: MachineId,
    pub(super) nodes: HashMap<MachineId, Node>,
}

impl Evidence {
    /// Begins with the planned senders. `server_copies`: how many copies the server may send.
    pub(super) fn new(lists: &[AddresseeList], server_copies: f64) -> Self {
        let server = lists.first().map_or(MachineId([0; 16]), AddresseeList::head);
        let mut evidence = Self { server, unit: 1.0 / lists.len().max(1) as f64, nodes: HashMap::new() };
        let edges = vec![None; lists.len()];
        let (rate, limit) = (USUAL_COPIES, MOST_COPIES);
        let node = Node { edges, rate, load: 0.0, planned: 0.0, limit, uplink: None, failures: 0 };
        for id in lists.iter().flat_map(AddresseeList::ids) {
            evidence.nodes.entry(id).or_insert_with(|| node.clone());
        }
        for (list, stripe) in lists.iter().zip(0..) {
            let mut todo = vec![list.clone()];
            while let Some(list) = todo.pop() {
                for part in list.parts().into_iter().flatten() {
                    evidence.set_source(part.head(), stripe, list.head(), 1.0);
                    todo.push(part);
                }
            }
        }
        evidence.nodes.values_mut().for_each(|node| node.planned = node.load);
        if let Some(server) = evidence.nodes.get_mut(&server) {
            (server.rate, server.limit) = (server_copies, server_copies + SERVER_EXTRA);
        }
        evidence
    }
    /// Records the source that a machine reports.
    pub(super) fn record_source(&mut self, machine: MachineId, stripe: u8, source: MachineId) {
        let Some(edge) = self.edge_mut(machine, stripe) else { return };
        let lacked = edge.lacked;
        if edge.source == source {
            edge.is_trial = false;
        } else {
            self.set_source(machine, stripe, source, lacked);
        }
    }
    /// Records that a machine is held up.
    pub(super) fn record_holdup(&mut self, now: Now, machine: MachineId, request: &SourcesRequest) {
        let (stripe, source) = (request.stripe, request.source);
        let lacks = 1.0 - f64::from(request.held_percent.min(100)) / 100.0;
        let before = self.edge(machine, stripe);
        let is_same = before.is_some_and(|edge| edge.source == source);
        let trial = before.filter(|edge| edge.is_trial && !is_same);
        if let Some(trial) = trial.filter(|_| request.starves) {
            self.record_failure(trial.source);
        }
        if !is_same {
            self.set_source(machine, stripe, source, lacks);
        }
        // What does not arrive at all says nothing about the rate of a link.
        if !request.starves {
            self.set_share(machine, stripe, f64::from(request.rate_percent.min(100)) / 100.0);
        }
        // A trial that failed has changed nothing.
        let starving = before.filter(|_| is_same || trial.is_some()).and_then(|edge| edge.starving);
        let since = starving.filter(|(_, last)| now.saturating_sub(*last) < RECENT * 2).map_or(now, |(since, _)| since);
        if let Some(edge) = self.edge_mut(machine, stripe) {
            edge.starving = request.starves.then_some((since, now));
            edge.lacked = lacks;
            edge.report = Some(Report {
                at: now,
                holdup: request.holdup,
                in_every_stripe: request.in_every_stripe,
                rate: request.chunks_per_minute.map(|chunks| f64::from(chunks) / 60.0),
            });
        }
    }
    /// Counts a machine as the source that it was named as. Its share is the best rate until the receiver reports.
    pub(super) fn record_trial(&mut self, machine: MachineId, stripe: u8, source: MachineId, lacked: f64) {
        let starving = self.edge(machine, stripe).and_then(|edge| edge.starving);
        self.set_source(machine, stripe, source, lacked);
        if let Some(edge) = self.edge_mut(machine, stripe) {
            (edge.is_trial, edge.starving) = (true, starving);
        }
    }
    /// Records that another machine takes the place of this one at its source. Whether this one gets chunks does not matter
    /// any more.
    pub(super) fn record_replaced(&mut self, machine: MachineId, stripe: u8) {
        self.set_share(machine, stripe, 0.0);
        if let Some(edge) = self.edge_mut(machine, stripe) {
            edge.lacked = 0.0;
        }
    }
    /// Records that a machine delivers nothing. There is only one server, so it is not avoided.
    pub(super) fn record_failure(&mut self, source: MachineId) {
        if let Some(node) = self.nodes.get_mut(&source).filter(|_| source != self.server) {
            node.failures = node.failures.saturating_add(1);
        }
    }
    /// Records that a machine's link is slow: it takes less in every stripe, and sends less.
    pub(super) fn record_slow(&mut self, machine: MachineId, share: f64) {
        let stripes = (1.0 / self.unit) as u8;
        for stripe in 0..stripes {
            self.set_share(machine, stripe, share);
        }
        if let Some(node) = self.nodes.get_mut(&machine) {
            node.rate = node.rate.min(share.min(HELD_UP / 2.0));
        }
    }
    pub(super) fn set_share(&mut self, machine: MachineId, stripe: u8, share: f64) {
        let Some(edge) = self.edge_mut(machine, stripe) else { return };
        let change = share - std::mem::replace(&mut edge.share, share);
        let (source, unit) = (edge.source, self.unit);
        if let Some(node) = self.nodes.get_mut(&source) {
            node.load += change * unit;
        }
    }
    pub(super) fn edge(&self, machine: MachineId, stripe: u8) -> Option<Edge> {
        self.nodes.get(&machine)?.edges.get(usize::from(stripe)).copied()?
    }
    fn edge_mut(&mut self, machine: MachineId, stripe: u8) -> Option<&mut Edge> {
        self.nodes.get_mut(&machine)?.edges.get_mut(usize::from(stripe))?.as_mut()
    }
    fn set_source(&mut self, machine: MachineId, stripe: u8, source: MachineId, lacked: f64) {
        let edge = Edge { source, share: 1.0, lacked, report: None, is_trial: false, starving: None };
        let slot = self.nodes.get_mut(&machine).and_then(|node| node.edges.get_mut(usize::from(stripe)));
        let Some(before) = slot.map(|slot| slot.replace(edge)) else { return };
        if let Some(before) = before
            && let Some(node) = self.nodes.get_mut(&before.source)
        {
            node.load -= before.share * self.unit;
        }
        if let Some(node) = self.nodes.get_mut(&source) {
            node.load += self.unit;
        }
    }
}
