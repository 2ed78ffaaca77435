//! The server's state, shared by all modules. Each module implements its own subject on it.

use crate::{
    deployments::{active_orders::ActiveOrders, on_demand::RequestLimiter, policies::PolicyCache},
    identity::{ca::Authority, registry::Registry, secrets::Secrets},
    net::{connections::Connections, tls_configuration::TlsConfiguration, wake_ups::WakeUps},
    publishing::{artifacts::ArtifactStore, repository_cache::RepositoryCache},
    store::{Store, Suspicion},
};
use banyan_proto::{MachineId, OrderId, Reason, ServerEpoch, Signed, UnixSeconds};
use banyan_wire::node::NodeHandle;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

/// Program and version, as shown in greetings and lists.
pub(crate) const SOFTWARE: &str = concat!("banyan-server ", env!("CARGO_PKG_VERSION"));

/// The server.
pub(crate) struct Server {
    /// The server's identifier: the root of every tree.
    pub(crate) id: MachineId,
    pub(crate) epoch: u64,
    /// The epoch, signed for machines.
    pub(crate) signed_epoch: Signed<ServerEpoch>,
    /// The folder of the keys.
    pub(crate) keys: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Authority,
    pub(crate) secrets: Secrets,
    pub(crate) repository: RepositoryCache,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) registry: Registry,
    pub(crate) active_orders: ActiveOrders,
    pub(crate) policy_cache: PolicyCache,
    pub(crate) request_limiter: RequestLimiter,
    pub(crate) connections: Connections,
    pub(crate) wake_ups: WakeUps,
    pub(crate) tls: TlsConfiguration,
    /// The loop that sends offers and content; set during start.
    pub(crate) node: OnceLock<NodeHandle>,
    /// Held while a deployment is accepted, so that order numbers and superseding follow one sequence.
    pub(crate) deploying: tokio::sync::Mutex<()>,
    /// Held while a revocation list is signed, so that one is made at a time.
    pub(crate) revoking: tokio::sync::Mutex<()>,
    pub(crate) started: Instant,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
    /// Work in progress that must finish before the server stops.
    pub(crate) tasks: TaskTracker,
}

impl Server {
    pub(crate) fn now() -> UnixSeconds {
        UnixSeconds::now()
    }
    /// Returns whether the machine is expected to respond: it is connected, or was seen lately and is between two
    /// connections. In the first minute after a start, "lately" is longer, because machines have not reconnected yet.
    pub(crate) fn is_reachable(&self, id: MachineId, seen: UnixSeconds) -> bool {
        let lately = if self.started.elapsed().as_secs() < 60 { 600 } else { 15 };
        self.connections.is_online(id) || Self::now().0 < seen.0 + lately
    }
    /// Stores and logs a suspicious event for administrators.
    pub(crate) async fn suspect(
        &self,
        machine: Option<MachineId>,
        deployment: Option<OrderId>,
        reason: Reason,
        detail: String,
    ) {
        let name = machine.map(|id| id.to_string()).unwrap_or_default();
        warn!(machine = name, %reason, detail, "suspicious event");
        let suspicion = Suspicion { at: Self::now(), machine, deployment, reason, detail };
        if let Err(error) = self.store.add_suspicion(&suspicion).await {
            error!("failed to store a suspicious event: {error}");
        }
    }
    /// Does the same in the background, for callers that cannot wait.
    pub(crate) fn suspect_later(
        self: &Arc<Self>,
        machine: Option<MachineId>,
        deployment: Option<OrderId>,
        reason: Reason,
        detail: String,
    ) {
        let this = Arc::clone(self);
        self.tasks.spawn(async move { this.suspect(machine, deployment, reason, detail).await });
    }
}
