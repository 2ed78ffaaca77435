//! Which end limits a flow, and what links carry.
//!
//! A link divides what it carries about equally. So at the end that limits a flow, no other flow is much faster.

use super::flows::{FlowId, OrderFlows, SERVER, Verdict};

/// Flows that differ by less than this factor may be equal.
pub(super) const UNEQUAL: f64 = 1.4;
/// A flow that is slower than another one by this factor is limited elsewhere without a doubt.
const FAR_BELOW: f64 = 3.0;
/// A link that carries less than this share of what it once carried is not the limit.
const FAR_FROM_FULL: f64 = 0.6;
/// Flows that differ by less than this factor share a link equally.
const EQUAL: f64 = 1.2;
/// At most this many receivers of one source are compared.
const MOST_COMPARED: usize = 64;

/// The end that limits a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Receiver { is_certain: bool },
    Sender { is_certain: bool },
    Unknown,
}

/// What a machine sends.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    /// Bytes a second.
    total: f64,
    /// The highest rate, and the machine that receives it.
    fastest: (f64, usize),
    /// The highest rate to another machine.
    second: f64,
}

impl Sent {
    fn add(&mut self, receiver: usize, rate: f64) {
        self.total += rate;
        if receiver == self.fastest.1 {
            self.fastest.0 = self.fastest.0.max(rate);
        } else if rate > self.fastest.0 {
            self.second = self.fastest.0;
            self.fastest = (rate, receiver);
        } else {
            self.second = self.second.max(rate);
        }
    }
    /// Returns the highest rate to another machine than this one.
    fn fastest_beside(&self, receiver: usize) -> f64 {
        if receiver == self.fastest.1 { self.second } else { self.fastest.0 }
    }
}

/// What leaves and reaches each machine.
#[derive(Debug)]
pub(super) struct Traffic {
    /// The flows that leave each machine, counted where they will be once machines have followed the advice.
    pub(super) children: Vec<Vec<FlowId>>,
    /// Bytes a second, over all stripes.
    received: Vec<f64>,
    sent: Vec<Sent>,
}

impl Traffic {
    pub(super) fn of(flows: &OrderFlows) -> Self {
        let mut children = vec![Vec::new(); flows.nodes.len()];
        let mut sent = vec![Sent::default(); flows.nodes.len()];
        for id in flows.ids() {
            let flow = flows.flow(id);
            if flow.is_complete || !flows.nodes[id.machine].online {
                continue;
            }
            let source = flow.next_source();
            children[source].push(id);
            sent[source].add(id.machine, flow.rate_from(source));
        }
        let received = flows.nodes.iter().map(|node| node.received()).collect();
        Self { children, received, sent }
    }
    /// Returns what a machine sends (bytes a second).
    pub(super) fn sent(&self, source: usize) -> f64 {
        self.sent[source].total
    }
    /// Returns what a machine sends for longer than a moment (bytes a second).
    pub(super) fn lasting(&self, flows: &OrderFlows, source: usize) -> f64 {
        let lasting = self.children[source].iter().map(|id| flows.flow(*id)).filter(|flow| !flow.is_ending());
        lasting.map(|flow| flow.rate_from(source)).sum()
    }
    /// Decides which end limits a flow. What others receive now says more than what the links once carried.
    pub(super) fn limit(&self, flows: &OrderFlows, id: FlowId) -> Limit {
        let flow = flows.flow(id);
        let (node, source) = (&flows.nodes[id.machine], flow.source);
        let rate = flow.rate.max(1.0);
        let sibling = self.sent[source].fastest_beside(id.machine);
        let elsewhere = node.flows.iter().filter(|other| other.source != source).map(|other| other.rate);
        let own = elsewhere.fold(0.0, f64::max);
        let is_far = |rate: f64, once: f64| rate < FAR_FROM_FULL * once;
        let is_sender_far = is_far(self.sent(source), flows.nodes[source].up.at_least);
        let is_receiver_far = is_far(self.received[id.machine], node.down.at_least);
        match (sibling > UNEQUAL * rate, own > UNEQUAL * rate) {
            (true, true) => Limit::Unknown,
            (true, false) => Limit::Receiver { is_certain: sibling > FAR_BELOW * rate },
            (false, true) => Limit::Sender { is_certain: own > FAR_BELOW * rate },
            (false, false) => match (is_sender_far, is_receiver_far) {
                (true, false) => Limit::Receiver { is_certain: false },
                (false, true) => Limit::Sender { is_certain: false },
                _ if self.shares_equally(flows, source, rate) => Limit::Sender { is_certain: false },
                _ => Limit::Unknown,
            },
        }
    }
    /// Returns whether several machines get equally much from this one, though they could receive more.
    fn shares_equally(&self, flows: &OrderFlows, source: usize, rate: f64) -> bool {
        let waits = |id: &&FlowId| {
            let node = &flows.nodes[id.machine];
            let flow = flows.flow(**id);
            let mut others = node.flows.iter().enumerate().filter(|(stripe, _)| *stripe != id.stripe);
            let is_free = node.down.at_most.is_none() && others.all(|(_, other)| !other.waited);
            let is_equal = flow.rate < EQUAL * rate && rate < EQUAL * flow.rate;
            flow.source == source && flow.waited && flow.is_settled(flows.now) && is_free && is_equal
        };
        source != SERVER && self.children[source].iter().take(MOST_COMPARED).filter(waits).count() >= 2
    }
}

/// What the flows of one round show about each machine's link: how surely it is a limit.
struct Verdicts {
    down: Vec<Option<Verdict>>,
    up: Vec<Option<Verdict>>,
}

impl Verdicts {
    /// One flow that is not limited by its receiver shows that the receiver is not the limit.
    fn record(&mut self, id: FlowId, source: usize, limit: Limit) {
        let down = &mut self.down[id.machine];
        match limit {
            Limit::Receiver { is_certain } if *down != Some(Verdict::NotLimited) => {
                *down = (*down).max(Some(Verdict::limited(is_certain)));
            }
            Limit::Sender { is_certain } => {
                *down = Some(Verdict::NotLimited);
                self.up[source] = self.up[source].max(Some(Verdict::limited(is_certain)));
            }
            Limit::Receiver { .. } | Limit::Unknown => {}
        }
    }
}

/// Learns from new readings what the links carry.
pub(super) fn learn(flows: &mut OrderFlows, traffic: &Traffic) {
    let count = flows.nodes.len();
    let mut verdicts = Verdicts { down: vec![None; count], up: vec![None; count] };
    let mut fresh = (vec![false; count], vec![false; count]);
    for id in flows.ids() {
        let is_new = flows.flow(id).is_new;
        fresh.0[id.machine] |= is_new;
        fresh.1[flows.flow(id).next_source()] |= is_new && !flows.flow(id).is_complete;
    }
    for id in flows.ids().filter(|id| fresh.0[id.machine]) {
        if flows.flow(id).shows_limit(flows.now) {
            let limit = limit_after_change(flows, traffic, id);
            verdicts.record(id, flows.flow(id).source, limit);
        }
    }
    let now = flows.now;
    for (at, node) in flows.nodes.iter_mut().enumerate() {
        if fresh.0[at] {
            node.down.learn(now, traffic.received[at], verdicts.down[at].unwrap_or(Verdict::NotLimited));
        }
        if fresh.1[at] {
            node.up.learn(now, traffic.sent(at), verdicts.up[at].unwrap_or(Verdict::NotLimited));
        }
        node.flows.iter_mut().for_each(|flow| flow.is_new = false);
    }
}

/// Decides which end limits a flow. A machine that receives as much from two sources is limited by its own link.
fn limit_after_change(flows: &mut OrderFlows, traffic: &Traffic, id: FlowId) -> Limit {
    let (total, source) = (traffic.received[id.machine], flows.flow(id).source);
    let before = flows.flow(id).ample.filter(|(other, _)| *other != source);
    let is_same = before.is_some_and(|(_, before)| total < UNEQUAL * before && before < UNEQUAL * total);
    let limit = match traffic.limit(flows, id) {
        Limit::Unknown if is_same => Limit::Receiver { is_certain: false },
        limit => limit,
    };
    if before.is_none() || matches!(limit, Limit::Sender { .. }) {
        flows.flow_mut(id).ample = Some((source, total));
    }
    limit
}
