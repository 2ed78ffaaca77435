//! One round of advice: what is known at this moment, and the moves that it leads to.

use super::{
    Change, MayChange, Move,
    demand::ENOUGH,
    flows::{Flow, FlowId, MOST_DEPTH, Node, OrderFlows},
    limits::{Limit, Traffic},
};

/// A round names at most this many moves for one reason. The next round continues.
pub(super) const MOST_MOVES: usize = 256;
/// Below this share of enough, hardly anything arrives.
const POOR: f64 = 0.5;
/// At most this many machines are considered as a source of each stripe.
const MOST_CANDIDATES: usize = 64;

pub(super) struct Round<'a> {
    pub(super) flows: &'a mut OrderFlows,
    pub(super) traffic: Traffic,
    /// The rate at which a machine can receive the file at best (bytes a second).
    pub(super) best: f64,
    /// By machine: what its receivers need (bytes a second).
    pub(super) taken: Vec<f64>,
    /// By machine: what it sends in all if nothing changes (bytes).
    pub(super) planned: Vec<f64>,
    /// By machine and stripe: how many machines receive the stripe through it, itself included.
    pub(super) sizes: Vec<Vec<usize>>,
    /// By stripe: the machines with the most upload to spare.
    pub(super) candidates: Vec<Vec<usize>>,
    pub(super) moves: Vec<Move>,
    may: MayChange<'a>,
}

impl<'a> Round<'a> {
    pub(super) fn new(flows: &'a mut OrderFlows, traffic: Traffic, may: MayChange<'a>) -> Self {
        let best = flows.best_rate();
        let planned = flows.nodes.iter().map(|node| node.sent).collect();
        let taken = vec![0.0; flows.nodes.len()];
        let (sizes, candidates, moves) = (Vec::new(), Vec::new(), Vec::new());
        let mut round = Self { flows, traffic, best, taken, planned, sizes, candidates, moves, may };
        for source in 0..round.flows.nodes.len() {
            for at in 0..round.traffic.children[source].len() {
                round.count(source, round.traffic.children[source][at], 1.0);
            }
        }
        round.find_low_flows();
        round.sizes = round.measure_sizes();
        round.candidates = (0..round.flows.stripes).map(|stripe| round.rank(stripe)).collect();
        round
    }
    pub(super) fn node(&self, machine: usize) -> &Node {
        &self.flows.nodes[machine]
    }
    pub(super) fn flow(&self, id: FlowId) -> &Flow {
        self.flows.flow(id)
    }
    pub(super) fn limit(&self, id: FlowId) -> Limit {
        self.traffic.limit(self.flows, id)
    }
    pub(super) fn children(&self, source: usize) -> &[FlowId] {
        &self.traffic.children[source]
    }
    /// Counts a flow as one that leaves this machine, or does so no more (`sign` is -1).
    fn count(&mut self, source: usize, id: FlowId, sign: f64) {
        self.planned[source] += sign * self.flow(id).left;
        self.taken[source] += sign * self.takes(source, id);
    }
    /// Records which flows are too low, and since when.
    fn find_low_flows(&mut self) {
        for id in self.flows.ids() {
            let enough = ENOUGH * self.need(id.machine);
            let is_low = self.flow(id).waited && self.flow(id).rate < enough;
            let is_poor = self.flow(id).rate < POOR * enough;
            let now = self.flows.now;
            let flow = self.flows.flow_mut(id);
            flow.low_since = is_low.then(|| flow.low_since.unwrap_or(now));
            flow.poor_since = is_poor.then(|| flow.poor_since.unwrap_or(now));
        }
    }
    fn measure_sizes(&self) -> Vec<Vec<usize>> {
        let mut sizes = vec![vec![0; self.flows.stripes]; self.flows.nodes.len()];
        for id in self.flows.ids().filter(|id| !self.flow(*id).is_complete) {
            self.flows.path(id).for_each(|at| sizes[at][id.stripe] += 1);
        }
        sizes
    }
    /// Returns the machines that can send the most of a stripe to others.
    fn rank(&self, stripe: usize) -> Vec<usize> {
        let feeders = (1..self.flows.nodes.len()).filter(|machine| self.node(*machine).can_feed());
        let rate = |machine| self.spare(machine).min(self.flows.path_rate(FlowId { machine, stripe }));
        let mut ranked: Vec<(f64, usize)> = feeders.map(|machine| (rate(machine), machine)).collect();
        if ranked.len() > MOST_CANDIDATES {
            ranked.select_nth_unstable_by(MOST_CANDIDATES, |a, b| b.0.total_cmp(&a.0));
            ranked.truncate(MOST_CANDIDATES);
        }
        let mut machines: Vec<usize> = ranked.into_iter().map(|(_, machine)| machine).collect();
        machines.sort_unstable();
        machines
    }
    /// Tells a machine to receive a stripe from another source.
    pub(super) fn tell(&mut self, id: FlowId, source: usize) {
        let from = self.flow(id).next_source();
        self.count(from, id, -1.0);
        self.traffic.children[from].retain(|other| *other != id);
        self.traffic.children[source].push(id);
        let now = self.flows.now;
        self.flows.nodes[from].relieved = Some(now);
        let flow = self.flows.flow_mut(id);
        (flow.told, flow.changed, flow.moves) = (Some((source, now)), now, flow.moves.saturating_add(1));
        self.count(source, id, 1.0);
        let (machine, source) = (self.node(id.machine).id, self.node(source).id);
        self.moves.extend(u8::try_from(id.stripe).map(|stripe| Move { machine, stripe, source }));
    }
    /// Returns whether the receiver of a flow may change to this source.
    pub(super) fn may_change(&self, id: FlowId, source: usize) -> bool {
        let name = |machine: usize| self.node(machine).id;
        (self.may)(&Change { receiver: name(id.machine), from: name(self.flow(id).source), to: name(source) })
    }
    /// Returns how many machines there are between a machine and the server.
    pub(super) fn depth(&self, id: FlowId) -> usize {
        self.flows.path(id).count().min(MOST_DEPTH)
    }
}
