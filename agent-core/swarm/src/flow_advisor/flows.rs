//! The machines of an order, their links, and the flow of each stripe to each machine.

use super::FlowReading;
use crate::{
    io::Now,
    planner::{Candidate, Usual},
};
use banyan_proto::{AddresseeList, MachineId, MeasuredRate, Reach};
use std::{collections::HashMap, time::Duration};

/// The server's place among the machines.
pub(super) const SERVER: usize = 0;
/// A path to the server that is longer than this is taken for a circle.
pub(super) const MOST_DEPTH: usize = 64;
/// A flow shows nothing until its source has sent for this long.
pub(super) const SETTLING: Duration = Duration::from_secs(1);
/// How long a machine that was told to change its source has for that.
pub(super) const CHANGE: Duration = Duration::from_secs(4);
/// A flow that ends within this time (seconds) takes nothing of its source's upload.
const ENDING: f64 = 0.75;
/// A link carries more than its limit if it does so by this factor.
const ABOVE_LIMIT: f64 = 1.2;
/// For how long readings must show a limit before it counts …
const LIMITED: Duration = Duration::from_millis(1500);
/// … and if others are far faster.
const CERTAINLY_LIMITED: Duration = Duration::from_millis(400);
/// No link carries more than this (bytes a second).
const FASTEST: f64 = 1e12;

/// Whether a link seems to limit what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    NotLimited,
    Limited,
    /// Others at the same end are far faster.
    CertainlyLimited,
}

impl Verdict {
    pub(super) fn limited(is_certain: bool) -> Self {
        if is_certain { Self::CertainlyLimited } else { Self::Limited }
    }
}

/// What is known of one direction of a machine's link, in bytes a second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    pub(super) at_least: f64,
    pub(super) at_most: Option<f64>,
    /// Since when every reading has shown that the link is the limit.
    limited_since: Option<Now>,
    /// The rate of the last reading.
    last: f64,
    /// Whether the rate was measured before this order.
    pub(super) was_known: bool,
}

impl Link {
    /// Begins with what was measured before.
    fn new(measured: Option<MeasuredRate>, usual: Usual) -> Self {
        let Some(measured) = measured else { return Self::default() };
        let MeasuredRate { at_least, at_most, .. } = usual.believed(measured);
        let (at_least, at_most) = (at_least as f64, at_most.map(|most| most as f64));
        Self { at_least, at_most, was_known: true, ..Self::default() }
    }
    /// Records what the link carries, and whether it seems to be the limit.
    pub(super) fn learn(&mut self, now: Now, rate: f64, verdict: Verdict) {
        let lasting = rate.min(self.last);
        self.last = rate;
        self.at_least = self.at_least.max(lasting);
        if self.at_most.is_some_and(|most| lasting > ABOVE_LIMIT * most) {
            self.at_most = None;
        }
        let needed = match verdict {
            Verdict::NotLimited => None,
            Verdict::Limited => Some(LIMITED),
            Verdict::CertainlyLimited => Some(CERTAINLY_LIMITED),
        };
        self.limited_since = needed.map(|_| self.limited_since.unwrap_or(now));
        if needed.zip(self.limited_since).is_some_and(|(needed, since)| now.saturating_sub(since) >= needed) {
            self.at_most = Some(rate);
            self.at_least = self.at_least.min(rate * ABOVE_LIMIT);
        }
    }
}

/// One stripe on its way to one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowId {
    pub(super) machine: usize,
    pub(super) stripe: usize,
}

/// What is known of a flow.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) source: usize,
    /// When the source was first seen to send.
    pub(super) since: Option<Now>,
    /// Bytes a second.
    pub(super) rate: f64,
    pub(super) waited: bool,
    /// Since when every reading has been too low.
    pub(super) low_since: Option<Now>,
    /// Since when hardly anything has arrived, from whatever source.
    pub(super) poor_since: Option<Now>,
    /// Bytes that are missing.
    pub(super) left: f64,
    pub(super) is_complete: bool,
    /// The source that the machine was told to change to, and when.
    pub(super) told: Option<(usize, Now)>,
    /// When the source changed last.
    pub(super) changed: Now,
    /// How often the machine was told to change its source.
    pub(super) moves: u32,
    /// Whether the reading has not been considered yet.
    pub(super) is_new: bool,
    /// The last source that always had more, and what the machine received then over all stripes (bytes a second).
    pub(super) ample: Option<(usize, f64)>,
}

impl Flow {
    fn new(left: f64) -> Self {
        Self {
            source: SERVER,
            since: None,
            rate: 0.0,
            waited: false,
            low_since: None,
            poor_since: None,
            left,
            is_complete: left <= 0.0,
            told: None,
            changed: Duration::ZERO,
            moves: 0,
            is_new: false,
            ample: None,
        }
    }
    /// Returns the source that the machine was told to change to, or else the present one.
    pub(super) fn next_source(&self) -> usize {
        self.told.map_or(self.source, |(source, _)| source)
    }
    pub(super) fn set_source(&mut self, now: Now, source: usize) {
        self.told = self.told.filter(|(told, _)| *told != source);
        if self.source != source {
            (self.source, self.since, self.rate, self.waited, self.changed) = (source, None, 0.0, false, now);
            self.low_since = None;
        }
    }
    /// Returns whether the source has sent for long enough.
    pub(super) fn is_settled(&self, now: Now) -> bool {
        self.since.is_some_and(|since| now.saturating_sub(since) >= SETTLING)
    }
    /// Returns whether the rate shows what the two links carry.
    pub(super) fn shows_limit(&self, now: Now) -> bool {
        !self.is_complete && self.waited && self.is_settled(now) && self.told.is_none()
    }
    pub(super) fn is_low_for(&self, now: Now, time: Duration) -> bool {
        self.low_since.is_some_and(|since| now.saturating_sub(since) >= time)
    }
    pub(super) fn is_poor_for(&self, now: Now, time: Duration) -> bool {
        !self.is_complete && self.poor_since.is_some_and(|since| now.saturating_sub(since) >= time)
    }
    /// Returns whether the rest arrives within a moment.
    pub(super) fn is_ending(&self) -> bool {
        self.is_complete || self.left < ENDING * self.rate
    }
    pub(super) fn rate_from(&self, source: usize) -> f64 {
        if self.source == source { self.rate } else { 0.0 }
    }
}

/// One machine of the order, or the server.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: MachineId,
    pub(super) down: Link,
    pub(super) up: Link,
    pub(super) online: bool,
    pub(super) forwards: bool,
    pub(super) dialable: bool,
    /// By stripe.
    pub(super) flows: Vec<Flow>,
    /// When a receiver was last told to leave it.
    pub(super) relieved: Option<Now>,
    /// Bytes that it has sent, as the receivers report.
    pub(super) sent: f64,
    /// Bytes that it sends by the plan.
    pub(super) plan: f64,
}

impl Node {
    /// Returns what the machine receives, over all stripes (bytes a second).
    pub(super) fn received(&self) -> f64 {
        self.flows.iter().map(|flow| flow.rate).sum()
    }
    /// Returns whether the machine receives about what its own link carries.
    pub(super) fn is_limited_by_itself(&self) -> bool {
        self.down.at_most.is_some_and(|most| self.received() >= 0.8 * most)
    }
    pub(super) fn can_feed(&self) -> bool {
        self.online && self.forwards && self.dialable
    }
}

/// All flows of an order.
#[derive(Debug)]
pub(super) struct OrderFlows {
    /// The server is the first.
    pub(super) nodes: Vec<Node>,
    places: HashMap<MachineId, usize>,
    pub(super) now: Now,
    pub(super) stripes: usize,
    /// How many copies the server sends by the plan.
    pub(super) server_copies: f64,
    /// How many copies the server may send.
    pub(super) most_server_copies: f64,
    /// Bytes of the file.
    pub(super) size: f64,
    /// The highest rate of a flow from the server, in two readings in a row (bytes a second).
    pub(super) best_flow: f64,
}

impl OrderFlows {
    pub(super) fn new(
        server: MachineId,
        candidates: &[Candidate],
        lists: &[AddresseeList],
        bytes: f64,
        server_copies: f64,
    ) -> Self {
        let stripes = lists.len();
        let stripe = bytes / stripes.max(1) as f64;
        let (usual_down, usual_up) = Usual::of(candidates);
        let node = |id, down, up, left| Node {
            id,
            down: Link::new(down, usual_down),
            up: Link::new(up, usual_up),
            online: true,
            forwards: true,
            dialable: true,
            flows: vec![Flow::new(left); stripes],
            relieved: None,
            sent: 0.0,
            plan: 0.0,
        };
        let machine = |candidate: &Candidate| Node {
            online: candidate.online,
            forwards: candidate.forwards,
            dialable: candidate.reach != Reach::Nobody,
            ..node(candidate.id, candidate.down, candidate.up, stripe)
        };
        let server = node(server, None, None, 0.0);
        let nodes: Vec<Node> = std::iter::once(server).chain(candidates.iter().map(machine)).collect();
        let places = nodes.iter().enumerate().rev().map(|(at, node)| (node.id, at)).collect();
        let (now, best_flow) = (Duration::ZERO, 0.0);
        let (server_copies, most_server_copies) = (1.0, server_copies);
        let mut flows = Self { nodes, places, now, stripes, server_copies, most_server_copies, size: bytes, best_flow };
        lists.iter().enumerate().for_each(|(stripe, list)| flows.follow(stripe, list));
        // With one stripe the plan itself needs more than one copy.
        flows.server_copies = flows.server_copies.max(flows.nodes[SERVER].plan / bytes.max(1.0));
        flows.most_server_copies = flows.server_copies.max(flows.most_server_copies);
        flows
    }
    /// Takes the sources of one stripe from its list.
    fn follow(&mut self, stripe: usize, list: &AddresseeList) {
        let mut todo = vec![list.clone()];
        while let Some(list) = todo.pop() {
            for part in list.parts().into_iter().flatten() {
                let ends = self.place(part.head()).zip(self.place(list.head()));
                if let Some((machine, source)) = ends.filter(|(machine, _)| *machine != SERVER) {
                    self.nodes[machine].flows[stripe].source = source;
                    self.nodes[source].plan += self.stripe_size();
                }
                todo.push(part);
            }
        }
    }
    pub(super) fn place(&self, machine: MachineId) -> Option<usize> {
        self.places.get(&machine).copied()
    }
    pub(super) fn flow(&self, id: FlowId) -> &Flow {
        &self.nodes[id.machine].flows[id.stripe]
    }
    pub(super) fn flow_mut(&mut self, id: FlowId) -> &mut Flow {
        &mut self.nodes[id.machine].flows[id.stripe]
    }
    /// Returns the flow of every stripe to every machine.
    pub(super) fn ids(&self) -> impl Iterator<Item = FlowId> + use<> {
        let stripes = self.stripes;
        (1..self.nodes.len()).flat_map(move |machine| (0..stripes).map(move |stripe| FlowId { machine, stripe }))
    }
    /// Returns the size of a stripe in bytes.
    pub(super) fn stripe_size(&self) -> f64 {
        self.size / self.stripes.max(1) as f64
    }
    /// Begins to consider the flows at this time.
    pub(super) fn begin(&mut self, now: Now) {
        self.now = now;
        for flow in self.nodes.iter_mut().flat_map(|node| &mut node.flows) {
            flow.told = flow.told.filter(|(_, at)| now.saturating_sub(*at) < CHANGE);
        }
    }
    /// Records a reading. What a machine lacks never rises, so that it cannot claim to have received more than a stripe.
    pub(super) fn record_reading(&mut self, now: Now, id: FlowId, source: usize, reading: &FlowReading) {
        let flow = self.flow_mut(id);
        if flow.source != source || flow.is_complete || !reading.rate.is_finite() || !reading.left.is_finite() {
            return;
        }
        let rate = reading.rate.clamp(0.0, FASTEST);
        if flow.since.is_none() && rate > 0.0 {
            flow.since = Some(now);
        }
        let lasting = rate.min(flow.rate);
        let left = reading.left.clamp(0.0, flow.left);
        let arrived = flow.left - left;
        (flow.rate, flow.waited, flow.left, flow.is_new) = (rate, reading.waited, left, true);
        self.nodes[source].sent += arrived;
        if source == SERVER {
            self.best_flow = self.best_flow.max(lasting);
        }
    }
    /// Returns the machine and those above it, up to the server or a machine that holds the stripe.
    pub(super) fn path(&self, id: FlowId) -> impl Iterator<Item = usize> + '_ {
        let next = move |&at: &usize| {
            let flow = &self.nodes[at].flows[id.stripe];
            (at != SERVER && !flow.is_complete).then(|| flow.next_source())
        };
        std::iter::successors(Some(id.machine), next).take(MOST_DEPTH)
    }
    /// Returns whether the stripe reaches `source` through the receiver of this flow, or on a path that does not end.
    pub(super) fn comes_through(&self, source: usize, id: FlowId) -> bool {
        let mut depth = 0;
        let mut path = self.path(FlowId { machine: source, ..id }).inspect(|_| depth += 1);
        path.any(|at| at == id.machine) || depth >= MOST_DEPTH
    }
    /// Returns the rate at which a machine receives a stripe in the long run: that of the slowest flow above it.
    pub(super) fn path_rate(&self, id: FlowId) -> f64 {
        let rate = |at: usize| {
            let flow = &self.nodes[at].flows[id.stripe];
            let is_limit = at != SERVER && flow.shows_limit(self.now);
            if is_limit { flow.rate } else { f64::INFINITY }
        };
        self.path(id).map(rate).fold(f64::INFINITY, f64::min)
    }
}
