//! Starts and stops the agent: opens what it needs, enrols the machine if necessary, and wires everything together.

use crate::{
    accept,
    agent::{Agent, AgentParts, check_in, order_end, scheduler, start::NodeOptions},
    change_notifier::ChangeNotifier,
    cli::Args,
    database::{Database, DatabaseError, Enrolment},
    folders::Folders,
    identity::{Identity, certificate, key},
    install_root,
    joining::{Enroller, GivenServer},
    local_backend::{JoinRequest, LocalAddresses, LocalBackend, LocalBackendConfig},
    pipeline::install::{self, InstallStage},
    publisher_trust::PublisherTrust,
    scheduling::Schedule,
    sensors::{self, Sensors},
    server::api::ServerApi,
    shutdown,
    sideload::standalone::{self, Standalone, StandaloneConfig},
    system_changes::SystemChanges,
    user::User,
};
use anyhow::Context;
use banyan_install_helper::client::{Launcher, SetTrustError};
use banyan_local_api::Sessions;
use banyan_proto::{MachineId, Reason, local::Mode};
use banyan_trust::TrustStore;
use banyan_wire::{file_room, open_files, rare_log::RareLog, socket::Keepalive, tls::Crl};
use rcgen::KeyPair;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc};
use tracing::{info, warn};

/// Runs the agent until it is asked to stop.
///
/// # Errors
/// When the agent cannot start: folder, database, identity or address. The error says what was tried and what to do.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Run at low priority until something is urgent.
    banyan_install_helper::priority::set_low_priority(true);
    open_files::raise_limit();
    let with_stdin = args.exit_with_stdin;
    let idle_after = Duration::from_secs(args.idle_after);
    let max_children = args.max_children;
    let given = GivenServer::read(&args)?;
    let mut stop = std::pin::pin!(shutdown::requested(with_stdin));
    let opened = tokio::select! {
        opened = with_room(&args.data, || LocalSetup::open(args.clone())) => opened,
        () = &mut stop => return Ok(()),
    };
    let setup = opened?;
    let listener = setup.bind()?;
    let listen = listener.local_addr()?;
    let (services, mut join_requests) = LocalServices::start(&setup)?;
    let stored = setup.database.load_enrolment()?;
    let was_enrolled = stored.is_some();
    given.check(was_enrolled)?;
    let LocalSetup { database, key, label, .. } = &setup;
    let enroller = Enroller { database, key, label, user: &services.user, listen };
    let enrolment = match (stored, &given.code) {
        (Some(enrolment), _) => {
            given.check_same_server(&enrolment)?;
            enrolment
        }
        (None, Some(code)) => {
            services.backend.open(&setup.local_addresses());
            let (requests, changes) = (&mut join_requests, &services.changes);
            tokio::select! {
                enrolment = enroller.until_joined(&given, code, requests, changes, &services.backend) => enrolment?,
                () = &mut stop => return Ok(()),
            }
        }
        (None, None) => {
            warn!(
                "this machine is not enrolled yet: enter a join code in the Banyan window, or restart with --join-file \
                 FILE (`banyan tokens create` creates a code)"
            );
            let standalone = start_standalone(&setup, &services)?;
            tokio::select! {
                enrolment = enroller.until_enrolled(&mut join_requests, &standalone) => enrolment?,
                () = &mut stop => return Ok(()),
            }
        }
    };
    drop(join_requests);
    let drop_installs = || {
        standalone::drop_installs(&setup.database, &services.user)
            .context("cannot record what was installed here without a server")
    };
    tokio::select! {
        dropped = with_room(&setup.folders.data, drop_installs) => dropped?,
        () = &mut stop => return Ok(()),
    }
    let (addresses, folders) = (setup.local_addresses(), setup.describe_folders());
    let agent = assemble(setup, &services, &enrolment, listen)?;
    let has_new_code = given.apply(&agent.identity.server_addresses)? && was_enrolled;
    let mut unused_code = std::pin::pin!(async {
        if !has_new_code {
            return std::future::pending().await;
        }
        let reason = agent.until_excluded().await;
        given.refuse_code(&agent.identity.server_addresses, reason, &folders)
    });
    services.sensors.measure_disk_once();
    // Local programs can now ask what this machine is waiting for.
    services.backend.set_agent(&agent);
    services.backend.open(&addresses);
    let trust = agent.trust.current();
    tokio::select! {
        introduced = introduce_helper(&agent, &addresses.data, &enrolment, &trust) => introduced?,
        () = &mut stop => return Ok(()),
    }
    tokio::select! {
        () = agent.until_trusted() => {}
        error = &mut unused_code => return Err(error),
        () = &mut stop => return Ok(()),
    }
    tokio::select! {
        () = services.sensors.first_reading(sensors::FIRST_READING) => {}
        () = &mut stop => return Ok(()),
    }
    services.sensors.refresh_services().await;
    let node = agent.start_node(&NodeOptions { max_children, seed: random() })?;
    tokio::spawn(scheduler::run(Arc::clone(&agent), idle_after));
    info!(machine = %agent.identity.machine, label = agent.label, %listen, "ready");
    tokio::spawn(check_in::run(Arc::clone(&agent), random()));
    tokio::spawn(accept::run(listener, node.clone()));
    tokio::spawn(order_end::drop_expired_orders(Arc::downgrade(&agent)));
    let ended = tokio::select! {
        error = unused_code => Err(error),
        () = stop => Ok(()),
    };
    info!("stopping");
    services.user.upload_quota.close();
    node.shutdown().await;
    ended
}

/// How long to wait before something is tried again that needs room on the disk.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(2);

/// Does something that writes to the disk. While the disk is full, says so and tries again.
async fn with_room<T>(data: &Path, attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    loop {
        match attempt() {
            Err(error) if is_disk_full(&error) => wait_for_room(data, &error).await,
            done => return done,
        }
    }
}

/// Says that the disk is full, and for lack of what, and waits a little.
async fn wait_for_room(data: &Path, error: &anyhow::Error) {
    static FULL: RareLog = RareLog::each_minute();
    if let Some(more) = FULL.due() {
        let missing = file_room::describe_missing(data).map_or(String::new(), |missing| format!("{missing}: "));
        warn!(more, "the disk is full [disk-full]: {missing}{error:#}; the agent starts as soon as there is room");
    }
    tokio::time::sleep(WAIT_FOR_ROOM).await;
}

/// Returns whether an error has a full disk among its causes.
fn is_disk_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_disk = cause.downcast_ref::<std::io::Error>().map(Reason::of_disk_error);
        let of_database = cause.downcast_ref::<DatabaseError>().map(DatabaseError::reason);
        let of_helper = cause.downcast_ref::<SetTrustError>().map(SetTrustError::reason);
        of_disk.or(of_database).or(of_helper) == Some(Reason::DiskFull)
    })
}

/// Tells the install helper whom to trust. It writes to its own folder, so a full disk is waited for here, too.
async fn introduce_helper(agent: &Agent, data: &Path, enrolment: &Enrolment, trust: &TrustStore) -> anyhow::Result<()> {
    loop {
        match agent.stages.install.introduce(enrolment, trust).await.context("cannot enrol the install helper") {
            Err(error) if is_disk_full(&error) => wait_for_room(data, &error).await,
            introduced => return introduced,
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&MachineId::random().0[..8]);
    u64::from_le_bytes(bytes)
}

/// What the agent has before it is enrolled: its options, its folders, its database and its key.
struct LocalSetup {
    args: Args,
    folders: Folders,
    database: Arc<Database>,
    key: KeyPair,
    /// The machine's display name.
    label: String,
    mode: Mode,
}

impl LocalSetup {
    fn open(args: Args) -> anyhow::Result<Self> {
        let folders = Folders::create(&args)?;
        let database = Database::open(&folders.data.join("agent.redb"))
            .with_context(|| format!("cannot open the agent's database in {}", folders.data.display()))?;
        let key = key::load_or_create(&folders.data.join("machine.key"))?;
        let host_name = || sysinfo::System::host_name().filter(|name| !name.trim().is_empty());
        let label = args.name.clone().or_else(host_name).unwrap_or_else(|| "unnamed".into());
        let mode = if args.socket.is_some() { Mode::System } else { Mode::User };
        Ok(Self { args, folders, database: Arc::new(database), key, label, mode })
    }
    fn bind(&self) -> anyhow::Result<TcpListener> {
        let listen = self.args.listen;
        banyan_wire::listen::bind(listen).map_err(|error| {
            let advice = banyan_wire::listen::advice(&error);
            anyhow::anyhow!("cannot listen on {listen}: {error}; {advice}")
        })
    }
    /// Names the folders that hold this machine's identity, for people.
    fn describe_folders(&self) -> String {
        let Folders { data, install_helper, .. } = &self.folders;
        let own = format!("its --data folder {}", data.display());
        if self.args.install_helper_data.is_some() {
            format!("{own} and its install helper's {}", install_helper.display())
        } else {
            own
        }
    }
    fn local_addresses(&self) -> LocalAddresses {
        LocalAddresses { data: self.folders.data.clone(), shared: self.args.socket.clone() }
    }
    /// Returns how to start the install helper.
    fn launcher(&self) -> anyhow::Result<Launcher> {
        let root = install_root::prepare(&self.database, &self.args.install_root)?;
        let data = self.folders.data.canonicalize().context("cannot resolve the agent's data folder")?;
        install::launcher(self.args.install_helper.as_deref(), &self.folders.install_helper, &root, &data)
            .context("cannot find the install helper")
    }
}

/// What runs whether or not the machine is enrolled.
struct LocalServices {
    notifier: Arc<ChangeNotifier>,
    user: Arc<User>,
    sensors: Arc<Sensors>,
    schedule: Arc<Schedule>,
    backend: Arc<LocalBackend>,
    changes: Arc<SystemChanges>,
}

impl LocalServices {
    /// Starts them. The receiver yields the join codes that users enter.
    fn start(setup: &LocalSetup) -> anyhow::Result<(Self, mpsc::Receiver<JoinRequest>)> {
        let notifier = Arc::new(ChangeNotifier::default());
        let user = User::open(&setup.database, Arc::clone(&notifier));
        let user = Arc::new(user.context("cannot read the settings chosen at this machine")?);
        let sensors = Arc::new(Sensors::new(setup.folders.content.clone(), Arc::clone(&notifier)));
        let schedule = Arc::new(Schedule::new(Arc::clone(&user), Arc::clone(&sensors)));
        let config = LocalBackendConfig {
            label: setup.label.clone(),
            mode: setup.mode,
            installs_for_everyone: setup.args.install_helper.is_some() || banyan_install_helper::has_privileges(),
            sessions: setup.args.sessions.as_deref().map(Sessions::in_folder).unwrap_or_default(),
        };
        let (backend, join_requests) = LocalBackend::new(
            config,
            Arc::clone(&user),
            Arc::clone(&sensors),
            Arc::clone(&schedule),
            Arc::clone(&notifier),
        );
        sensors.listen_to_services();
        let (zone, scheduler) = (Arc::clone(&user.zone), Arc::clone(&notifier));
        let changes = SystemChanges::start(move || {
            zone.check();
            scheduler.notify_scheduler();
        });
        Ok((Self { notifier, user, sensors, schedule, backend, changes }, join_requests))
    }
}

/// Starts standalone mode and opens the local API for it.
fn start_standalone(setup: &LocalSetup, services: &LocalServices) -> anyhow::Result<Arc<Standalone>> {
    let config = StandaloneConfig {
        folder: setup.folders.content.clone(),
        launcher: setup.launcher()?,
        may_have_privileges: setup.args.install_helper.is_some(),
        mode: setup.mode,
    };
    let (user, notifier) = (Arc::clone(&services.user), Arc::clone(&services.notifier));
    let standalone = Standalone::open(config, user, Arc::clone(&setup.database), notifier)
        .context("cannot read what was installed here without a server")?;
    standalone.clear_leftovers();
    services.backend.set_standalone(&standalone);
    services.backend.open(&setup.local_addresses());
    tokio::spawn(Arc::clone(&standalone).resume());
    Ok(standalone)
}

fn assemble(
    setup: LocalSetup,
    services: &LocalServices,
    enrolment: &Enrolment,
    listen: SocketAddr,
) -> anyhow::Result<Arc<Agent>> {
    let install = InstallStage::new(setup.launcher()?);
    let keepalive = Keepalive { silence: Duration::from_secs(setup.args.offline_after) };
    let LocalSetup { folders, database, key, label, .. } = setup;
    let credentials = certificate::to_credentials(enrolment, &key)?;
    let identity = Arc::new(Identity::open(enrolment, Arc::clone(&database))?);
    let api = Arc::new(ServerApi::new(Arc::clone(&identity.server_addresses), &credentials, keepalive)?);
    let trust = database.load_trust()?;
    let trust = trust.context("the trusted publisher metadata is missing; enrol this machine again")?;
    let crl = database.load_crl()?.map(|der| Crl::read(der, &credentials.ca)).transpose()?;
    Ok(Agent::new(AgentParts {
        identity,
        label,
        listen,
        content: folders.content,
        notifier: Arc::clone(&services.notifier),
        changes: Arc::clone(&services.changes),
        user: Arc::clone(&services.user),
        sensors: Arc::clone(&services.sensors),
        schedule: Arc::clone(&services.schedule),
        api,
        trust: Arc::new(PublisherTrust::new(Arc::clone(&database), trust)),
        install,
        key,
        credentials,
        crl,
        database,
    }))
}
