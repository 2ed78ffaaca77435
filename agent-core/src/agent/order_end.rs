//! Ends orders: because their content no longer has to be kept, because their release was withdrawn, or because the
//! server was restored.

use super::Agent;
use banyan_proto::{OrderId, Reason, UnixSeconds, api::Event};
use banyan_swarm::io::OrderInput;
use std::{collections::BTreeSet, sync::Weak, time::Duration};
use tracing::{info, warn};

/// How often to check for orders whose content no longer has to be kept.
const CHECK_EVERY: Duration = Duration::from_secs(3600);

/// Drops expired orders until the agent is dropped. They expire by the wall clock, so a step of the clock or the end of a
/// sleep ends the wait.
pub(crate) async fn drop_expired_orders(agent: Weak<Agent>) {
    while let Some(agent) = agent.upgrade() {
        agent.forget_expired_orders(UnixSeconds::now());
        let mut steps = agent.changes.clock();
        drop(agent);
        drop(tokio::time::timeout(CHECK_EVERY, steps.changed()).await);
    }
}

impl Agent {
    fn drop_from_loop(&self, order: OrderId, reason: Reason) {
        if let Some(node) = self.node.get() {
            node.input(OrderInput::Dropped(order, reason));
        }
    }
    /// Drops an order that has ended. Deletes the file when no other order is for the same artifact.
    pub(super) fn forget_order(&self, id: OrderId, reason: Reason) {
        let Some(active) = self.orders.remove(id) else { return };
        self.user.history.record_dropped(id, &active.order.package, &active.description.version, reason);
        self.sideload.delete_unneeded_content(active.content.artifact().digest);
        if let Err(error) = self.database.delete_order(id) {
            warn!(%error, "failed to delete an ended order");
        }
    }
    /// Drops orders whose content no longer has to be kept. Waits while the clocks differ: content that was deleted because
    /// of a wrong clock would have to be received again.
    fn forget_expired_orders(&self, now: UnixSeconds) {
        if self.server.contact.clock_trouble().is_some() {
            return;
        }
        for active in self.orders.all().iter().filter(|active| active.order.keep_until <= now) {
            self.drop_from_loop(active.order.id, Reason::OrderExpired);
            self.forget_order(active.order.id, Reason::OrderExpired);
        }
    }
    /// Ends the orders of withdrawn releases, given by their target names. Installed software stays; only a newer
    /// release changes that.
    pub(super) fn end_withdrawn_orders(&self, withdrawn: &BTreeSet<String>) {
        for active in self.orders.all() {
            let name = format!("{}/{}.json", active.order.package, active.order.sequence);
            if withdrawn.contains(&name) {
                self.end_withdrawn_order(active.order.id, &format!("the publisher has withdrawn {name}"));
            }
        }
    }
    /// Ends an order whose release was withdrawn: it is no longer installed or forwarded.
    pub(super) fn end_withdrawn_order(&self, order: OrderId, detail: &str) {
        let ended = self.database.load_order(order).ok().flatten().and_then(|record| record.ended);
        info!(%order, detail, "order ended: release withdrawn");
        drop(self.stages.install.take_permitted(order));
        if ended.is_none() {
            let (reason, detail) = (Reason::Withdrawn, detail.to_owned());
            self.stages.reporter.report(Some(order), Event::Failed { reason, detail, restored: true });
        }
        self.drop_from_loop(order, Reason::Withdrawn);
        self.forget_order(order, Reason::Withdrawn);
    }
    /// Ends orders of lower epochs if the epoch has risen above `before`. Their content stays until an order of the
    /// same artifact has used it, or until it no longer has to be kept.
    pub(super) fn end_orders_of_earlier_epochs(&self, before: u64) {
        let seen = self.identity.epoch.highest();
        if seen == before {
            return;
        }
        for id in self.orders.below_epoch(seen) {
            drop(self.stages.install.take_permitted(id));
            self.drop_from_loop(id, Reason::EpochBack);
            let ended = self.database.update_order(id, |record| {
                record.ended.get_or_insert(Err(Reason::EpochBack));
            });
            if let Err(error) = ended {
                warn!(%error, "failed to record the end of an order; it will be detected again after a restart");
            }
        }
    }
}
