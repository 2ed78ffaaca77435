//! Starts and stops the server: opens the data folder, binds the port and runs the background tasks.

use crate::{
    accept, api,
    artifacts::Artifacts,
    book::Book,
    ca::{Authority, CaError},
    desk::Desk,
    doors::Doors,
    files,
    for_one::Asked,
    live::Live,
    news::News,
    nms::{Nms, SOFTWARE},
    policies::Laid,
    refusal::Refusal,
    registry::Registry,
    repository::RepositoryError,
    secrets::{Secrets, SecretsError},
    store::{Counter, Machines as _, Policies as _, Sqlite, StoreError},
    swarm::Swarm,
};
use banyan_proto::{MachineId, ServerEpoch, UnixSeconds, admin::Profile};
use banyan_swarm::Config;
use banyan_wire::{
    node::{self, NodeConfig},
    tls::{Crl, IdentityError},
};
use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// How long shutdown waits for requests in progress.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; created at the first start.
    pub data: PathBuf,
    /// The address to listen on. Port 0 picks any free port.
    pub listen: SocketAddr,
    /// The address where machines and administrators reach the server, if it differs from `listen`.
    pub advertise: Option<SocketAddr>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk failed, or the folder's permissions do not allow access.
    #[error("cannot use {path}: {source}")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another server uses the folder. Two servers on one folder would destroy each other's data.
    #[error("another server is running on {0}; stop it first, or choose another --data")]
    Running(PathBuf),
    /// The folder does not contain a server's data.
    #[error(
        "{0} is not a server's data folder: it has no server.sqlite; pass the folder with the restored backup (--data)"
    )]
    NoServer(PathBuf),
    /// The port cannot be bound.
    #[error("cannot listen on {address}: {source}; choose another --listen, or stop the program that listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The secrets cannot be read or created.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The certificate authority cannot be opened.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// Certificates and revocation list do not match.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Open orders could not be loaded.
    #[error("cannot resume the open orders: {0}")]
    Orders(String),
    /// The existing profile cannot be read.
    #[error("{path} is not a valid profile: {why}; repair it or move it away")]
    Profile {
        /// The profile's path.
        path: PathBuf,
        /// The parse error.
        why: String,
    },
}

/// A running server.
pub struct Running {
    address: SocketAddr,
    profile: PathBuf,
    stop: CancellationToken,
    main: JoinHandle<()>,
}

impl Running {
    /// Returns the address on which the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Returns the path of the administrator's profile.
    #[must_use]
    pub fn profile(&self) -> &Path {
        &self.profile
    }
    /// Stops the server: accepts no new connections, completes requests in progress and writes everything to disk.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.main.await {
            warn!("the server did not stop cleanly: {error}");
        }
    }
}

/// Starts a server. When this returns, the server is listening and its profile is written.
///
/// # Errors
/// Returns a [`StartError`] that names what cannot be opened or bound.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let data = &settings.data;
    let keys = data.join("keys");
    let now = UnixSeconds::now();
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Folder { path, source }
    };
    files::private_folder(data).map_err(at(data))?;
    files::private_folder(&keys).map_err(at(&keys))?;
    let lock = lock(data)?;
    let store = Sqlite::open(&data.join("server.sqlite")).await?;
    let facts = store.facts().await?;
    let secrets = Secrets::open(&keys)?;
    let authority = Authority::open(&keys, now)?;
    let credentials = authority.server(&keys, facts.id, now)?;
    let revoked = store.revoked_serials().await?;
    let der = authority.revocation_list(store.next(Counter::Crl).await?, &revoked, now)?;
    let doors = Doors::new(&credentials, Crl::read(der, authority.certificate())?)?;
    let desk = Desk::open(&data.join("repository"), now)?;
    let artifacts = data.join("artifacts");
    let artifacts = Artifacts::open(artifacts.clone()).map_err(at(&artifacts))?;

    let listening = |source| StartError::Listen { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let advertised = settings.advertise.unwrap_or_else(|| reachable(address));
    let registry = Registry::new(store.machines().await?, (facts.id, advertised), &secrets.orders, now);
    let nms = Arc::new(Nms {
        id: facts.id,
        epoch: facts.epoch,
        epoch_said: secrets.orders.sign(&ServerEpoch { server: facts.id, epoch: facts.epoch }),
        keys,
        store: Arc::new(store.clone()),
        authority,
        secrets,
        desk,
        artifacts,
        registry,
        book: Book::default(),
        laid: Laid::new(store.policies().await?),
        asked_for_one: Asked::default(),
        live: Live::default(),
        news: News::default(),
        doors,
        node: OnceLock::new(),
        deploying: tokio::sync::Mutex::default(),
        revoking: tokio::sync::Mutex::default(),
        started: Instant::now(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let seed = u64::from_le_bytes(*MachineId::random().0.first_chunk().unwrap_or(&[0; 8]));
    let config =
        NodeConfig { swarm: Config::server(nms.id, seed), software: SOFTWARE.to_owned(), tls: nms.doors.pair() };
    let (handle, node) = node::start(config, Arc::new(Swarm(Arc::clone(&nms))));
    drop(nms.node.set(handle));
    nms.replant().await.map_err(|refusal: Refusal| StartError::Orders(refusal.to_string()))?;
    let profile = write_profile(data, advertised, &nms)?;
    let stop = nms.stop.clone();
    info!(server = %nms.id, %address, "listening");
    let main = tokio::spawn(run(nms, listener, store, node, lock));
    Ok(Running { address, profile, stop, main })
}

/// Serves until the server is stopped, then waits for the background tasks and closes the store.
async fn run(nms: Arc<Nms>, listener: TcpListener, store: Sqlite, node: JoinHandle<()>, lock: File) {
    let router = api::router(Arc::clone(&nms));
    let background = [tokio::spawn(Arc::clone(&nms).monitor()), tokio::spawn(Arc::clone(&nms).keep_doors())];
    accept::serve(Arc::clone(&nms), listener, router).await;
    for task in background {
        drop(task.await);
    }
    nms.tasks.close();
    if timeout(LAST_WORDS, nms.tasks.wait()).await.is_err() {
        warn!("some requests did not finish before shutdown");
    }
    if let Some(handle) = nms.node.get() {
        handle.shutdown().await;
    }
    drop(node.await);
    if let Err(refusal) = nms.count_sent().await {
        warn!("failed to store the last count of bytes sent: {refusal}");
    }
    store.close().await;
    drop(lock);
    info!("server stopped");
}

pub(crate) fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let file = File::create(&path).map_err(|source| StartError::Folder { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::Running(data.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(StartError::Folder { path, source }),
    }
}

/// Returns an address that other computers can use, for a server that listens on all interfaces. It is the address of
/// the interface with the default route (no packet is sent), or loopback if there is no route.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let outward = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // An address reserved for documentation.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    };
    SocketAddr::new(outward().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), address.port())
}

/// Writes the administrator's profile. Keeps the root's hash, which the administrator's own tool writes into it.
fn write_profile(data: &Path, server: SocketAddr, nms: &Nms) -> Result<PathBuf, StartError> {
    let path = data.join("admin.toml");
    let wrong = |why: String| StartError::Profile { path: path.clone(), why };
    let root = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str::<Profile>(&text).map_err(|error| wrong(error.to_string()))?.root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(StartError::Folder { path, source }),
    };
    let profile = Profile { server, ca: nms.authority.pin(), token: nms.secrets.admin_token().to_owned(), root };
    let text = toml::to_string(&profile).map_err(|error| wrong(error.to_string()))?;
    files::write_private(&path, text.as_bytes()).map_err(|source| StartError::Folder { path: path.clone(), source })?;
    Ok(path)
}
