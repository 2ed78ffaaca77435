//! Passes the schedule's decisions to the state machine and the node loop, and only those that changed.

use super::NodeSlot;
use crate::{
    pipeline::{active_order::ActiveOrder, active_orders::ActiveOrders},
    platform,
    scheduling::{
        Schedule, ScheduleInputs,
        decisions::{SentDecisions, SpeedLimits},
    },
};
use banyan_proto::{
    OrderId, Reason,
    api::Event,
    schedule::{By, Gate, GiveWay, Why},
    size::format_size,
};
use banyan_schedule::DiskSpace;
use banyan_swarm::io::{Input, OrderInput};
use banyan_wire::{file_room, lock::lock};
use std::sync::{Arc, Mutex};

/// The gates of receiving, installing and forwarding.
pub(super) struct Gates {
    pub(super) schedule: Arc<Schedule>,
    orders: Arc<ActiveOrders>,
    node: NodeSlot,
    sent: Mutex<SentDecisions>,
}

impl Gates {
    pub(super) fn new(schedule: Arc<Schedule>, orders: Arc<ActiveOrders>, node: NodeSlot) -> Self {
        Self { schedule, orders, node, sent: Mutex::default() }
    }
    /// Decides about one order and informs the state machine.
    pub(super) fn decide_order(&self, inputs: &ScheduleInputs, active: &ActiveOrder) {
        let id = active.order.id;
        let Some(decision) = self.schedule.decide_order(inputs, active) else {
            return lock(&self.sent).forget(id);
        };
        let mut sent = lock(&self.sent);
        sent.set_urgent(id, decision.urgency.receive);
        let changes_effort = sent.set_background(id, decision.is_background);
        let changes = sent.update_order(id, decision.gates);
        drop(sent);
        let Some(node) = self.node.get() else { return };
        if changes_effort {
            node.update_effort();
        }
        if let Some(receive) = changes.receive {
            tracing::info!(order = %id, ?receive, "receiving");
            node.input(OrderInput::MayReceive(id, receive));
        }
        if let Some(install) = changes.install {
            node.input(OrderInput::MayInstall(id, install));
        }
    }
    /// Decides about forwarding and speed limits and informs the state machine and the node loop.
    pub(super) fn decide_general(&self, inputs: &ScheduleInputs) {
        let forward = inputs.may_forward();
        let (download, upload) = banyan_schedule::effective_rates(inputs.choice.as_ref(), &inputs.policy);
        let Some(node) = self.node.get() else { return };
        let mut sent = lock(&self.sent);
        if let Some(forward) = sent.update_forward(forward) {
            tracing::info!(?forward, "forwarding");
            node.input(Input::MayForward(forward));
        }
        if let Some(limits) = sent.update_limits(SpeedLimits { download, upload }) {
            node.limits().down.set(limits.download);
            node.limits().up.set(limits.upload);
        }
        if sent.update_background(inputs.policy.background) {
            node.update_effort();
        }
    }
    /// Decides about forwarding, speed limits and every order.
    pub(super) fn decide_all(&self, inputs: &ScheduleInputs) {
        self.decide_general(inputs);
        let orders = self.orders.all();
        lock(&self.sent).retain(|id: &OrderId| orders.iter().any(|active| active.order.id == *id));
        orders.iter().for_each(|active| self.decide_order(inputs, active));
        self.set_give_way(inputs);
    }
    /// Forgets what the state machine was told of an order, so that it is told again.
    pub(super) fn forget(&self, order: OrderId) {
        lock(&self.sent).forget(order);
    }
    /// Returns whether an order is received in the background.
    pub(super) fn is_background(&self, order: OrderId) -> bool {
        lock(&self.sent).is_background(order)
    }
    /// Describes for administrators why there is not enough space to receive an order: where, how much is free, and how
    /// much is needed.
    pub(super) fn describe_full_disk(&self, active: &ActiveOrder) -> String {
        let inputs = self.schedule.inputs();
        if let Some(missing) = file_room::describe_missing(self.schedule.content_folder()) {
            return missing;
        }
        let place = self.schedule.content_folder().display();
        let verdict = inputs.verdict(active, &self.schedule.notes(active));
        match verdict.receive {
            Gate::Closed { because: Why::DiskLow { free, least, by }, .. } => {
                let (is_free, wanted) = (format_size(free), format_size(least));
                let setter = if by == By::User { "the user's settings" } else { "the policy's `free-disk`" };
                format!(
                    "{is_free} ({free} bytes) are free on the disk of {place}, but {wanted} ({least} bytes) must stay free \
                     there ({setter})"
                )
            }
            Gate::Closed { because: Why::DiskUnknown, .. } => format!("cannot read how much space is free at {place}"),
            // A quota, or a disk that others fill and empty.
            _ => {
                let missing = active.missing_bytes();
                let wanted =
                    format!("{} ({missing} bytes) are still needed on the disk of {place}", format_size(missing));
                match platform::disk_space(self.schedule.content_folder()) {
                    Some(DiskSpace { free, .. }) => format!(
                        "{wanted}, which refused content although {} ({free} bytes) are free there",
                        format_size(free)
                    ),
                    None => format!("{wanted}, which is full"),
                }
            }
        }
    }
    /// Adds to a report about a full disk that the disk has no free inodes, if that is so.
    pub(super) fn explain_full_disk(&self, event: Event) -> Event {
        match event {
            Event::Waits { reason: Reason::DiskFull, detail } => {
                let missing = file_room::describe_missing(self.schedule.content_folder());
                let detail = match missing {
                    Some(missing) if detail.is_empty() => missing,
                    Some(missing) if !detail.contains("inodes") => format!("{detail}; {missing}"),
                    Some(_) | None => detail,
                };
                Event::Waits { reason: Reason::DiskFull, detail }
            }
            other => other,
        }
    }
    /// Sets which traffic to yield to. Urgent orders yield to none while they are received.
    fn set_give_way(&self, inputs: &ScheduleInputs) {
        let Some(node) = self.node.get() else { return };
        let to = banyan_schedule::effective_give_way(inputs.choice.as_ref(), &inputs.policy);
        let has_urgent = lock(&self.sent).has_urgent();
        node.bandwidth_yield().set(if has_urgent { GiveWay::Nobody } else { to }, to);
    }
}
