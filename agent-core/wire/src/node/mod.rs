//! The event loop: turns events into inputs of the pure state machine, and its actions into messages, dials and calls
//! of the [`Host`]. The loop itself makes no decisions.

mod actions;
mod peer_links;

use crate::{
    bandwidth_yield::Giver,
    connection::{Connection, TlsPair},
    forward::{Out, fair_scheduler::Turns},
    host::Host,
    rate_limit::Limits,
    receive::{In, Inbox, Pulling},
    socket::Socket,
};
use banyan_proto::{
    MachineId, PROTOCOL_VERSION, Reason,
    peer::{Control, Hello, OfferReply},
};
use banyan_swarm::{
    Config, Machine,
    io::{Input, Link, TrustedOffer},
};
use rustls::pki_types::CertificateDer;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
};
use tracing::{debug, info};

/// The most connections from one machine at once: two stripes of a few orders, and late redials.
const LINKS_PER_PEER: usize = 16;

/// The most peer events queued for the loop. A peer that sends more is slowed down.
const EVENTS_WAITING: usize = 256;
/// The most messages queued for one peer. A peer that causes so many answers without reading them is disconnected.
const ANSWERS_WAITING: usize = 64;

/// The configuration of a node.
pub struct NodeConfig {
    /// The state machine's configuration.
    pub machine: Config,
    /// The program's name and version, sent in greetings.
    pub software: String,
    /// The node's credentials and trusted CA.
    pub tls: TlsPair,
}

/// Selects connections by machine and certificate.
type Chosen = Box<dyn Fn(MachineId, &CertificateDer<'static>) -> bool + Send>;

enum Event {
    Input(Input),
    Accepted(Box<tokio_rustls::server::TlsStream<Socket>>),
    Up { link: Link, connection: Box<Connection> },
    NotUp { link: Link, reason: Reason, detail: String },
    Came(Link, In),
    Checked { link: Link, result: Result<Box<TrustedOffer>, OfferReply> },
    Down { link: Link, reason: Reason, detail: String },
    Cut(Chosen),
    Stop(oneshot::Sender<()>),
}

/// A handle through which the rest of the program controls the loop.
#[derive(Clone)]
pub struct NodeHandle {
    events: mpsc::UnboundedSender<Event>,
    tls: Arc<RwLock<TlsPair>>,
    limits: Limits,
    giver: Arc<Giver>,
}

impl NodeHandle {
    /// Passes an input to the state machine.
    pub fn input(&self, input: Input) {
        drop(self.events.send(Event::Input(input)));
    }
    /// Accepts an incoming connection after its TLS handshake, with ALPN [`banyan_proto::ALPN_PEER`].
    pub fn accept(&self, stream: tokio_rustls::server::TlsStream<Socket>) {
        drop(self.events.send(Event::Accepted(Box::new(stream))));
    }
    /// Returns the current TLS configurations.
    #[must_use]
    pub fn tls(&self) -> TlsPair {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Sets the TLS configurations for new connections, after a newer revocation list or a renewed certificate.
    pub fn set_tls(&self, pair: TlsPair) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }
    /// Returns the speed limits for received and sent content.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
    /// Returns the bandwidth yielding shared by all connections. It also counts the bytes that left this machine.
    #[must_use]
    pub fn giver(&self) -> &Arc<Giver> {
        &self.giver
    }
    /// Closes all connections to a machine.
    pub fn cut(&self, machine: MachineId) {
        self.cut_where(move |peer, _| peer == machine);
    }
    /// Closes all connections whose certificate is on the revocation list (rule I5).
    pub fn cut_revoked(&self, crl: crate::tls::Crl) {
        self.cut_where(move |_, certificate| crl.revokes(certificate));
    }
    fn cut_where(&self, which: impl Fn(MachineId, &CertificateDer<'static>) -> bool + Send + 'static) {
        drop(self.events.send(Event::Cut(Box::new(which))));
    }
    /// Ends the loop and closes all connections.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.events.send(Event::Stop(done)).is_ok() {
            drop(wait.await);
        }
    }
}

struct Peer {
    id: MachineId,
    certificate: CertificateDer<'static>,
    out: mpsc::Sender<Out>,
    /// Whether an offer of this peer is being checked. One at a time, because checking is expensive.
    checking: bool,
    pulling: Pulling,
    reader: AbortHandle,
}

struct Loop<H> {
    host: Arc<H>,
    machine: Machine,
    software: String,
    handle: NodeHandle,
    events: mpsc::UnboundedReceiver<Event>,
    /// Events from peers, in a bounded queue.
    from_peers: mpsc::Receiver<(Link, In)>,
    inbox: Inbox,
    links: HashMap<Link, Peer>,
    /// Dials in progress, cancelled when the state machine closes the link before it is connected.
    dialling: HashMap<Link, AbortHandle>,
    turns: Turns,
    started: Instant,
    incoming: u64,
    /// The state last reported to the state machine: whether this machine receives slowly on purpose.
    slowly: bool,
}

/// Starts the loop. It runs until [`NodeHandle::shutdown`].
#[must_use]
pub fn start<H: Host>(config: NodeConfig, host: Arc<H>) -> (NodeHandle, JoinHandle<()>) {
    let (sender, events) = mpsc::unbounded_channel();
    let (inbox, from_peers) = mpsc::channel(EVENTS_WAITING);
    let handle = NodeHandle {
        events: sender,
        tls: Arc::new(RwLock::new(config.tls)),
        limits: Limits::default(),
        giver: Arc::default(),
    };
    let node = Loop {
        host,
        machine: Machine::new(config.machine),
        software: config.software,
        handle: handle.clone(),
        events,
        from_peers,
        inbox,
        links: HashMap::new(),
        dialling: HashMap::new(),
        turns: Turns::default(),
        started: Instant::now(),
        incoming: 0,
        slowly: false,
    };
    (handle, tokio::spawn(node.run()))
}

impl<H: Host> Loop<H> {
    async fn run(mut self) {
        loop {
            while let Some(action) = self.machine.poll_action() {
                self.carry_out(action);
            }
            let wake = self.machine.next_wake().map(|at| tokio::time::Instant::from_std(self.started + at));
            let event = tokio::select! {
                event = self.events.recv() => event,
                came = self.from_peers.recv() => came.map(|(link, what)| Event::Came(link, what)),
                () = async {
                    match wake {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => Some(Event::Input(Input::Tick)),
            };
            match event {
                Some(Event::Stop(done)) => {
                    self.links.values().for_each(|peer| peer.reader.abort());
                    self.dialling.values().for_each(AbortHandle::abort);
                    drop(self.links);
                    let _told = done.send(());
                    return;
                }
                Some(event) => self.handle(event),
                None => return,
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(self.started.elapsed(), input);
    }

    fn hello(&self) -> Hello {
        let crl_number = self.host.crl().map_or(0, |crl| crl.number);
        Hello { versions: vec![PROTOCOL_VERSION], software: self.software.clone(), crl_number }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.input(input),
            Event::Accepted(stream) => self.greet(*stream),
            Event::Up { link, connection } => self.up(link, *connection),
            Event::NotUp { link, reason, detail } => {
                debug!(?link, %reason, detail, "dial failed");
                if self.dialling.remove(&link).is_some() {
                    self.input(Input::Lost(link, reason));
                }
            }
            Event::Came(link, what) => self.came(link, what),
            Event::Checked { link, result } => {
                let Some(peer) = self.links.get_mut(&link) else { return };
                peer.checking = false;
                match result {
                    Ok(offer) => {
                        let sender = peer.id;
                        self.input(Input::Offered { link, sender, offer: *offer });
                    }
                    Err(reply) => self.send(link, Out::Send(Control::OfferReply(reply))),
                }
            }
            Event::Down { link, reason, detail } => self.down(link, reason, &detail),
            Event::Cut(which) => {
                let cut: Vec<Link> = self
                    .links
                    .iter()
                    .filter(|(_, peer)| which(peer.id, &peer.certificate))
                    .map(|(&link, _)| link)
                    .collect();
                for link in cut {
                    info!(peer = %self.links[&link].id, "connection closed: certificate revoked");
                    self.close(link, Reason::Revoked);
                    self.input(Input::Lost(link, Reason::Revoked));
                }
            }
            Event::Stop(_) => {}
        }
    }
}
