//! Machines that get too little because of their source.

use super::{
    demand::ENOUGH,
    flows::{FlowId, SERVER, SETTLING},
    limits::Limit,
    round::{MOST_MOVES, Round},
};
use std::{collections::HashSet, time::Duration};

/// A machine changes its source at most this often as long as it is unclear which link is the limit.
const MOST_GUESSES: u32 = 3;
/// A machine gets too little only if it does for this long. Rates fluctuate.
const LASTING: Duration = Duration::from_millis(1200);
/// … or this long, if others are only a little faster.
const LONG: Duration = Duration::from_millis(1800);
/// A source has too many receivers if they need more than it can send, by this factor.
const OVERLOADED: f64 = 1.3;
/// A source is stuck if hardly anything has reached it for this long, though its own source gets enough.
const STUCK: Duration = Duration::from_secs(3);
/// A change is not worth it if the rest arrives within this time (seconds).
const SHORT: f64 = 2.5;
/// A source that has changed its own lately says nothing for this long.
const QUIET: Duration = Duration::from_secs(2);
/// A source that has lost a receiver has this long to send more to the others.
const RELIEF: Duration = Duration::from_millis(1500);
/// How long a machine keeps a source that it was told to take; twice as long after each further change.
const KEEPING: Duration = Duration::from_millis(1500);
/// After this many changes, that time grows no more.
const MOST_DOUBLINGS: u32 = 5;
/// In a round, one machine more than this part of all changes its source. Each change shows what the next one must be.
const CHANGING_PART: usize = 8;

impl Round<'_> {
    /// Returns whether a machine gets too little of a stripe, and another source may give it more.
    pub(super) fn gets_too_little(&self, id: FlowId) -> bool {
        let (node, flow, now) = (self.node(id.machine), self.flow(id), self.flows.now);
        let pause = KEEPING * 2u32.saturating_pow(flow.moves.min(MOST_DOUBLINGS));
        let pause = if flow.moves == 0 { SETTLING } else { pause };
        let is_changing = flow.told.is_some() || now.saturating_sub(flow.changed) < pause || !self.is_quiet_above(id);
        if !node.online || flow.is_complete || is_changing || node.is_limited_by_itself() {
            return false;
        }
        let enough = ENOUGH * self.need(id.machine);
        if flow.left < SHORT * flow.rate {
            return false;
        }
        if self.has_slow_source(id, enough) {
            return true;
        }
        if self.gets_more_soon(id) {
            return false;
        }
        let is_lasting = flow.is_low_for(now, LASTING);
        if !flow.waited || !flow.is_settled(now) || flow.rate >= enough || !(is_lasting || flow.rate < 0.5 * enough) {
            return false;
        }
        match self.limit(id) {
            Limit::Sender { is_certain } => is_certain || flow.is_low_for(now, LONG),
            Limit::Receiver { .. } => false,
            Limit::Unknown => flow.moves < MOST_GUESSES,
        }
    }
    /// Returns whether no source above has changed its own lately. One that has received nothing for long does not count.
    fn is_quiet_above(&self, id: FlowId) -> bool {
        let now = self.flows.now;
        self.flows.path(id).skip(1).filter(|machine| *machine != SERVER).all(|machine| {
            let flow = self.flow(FlowId { machine, ..id });
            let is_quiet = flow.moves == 0 || now.saturating_sub(flow.changed) >= QUIET;
            let is_over = flow.is_complete || flow.is_poor_for(now, STUCK);
            is_over || flow.told.is_none() && flow.is_settled(now) && is_quiet
        })
    }
    /// Returns whether the source has just lost a receiver, and can send enough to the others.
    fn gets_more_soon(&self, id: FlowId) -> bool {
        let source = self.flow(id).source;
        let has_lost = self.node(source).relieved.is_some_and(|at| self.flows.now.saturating_sub(at) < RELIEF);
        has_lost && self.needed_of(source) <= self.upload(source) / ENOUGH
    }
    /// Returns what the receivers of a source need (bytes a second).
    fn needed_of(&self, source: usize) -> f64 {
        self.children(source).iter().map(|child| self.need(child.machine)).sum()
    }
    /// Returns whether the source has more receivers than it can send to, and can best do without this one.
    fn is_surplus(&self, id: FlowId) -> bool {
        let (flow, now) = (self.flow(id), self.flows.now);
        let source = flow.source;
        let is_steady = flow.told.is_none() && flow.is_settled(now);
        let is_low = flow.rate < ENOUGH * self.need(id.machine) && flow.left >= SHORT * flow.rate;
        if source == SERVER || flow.is_complete || !self.node(id.machine).online || !is_steady || !is_low {
            return false;
        }
        let below = |id: FlowId| self.sizes[id.machine][id.stripe];
        let is_smallest = self.children(source).iter().all(|child| (below(id), id) <= (below(*child), *child));
        is_smallest && self.needed_of(source) > OVERLOADED * self.upload(source)
    }
    /// Returns whether the source cannot receive the stripe fast enough.
    fn has_slow_source(&self, id: FlowId, enough: f64) -> bool {
        let source = self.flow(id).source;
        let above = self.flow(FlowId { machine: source, ..id });
        if source == SERVER || above.is_complete {
            return false;
        }
        let gets_enough = |machine: usize| {
            let flow = self.flow(FlowId { machine, ..id });
            machine == SERVER || flow.is_complete || flow.rate >= enough
        };
        let is_stuck = above.is_poor_for(self.flows.now, STUCK) && gets_enough(above.source);
        is_stuck || self.node(source).is_limited_by_itself() && above.rate < enough
    }
    /// Gives those who get too little another source, those nearest the server first.
    pub(super) fn replace_slow_sources(&mut self) {
        let mut receivers: Vec<(usize, FlowId)> =
            self.flows.ids().filter(|id| self.gets_too_little(*id)).map(|id| (self.depth(id), id)).collect();
        receivers.sort_unstable();
        let mut left = HashSet::new();
        for (_, id) in receivers.into_iter().take(MOST_MOVES) {
            if self.moves.len() >= self.most_changes() {
                break;
            }
            let source = self.flow(id).source;
            if left.contains(&source) && self.flow(id).waited && self.has_enough_now(id) {
                continue;
            }
            if let Some(faster) = self.faster_source(id) {
                self.tell(id, faster);
                left.insert(source);
            }
        }
    }
    /// Gives receivers of sources with too many another source that is free.
    pub(super) fn relieve_overloaded_sources(&mut self) {
        for id in self.flows.ids().filter(|id| self.is_surplus(*id)).collect::<Vec<_>>() {
            if self.moves.len() >= self.most_changes() {
                break;
            }
            self.free_source(id).into_iter().for_each(|free| self.tell(id, free));
        }
    }
    fn most_changes(&self) -> usize {
        (1 + self.flows.nodes.len() / CHANGING_PART).min(MOST_MOVES)
    }
    /// Returns whether the source of a flow can send enough, now that others have left it.
    fn has_enough_now(&self, id: FlowId) -> bool {
        let source = self.flow(id).source;
        let each = self.traffic.sent(source) / self.children(source).len().max(1) as f64;
        each >= ENOUGH * self.need(id.machine)
    }
}
