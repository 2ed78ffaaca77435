//! The loop: one event enum, one match. Events become inputs of the pure machine; its actions become messages, dials and
//! calls of the [`Host`]. It decides nothing itself.

mod act;
mod links;

use crate::{
    connection::{Connection, TlsPair},
    forward::{Out, turns::Turns},
    give_way::Giver,
    host::Host,
    limit::Limits,
    receive::{In, Inbox, Pulling},
    socket::Socket,
};
use banyan_machine::{
    Config, Machine,
    io::{Input, Link, TrustedOffer},
};
use banyan_proto::{
    MachineId, PROTOCOL_VERSION, Reason,
    peer::{Control, Hello, OfferReply},
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

/// Most connections from one machine at once: two stripes of a few orders, and late re-dials.
const LINKS_PER_PEER: usize = 16;

/// Events of peers that wait for the loop; a peer that sends more waits itself.
const EVENTS_WAITING: usize = 256;
/// Messages that wait to be written to one peer. Whoever makes this machine answer so much and does not read is left.
const ANSWERS_WAITING: usize = 64;

/// What a node is.
pub struct NodeConfig {
    /// The machine's own settings.
    pub machine: Config,
    /// Program and version, for greetings.
    pub software: String,
    /// How it proves itself and whom it believes.
    pub tls: TlsPair,
}

/// Picks connections by who is there.
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

/// How the rest of the program speaks to the loop.
#[derive(Clone)]
pub struct NodeHandle {
    events: mpsc::UnboundedSender<Event>,
    tls: Arc<RwLock<TlsPair>>,
    limits: Limits,
    giver: Arc<Giver>,
}

impl NodeHandle {
    /// Something has happened that the machine must know.
    pub fn input(&self, input: Input) {
        drop(self.events.send(Event::Input(input)));
    }
    /// A connection has come in whose TLS handshake is done, with ALPN [`banyan_proto::ALPN_PEER`].
    pub fn accept(&self, stream: tokio_rustls::server::TlsStream<Socket>) {
        drop(self.events.send(Event::Accepted(Box::new(stream))));
    }
    /// The configurations in force.
    #[must_use]
    pub fn tls(&self) -> TlsPair {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// New configurations, for connections from now on (a newer revocation list, a renewed certificate).
    pub fn set_tls(&self, pair: TlsPair) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }
    /// How fast content comes in and goes out at the most.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
    /// To whom transfers give way, and what has left this machine.
    #[must_use]
    pub fn giver(&self) -> &Arc<Giver> {
        &self.giver
    }
    /// Hangs up on a machine.
    pub fn cut(&self, machine: MachineId) {
        self.cut_where(move |peer, _| peer == machine);
    }
    /// Hangs up on everyone whose certificate is on the list (rule I5).
    pub fn cut_revoked(&self, crl: crate::tls::Crl) {
        self.cut_where(move |_, certificate| crl.revokes(certificate));
    }
    fn cut_where(&self, which: impl Fn(MachineId, &CertificateDer<'static>) -> bool + Send + 'static) {
        drop(self.events.send(Event::Cut(Box::new(which))));
    }
    /// Ends the loop and hangs up everywhere.
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
    /// An offer of this peer is being checked. One at a time: checking costs.
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
    /// What peers send, bounded.
    from_peers: mpsc::Receiver<(Link, In)>,
    inbox: Inbox,
    links: HashMap<Link, Peer>,
    /// Dials under way: cancelled when the machine closes the link before it stands.
    dialling: HashMap<Link, AbortHandle>,
    turns: Turns,
    started: Instant,
    incoming: u64,
    /// The machine knows that this one receives slowly on purpose.
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
                debug!(?link, %reason, detail, "no connection");
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
                    info!(peer = %self.links[&link].id, "hanging up on a revoked machine");
                    self.close(link, Reason::Revoked);
                    self.input(Input::Lost(link, Reason::Revoked));
                }
            }
            Event::Stop(_) => {}
        }
    }
}
