//! Upload that is free, if the server may send more copies than the plan needs (`--server-copies`).
//!
//! A machine that leaves its source leaves that source more upload for its other receivers. So the server takes over
//! machines, as far as its link and the copies allow. Machines that send nothing do the same.

use super::{
    flows::{FlowId, OrderFlows, SERVER, SETTLING},
    round::Round,
};

/// The server must give a machine this many times what it gets now. With less, its link would be divided among so many
/// that none of them gets ahead of those below it.
const WORTH_SERVING: f64 = 2.0;
/// The same for a machine that sends nothing, if the old source has no other receivers …
const WORTH_CHANGING: f64 = 1.5;
/// … and if it has.
const NO_LOSS: f64 = 0.9;
/// The server begins when this share of what its link can send until the end is allowed. It cannot use its whole link
/// until the end, because flows that are almost complete stay where they are.
const SENT_BY_THE_END: f64 = 0.6;
/// A flow that ends within this time stays where it is (seconds).
const SHORT: f64 = 1.0;
/// A source that is ahead of a receiver by this share of a stripe can send faster than it receives.
const AHEAD: f64 = 0.1;
/// A source that is behind a receiver by no more than this share of a stripe can still feed it.
const LEVEL: f64 = 0.02;
/// How many uplinks must be known before the others count as no faster.
const FEW: usize = 2;

impl OrderFlows {
    /// Returns whether the server may send more than the plan needs.
    pub(super) fn may_send_more(&self) -> bool {
        self.most_server_copies > self.server_copies
    }
    /// Returns the rate of the fastest uplink that was seen (bytes a second), once some uplinks are known. Without that,
    /// the advice would count on upload that machines do not have.
    pub(super) fn fastest_uplink(&self) -> Option<f64> {
        let machines = || self.nodes.iter().skip(1);
        let known = machines().filter(|node| node.up.at_most.is_some()).count();
        let fastest = machines().map(|node| node.up.at_most.unwrap_or(node.up.at_least)).fold(0.0, f64::max);
        (self.may_send_more() && known >= FEW).then_some(fastest)
    }
}

/// How much a change of source brings. Later fields decide between changes that are equal in the former ones.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Gain {
    /// Whether other machines get more from the old source then.
    is_for_others: bool,
    /// How many machines receive the stripe through the receiver, itself included.
    below: usize,
    /// How much earlier the receiver has the stripe (seconds).
    saved: f64,
}

impl Round<'_> {
    /// Lets machines receive from the server, or from machines that send nothing.
    pub(super) fn use_free_upload(&mut self) {
        if !self.flows.may_send_more() {
            return;
        }
        while self.is_time_to_send()
            && let Some(id) = self.best_change_to(SERVER)
        {
            self.tell(id, SERVER);
        }
        for source in 1..self.flows.nodes.len() {
            if self.node(source).can_feed()
                && self.children(source).is_empty()
                && let Some(id) = self.best_change_to(source)
            {
                self.tell(id, source);
            }
        }
    }
    /// Returns whether what the server may still send lasts until the end. Upload helps most there: whoever gets it early
    /// only gets ahead of the others.
    fn is_time_to_send(&self) -> bool {
        let budget = self.server_budget(0.0);
        let longest = self.flows.ids().filter_map(|id| self.time_left(id)).fold(0.0, f64::max);
        budget >= SENT_BY_THE_END * longest * self.upload(SERVER)
    }
    /// Returns the flow for which a change to this source brings most.
    fn best_change_to(&self, source: usize) -> Option<FlowId> {
        let gains = self.flows.ids().filter_map(|id| Some((self.gain(id, source)?, id)));
        let best = gains.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, id)| id)
    }
    fn gain(&self, id: FlowId, source: usize) -> Option<Gain> {
        let (flow, time) = (self.flow(id), self.time_left(id)?);
        let rate = self.rate_from(id, source);
        let saved = time - flow.left / rate;
        let is_for_others = self.source_has_others(id);
        let least = match (source, is_for_others) {
            (SERVER, _) => WORTH_SERVING,
            (_, true) => NO_LOSS,
            (_, false) => WORTH_CHANGING,
        };
        let is_allowed = source != SERVER || flow.left <= self.server_budget(0.0);
        let is_long = if is_for_others { time > SHORT } else { saved > SHORT };
        (is_allowed && is_long && rate >= least * flow.rate && self.can_follow(id, source)).then(|| Gain {
            is_for_others,
            below: self.sizes[id.machine][id.stripe],
            saved,
        })
    }
    /// Returns how long the rest of a flow takes (seconds). Returns `None` if the machine keeps its source.
    fn time_left(&self, id: FlowId) -> Option<f64> {
        let (node, flow, now) = (self.node(id.machine), self.flow(id), self.flows.now);
        let is_slow = self.is_slow(id.machine) && node.is_limited_by_itself();
        let is_changing = now.saturating_sub(flow.changed) < SETTLING;
        let may_go = node.online && flow.source != SERVER && flow.shows_limit(now) && !is_changing && !is_slow;
        may_go.then(|| flow.left / flow.rate.max(1.0))
    }
    /// Returns what a machine would get of a stripe from this source (bytes a second).
    fn rate_from(&self, id: FlowId, source: usize) -> f64 {
        let share = self.upload(source) / (self.children(source).len() + 1) as f64;
        let theirs = self.flow(FlowId { machine: source, ..id });
        if self.is_ahead(source, id) {
            share
        } else if theirs.left <= self.flow(id).left + LEVEL * self.flows.stripe_size() {
            share.min(theirs.rate)
        } else {
            0.0
        }
    }
    fn is_ahead(&self, source: usize, id: FlowId) -> bool {
        let theirs = self.flow(FlowId { machine: source, ..id });
        theirs.is_complete || theirs.left + AHEAD * self.flows.stripe_size() < self.flow(id).left
    }
    /// Returns whether the source of a flow can send more to other receivers when this one leaves it.
    fn source_has_others(&self, id: FlowId) -> bool {
        let source = self.flow(id).source;
        let gets_more = |other: &FlowId| *other != id && self.flow(*other).waited && self.is_ahead(source, *other);
        self.children(source).iter().any(gets_more)
    }
}
