//! Handles withdrawn releases: ends their deployments, informs machines, and deletes content that can no longer be
//! installed.

use crate::{refusal::Refusal, server::Server};
use banyan_proto::{Digest, MachineId, OrderId, Reason, admin::Stage};
use std::collections::HashSet;
use tracing::{info, warn};

impl Server {
    /// Applies a changed root or list: ends deployments of withdrawn releases and wakes machines. Call it after every
    /// such change. Returns the deployments that were open and have now ended.
    pub(crate) async fn publishers_changed(&self) -> Result<Vec<OrderId>, Refusal> {
        let stopped = self.stop_withdrawn().await?;
        self.wake_ups.wake_all();
        self.prune().await;
        Ok(stopped)
    }

    /// Ends deployments of withdrawn releases. Waits while a deployment is being accepted, so that none is missed.
    async fn stop_withdrawn(&self) -> Result<Vec<OrderId>, Refusal> {
        let _one = self.deploying.lock().await;
        let mut stopped = Vec::new();
        for open in self.active_orders.all() {
            let (id, order) = (open.id(), &open.row.order);
            if !self.repository.has_withdrawn(&order.package, order.sequence) {
                continue;
            }
            if self.store.end(id, Reason::Withdrawn, Reason::Withdrawn.for_admin().advice).await? {
                info!(order = %id, package = order.package, version = open.row.version, "deployment ended: withdrawn");
                stopped.push(id);
            }
            self.drop_order(id, Reason::Withdrawn);
            self.active_orders.remove(id);
        }
        Ok(stopped)
    }

    /// Deletes artifacts of withdrawn releases that no other release has and no active order needs.
    pub(crate) async fn prune(&self) {
        let Ok(mut candidates) = self.repository.with(|repository| Ok(repository.only_withdrawn())).await else {
            return;
        };
        let needed: HashSet<Digest> = self.active_orders.all().iter().map(|open| open.artifact.digest).collect();
        candidates.retain(|digest| !needed.contains(digest));
        for digest in candidates {
            match self.artifacts.remove(digest) {
                Ok(0) => {}
                Ok(bytes) => info!(artifact = %digest, bytes, "artifact of withdrawn releases removed"),
                // On some systems a file cannot be removed while it is being read; the next hourly run tries again.
                Err(error) => warn!(artifact = %digest, %error, "failed to remove the artifact of a withdrawn release"),
            }
        }
    }

    /// Explains why an order is not active, to a machine that asks about it.
    pub(crate) async fn why_not_active(&self, id: OrderId, machine: MachineId) -> Refusal {
        match self.store.addressee(id, machine).await {
            Ok(Some(row)) if row.stage == Stage::Failed => {
                let reason = row.reason.unwrap_or(Reason::OrderExpired);
                Refusal::conflict(reason, row.detail.unwrap_or_else(|| reason.for_admin().what.into()))
            }
            Ok(_) => Refusal::not_found(format!("there is no open order {id}")),
            Err(error) => error.into(),
        }
    }
}
