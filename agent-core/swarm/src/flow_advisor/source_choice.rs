//! The choice of a source for one machine.

use super::{
    demand::ENOUGH,
    flows::{FlowId, SERVER},
    limits::Limit,
    round::Round,
};
use std::time::Duration;

/// A change must bring this factor.
const GAIN: f64 = 1.3;
/// A change to a source that others share must bring this factor.
const SHARED_GAIN: f64 = 1.25;
/// A machine must get this share of its need after a change that is not for its own sake.
const KEPT: f64 = 0.8;
/// A machine that leaves the server for others' sake must keep this share of its rate.
const KEPT_FROM_SERVER: f64 = 0.9;
/// How much a machine is asked to send (copies).
pub(super) const USUAL_COPIES: f64 = 1.45;
/// How much a machine may be asked to send at first, when others can take flows from it later (copies).
const MOST_COPIES: f64 = 2.2;
/// Sources whose times differ by less than this share are equally good.
const EQUAL_TIME: f64 = 0.02;
/// A source whose rate has not been seen counts as slower by this factor.
const UNSEEN: f64 = 1.3;
/// A source that must lose a flow later counts as slower by this factor.
const OVERLOADED: f64 = 1.5;
/// A machine that has hardly received anything for this long is no source.
const POOR_TIME: Duration = Duration::from_secs(1);
/// A source that has just changed its own counts as behind by this factor.
const UNSETTLED: f64 = 1.01;

/// What a machine needs from its next source.
struct Demand {
    id: FlowId,
    /// What it needs (bytes a second).
    need: f64,
    /// The least that it must get (bytes a second).
    least: f64,
    /// Whether the change is not for the machine's own sake.
    is_relief: bool,
    /// Whether its next source must have the whole stripe, and be known to send enough.
    must_be_safe: bool,
}

/// A possible source.
#[derive(Clone, Copy)]
struct Offer {
    source: usize,
    /// How long the rest takes (seconds), with additions for what is unsure.
    time: f64,
    spare: f64,
}

impl Offer {
    fn is_better_than(&self, other: Option<Self>) -> bool {
        other.is_none_or(|other| {
            self.time < other.time * (1.0 - EQUAL_TIME)
                || self.time < other.time * (1.0 + EQUAL_TIME) && self.spare > other.spare
        })
    }
}

impl Round<'_> {
    /// Returns a source that gives a machine more of a stripe than it gets now.
    pub(super) fn faster_source(&self, id: FlowId) -> Option<usize> {
        let (flow, need) = (self.flow(id), self.need(id.machine));
        let is_poor = flow.rate < 0.5 * need && self.node(flow.source).up.at_least < 0.5 * self.best;
        let is_unclear = flow.waited && self.limit(id) == Limit::Unknown && !is_poor;
        let least = GAIN * self.flows.path_rate(id);
        let demand = Demand { id, need, least, is_relief: false, must_be_safe: is_unclear };
        let found = self.best_offer(&demand);
        if found.is_some() || is_unclear { found } else { self.shared_source(id) }
    }
    /// Returns a source that has the whole stripe and is known to give a machine more of it than it gets now.
    pub(super) fn free_source(&self, id: FlowId) -> Option<usize> {
        let least = GAIN * self.flow(id).rate;
        self.best_offer(&Demand { id, need: self.need(id.machine), least, is_relief: false, must_be_safe: true })
    }
    /// Returns a machine that can send a stripe instead of the present source, which is to send less.
    pub(super) fn relief(&self, id: FlowId) -> Option<usize> {
        let need = self.need(id.machine);
        let leaves_server = self.flow(id).source == SERVER && !self.node(id.machine).is_limited_by_itself();
        let least = match leaves_server {
            true => need.min(KEPT_FROM_SERVER * self.flows.path_rate(id)),
            false => KEPT * need,
        };
        self.best_offer(&Demand { id, need, least, is_relief: true, must_be_safe: false })
    }
    fn best_offer(&self, demand: &Demand) -> Option<usize> {
        let server = Some(SERVER).filter(|_| !demand.is_relief && self.may_serve(demand.id));
        let others = self.candidates.get(demand.id.stripe)?;
        let mut found: Option<Offer> = None;
        for source in server.into_iter().chain(others.iter().copied()) {
            if let Some(offer) = self.offer(demand, source).filter(|offer| offer.is_better_than(found)) {
                found = Some(offer);
            }
        }
        found.map(|offer| offer.source)
    }
    fn offer(&self, demand: &Demand, source: usize) -> Option<Offer> {
        let id = demand.id;
        let above = FlowId { machine: source, ..id };
        let (flow, theirs) = (self.flow(id), self.flow(above));
        let spare = self.spare(source);
        let rate = spare.min(self.flows.path_rate(above)).min(demand.need);
        let planned = self.planned[source] + flow.left;
        let has_others = self.candidates.get(id.stripe).is_some_and(|others| others.len() > 1);
        let is_temporary = !demand.is_relief && !demand.must_be_safe && has_others;
        let most = if is_temporary { MOST_COPIES } else { USUAL_COPIES };
        let is_overloaded = source != SERVER && planned > most * self.flows.size;
        let is_guess = demand.must_be_safe && !self.is_safe(id, source);
        let is_poor = theirs.is_poor_for(self.flows.now, POOR_TIME);
        if rate < demand.least || rate <= 0.0 || is_poor || is_overloaded || is_guess || !self.can_follow(id, source) {
            return None;
        }
        let is_moving = !theirs.is_complete && !theirs.is_settled(self.flows.now);
        let left = if is_moving { theirs.left * UNSETTLED } else { theirs.left };
        let mut time = flow.left.max(left) / rate;
        let node = self.node(source);
        if source != SERVER && node.down.at_least.max(node.up.at_least) < ENOUGH * self.best {
            time *= UNSEEN;
        }
        if source != SERVER && planned > USUAL_COPIES * self.flows.size {
            time *= OVERLOADED;
        }
        Some(Offer { source, time, spare })
    }
    /// Returns whether a source has the whole stripe soon, and has been seen to send more than this flow takes.
    fn is_safe(&self, id: FlowId, source: usize) -> bool {
        let may = source != SERVER || self.flows.server_copies > 1.0;
        let seen = self.node(source).up.at_least - self.traffic.lasting(self.flows, source);
        may && self.flow(FlowId { machine: source, ..id }).is_ending() && seen >= GAIN * self.flow(id).rate
    }
    pub(super) fn can_follow(&self, id: FlowId, source: usize) -> bool {
        source != id.machine
            && source != self.flow(id).source
            && !self.flows.comes_through(source, id)
            && self.may_change(id, source)
    }
    /// Returns a source whose other receivers get less then, but more than this one gets now. Few machines are to be below
    /// those receivers.
    fn shared_source(&self, id: FlowId) -> Option<usize> {
        let least = SHARED_GAIN * self.flows.path_rate(id);
        let need = self.need(id.machine);
        let mut found: Option<(usize, f64, usize)> = None;
        for &source in self.candidates.get(id.stripe)? {
            let children = self.children(source);
            let each = self.upload(source) / (children.len() + 1) as f64;
            let rate = each.min(self.flows.path_rate(FlowId { machine: source, ..id })).min(need);
            let is_overloaded = self.planned[source] + self.flow(id).left > USUAL_COPIES * self.flows.size;
            let has_too_many = children.len() > self.flows.stripes;
            if has_too_many || rate < least || is_overloaded || !self.can_follow(id, source) {
                continue;
            }
            let below: usize = children.iter().map(|child| self.sizes[child.machine][child.stripe]).sum();
            if found.is_none_or(|(fewest, most, _)| (below, -rate) < (fewest, -most)) {
                found = Some((below, rate, source));
            }
        }
        found.map(|(.., source)| source)
    }
}
