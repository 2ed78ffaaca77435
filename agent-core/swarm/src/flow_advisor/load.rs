//! Machines and the server send less when they are to send too much.

use super::{
    demand::SLOW,
    flows::{CHANGE, FlowId, SERVER},
    round::{MOST_MOVES, Round},
};
use std::time::Duration;

/// A machine that is to send more than this, and much more than planned, loses a flow (copies).
const MOST_COPIES: f64 = 1.5;
/// A machine sends much more than planned if it does so by this factor.
const BEYOND_PLAN: f64 = 1.1;
/// The server loses flows if it is to send this much beyond what is allowed (copies).
const SERVER_EXTRA: f64 = 0.3;
/// The server loses a flow only after it has lasted this long.
const SERVER_FLOW: Duration = Duration::from_secs(2);

impl Round<'_> {
    fn lasts(&self, id: FlowId, least: Duration) -> bool {
        let flow = self.flow(id);
        flow.told.is_none() && self.flows.now.saturating_sub(flow.changed) > least
    }
    /// Moves a flow to a machine that can take it over. Returns whether there is one.
    fn relieve(&mut self, id: FlowId) -> bool {
        let source = self.relief(id);
        source.into_iter().for_each(|source| self.tell(id, source));
        source.is_some()
    }
    /// Machines with slow links leave the server if a fast machine receives the same stripe from it.
    pub(super) fn relieve_server_of_slow_machines(&mut self) {
        for stripe in 0..self.flows.stripes {
            let heads: Vec<FlowId> =
                self.children(SERVER).iter().copied().filter(|head| head.stripe == stripe).collect();
            let receives = |head: &FlowId| self.flow(*head).source == SERVER;
            let is_fast = |head: &FlowId| {
                receives(head) && self.flow(*head).since.is_some() && !self.node(head.machine).is_limited_by_itself()
            };
            let is_slow = |head: &FlowId| {
                let is_slow = self.node(head.machine).is_limited_by_itself();
                receives(head)
                    && self.flow(*head).told.is_none()
                    && is_slow
                    && self.need(head.machine) < SLOW * self.best
            };
            if !heads.iter().any(is_fast) {
                continue;
            }
            let slow: Vec<FlowId> = heads.iter().copied().filter(is_slow).take(MOST_MOVES).collect();
            slow.into_iter().for_each(|head| _ = self.relieve(head));
        }
    }
    /// Machines leave the server if it would send too much. The most advanced fast one of each stripe stays.
    pub(super) fn unload_server(&mut self) {
        for stripe in 0..self.flows.stripes {
            let mut heads: Vec<(bool, f64, FlowId)> = Vec::new();
            for head in self.children(SERVER).iter().filter(|head| head.stripe == stripe) {
                let node = self.node(head.machine);
                heads.push((node.is_limited_by_itself() || !node.forwards, self.flow(*head).left, *head));
            }
            heads.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            for (.., head) in heads.into_iter().skip(1).rev().take(MOST_MOVES) {
                if self.server_budget(SERVER_EXTRA) < 0.0 && self.lasts(head, SERVER_FLOW) {
                    self.relieve(head);
                }
            }
        }
    }
    /// Machines that would send too much lose one flow: the one that takes the least, if it has another source.
    pub(super) fn unload_machines(&mut self) {
        let most = |machine: usize| (BEYOND_PLAN * self.node(machine).plan).max(MOST_COPIES * self.flows.size);
        let is_overloaded = |machine: &usize| self.planned[*machine] > most(*machine);
        let overloaded: Vec<usize> = (1..self.flows.nodes.len()).filter(is_overloaded).take(MOST_MOVES).collect();
        for machine in overloaded {
            let mut below: Vec<FlowId> = self.children(machine).to_vec();
            below.retain(|id| self.lasts(*id, CHANGE));
            below.sort_by(|a, b| self.need(a.machine).total_cmp(&self.need(b.machine)));
            for id in below.into_iter().take(MOST_MOVES) {
                if self.relieve(id) {
                    break;
                }
            }
        }
    }
}
