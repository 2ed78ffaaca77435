//! When this machine may transfer and install: asks `banyan-schedule` with the user's choice, the administrator's
//! policy and the sensors' readings.
//!
//! The decisions are carried out by `agent::gates`, at the times that `agent::scheduler` chooses.

pub(crate) mod decisions;
mod inputs;
pub(crate) mod measuring;

pub(crate) use inputs::ScheduleInputs;

use crate::{
    pipeline::{active_order::ActiveOrder, active_orders::ActiveOrders},
    sensors::Sensors,
    user::{User, order_notes::OrderNotes},
};
use banyan_proto::schedule::{Gate, Priority, Stage, Window};
use banyan_schedule::{Wake, next_change};
use decisions::{OrderGates, to_gate};
use inputs::to_task;
use std::{path::Path, sync::Arc};

/// The schedule of this machine.
pub(crate) struct Schedule {
    user: Arc<User>,
    sensors: Arc<Sensors>,
}

/// The decision about one order.
pub(crate) struct OrderDecision {
    /// Whether it may be received and installed.
    pub(crate) gates: OrderGates,
    pub(crate) urgency: Urgency,
    /// Whether it is received in the background.
    pub(crate) is_background: bool,
}

/// What is urgent about an order: a deadline has passed, or the user said "now". Urgent work does not yield to other
/// work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Urgency {
    pub(crate) receive: bool,
    pub(crate) install: bool,
}

impl Schedule {
    pub(crate) fn new(user: Arc<User>, sensors: Arc<Sensors>) -> Self {
        Self { user, sensors }
    }
    /// Returns the folder whose disk must have room.
    pub(crate) fn content_folder(&self) -> &Path {
        &self.sensors.content
    }
    /// Returns what the user and the history know about an order.
    pub(crate) fn notes(&self, active: &ActiveOrder) -> OrderNotes {
        self.user.history.notes(active.order.id)
    }
    /// Captures everything that decisions depend on now.
    pub(crate) fn inputs(&self) -> ScheduleInputs {
        let now = self.sensors.now();
        ScheduleInputs {
            now,
            readings: self.sensors.readings(now),
            usage: self.user.upload_quota.usage(),
            choice: self.user.preferences.choice(),
            policy: self.user.policy.current(),
            zone: self.user.zone.current(),
        }
    }
    /// Decides about one order; `None` when it has ended.
    pub(crate) fn decide_order(&self, inputs: &ScheduleInputs, active: &ActiveOrder) -> Option<OrderDecision> {
        let notes = self.user.history.notes(active.order.id);
        if notes.outcome.is_some() {
            return None;
        }
        let verdict = inputs.verdict(active, &notes);
        let is_full = |gate: &Gate| matches!(gate, Gate::Open { limit } if limit.priority == Priority::Full);
        Some(OrderDecision {
            gates: OrderGates {
                receive: to_gate(verdict.receive.reason(Stage::Receive)),
                install: to_gate(verdict.install.reason(Stage::Install)),
            },
            urgency: Urgency {
                receive: is_full(&verdict.receive) && !active.content.is_whole(),
                install: is_full(&verdict.install),
            },
            is_background: inputs.is_background(active, &notes),
        })
    }
    /// Returns what is urgent about one order.
    pub(crate) fn urgency(&self, inputs: &ScheduleInputs, active: &ActiveOrder) -> Urgency {
        self.decide_order(inputs, active).map(|decision| decision.urgency).unwrap_or_default()
    }
    /// Returns when a decision is next due to change.
    pub(crate) fn next_change(&self, inputs: &ScheduleInputs, orders: &ActiveOrders) -> Option<Wake> {
        let mut wakes = vec![inputs.evaluate(None, |situation| next_change(situation, inputs.now))];
        for active in orders.all() {
            let notes = self.user.history.notes(active.order.id);
            for wish in [notes.wishes.receive, notes.wishes.install] {
                let task = to_task(&active, &notes, wish);
                wakes.push(inputs.evaluate(Some(&task), |situation| next_change(situation, inputs.now)));
            }
        }
        wakes.into_iter().flatten().min_by_key(|wake| wake.after)
    }
    /// Returns whether an order is in progress, so that conditions matter.
    pub(crate) fn has_work(&self, orders: &ActiveOrders) -> bool {
        orders.all().iter().any(|active| !self.user.history.has_ended(active.order.id))
    }
    /// Returns whether any window requires an idle machine.
    pub(crate) fn needs_idleness(&self, orders: &ActiveOrders) -> bool {
        let choice = self.user.preferences.choice();
        let policy = self.user.policy.current();
        let chosen = choice.as_ref().unwrap_or(&policy.defaults);
        let mut windows = vec![&chosen.window, &chosen.install, &policy.window, &policy.install];
        let orders = orders.all();
        windows.extend(orders.iter().map(|active| &active.order.window));
        windows.contains(&&Window::Idle)
    }
}
