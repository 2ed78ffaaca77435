//! Suspicious events: stored and logged, so that administrators see them.

use crate::store::{Store, Suspicion};
use banyan_proto::{MachineId, OrderId, Reason, UnixSeconds};
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// Records suspicious events.
#[derive(Clone)]
pub(crate) struct SuspicionLog {
    store: Arc<dyn Store>,
    tasks: TaskTracker,
}

impl SuspicionLog {
    /// `tasks` carries what is recorded in the background.
    pub(crate) fn new(store: Arc<dyn Store>, tasks: TaskTracker) -> Self {
        Self { store, tasks }
    }
    /// Stores and logs a suspicious event for administrators.
    pub(crate) async fn record(
        &self,
        machine: Option<MachineId>,
        deployment: Option<OrderId>,
        reason: Reason,
        detail: String,
    ) {
        let name = machine.map(|id| id.to_string()).unwrap_or_default();
        warn!(machine = name, %reason, detail, "suspicious event");
        let suspicion = Suspicion { at: UnixSeconds::now(), machine, deployment, reason, detail };
        if let Err(error) = self.store.add_suspicion(&suspicion).await {
            error!("failed to store a suspicious event: {error}");
        }
    }
    /// Does the same in the background, for callers that cannot wait.
    pub(crate) fn record_later(
        &self,
        machine: Option<MachineId>,
        deployment: Option<OrderId>,
        reason: Reason,
        detail: String,
    ) {
        let log = self.clone();
        self.tasks.spawn(async move { log.record(machine, deployment, reason, detail).await });
    }
}
