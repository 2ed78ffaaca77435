//! The machines that receive from the server. A slow one changes places with a fast one.

use super::{
    demand::{ENOUGH, FAR_TOO_SLOW, MOST_EXTRA},
    flows::{CHANGE, FlowId, SERVER, SETTLING},
    limits::Limit,
    round::Round,
};
use crate::io::Now;

/// How often the server tries another head while nothing shows which link is the limit.
const MOST_TRIALS: u32 = 1;
/// A head that lacks less than this share of a stripe keeps its place.
const ALMOST_DONE: f64 = 0.05;
/// A head is tried only as long as it lacks this share of a stripe.
const EARLY: f64 = 0.6;
/// … and only if the rest takes longer than this (seconds).
const LONG: f64 = 60.0;
/// A machine can take the place of a head that is ahead by this share of a stripe.
const SMALL_LAG: f64 = 0.05;
/// What the server may send beyond what is allowed when a head changes (copies).
const EXTRA: f64 = 0.15;

/// A head, its stripe, and the machine that takes its place.
#[derive(Debug, Clone, Copy)]
struct HeadChange {
    head: FlowId,
    successor: usize,
    since: Now,
}

/// Changes of heads that have begun. There is at most one for each stripe.
#[derive(Debug, Default)]
pub(super) struct HeadChanges {
    trials: u32,
    changes: Vec<HeadChange>,
}

impl HeadChanges {
    pub(super) fn run(&mut self, round: &mut Round<'_>) {
        for head in round.only_heads() {
            let is_changing = self.changes.iter().any(|change| change.head.stripe == head.stripe);
            if !is_changing && round.is_bad_head(head) {
                self.begin(round, head, Some(round.change_budget(head)));
            }
        }
        if round.moves.is_empty()
            && self.trials < MOST_TRIALS
            && let Some(head) = round.unclear_head()
            && self.begin(round, head, None)
        {
            self.trials += 1;
        }
        self.finish(round);
    }
    /// Lets another machine receive from the server. `budget`: the bytes that the server may send again for that; `None`
    /// for a trial.
    fn begin(&mut self, round: &mut Round<'_>, head: FlowId, budget: Option<f64>) -> bool {
        let successor = round.successor(head, budget);
        if let Some(successor) = successor {
            round.tell(FlowId { machine: successor, ..head }, SERVER);
            self.changes.push(HeadChange { head, successor, since: round.flows.now });
        }
        successor.is_some()
    }
    /// Old heads go below the new ones as soon as those receive from the server.
    fn finish(&mut self, round: &mut Round<'_>) {
        let now = round.flows.now;
        self.changes.retain(|&HeadChange { head, successor, since }| {
            let flow = round.flow(FlowId { machine: successor, ..head });
            if flow.source != SERVER || flow.told.is_some() {
                return now.saturating_sub(since) < CHANGE;
            }
            let may = !round.flows.comes_through(successor, head) && round.may_change(head, successor);
            if may && !round.flow(head).is_complete {
                round.tell(head, successor);
            }
            false
        });
    }
}

impl Round<'_> {
    /// Returns the heads of stripes that the server sends to one machine only.
    fn only_heads(&self) -> Vec<FlowId> {
        let mut heads: Vec<Vec<FlowId>> = vec![Vec::new(); self.flows.stripes];
        self.children(SERVER).iter().for_each(|head| heads[head.stripe].push(*head));
        heads.into_iter().filter(|heads| heads.len() == 1).flatten().collect()
    }
    fn children_of(&self, head: FlowId) -> impl Iterator<Item = FlowId> + '_ {
        self.children(head.machine).iter().copied().filter(move |id| id.stripe == head.stripe)
    }
    /// Returns whether a head receives or sends so little that those below it wait.
    fn is_bad_head(&self, head: FlowId) -> bool {
        let (node, flow) = (self.node(head.machine), self.flow(head));
        let is_changing = flow.told.is_some() || self.flows.now.saturating_sub(flow.changed) < SETTLING;
        if is_changing || flow.source != SERVER || flow.left < ALMOST_DONE * self.flows.stripe_size() {
            return false;
        }
        let usual = self.best / self.flows.stripes as f64;
        let receives_little = node.is_limited_by_itself() && flow.rate < ENOUGH * usual;
        let is_slow_sender = node.up.at_most.is_some_and(|most| most < ENOUGH * self.best);
        let is_slow_sender = is_slow_sender && self.uploads_differ(head.machine);
        receives_little
            || is_slow_sender
                && self.children_of(head).any(|id| self.flow(id).told.is_none() && self.gets_too_little(id))
    }
    /// Returns the bytes that the server may send again so that another machine takes the place of this one. The less
    /// those below it get, the more.
    fn change_budget(&self, head: FlowId) -> f64 {
        let share = self.children_of(head).map(|id| self.share(id)).fold(1.0, f64::min);
        let is_severe = share < FAR_TOO_SLOW && self.uploads_differ(head.machine);
        self.server_budget(if is_severe { Self::extra_copies(share) } else { EXTRA })
    }
    /// Returns a head to replace for a trial, if nothing shows for any head which end is the limit.
    fn unclear_head(&self) -> Option<FlowId> {
        let heads = self.children(SERVER);
        let is_unclear = |&head: &FlowId| {
            let (node, flow) = (self.node(head.machine), self.flow(head));
            flow.source == SERVER
                && flow.shows_limit(self.flows.now)
                && !node.down.was_known
                && node.down.at_most.is_none()
                && flow.left > EARLY * self.flows.stripe_size()
                && flow.left > LONG * flow.rate
                && self.limit(head) == Limit::Unknown
        };
        let is_plain = heads.len() == self.flows.stripes && heads.iter().all(is_unclear);
        heads.first().copied().filter(|_| is_plain)
    }
    /// Returns the machine that can take the place of a head: one with much upload to spare. A trial must not give it more
    /// than one copy to send.
    fn successor(&self, head: FlowId, budget: Option<f64>) -> Option<usize> {
        let small = SMALL_LAG * self.flows.stripe_size();
        let most = self.server_budget(MOST_EXTRA);
        let lag = |machine: usize| self.flow(FlowId { machine, ..head }).left - self.flow(head).left;
        let is_fast = |rate: Option<f64>| rate.is_none_or(|most| most >= ENOUGH * self.best);
        let can = |&machine: &usize| {
            let node = self.node(machine);
            let flow = self.flow(FlowId { machine, ..head });
            let is_head = node.flows.iter().any(|flow| !flow.is_complete && flow.next_source() == SERVER);
            let is_receiving = !flow.is_complete && flow.told.is_none() && flow.since.is_some();
            let least = if lag(machine) < small { most } else { 0.0 };
            let is_near = lag(machine) <= budget.unwrap_or(small).max(least);
            let has_room = budget.is_some() || self.children(machine).len() < self.flows.stripes;
            node.can_feed()
                && !is_head
                && is_receiving
                && is_near
                && has_room
                && is_fast(node.down.at_most)
                && is_fast(node.up.at_most)
        };
        let order =
            |a: &usize, b: &usize| self.spare(*a).total_cmp(&self.spare(*b)).then_with(|| lag(*b).total_cmp(&lag(*a)));
        (1..self.flows.nodes.len()).filter(can).max_by(order)
    }
}
