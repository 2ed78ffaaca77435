//! Passes the schedule's decisions to the state machine and the node loop, and only those that changed.

use super::Agent;
use crate::{
    orders::{HeldOrder, lock},
    people::{scene::Facts, signals::Sampler},
};
use banyan_proto::{
    OrderId, Reason,
    schedule::{Gate, GiveWay, Priority, Stage},
};
use banyan_schedule::{decide, effective_give_way, effective_rates};
use banyan_swarm::io::{Input, OrderInput};
use std::collections::{BTreeMap, BTreeSet};

type May = Result<(), Reason>;

/// The decisions passed on last.
#[derive(Debug, Default)]
pub struct Told {
    orders: BTreeMap<OrderId, (May, May)>,
    forward: Option<May>,
    rates: Option<(Option<u64>, Option<u64>)>,
    /// Orders received without yielding bandwidth, because a user is waiting or their deadline has passed.
    hurry: BTreeSet<OrderId>,
}

impl Agent {
    /// Measures free disk space before the first offer is answered, in case the scheduler has not done so yet.
    pub(crate) fn look_at_disk(&self) {
        let now = self.people.now();
        let mut sampled = lock(&self.people.sampled).clone();
        if sampled.signals().free_disk.get(now.mono).is_none() {
            Sampler::rest(&mut sampled, now, &self.offers.folder);
            *lock(&self.people.sampled) = sampled;
        }
    }
    /// Decides about one order and informs the state machine.
    pub(crate) fn decide_order(&self, facts: &Facts, held: &HeldOrder) {
        let id = held.order.id;
        let notes = self.people.notes(id);
        if notes.ended.is_some() {
            let mut told = lock(&self.told);
            told.orders.remove(&id);
            told.hurry.remove(&id);
            return;
        }
        let verdict = self.people.verdict(facts, held, &notes);
        let full = matches!(verdict.receive, Gate::Open { limit } if limit.priority == Priority::Full);
        if full && !held.content.is_whole() {
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
            node.input(OrderInput::MayReceive(id, receive));
        }
        if before.map_or(install.is_err(), |(_, before)| before != install) {
            node.input(OrderInput::MayInstall(id, install));
        }
    }
    /// Returns whether receiving and installing this order are urgent: a deadline has passed, or the user said "now".
    /// Urgent work does not yield to other work.
    pub(crate) fn is_waited_for(&self, facts: &Facts, held: &HeldOrder) -> (bool, bool) {
        let notes = self.people.notes(held.order.id);
        if notes.ended.is_some() {
            return (false, false);
        }
        let verdict = self.people.verdict(facts, held, &notes);
        let full = |gate: &Gate| matches!(gate, Gate::Open { limit } if limit.priority == Priority::Full);
        (full(&verdict.receive) && !held.content.is_whole(), full(&verdict.install))
    }
    /// Decides about forwarding and speed limits and informs the state machine and the node loop.
    pub(crate) fn decide_general(&self, facts: &Facts) {
        let people = &self.people;
        let verdict = people.about(facts, None, |situation| decide(situation, facts.now));
        let forward = verdict.forward.reason(Stage::Forward).map_or(Ok(()), Err);
        let rates = effective_rates(facts.choice.as_ref(), &facts.policy);
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
    pub(crate) fn decide_all(&self, facts: &Facts) {
        self.decide_general(facts);
        let orders = self.orders.all();
        let here = |id: &OrderId| orders.iter().any(|held| held.order.id == *id);
        let mut told = lock(&self.told);
        told.orders.retain(|id, _| here(id));
        told.hurry.retain(here);
        drop(told);
        orders.iter().for_each(|held| self.decide_order(facts, held));
        self.give_way(facts);
    }
    /// Sets which traffic to yield to. Urgent orders yield to none while they are received.
    fn give_way(&self, facts: &Facts) {
        let Some(node) = self.node.get() else { return };
        let to = effective_give_way(facts.choice.as_ref(), &facts.policy);
        let hurry = !lock(&self.told).hurry.is_empty();
        node.bandwidth_yield().set(if hurry { GiveWay::Nobody } else { to }, to);
    }
}
