//! Starts and stops the agent, for the programs `banyan-agent` and `banyan agent`.

use crate::{
    agent::{self, Agent},
    authenticate::Authenticate,
    by_hand::alone::{self, Alone},
    catalogue::Shelf,
    check_in,
    epoch::Epoch,
    identity,
    install::{self, Install},
    offer::OfferStage,
    orders::{Orders, lock},
    people::{
        People,
        front::{Front, Joining},
        keeper,
    },
    report::Reporter,
    server_api::ServerApi,
    state::{Enrolment, State},
};
use anyhow::{Context, bail};
use banyan_install_helper::client::Launcher;
use banyan_local_api::{
    Sessions,
    folder::{self, Group},
};
use banyan_proto::{MachineId, Reason, UnixSeconds, api::ApiError, join::JoinCode, local::Mode};
use banyan_swarm::{Config, io::OrderInput};
use banyan_wire::{
    connection::{self, TlsPair},
    node::{self, NodeConfig, NodeHandle},
    tls::Crl,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, RwLock, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};
use tracing::{debug, info, warn};

/// Default for the number of machines served at once.
const CHILDREN: usize = 8;
/// Maximum number of concurrent handshakes; further connections wait.
const HANDSHAKES: usize = 64;
/// How often to check for orders whose content no longer has to be kept.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Command-line options of the agent.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder for this machine's identity, database and content
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on for other machines
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:7711")]
    pub listen: SocketAddr,
    /// Join code from `banyan tokens create`; needed once
    #[arg(long, value_name = "CODE")]
    pub join: Option<String>,
    /// Folder to install into, as if it were the root of the system
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub install_root: PathBuf,
    /// Command that starts the installer with rights the agent does not have, such as `sudo -n
    /// /usr/lib/banyan/banyan-install-helper`
    #[arg(long, value_name = "COMMAND")]
    pub installer: Option<String>,
    /// Data folder of the installer [default: DIR/installer of --data]
    ///
    /// If the agent has no privileges, only root may be able to change this folder and the folders above it.
    #[arg(long, value_name = "DIR")]
    pub installer_data: Option<PathBuf>,
    /// Display name of this machine [default: host name]
    #[arg(long, value_name = "LABEL")]
    pub name: Option<String>,
    /// Maximum number of machines to serve at once
    #[arg(long, value_name = "N", default_value_t = CHILDREN)]
    pub max_children: usize,
    /// Additional socket for everyone with a session at this machine
    ///
    /// Services use /run/banyan/agent.sock. Without it, only the agent's own user and root can connect.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Seconds the processor must be quiet before the machine counts as idle
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub idle_after: u64,
    /// Folder to read sessions from instead of logind's
    #[arg(long, value_name = "DIR", hide = true)]
    pub sessions: Option<PathBuf>,
    /// Exit when standard input ends
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Runs the agent until it is asked to stop.
///
/// # Errors
/// When the agent cannot start: folder, database, identity or address. The error says what was tried and what to do.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Run at low priority until something is urgent.
    banyan_install_helper::priority::give_way(true);
    let folders = Folders::make(&args)?;
    let state = Arc::new(
        State::open(&folders.data.join("agent.redb"))
            .context("cannot open the agent's database (is another agent running with the same --data folder?)")?,
    );
    let key = identity::key(&folders.data.join("machine.key"))?;
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {} (--listen)", args.listen))?;
    let listen = listener.local_addr()?;
    let label = label(&args);
    let people = People::open(Arc::clone(&state), folders.content.clone());
    let people = Arc::new(people.context("cannot read the settings chosen at this machine")?);
    let mode = if args.socket.is_some() { Mode::System } else { Mode::User };
    let sessions = args.sessions.as_deref().map(Sessions::in_folder).unwrap_or_default();
    let (front, mut codes) = Front::new(Arc::clone(&people), label.clone(), mode, sessions);
    people.listen_to_services();
    let mut stop = std::pin::pin!(stop_signal(args.exit_with_stdin));
    let joiner = Joiner { state: &state, key: &key, label: &label, listen, people: &people };
    let enrolment = match (state.enrolment()?, &args.join) {
        (Some(enrolment), _) => enrolment,
        (None, Some(code)) => joiner.enrol(&code.parse()?).await?,
        (None, None) => {
            warn!(
                "this machine is not enrolled yet: enter a join code in the Banyan window, or restart with --join CODE \
                 (`banyan tokens create` creates one)"
            );
            let installer = (launcher(&args, &folders)?, args.installer.is_some());
            let alone = Alone::open(Arc::clone(&people), folders.content.clone(), installer, mode);
            let alone = alone.context("cannot read what was installed here without a server")?;
            alone.clear();
            front.stands_alone(&alone);
            front.open(&folders.data, args.socket.as_ref());
            tokio::spawn(Arc::clone(&alone).resume());
            tokio::select! {
                enrolment = joiner.wait(&mut codes, &alone) => enrolment?,
                () = &mut stop => return Ok(()),
            }
        }
    };
    drop(codes);
    alone::retire(&people).context("cannot record what was installed here without a server")?;
    let agent = assemble(&args, &folders, Arc::clone(&people), key, enrolment.clone(), listen)?;
    agent.look_at_disk();
    // Local programs can now ask what this machine is waiting for.
    front.stands(&agent, &folders.data, args.socket.as_ref());
    let trust = lock(&agent.authenticate.trust).clone();
    tokio::select! {
        told = agent.install.introduce(&enrolment, &trust) => told.context("cannot enrol the installer")?,
        () = &mut stop => return Ok(()),
    }
    let certified = async {
        agent.until_certified(false).await;
        wait_for_crl(&agent).await;
    };
    tokio::select! {
        () = certified => {}
        () = &mut stop => return Ok(()),
    }
    agent.people.ask_services().await;
    let node = start(&agent)?;
    tokio::spawn(keeper::run(Arc::clone(&agent), Duration::from_secs(args.idle_after)));
    info!(machine = %agent.me, label = agent.label, %listen, "ready");
    tokio::spawn(check_in::run(Arc::clone(&agent), u64::from_le_bytes(random())));
    tokio::spawn(accept(listener, node.clone()));
    tokio::spawn(forget(Arc::downgrade(&agent)));
    stop.await;
    info!("stopping");
    agent.people.stop();
    node.shutdown().await;
    Ok(())
}

struct Folders {
    data: PathBuf,
    content: PathBuf,
    installer: PathBuf,
}

impl Folders {
    fn make(args: &Args) -> anyhow::Result<Self> {
        let data = folder::closed(&args.data, 0o711, Group::MyOwn)
            .with_context(|| format!("cannot create the folder {} (--data)", args.data.display()))?;
        let content = data.join("content");
        // Other users may pass through to the programs that the installer keeps below, but may not list anything.
        let made = |folder: &Path, mode| {
            make_folder(folder, mode).with_context(|| format!("cannot create the folder {}", folder.display()))
        };
        made(&data, 0o711)?;
        made(&content, 0o700)?;
        let installer = match &args.installer_data {
            // This folder was created for the installer alone, together with its privileges.
            Some(folder) => std::path::absolute(folder).context("cannot resolve the --installer-data folder")?,
            None => {
                let installer = data.join("installer");
                made(&installer, 0o755)?;
                // The installer is another process: the path must not depend on this process's working directory.
                installer.canonicalize().context("cannot resolve the installer's folder")?
            }
        };
        Ok(Self { data, content, installer })
    }
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "file modes exist on Unix only"))]
fn make_folder(folder: &Path, mode: u32) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(())
}

fn label(args: &Args) -> String {
    args.name.clone().or_else(sysinfo::System::host_name).unwrap_or_else(|| "unnamed".into())
}

fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&MachineId::random().0[..8]);
    bytes
}

/// Enrols this machine with a server.
struct Joiner<'a> {
    state: &'a State,
    key: &'a rcgen::KeyPair,
    label: &'a str,
    listen: SocketAddr,
    people: &'a People,
}

impl Joiner<'_> {
    async fn enrol(&self, code: &JoinCode) -> anyhow::Result<Enrolment> {
        let addresses = agent::addresses(self.listen, vec![code.server]);
        let enrolment = identity::enrol(self.state, self.key, code, self.label, addresses).await?;
        info!(machine = %enrolment.machine, server = %enrolment.server_address, "enrolled");
        self.people.enrolled();
        Ok(enrolment)
    }
    /// Takes join codes from the local API until one succeeds. Reports each result to the caller who sent the code.
    async fn wait(&self, codes: &mut mpsc::Receiver<Joining>, alone: &Alone) -> anyhow::Result<Enrolment> {
        while let Some((code, told)) = codes.recv().await {
            let _quiet = match alone.quiet().await {
                Ok(quiet) => quiet,
                Err(busy) => {
                    drop(told.send(Err(busy)));
                    continue;
                }
            };
            match self.enrol(&code).await {
                Ok(enrolment) => {
                    alone.end();
                    drop(told.send(Ok(())));
                    return Ok(enrolment);
                }
                Err(error) => {
                    let detail = format!("could not enrol this computer: {error:#}");
                    drop(told.send(Err(ApiError { reason: Reason::JoinRefused, detail })));
                }
            }
        }
        bail!("the local API stopped before a valid join code arrived")
    }
}

fn launcher(args: &Args, folders: &Folders) -> anyhow::Result<Launcher> {
    fs::create_dir_all(&args.install_root)
        .with_context(|| format!("cannot create the folder {} (--install-root)", args.install_root.display()))?;
    let root = args.install_root.canonicalize().context("cannot resolve the --install-root folder")?;
    let data = folders.data.canonicalize().context("cannot resolve the agent's data folder")?;
    install::launcher(args.installer.as_deref(), &folders.installer, &root, &data).context("cannot find the installer")
}

fn assemble(
    args: &Args,
    folders: &Folders,
    people: Arc<People>,
    key: rcgen::KeyPair,
    enrolment: Enrolment,
    listen: SocketAddr,
) -> anyhow::Result<Arc<Agent>> {
    let state = Arc::clone(people.state());
    let label = label(args);
    let credentials = identity::credentials(&enrolment, &key)?;
    let server = Arc::new(ServerApi::new(&enrolment, &credentials)?);
    let trust = state.trust()?.context("the trusted publisher metadata is missing; enrol this machine again")?;
    let trust = Arc::new(Mutex::new(trust));
    let install = Install { launcher: launcher(args, folders)? };
    let orders =
        Arc::new(Orders::new(enrolment.machine, enrolment.server, enrolment.server_address, enrolment.keys.clone()));
    let epoch = Arc::new(Epoch::open(Arc::clone(&state), enrolment.epoch)?);
    let crl = state.crl()?.map(|der| Crl::read(der, &credentials.ca)).transpose()?.map(Arc::new);
    let offers = Arc::new(OfferStage {
        me: enrolment.machine,
        server: enrolment.server,
        keys: enrolment.keys.clone(),
        epoch: Arc::clone(&epoch),
        platform: banyan_proto::platform::platform(),
        folder: folders.content.clone(),
        state: Arc::clone(&state),
        orders: Arc::clone(&orders),
        trust: Arc::clone(&trust),
    });
    let authenticate = Authenticate {
        me: enrolment.machine,
        keys: enrolment.keys,
        epoch,
        server: Arc::clone(&server),
        state: Arc::clone(&state),
        trust,
    };
    let reporter = Reporter::start(Arc::clone(&state), Arc::clone(&server));
    Ok(Arc::new_cyclic(|this| Agent {
        this: this.clone(),
        me: enrolment.machine,
        label,
        listen,
        max_children: args.max_children,
        state,
        people,
        orders,
        server,
        offers,
        authenticate,
        install,
        reporter,
        credentials: RwLock::new(Arc::new(credentials)),
        key,
        crl: Mutex::new(crl),
        node: OnceLock::new(),
        heard: AtomicU64::new(0),
        trouble: Mutex::default(),
        told: Mutex::default(),
        leaves: Mutex::default(),
        shelf: Shelf::default(),
    }))
}

/// Waits for a revocation list. Without one no peer can be trusted, so nothing starts before it is here.
async fn wait_for_crl(agent: &Agent) {
    let mut pause = Duration::from_millis(250);
    while agent.crl_number() == 0 {
        match agent.server.crl().await {
            Ok(der) => agent.take_crl(der),
            Err(error) => {
                info!("waiting for the server's revocation list");
                agent.not_heard(&error);
                agent.until_certified(error.reason() == Reason::CertificateExpired).await;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        }
    }
}

/// Starts the node loop and resumes the orders of earlier runs.
fn start(agent: &Arc<Agent>) -> anyhow::Result<NodeHandle> {
    let crl = banyan_wire::host::Host::crl(agent.as_ref());
    let tls = TlsPair::for_peers(&agent.credentials(), crl.as_deref())?;
    let machine = Config::agent(agent.me, agent.offers.server, agent.max_children, u64::from_le_bytes(random()));
    let (node, _) = node::start(NodeConfig { swarm: machine, software: identity::software(), tls }, Arc::clone(agent));
    agent.people.shared.counted_by(Arc::clone(node.bandwidth_yield()));
    drop(agent.node.set(node.clone()));
    agent.look_at_disk();
    agent.clear_content()?;
    let facts = agent.people.facts();
    agent.decide_general(&facts);
    for record in agent.state.orders()? {
        match agent.offers.restore(&record, UnixSeconds::now()) {
            // A higher epoch ended this order, but the agent stopped before that was stored.
            Ok(held) if held.order.epoch < agent.offers.epoch.seen() && record.ended.is_none() => {}
            Ok(held) => {
                let described = held.described();
                agent.people.seen(held.order.id, &held.order.package, &described.version);
                if let Some(result) = record.ended {
                    agent.people.had_ended(held.order.id, held.order.issued, result);
                }
                // Decide before the state machine learns of the order; otherwise it would request chunks at once.
                agent.decide_order(&facts, &held);
                for stripe in held.offers().keys() {
                    held.trusted(*stripe).into_iter().for_each(|trusted| node.input(OrderInput::Restored(trusted)));
                }
                if let Some(result) = record.ended {
                    held.content.release();
                    node.input(OrderInput::InstallEnded(held.order.id, result));
                }
            }
            Err(error) => warn!(%error, "order from an earlier run not resumed"),
        }
    }
    Ok(node)
}

async fn accept(listener: TcpListener, node: NodeHandle) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    match connection::handshake(stream, node.tls().acceptor).await {
                        Ok(stream) => node.accept(stream),
                        Err(error) => debug!(%from, %error, "handshake failed"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Probably out of file handles: other connections must close first.
                warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn forget(agent: std::sync::Weak<Agent>) {
    while let Some(agent) = agent.upgrade() {
        agent.forget_old(UnixSeconds::now());
        drop(agent);
        tokio::time::sleep(FORGET_EVERY).await;
    }
}

/// Waits until this process is asked to stop.
async fn stop_signal(with_stdin: bool) {
    let (ended, stdin_ended) = tokio::sync::oneshot::channel::<()>();
    // A separate thread: at shutdown the runtime would wait for a pending read.
    let reader = with_stdin.then(|| {
        std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
            drop(ended);
        })
    });
    let stdin_ended = async move {
        match reader {
            Some(_) => drop(stdin_ended.await),
            None => std::future::pending().await,
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = stdin_ended => {}
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
