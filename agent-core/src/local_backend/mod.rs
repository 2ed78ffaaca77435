//! The backend of the local API: the agent or, until this machine is enrolled, a placeholder that waits for a join
//! code.

mod order_progress;
mod snapshot;
mod speed_meter;

use crate::{
    agent::Agent,
    change_notifier::ChangeNotifier,
    platform,
    refusal::refusal,
    scheduling::Schedule,
    sensors::Sensors,
    sideload::{standalone::Standalone, trust_is_the_administrators},
    user::User,
};
use banyan_local_api::{Backend, Caller, LocalAddress, Report, RequestBody, Sessions, serve};
use banyan_proto::{
    Digest, OrderId, Reason,
    api::ApiError,
    join::JoinCode,
    local::{Catalogue, Mode, Package, Request, Right, Snapshot, Status},
};
use banyan_wire::lock::lock;
use speed_meter::SpeedMeters;
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

/// A join code from a caller.
pub(crate) struct JoinRequest {
    pub(crate) code: JoinCode,
    /// Where the result goes.
    pub(crate) answer: oneshot::Sender<Result<(), ApiError>>,
}

/// The backend of the local API.
pub(crate) struct LocalBackend {
    user: Arc<User>,
    sensors: Arc<Sensors>,
    schedule: Arc<Schedule>,
    notifier: Arc<ChangeNotifier>,
    label: String,
    mode: Mode,
    installs_for_everyone: bool,
    sessions: Sessions,
    agent: OnceLock<Arc<Agent>>,
    /// Installs packages without a server, until the agent runs.
    standalone: OnceLock<Arc<Standalone>>,
    /// What the machine waits for while it joins its server.
    joining: Mutex<Option<ApiError>>,
    join_requests: mpsc::Sender<JoinRequest>,
    speed_meters: SpeedMeters,
    is_open: AtomicBool,
}

/// Where the local API listens.
pub(crate) struct LocalAddresses {
    /// The data folder, for the agent's own user.
    pub(crate) data: PathBuf,
    /// The socket for everyone with a session at this machine.
    pub(crate) shared: Option<PathBuf>,
}

/// Whose API this is.
pub(crate) struct LocalBackendConfig {
    /// The machine's display name.
    pub(crate) label: String,
    pub(crate) mode: Mode,
    /// Whether packages are installed for all users of this machine.
    pub(crate) installs_for_everyone: bool,
    pub(crate) sessions: Sessions,
}

impl LocalBackend {
    /// Creates the backend before the agent runs. The receiver yields join codes until [`LocalBackend::set_agent`].
    pub(crate) fn new(
        config: LocalBackendConfig,
        user: Arc<User>,
        sensors: Arc<Sensors>,
        schedule: Arc<Schedule>,
        notifier: Arc<ChangeNotifier>,
    ) -> (Arc<Self>, mpsc::Receiver<JoinRequest>) {
        let LocalBackendConfig { label, mode, installs_for_everyone, sessions } = config;
        let (join_requests, receiver) = mpsc::channel(1);
        sensors.screen.set_audience(mode, sessions.clone());
        let backend = Self {
            user,
            sensors,
            schedule,
            notifier,
            label,
            mode,
            installs_for_everyone,
            sessions,
            agent: OnceLock::new(),
            standalone: OnceLock::new(),
            joining: Mutex::default(),
            join_requests,
            speed_meters: SpeedMeters::default(),
            is_open: AtomicBool::new(false),
        };
        (Arc::new(backend), receiver)
    }
    /// Sets the standalone mode, for a machine that belongs to no server.
    pub(crate) fn set_standalone(&self, standalone: &Arc<Standalone>) {
        drop(self.standalone.set(Arc::clone(standalone)));
    }
    /// Sets what the machine waits for while it joins its server.
    pub(crate) fn set_joining(&self, waits: ApiError) {
        *lock(&self.joining) = Some(waits);
        self.notifier.notify_snapshot();
    }
    /// Sets the running agent.
    pub(crate) fn set_agent(&self, agent: &Arc<Agent>) {
        drop(self.agent.set(Arc::clone(agent)));
        self.notifier.notify_snapshot();
    }
    /// Opens the API's addresses if they are not open yet. The agent works without them, so a failure is only logged.
    pub(crate) fn open(self: &Arc<Self>, addresses: &LocalAddresses) {
        if self.is_open.swap(true, Ordering::Relaxed) {
            return;
        }
        let own = std::iter::once(LocalAddress::Own(addresses.data.clone()));
        for place in own.chain(addresses.shared.clone().map(LocalAddress::Shared)) {
            match place.listen() {
                Ok(listener) => drop(tokio::spawn(serve(Arc::clone(self), listener))),
                Err(error) => warn!(%error, ?place, "failed to open the local API; desktop programs cannot connect"),
            }
        }
    }
    /// Returns the standalone mode while there is no agent.
    fn standalone(&self) -> Option<Arc<Standalone>> {
        if self.agent.get().is_some() { None } else { self.standalone.get().cloned() }
    }
    /// Returns the agent of a machine that belongs to a server.
    fn enrolled_agent(&self) -> Result<Arc<Agent>, ApiError> {
        let not_enrolled = || match self.standalone.get() {
            Some(_) => {
                let detail = "this computer is not set up yet; enter a join code, then try again";
                refusal(Reason::NotAllowed, detail)
            }
            None => refusal(Reason::Busy, "this computer is joining its server; try again in a minute"),
        };
        self.agent.get().cloned().ok_or_else(not_enrolled)
    }
    async fn enrol(&self, code: &str) -> Result<(), ApiError> {
        let code: JoinCode = code
            .parse()
            .map_err(|error| refusal(Reason::JoinRefused, format!("this is not a valid join code: {error}")))?;
        if let Some(agent) = self.agent.get() {
            return agent.take_code(&code);
        }
        let stopping = || refusal(Reason::InternalError, "the agent is stopping");
        let (answer, result) = oneshot::channel();
        self.join_requests.send(JoinRequest { code, answer }).await.map_err(|_| stopping())?;
        result.await.map_err(|_| stopping())?
    }
}

impl Backend for LocalBackend {
    fn software(&self) -> String {
        platform::software()
    }
    fn rights(&self, caller: Caller) -> Vec<Right> {
        caller.rights(self.mode, &self.sessions, &self.user.policy.current())
    }
    fn status(&self) -> Result<Status, ApiError> {
        let not_enrolled = || {
            let waits = lock(&self.joining).clone();
            waits.unwrap_or_else(|| refusal(Reason::NotFound, "this machine is not enrolled yet"))
        };
        let agent = self.agent.get().ok_or_else(not_enrolled)?;
        Ok(self.build_status(agent))
    }
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.build_snapshot();
        if let Some(standalone) = self.standalone() {
            standalone.add_to_snapshot(&mut snapshot);
        }
        snapshot
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.notifier.subscribe()
    }
    fn report(&self, caller: Caller, full_screen: Option<bool>) -> Report {
        self.sensors.screen.add(caller, full_screen, self.sensors.now())
    }
    async fn carry_out(&self, request: Request) -> Result<(), ApiError> {
        match request {
            Request::Enrol { code } => self.enrol(&code).await,
            Request::Wish { order, stage, wish } => self.user.history.set_wish(order, stage, wish),
            Request::ForgetSigner { root } => match self.standalone() {
                Some(standalone) => standalone.stop_trusting(root).await,
                None => Err(trust_is_the_administrators()),
            },
            other => self.user.preferences.carry_out(&other),
        }
    }
    async fn open_package(&self, rights: &[Right], head: Vec<u8>, size: u64) -> Result<Package, ApiError> {
        let rights = rights.to_vec();
        let describing = match self.standalone() {
            Some(standalone) => tokio::task::spawn_blocking(move || standalone.describe(&rights, &head, size)),
            None => {
                let agent = self.enrolled_agent()?;
                tokio::task::spawn_blocking(move || agent.sideload.describe(&rights, &head, size))
            }
        };
        describing.await.map_err(|error| refusal(Reason::InternalError, error.to_string()))?
    }
    async fn install_package(
        &self,
        wanted: Digest,
        trust: Option<Digest>,
        file: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        match self.standalone() {
            Some(standalone) => standalone.install(wanted, trust, file).await,
            None => self.enrolled_agent()?.install_package_file(wanted, trust, file).await,
        }
    }
    async fn catalogue(&self) -> Result<Catalogue, ApiError> {
        self.enrolled_agent()?.catalogue().await
    }
    async fn get_from_catalogue(&self, package: &str, manifest: Digest) -> Result<OrderId, ApiError> {
        self.enrolled_agent()?.install_from_catalogue(package, manifest).await
    }
}
