//! What machines need, what they can still send, and how much the server may send.

use super::{
    flows::{FlowId, OrderFlows, SERVER},
    limits::UNEQUAL,
    round::Round,
};

/// A flow below this share of what its receiver needs is too slow.
pub(super) const ENOUGH: f64 = 0.75;
/// A flow below this share of what its receiver needs is far too slow.
pub(super) const FAR_TOO_SLOW: f64 = 0.5;
/// A machine that can receive less than this share of the best rate is slow.
pub(super) const SLOW: f64 = 0.6;
/// The server has this much more upload than one copy needs, if nothing else is known.
const SERVER_UPLOAD: f64 = 1.2;
/// What the server may send beyond what is allowed, to reach one machine (copies).
const EXTRA: f64 = 0.25;
/// The same for a machine that gets far too little: the less it gets, the more.
pub(super) const MOST_EXTRA: f64 = 0.75;
/// The share of its need that makes a machine worth one more copy from the server.
const WORTH_A_COPY: f64 = 0.15;

/// A single machine's claim counts for at most this many times the usual rate.
const MOST_ABOVE_USUAL: f64 = 16.0;

/// What all can send together counts once this share of the uplinks is known.
const MOST_KNOWN: f64 = 0.75;

impl OrderFlows {
    /// Returns the rate at which a machine can receive the file at best (bytes a second): the second highest that was
    /// seen. A flow from the server shows it too, as far as it is not far above what others receive: it may be a lie.
    pub(super) fn best_rate(&self) -> f64 {
        let mut rates: Vec<f64> = self.nodes.iter().skip(1).map(|node| node.down.at_least).collect();
        rates.retain(|rate| *rate > 0.0);
        rates.sort_unstable_by(f64::total_cmp);
        let Some(usual) = rates.get(rates.len() / 2) else { return 0.0 };
        let claim = self.best_flow.min(MOST_ABOVE_USUAL * usual);
        let second = rates.len().checked_sub(2).and_then(|at| rates.get(at));
        let first = rates.last().copied().unwrap_or_default();
        let best = second.copied().unwrap_or_default().max(claim.min(first));
        best.min(self.usual_upload(best).unwrap_or(best))
    }
    /// Returns what a machine can receive if all send together (bytes a second), once most uplinks are known.
    fn usual_upload(&self, best: f64) -> Option<f64> {
        let machines = || self.nodes.iter().skip(1).filter(|node| node.online);
        let known: Vec<f64> = machines().filter_map(|node| node.up.at_most.filter(|_| node.forwards)).collect();
        let count = machines().count();
        let unknown = count.saturating_sub(known.len()) as f64;
        let server = self.nodes[SERVER].up.at_most.unwrap_or(self.nodes[SERVER].up.at_least.max(best));
        let server = server.min(self.most_server_copies.max(1.0).min(count as f64) * best);
        let usual = self.fastest_uplink();
        let sum: f64 = known.iter().sum::<f64>() + unknown * usual.unwrap_or(best).min(best) + server;
        let is_known = known.len() as f64 >= MOST_KNOWN * count as f64 || usual.is_some();
        is_known.then(|| sum / count.max(1) as f64)
    }
}

impl Round<'_> {
    /// Returns what a machine needs of each stripe (bytes a second).
    pub(super) fn need(&self, machine: usize) -> f64 {
        let node = self.node(machine);
        let missing = node.flows.iter().filter(|flow| !flow.is_complete).count().max(1);
        self.best.min(node.down.at_most.unwrap_or(f64::INFINITY)) / missing as f64
    }
    /// Returns the share of its need that a machine gets of a stripe in the long run.
    pub(super) fn share(&self, id: FlowId) -> f64 {
        let need = self.need(id.machine);
        if need > 0.0 { self.flows.path_rate(id) / need } else { f64::INFINITY }
    }
    /// Returns what a flow takes of its source's upload (bytes a second).
    pub(super) fn takes(&self, source: usize, id: FlowId) -> f64 {
        let need = self.need(id.machine);
        match source {
            _ if self.flow(id).is_ending() => 0.0,
            SERVER => need,
            _ => need.min(self.flows.path_rate(FlowId { machine: source, ..id })),
        }
    }
    /// Returns what a machine can send in all (bytes a second).
    pub(super) fn upload(&self, machine: usize) -> f64 {
        let node = self.node(machine);
        let usual = match machine {
            SERVER => self.best,
            _ => self.best.min(node.down.at_most.unwrap_or(self.best)),
        };
        let usual = self.flows.fastest_uplink().filter(|_| machine != SERVER).map_or(usual, |uplink| usual.min(uplink));
        node.up.at_most.unwrap_or(node.up.at_least.max(usual))
    }
    /// Returns what a machine can still send (bytes a second).
    pub(super) fn spare(&self, machine: usize) -> f64 {
        let can = match machine {
            SERVER if self.flows.server_copies <= 1.0 => SERVER_UPLOAD * self.best,
            _ => self.upload(machine),
        };
        can - self.taken[machine]
    }
    /// Returns whether the machines are known to send unequally much, compared with this one.
    pub(super) fn uploads_differ(&self, machine: usize) -> bool {
        let Some(up) = self.node(machine).up.at_most.filter(|_| machine != SERVER) else { return false };
        self.flows.nodes.iter().skip(1).any(|other| {
            let differs = |most: f64| most > UNEQUAL * up || up > UNEQUAL * most;
            other.up.at_least > UNEQUAL * up || other.up.at_most.is_some_and(differs)
        })
    }
    /// Returns what the server may send beyond what is allowed, so that a machine gets more than this share of its need
    /// (copies).
    pub(super) fn extra_copies(share: f64) -> f64 {
        (WORTH_A_COPY / share.max(0.01)).clamp(EXTRA, MOST_EXTRA)
    }
    /// Returns the bytes that the server may send beyond its present flows. `extra`: copies beyond what is allowed.
    pub(super) fn server_budget(&self, extra: f64) -> f64 {
        self.flows.size * (self.flows.most_server_copies + extra) - self.planned[SERVER]
    }
    /// Returns whether the server may send the rest of a stripe to this machine. A slow machine takes little from anyone,
    /// so it need not take it from the server. Without slow machines, the extra copies are for receivers of slow senders.
    pub(super) fn may_serve(&self, id: FlowId) -> bool {
        let is_worth_it = || {
            let is_slow = self.share(id) < FAR_TOO_SLOW && self.uploads_differ(self.flow(id).source);
            is_slow || self.has_slow_machine()
        };
        if self.flows.server_copies <= 1.0 && (self.is_slow(id.machine) || !is_worth_it()) {
            return false;
        }
        // A slow head of the same stripe can change to this machine.
        let goes = |head: &&FlowId| head.stripe == id.stripe && self.node(head.machine).is_limited_by_itself();
        let freed: f64 = self.children(SERVER).iter().filter(goes).map(|head| self.flow(*head).left).sum();
        self.flow(id).left <= (self.server_budget(EXTRA) + freed).min(self.server_budget(MOST_EXTRA))
    }
    fn has_slow_machine(&self) -> bool {
        (1..self.flows.nodes.len()).any(|machine| self.is_slow(machine))
    }
    /// Returns whether a machine is known to receive slowly.
    pub(super) fn is_slow(&self, machine: usize) -> bool {
        self.node(machine).down.at_most.is_some_and(|most| most < SLOW * self.best)
    }
}
