//! The backend of the local API: the agent or, until this machine is enrolled, a placeholder that waits for a join
//! code.

use super::{People, scene::Meters, signals::screens};
use crate::{
    agent::Agent,
    by_hand::alone::Alone,
    orders::{HeldOrder, lock},
};
use banyan_local_api::{Backend, Caller, LocalAddress, Report, RequestBody, Sessions, serve};
use banyan_proto::{
    Digest, OrderId, Reason,
    api::ApiError,
    join::JoinCode,
    local::{Catalogue, Mode, OrderStatus, Package, Request, Right, Snapshot, Status},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

/// A join code from a caller, and the channel for its result.
pub(crate) type Joining = (JoinCode, oneshot::Sender<Result<(), ApiError>>);

/// The backend of the local API.
pub struct Front {
    people: Arc<People>,
    label: String,
    mode: Mode,
    sessions: Sessions,
    agent: OnceLock<Arc<Agent>>,
    /// Installs packages without a server, until the agent runs.
    alone: OnceLock<Arc<Alone>>,
    joining: mpsc::Sender<Joining>,
    meters: Meters,
    opened: AtomicBool,
}

impl Front {
    /// Creates the backend before the agent runs. The receiver yields join codes until [`Front::stands`].
    pub(crate) fn new(
        people: Arc<People>,
        label: String,
        mode: Mode,
        sessions: Sessions,
    ) -> (Arc<Self>, mpsc::Receiver<Joining>) {
        let (joining, codes) = mpsc::channel(1);
        people.screens.know(mode, sessions.clone());
        let (agent, alone, meters, opened) =
            (OnceLock::new(), OnceLock::new(), Meters::default(), AtomicBool::new(false));
        (Arc::new(Self { people, label, mode, sessions, agent, alone, joining, meters, opened }), codes)
    }
    /// Sets the standalone mode, for a machine that belongs to no server.
    pub(crate) fn stands_alone(&self, alone: &Arc<Alone>) {
        drop(self.alone.set(Arc::clone(alone)));
    }
    /// Returns the standalone mode while there is no agent.
    fn alone(&self) -> Option<Arc<Alone>> {
        if self.agent.get().is_some() { None } else { self.alone.get().cloned() }
    }
    /// Sets the running agent, and opens the API if it is not open yet.
    pub(crate) fn stands(self: &Arc<Self>, agent: &Arc<Agent>, data: &Path, shared: Option<&PathBuf>) {
        drop(self.agent.set(Arc::clone(agent)));
        self.people.changed();
        self.open(data, shared);
    }
    /// Opens the API's addresses. The agent works without them, so a failure is only logged.
    pub(crate) fn open(self: &Arc<Self>, data: &Path, shared: Option<&PathBuf>) {
        if self.opened.swap(true, Ordering::Relaxed) {
            return;
        }
        let own = std::iter::once(LocalAddress::Own(data.to_owned()));
        for place in own.chain(shared.cloned().map(LocalAddress::Shared)) {
            match place.listen() {
                Ok(listener) => drop(tokio::spawn(serve(Arc::clone(self), listener))),
                Err(error) => warn!(%error, ?place, "failed to open the local API; desktop programs cannot connect"),
            }
        }
    }
    /// Returns the agent of a machine that belongs to a server.
    fn member(&self) -> Result<Arc<Agent>, ApiError> {
        let (reason, detail) = match self.alone.get() {
            Some(_) => (Reason::NotAllowed, "this computer is not set up yet; enter a join code, then try again"),
            None => (Reason::Busy, "this computer is joining its server; try again in a minute"),
        };
        let agent = self.agent.get().cloned();
        agent.ok_or_else(|| ApiError { reason, detail: detail.to_owned() })
    }
    async fn enrol(&self, code: &str) -> Result<(), ApiError> {
        let refused = |reason, detail: String| ApiError { reason, detail };
        if self.agent.get().is_some() {
            let detail = "this computer already belongs to a server; to move it to another one, stop the agent and \
                          start it with an empty data folder";
            return Err(refused(Reason::BadRequest, detail.to_owned()));
        }
        let code: JoinCode = code
            .trim()
            .parse()
            .map_err(|error| refused(Reason::JoinRefused, format!("this is not a valid join code: {error}")))?;
        let gone = || refused(Reason::InternalError, "the agent is stopping".to_owned());
        let (told, result) = oneshot::channel();
        self.joining.send((code, told)).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl Backend for Front {
    fn software(&self) -> String {
        crate::identity::software()
    }
    fn rights(&self, caller: Caller) -> Vec<Right> {
        caller.rights(self.mode, &self.sessions, &self.people.policy())
    }
    fn status(&self) -> Result<Status, ApiError> {
        let detail = "this machine is not enrolled yet";
        self.agent
            .get()
            .map(|agent| status(agent, &self.people))
            .ok_or(ApiError { reason: Reason::NotFound, detail: detail.into() })
    }
    fn snapshot(&self) -> Snapshot {
        let agent = self.agent.get().map(Arc::as_ref);
        let mut snapshot = self.people.snapshot(agent, &self.meters, &self.label, self.mode);
        if let Some(alone) = self.alone() {
            alone.show(&mut snapshot);
        }
        snapshot
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.people.changes()
    }
    fn report(&self, caller: Caller, full_screen: Option<bool>) -> Report {
        screens::say(&self.people, caller, full_screen)
    }
    async fn carry_out(&self, request: Request) -> Result<(), ApiError> {
        match request {
            Request::Enrol { code } => self.enrol(&code).await,
            Request::Wish { order, stage, wish } => self.people.wish(order, stage, wish),
            Request::ForgetSigner { root } => match self.alone() {
                Some(alone) => alone.forget(root).await,
                None => {
                    let detail =
                        "this computer belongs to a server, so its administrator decides which publishers it trusts";
                    Err(ApiError { reason: Reason::NotAllowed, detail: detail.to_owned() })
                }
            },
            other => self.people.carry_out(&other),
        }
    }
    async fn open_package(&self, rights: &[Right], head: Vec<u8>, size: u64) -> Result<Package, ApiError> {
        let (alone, rights) = (self.alone(), rights.to_vec());
        let looking = match alone {
            Some(alone) => tokio::task::spawn_blocking(move || alone.look_at_package(&rights, &head, size)),
            None => {
                let agent = self.member()?;
                tokio::task::spawn_blocking(move || agent.look_at_package(&rights, &head, size))
            }
        };
        looking.await.map_err(|error| ApiError { reason: Reason::InternalError, detail: error.to_string() })?
    }
    async fn install_package(
        &self,
        wanted: Digest,
        trust: Option<Digest>,
        file: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        match self.alone() {
            Some(alone) => alone.install(wanted, trust, file).await,
            None => self.member()?.by_hand(wanted, trust, file).await,
        }
    }
    async fn catalogue(&self) -> Result<Catalogue, ApiError> {
        self.member()?.catalogue().await
    }
    async fn get_from_catalogue(&self, package: &str, manifest: Digest) -> Result<OrderId, ApiError> {
        self.member()?.get_from_catalogue(package, manifest).await
    }
}

fn status(agent: &Agent, people: &People) -> Status {
    let mut orders = agent.orders.all();
    orders.sort_by_key(|held| std::cmp::Reverse(held.order.number));
    let ended = |held: &HeldOrder| {
        let ended = people.notes(held.order.id).ended?;
        Some(ended.failed.map_or(Ok(()), |(reason, ..)| Err(reason)))
    };
    let order = |held: &Arc<HeldOrder>| OrderStatus {
        order: held.order.id,
        package: held.order.package.clone(),
        sequence: held.order.sequence,
        chunks: (
            (0..held.content.stripes()).filter_map(|stripe| held.content.held(stripe)).sum(),
            held.content.artifact().chunk_count(),
        ),
        passed_on: held.content.served(),
        authenticated: held.receipt().is_some(),
        ended: ended(held),
    };
    Status {
        machine: agent.me,
        label: agent.label.clone(),
        server: agent.server.address(),
        heard: agent.heard(),
        trouble: lock(&agent.trouble).clone(),
        certificate_until: banyan_wire::tls::valid_until(&agent.credentials().certificate),
        crl_number: agent.crl_number(),
        orders: orders.iter().map(order).collect(),
    }
}
