//! What follows when publishers change their mind: deployments of withdrawn releases end, machines hear of it, and bytes
//! that nobody can install any more are thrown away.

use crate::{nms::Nms, refusal::Refusal};
use banyan_proto::{DeploymentId, Digest, MachineId, Reason, admin::Stage};
use std::collections::HashSet;
use tracing::{info, warn};

impl Nms {
    /// To be called after every change of root or list: stops what has been withdrawn, and wakes the machines that should
    /// hear of it. Gives the deployments that were under way and are over now.
    pub(crate) async fn publishers_changed(&self) -> Result<Vec<DeploymentId>, Refusal> {
        let stopped = self.stop_withdrawn().await?;
        self.news.wake_all();
        self.prune().await;
        Ok(stopped)
    }

    /// Ends the deployments of withdrawn releases. Not while one is being accepted: it would be missed.
    async fn stop_withdrawn(&self) -> Result<Vec<DeploymentId>, Refusal> {
        let _one = self.deploying.lock().await;
        let mut stopped = Vec::new();
        for open in self.book.all() {
            let (id, order) = (open.id(), &open.row.order);
            if !self.desk.has_withdrawn(&order.package, order.sequence) {
                continue;
            }
            if self.store.end(id, Reason::Withdrawn, Reason::Withdrawn.next()).await? {
                info!(order = %id, package = order.package, version = open.row.version, "stopped: its release was withdrawn");
                stopped.push(id);
            }
            self.drop_order(id, Reason::Withdrawn);
            self.book.remove(id);
        }
        Ok(stopped)
    }

    /// Removes the bytes of withdrawn releases that no other release has and no order needs.
    pub(crate) async fn prune(&self) {
        let Ok(mut candidates) = self.desk.with(|repository| Ok(repository.only_withdrawn())).await else { return };
        let needed: HashSet<Digest> = self.book.all().iter().map(|open| open.artifact.digest).collect();
        candidates.retain(|digest| !needed.contains(digest));
        for digest in candidates {
            match self.artifacts.remove(digest) {
                Ok(0) => {}
                Ok(bytes) => info!(artifact = %digest, bytes, "removed: only withdrawn releases had it"),
                // On some systems a file that is being read cannot be removed; it is tried again every hour.
                Err(error) => warn!(artifact = %digest, %error, "a withdrawn artifact could not be removed"),
            }
        }
    }

    /// Why an order is not in the book, to a machine that asks about it.
    pub(crate) async fn not_open(&self, id: DeploymentId, machine: MachineId) -> Refusal {
        match self.store.addressee(id, machine).await {
            Ok(Some(row)) if row.stage == Stage::Failed => {
                let reason = row.reason.unwrap_or(Reason::OrderExpired);
                Refusal::conflict(reason, row.detail.unwrap_or_else(|| reason.words().into()))
            }
            Ok(_) => Refusal::not_found(format!("there is no open order {id}")),
            Err(error) => error.into(),
        }
    }
}
