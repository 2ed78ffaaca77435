//! Everything the server knows and has, in one place; each subject's own file says what it does with it.

use crate::{
    artifacts::Artifacts,
    book::Book,
    ca::Authority,
    desk::Desk,
    doors::Doors,
    for_one::Asked,
    live::Live,
    news::News,
    policies::Laid,
    registry::Registry,
    secrets::Secrets,
    store::{Store, Suspicion},
};
use banyan_proto::{DeploymentId, MachineId, Reason, ServerEpoch, Signed, UnixSeconds};
use banyan_wire::node::NodeHandle;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

/// Program and version, as greetings and lists show it.
pub(crate) const SOFTWARE: &str = concat!("banyan-server ", env!("CARGO_PKG_VERSION"));

/// The server.
pub(crate) struct Nms {
    /// Its identity: root of every tree.
    pub(crate) id: MachineId,
    pub(crate) epoch: u64,
    /// The same, for machines.
    pub(crate) epoch_said: Signed<ServerEpoch>,
    /// Where the keys lie.
    pub(crate) keys: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Authority,
    pub(crate) secrets: Secrets,
    pub(crate) desk: Desk,
    pub(crate) artifacts: Artifacts,
    pub(crate) registry: Registry,
    pub(crate) book: Book,
    pub(crate) laid: Laid,
    pub(crate) asked_for_one: Asked,
    pub(crate) live: Live,
    pub(crate) news: News,
    pub(crate) doors: Doors,
    /// The loop that hands out offers and content; there from the start on.
    pub(crate) node: OnceLock<NodeHandle>,
    /// One deployment is accepted at a time, so that numbers and superseding follow one order; one revocation list is
    /// made at a time.
    pub(crate) deploying: tokio::sync::Mutex<()>,
    pub(crate) revoking: tokio::sync::Mutex<()>,
    pub(crate) started: Instant,
    /// Fires when the server shall end.
    pub(crate) stop: CancellationToken,
    /// Everything that is under way and shall come to its end first.
    pub(crate) tasks: TaskTracker,
}

impl Nms {
    pub(crate) fn now() -> UnixSeconds {
        UnixSeconds::now()
    }
    /// Whether the machine can be expected to answer now: it is connected, or between two connections. Just after a start
    /// nobody has had the time to connect again: then it counts who was heard from lately.
    pub(crate) fn is_reachable(&self, id: MachineId, seen: UnixSeconds) -> bool {
        let lately = if self.started.elapsed().as_secs() < 60 { 600 } else { 15 };
        self.live.is_online(id) || Self::now().0 < seen.0 + lately
    }
    /// Keeps and logs something that a person should see.
    pub(crate) async fn suspect(
        &self,
        machine: Option<MachineId>,
        deployment: Option<DeploymentId>,
        reason: Reason,
        detail: String,
    ) {
        let name = machine.map(|id| id.to_string()).unwrap_or_default();
        warn!(machine = name, %reason, detail, "suspicious");
        let suspicion = Suspicion { at: Self::now(), machine, deployment, reason, detail };
        if let Err(error) = self.store.add_suspicion(&suspicion).await {
            error!("a suspicion could not be stored: {error}");
        }
    }
    /// The same from where nothing can be waited for.
    pub(crate) fn suspect_later(
        self: &Arc<Self>,
        machine: Option<MachineId>,
        deployment: Option<DeploymentId>,
        reason: Reason,
        detail: String,
    ) {
        let this = Arc::clone(self);
        self.tasks.spawn(async move { this.suspect(machine, deployment, reason, detail).await });
    }
}
