//! Passes the schedule's decisions to the state machine and the node loop, and only those that changed.

use super::Agent;
use crate::{
    local_backend::snapshot::ScheduleInputs,
    pipeline::active_orders::{ActiveOrder, lock},
    sensors::Sampler,
};
use banyan_proto::{
    OrderId, Reason,
    schedule::{Gate, GiveWay, Pace, Stage},
};
use banyan_schedule::{decide, give_way, rates};
use banyan_swarm::io::Input;
use std::collections::{BTreeMap, BTreeSet};

type May = Result<(), Reason>;

/// The decisions passed on last.
#[derive(Debug, Default)]
pub struct SentDecisions {
    orders: BTreeMap<OrderId, (May, May)>,
    forward: Option<May>,
    rates: Option<(Option<u64>, Option<u64>)>,
    /// ActiveOrders received without yielding bandwidth, because a user is waiting or their deadline has passed.
    hurry: BTreeSet<OrderId>,
}

impl Agent {
    /// Measures free disk space before the first offer is answered, in case the scheduler has not done so yet.
    pub(crate) fn look_at_disk(&self) {
        let now = self.user.now();
        let mut sampled = lock(&self.user.sampled).clone();
        if sampled.signals().free_disk.get(now.mono).is_none() {
            Sampler::rest(&mut sampled, now, &self.offers.folder);
            *lock(&self.user.sampled) = sampled;
        }
    }
    /// Decides about one order and informs the state machine.
    pub(crate) fn decide_order(&self, facts: &ScheduleInputs, active: &ActiveOrder) {
        let id = active.order.id;
        let notes = self.user.notes(id);
        if notes.ended.is_some() {
            let mut told = lock(&self.told);
            told.orders.remove(&id);
            told.hurry.remove(&id);
            return;
        }
        let verdict = self.user.verdict(facts, active, &notes);
        let full = matches!(verdict.receive, Gate::Open { limit } if limit.pace == Pace::Full);
        if full && !active.content.is_whole() {
            lock(&self.told).hurry.insert(id);
        } else {
            lock(&self.told).hurry.remove(&id);
        }
        let may = |reason: Option<Reason>| reason.map_or(Ok(()), Err);
        let receive = may(verdict.receive.reason(Stage::Receive));
        let install = may(verdict.install.reason(Stage::Install));
        let before = lock(&self.told).orders.insert(id, (receive, install));
        let Some(node) = self.node.get() else { return };
        if before.map_or(receive.is_err(), |(before, _)| before != receive) {
            tracing::info!(order = %id, ?receive, "receiving");
            node.input(Input::MayReceive(id, receive));
        }
        if before.map_or(install.is_err(), |(_, before)| before != install) {
            node.input(Input::MayInstall(id, install));
        }
    }
    /// Returns whether receiving and installing this order are urgent: a deadline has passed, or the user said "now".
    /// Urgent work does not yield to other work.
    pub(crate) fn is_waited_for(&self, facts: &ScheduleInputs, active: &ActiveOrder) -> (bool, bool) {
        let notes = self.user.notes(active.order.id);
        if notes.ended.is_some() {
            return (false, false);
        }
        let verdict = self.user.verdict(facts, active, &notes);
        let full = |gate: &Gate| matches!(gate, Gate::Open { limit } if limit.pace == Pace::Full);
        (full(&verdict.receive) && !active.content.is_whole(), full(&verdict.install))
    }
    /// Decides about forwarding and speed limits and informs the state machine and the node loop.
    pub(crate) fn decide_general(&self, facts: &ScheduleInputs) {
        let user = &self.user;
        let verdict = user.about(facts, None, |situation| decide(situation, facts.now));
        let forward = verdict.forward.reason(Stage::Forward).map_or(Ok(()), Err);
        let rates = rates(facts.choice.as_ref(), &facts.policy);
        let Some(node) = self.node.get() else { return };
        let mut told = lock(&self.told);
        if told.forward.replace(forward).map_or(forward.is_err(), |before| before != forward) {
            tracing::info!(?forward, "forwarding");
            node.input(Input::MayForward(forward));
        }
        if told.rates.replace(rates) != Some(rates) {
            node.limits().down.set(rates.0);
            node.limits().up.set(rates.1);
        }
    }
    /// Decides about forwarding, speed limits and every order.
    pub(crate) fn decide_all(&self, facts: &ScheduleInputs) {
        self.decide_general(facts);
        let orders = self.orders.all();
        let here = |id: &OrderId| orders.iter().any(|active| active.order.id == *id);
        let mut told = lock(&self.told);
        told.orders.retain(|id, _| here(id));
        told.hurry.retain(here);
        drop(told);
        orders.iter().for_each(|active| self.decide_order(facts, active));
        self.give_way(facts);
    }
    /// Sets which traffic to yield to. Urgent orders yield to none while they are received.
    fn give_way(&self, facts: &ScheduleInputs) {
        let Some(node) = self.node.get() else { return };
        let to = give_way(facts.choice.as_ref(), &facts.policy);
        let hurry = !lock(&self.told).hurry.is_empty();
        node.giver().set(if hurry { GiveWay::Nobody } else { to }, to);
    }
}
