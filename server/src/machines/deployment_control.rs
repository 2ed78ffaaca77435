//! What administrators do with a deployment that is under way: halt, resume and cancel it, or open its next ring.

use crate::{
    deadline_clock::DeadlineClock,
    deployments::{order_lifecycle::OrderLifecycle, stop_lists::StopLists},
    machines::{permit_queue::PermitQueue, ring_gates::RingGates},
    net::wake_ups::WakeUps,
    refusal::Refusal,
    store::{StageCounts, StateChange, Store},
};
use banyan_proto::{
    DeploymentId, Reason,
    admin::{DeploymentState, Halt, MachinesLeft},
};
use std::sync::Arc;
use tracing::info;

/// Controls deployments.
pub(crate) struct DeploymentControl {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) gates: Arc<RingGates>,
    pub(crate) permit_queue: Arc<PermitQueue>,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) clock: Arc<DeadlineClock>,
    pub(crate) stop_lists: Arc<StopLists>,
}

impl DeploymentControl {
    /// Halts a deployment: machines stop receiving, forwarding and installing it. The halt is saved first.
    pub(crate) async fn halt(&self, id: DeploymentId) -> Result<MachinesLeft, Refusal> {
        let now = self.clock.now();
        let halt = Halt {
            at: now,
            ring: None,
            failed: 0,
            of: 0,
            reason: None,
            machines: vec![],
            detail: "an administrator halted it".to_owned(),
        };
        let left = left(id, self.store.halt(id, &halt, now).await?)?;
        info!(deployment = %id, ?left, "deployment halted");
        self.stop_lists.stop(id).await?;
        Ok(left)
    }

    /// Resumes a halted deployment. The failures so far are accepted: they do not halt it again.
    pub(crate) async fn resume(&self, id: DeploymentId) -> Result<MachinesLeft, Refusal> {
        let left = left(id, self.store.resume(id, self.clock.now()).await?)?;
        info!(deployment = %id, ?left, "deployment resumed");
        self.stop_lists.resume(id).await?;
        // Machines that were refused ask at once.
        self.permit_queue.record_freed_place();
        self.gates.reported.notify_one();
        Ok(left)
    }

    /// Cancels a deployment. Machines that install finish; the others end, and nothing is uninstalled.
    pub(crate) async fn cancel(&self, id: DeploymentId) -> Result<MachinesLeft, Refusal> {
        // No order is added meanwhile.
        let _accepting = self.orders.lock().await;
        let left = left(id, self.store.cancel(id, self.clock.now()).await?)?;
        info!(deployment = %id, ?left, "deployment cancelled");
        for order in self.store.orders_of(id).await? {
            self.orders.stop_forwarding(order.order.id, Reason::Cancelled);
        }
        // Machines that wait for a permit ask at once, and learn that it is over.
        self.permit_queue.record_freed_place();
        self.wake_ups.wake_all();
        Ok(left)
    }

    /// Opens the next ring although the gate has not passed. Returns its number.
    pub(crate) async fn promote(&self, id: DeploymentId) -> Result<u32, Refusal> {
        let opened = self.gates.open_next(id).await?;
        opened.ok_or_else(|| {
            let detail = "the deployment has changed meanwhile; look at `banyan status`";
            Refusal::conflict(Reason::BadRequest, detail)
        })
    }
}

fn left(id: DeploymentId, change: StateChange) -> Result<MachinesLeft, Refusal> {
    match change {
        StateChange::Changed(StageCounts { installed, finishing, waiting }) => {
            Ok(MachinesLeft { installed, finishing, waiting })
        }
        StateChange::Refused(state) => {
            let how = match state {
                DeploymentState::Superseded => "been superseded by a newer one",
                DeploymentState::Cancelled => "been cancelled",
                DeploymentState::Running | DeploymentState::Halted | DeploymentState::Finished => "already ended",
            };
            Err(Refusal::conflict(Reason::BadRequest, format!("the deployment has {how}")))
        }
        StateChange::Missing => Err(Refusal::not_found(format!("there is no deployment {id}"))),
    }
}
