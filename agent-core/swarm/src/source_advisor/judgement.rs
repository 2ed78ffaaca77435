//! Which machine of an order is the reason why another one gets too little (rule P13).

use super::evidence::{Edge, Evidence, Node, Report};
use crate::io::Now;
use banyan_proto::{MachineId, frame::Holdup};
use std::{collections::HashMap, time::Duration};

/// A source has no more to give if it sends this share of what its uplink carries.
const AT_LIMIT: f64 = 0.7;
/// A source sends slowly if it is to send more than it can by this share of a stripe.
const OVERLOAD: f64 = 0.7;
/// A source withholds chunks if a machine reports for this long that nothing arrives, and the source does not. That is
/// enough time to find another source after one has died.
const PATIENCE: Duration = Duration::from_secs(15);
/// Machines farther below wait for this long.
const LONG_PATIENCE: Duration = Duration::from_secs(25);

/// The evidence at one moment.
pub(super) struct Judgement<'a> {
    evidence: &'a Evidence,
    pub(super) now: Now,
    /// The machines below each source.
    receivers: HashMap<MachineId, Vec<(MachineId, Edge)>>,
}

impl<'a> Judgement<'a> {
    pub(super) fn new(evidence: &'a Evidence, now: Now) -> Self {
        let mut receivers: HashMap<MachineId, Vec<(MachineId, Edge)>> = HashMap::new();
        for (id, node) in &evidence.nodes {
            for edge in node.edges.iter().flatten() {
                receivers.entry(edge.source).or_default().push((*id, *edge));
            }
        }
        Self { evidence, now, receivers }
    }
    /// Returns the machines below a source, once for each stripe.
    pub(super) fn receivers(&self, source: MachineId) -> &[(MachineId, Edge)] {
        self.receivers.get(&source).map_or(&[], Vec::as_slice)
    }
    fn node(&self, machine: MachineId) -> Option<&Node> {
        self.evidence.nodes.get(&machine)
    }
    /// Returns whether more than half of the machines get little everywhere: it is the usual rate.
    pub(super) fn is_little_usual(&self) -> bool {
        let gets_little = |node: &&Node| {
            let mut reports = node.edges.iter().flatten().filter_map(|edge| edge.recent(self.now));
            reports.any(|report| report.in_every_stripe)
        };
        self.evidence.nodes.values().filter(gets_little).count() * 2 > self.evidence.nodes.len()
    }
    /// Returns whether a machine's own link is slow: it gets little in every stripe, and less than its source has, while
    /// others get enough from the same source.
    pub(super) fn is_slow(&self, machine: MachineId) -> bool {
        let Some(node) = self.node(machine) else { return false };
        let mut reports = node.edges.iter().flatten().filter_map(|edge| Some((edge, edge.recent(self.now)?)));
        node.is_slow()
            || reports.any(|(edge, report)| {
                let others = || self.receivers(edge.source).iter().filter(|(id, _)| *id != machine);
                report.in_every_stripe
                    && report.holdup == Holdup::Here
                    && (others().count() == 0 || others().any(|(_, other)| other.recent(self.now).is_none()))
            })
    }
    /// Returns whether a source gives a machine less than it could.
    pub(super) fn gives_too_little(&self, edge: &Edge, report: Report) -> bool {
        match report.holdup {
            Holdup::Here => !self.is_at_limit(edge.source, report) && self.sends_slowly(edge.source),
            Holdup::Above => self.is_slow(edge.source),
        }
    }
    /// Returns whether everyone gets less from a machine than it has, though one of them gets enough elsewhere.
    fn sends_slowly(&self, machine: MachineId) -> bool {
        if self.node(machine).is_some_and(|node| node.load > node.rate + self.evidence.unit * OVERLOAD) {
            return true;
        }
        let receivers = self.receivers(machine);
        let reports = || receivers.iter().filter_map(|(_, edge)| edge.recent(self.now));
        reports().filter(|report| report.holdup == Holdup::Here).count() == receivers.len()
            && reports().any(|report| !report.in_every_stripe)
    }
    /// Returns whether a source sends a machine its share of what the source's uplink is known to carry. The plan has
    /// taken that into account.
    fn is_at_limit(&self, source: MachineId, report: Report) -> bool {
        let uplink = self.node(source).and_then(|node| node.uplink);
        let count = self.receivers(source).len().max(1);
        uplink.zip(report.rate).is_some_and(|(uplink, rate)| rate >= AT_LIMIT * uplink / count as f64)
    }
    /// Returns whether a source is the reason why a machine starves. The server holds everything. So from the machine
    /// upward, the first source that does not report the same withholds what it gets. The machine directly below it acts
    /// first. Those farther below act when that has brought them nothing for long.
    pub(super) fn withholds(&self, stripe: u8, edge: &Edge, report: Report) -> bool {
        let Some(starves_for) = edge.starves_for(self.now).filter(|_| report.holdup == Holdup::Above) else {
            return false;
        };
        let mut at = edge.source;
        for _ in 0..self.evidence.nodes.len() {
            let Some(above) = self.evidence.edge(at, stripe) else { return false };
            match above.recent(self.now) {
                // Its own link is slow, or its source is.
                Some(report) if report.holdup == Holdup::Here => return false,
                Some(_) if above.source != self.evidence.server => at = above.source,
                // The server lacks nothing.
                Some(_) | None => {
                    return starves_for >= if at == edge.source { PATIENCE } else { LONG_PATIENCE };
                }
            }
        }
        // They wait for each other.
        starves_for >= LONG_PATIENCE
    }
    /// Returns whether the chunks of `machine` come through `through`, or over a slow edge.
    pub(super) fn is_held_up(&self, machine: MachineId, stripe: u8, through: MachineId) -> bool {
        self.comes_over(machine, stripe, |edge| edge.source == through || edge.is_slow())
    }
    /// Returns whether the chunks of `machine` come through `through` or the source that withholds chunks from it, or over
    /// a slow edge. Who is held up above will get its chunks as soon as another machine has found a source.
    pub(super) fn is_starved(&self, machine: MachineId, stripe: u8, through: MachineId, withholds: MachineId) -> bool {
        self.comes_over(machine, stripe, |edge| {
            edge.source == through || edge.source == withholds || edge.is_slow() && !edge.is_held_up(Holdup::Above)
        })
    }
    /// Returns whether the chunks of `machine` come over such an edge, or in a circle.
    fn comes_over(&self, machine: MachineId, stripe: u8, is_such: impl Fn(&Edge) -> bool) -> bool {
        let edge = |machine| self.evidence.edge(machine, stripe);
        let mut chain = std::iter::successors(edge(machine), |below| edge(below.source));
        chain.by_ref().take(self.evidence.nodes.len()).any(|edge| is_such(&edge)) || chain.next().is_some()
    }
}
