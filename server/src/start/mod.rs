//! Starts and stops the server: opens the data folder, binds the port and runs the background tasks.

mod addresses;
mod data_folder;
mod disk_reserve;
mod error;
mod own_threads;
mod services;

pub(crate) use data_folder::open_stopped;
pub use error::StartError;

use crate::{api, net::connections::Places, private_files, refusal::Refusal, server::SOFTWARE, store::Sqlite};
use addresses::{AnnouncedAddresses, reachable_addresses};
use banyan_proto::{Address, MachineId, UnixSeconds, limits};
use banyan_swarm::Config;
use banyan_wire::{
    file_room,
    node::{self, NodeConfig},
    open_files,
    rare_log::RareLog,
    socket::Keepalive,
};
use data_folder::{lock, write_profile};
use disk_reserve::DiskReserve;
use own_threads::OwnThreads;
use services::{OpenedData, Services};
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// A limit of open files below this is worth a warning.
const FEW_OPEN_FILES: usize = 4096;
/// How long a start on a full disk waits before it tries again.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(2);
/// How long shutdown waits for requests in progress.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// The longest message that machines may send to the server's node (bytes). No machine sends it offers.
const LONGEST_MESSAGE: usize = 256 << 10;

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; created at the first start.
    pub data: PathBuf,
    /// The address to listen on. Port 0 picks any free port.
    pub listen: SocketAddr,
    /// The addresses where machines and administrators reach the server, tried in turn. Empty: the one that follows
    /// from `listen`.
    pub advertise: Vec<Address>,
    /// When a machine that has vanished counts as offline.
    pub keepalive: Keepalive,
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
    if settings.advertise.len() > limits::ADDRESSES_PER_MACHINE {
        return Err(StartError::TooManyAddresses(settings.advertise.len()));
    }
    raise_open_files();
    let data = &settings.data;
    let keys = data.join("keys");
    let now = UnixSeconds::now();
    for folder in [data, &keys] {
        private_files::create_private_folder(folder)
            .map_err(|source| StartError::Folder { path: folder.clone(), source })?;
    }
    let lock = lock(data)?;
    let reserve = DiskReserve::new(data);
    let opened = open_data(data, &keys, &reserve, now).await?;

    let listener = addresses::bind(settings.listen)?;
    let address = listener.local_addr().map_err(|source| StartError::Listen { address: settings.listen, source })?;
    let advertised = if settings.advertise.is_empty() { reachable_addresses(address) } else { settings.advertise };
    let announced = AnnouncedAddresses::update(data, advertised.clone(), now)?;
    let administrators = OwnThreads::for_administrators().map_err(StartError::Threads)?;
    let handshakes = OwnThreads::for_handshakes().map_err(StartError::Threads)?;
    let services = Services::connect(&opened, announced, settings.keepalive, handshakes.handle().clone(), now).await?;
    let seed = u64::from_le_bytes(*MachineId::random().0.first_chunk().unwrap_or(&[0; 8]));
    let config = NodeConfig {
        swarm: Config::server(opened.server.id, seed),
        software: SOFTWARE.to_owned(),
        tls: services.server.tls.pair(),
        longest_message: LONGEST_MESSAGE,
        // A connection to a peer takes two open files. Few machines are the first of their list.
        max_links: (open_files::limit().soft / 16).clamp(8, 4096),
    };
    let (handle, node) = node::start(config, Arc::clone(&services.swarm_host));
    services.server.site_budgets.limit_server(handle.site_limit());
    services.node.set(handle);
    services.orders.resume_all().await.map_err(|refusal: Refusal| StartError::Orders(refusal.to_string()))?;
    let profile = write_profile(data, advertised, &opened.authority, &opened.secrets)?;
    let stop = services.stop.clone();
    info!(server = %opened.server.id, %address, "listening");
    let listener = administrators.take_listener(listener).map_err(StartError::Threads)?;
    let main = tokio::spawn(run(services, listener, [administrators, handshakes], opened.sqlite, node, lock, reserve));
    Ok(Running { address, profile, stop, main })
}

/// Opens the data. On a full disk it uses up the reserve, so that administrators can see what is wrong. Without a reserve
/// it waits for room.
async fn open_data(
    data: &Path,
    keys: &Path,
    reserve: &DiskReserve,
    now: UnixSeconds,
) -> Result<OpenedData, StartError> {
    static FULL: RareLog = RareLog::each_minute();
    loop {
        let opened = OpenedData::open(data, keys.to_owned(), now).await;
        let missing = file_room::describe_missing(data);
        match opened {
            Err(error) if error.is_disk_full() || (missing.is_some() && error.may_lack_files()) => {
                if let Some(more) = FULL.due() {
                    let what = missing.unwrap_or_else(|| format!("free some space for {}", data.display()));
                    error!(more, "the server's disk is full; {what}: {error}");
                }
                if !reserve.use_up() {
                    tokio::time::sleep(WAIT_FOR_ROOM).await;
                }
            }
            opened => return opened,
        }
    }
}

/// Raises the limit of open files, and warns if it stays low.
fn raise_open_files() {
    let limit = open_files::raise_limit();
    if limit.soft < FEW_OPEN_FILES {
        let machines = Places::within(limit).machines;
        warn!(
            limit = limit.soft,
            machines,
            "few open files are allowed, so only this many machines can be connected; raise the hard limit (systemd: \
             LimitNOFILE)"
        );
    }
}

/// Serves until the server is stopped, then waits for the background tasks and closes the store.
async fn run(
    services: Services,
    listener: TcpListener,
    [administrators, handshakes]: [OwnThreads; 2],
    store: Sqlite,
    node: JoinHandle<()>,
    lock: File,
    reserve: DiskReserve,
) {
    let install_permits = Arc::clone(&services.server.install_permits);
    let routers = api::routers(&services.server);
    let first = administrators.handle();
    // Some of these hold the database for many rows. Beside the requests of machines they would wait at each row.
    let background = [
        first.spawn(services.monitor.run()),
        first.spawn(services.revocation_list.keep_renewed()),
        first.spawn(install_permits.keep_inviting()),
        first.spawn(services.gates.keep_looking()),
        first.spawn(services.newcomers.keep_looking()),
        first.spawn(services.row_writer.run()),
        first.spawn(services.webhook_queues.run()),
        first.spawn(reserve.keep(services.stop.clone())),
    ];
    if let Err(error) = first.spawn(services.acceptor.serve(listener, routers)).await {
        error!("connections are no longer accepted: {error}");
    }
    for task in background {
        drop(task.await);
    }
    services.tasks.close();
    if timeout(SHUTDOWN_GRACE, services.tasks.wait()).await.is_err() {
        warn!("some requests did not finish before shutdown");
    }
    handshakes.stop().await;
    administrators.stop().await;
    if let Some(handle) = services.node.get() {
        handle.shutdown().await;
    }
    drop(node.await);
    if let Err(refusal) = services.orders.store_bytes_sent().await {
        warn!("failed to store the last count of bytes sent: {refusal}");
    }
    store.close().await;
    drop(lock);
    info!("server stopped");
}
