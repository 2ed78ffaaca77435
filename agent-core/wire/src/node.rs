//! The loop: one event enum, one match. Events become inputs of the pure machine; its actions become messages, dials and
//! calls of the [`Host`]. It decides nothing itself.

use crate::{
    connection::{self, Connection, TlsPair},
    forward::{self, Ended, Out, Serving, turns::Turns},
    host::Host,
    receive::{self, In, Inbox, Pulling},
};
use banyan_machine::{
    Config, Machine,
    io::{Action, Input, Link, StripeId, TrustedOffer},
};
use banyan_proto::{
    MachineId, PROTOCOL_VERSION, Reason,
    peer::{Control, Hello, OfferReply, Pull},
};
use rustls::pki_types::CertificateDer;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
};
use tracing::{debug, info, warn};

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
    Accepted(Box<tokio_rustls::server::TlsStream<TcpStream>>),
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
}

impl NodeHandle {
    /// Something has happened that the machine must know.
    pub fn input(&self, input: Input) {
        drop(self.events.send(Event::Input(input)));
    }
    /// A connection has come in whose TLS handshake is done, with ALPN [`banyan_proto::ALPN_PEER`].
    pub fn accept(&self, stream: tokio_rustls::server::TlsStream<TcpStream>) {
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
}

/// Starts the loop. It runs until [`NodeHandle::shutdown`].
#[must_use]
pub fn start<H: Host>(config: NodeConfig, host: Arc<H>) -> (NodeHandle, JoinHandle<()>) {
    let (sender, events) = mpsc::unbounded_channel();
    let (inbox, from_peers) = mpsc::channel(EVENTS_WAITING);
    let handle = NodeHandle { events: sender, tls: Arc::new(RwLock::new(config.tls)) };
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

    /// Greets a connection that came in; the machine hears of it when an offer or a pull comes over it.
    fn greet(&mut self, stream: tokio_rustls::server::TlsStream<TcpStream>) {
        self.incoming += 2;
        let (link, hello, events) = (Link(self.incoming), self.hello(), self.handle.events.clone());
        tokio::spawn(async move {
            match connection::accept(stream, hello).await {
                Ok(connection) => drop(events.send(Event::Up { link, connection: Box::new(connection) })),
                Err(error) => debug!(reason = %error.reason, %error, "a connection that came in was refused"),
            }
        });
    }

    fn up(&mut self, link: Link, connection: Connection) {
        let Connection { peer: id, certificate, hello, read, write } = connection;
        let dialled = self.dialling.remove(&link).is_some();
        let ours = link.0 % 2 == 1;
        if ours && !dialled {
            return; // The machine gave the link up while it was being made.
        }
        let crl = self.host.crl();
        let revoked = crl.as_ref().is_some_and(|crl| crl.revokes(&certificate));
        if revoked || (!ours && self.links.values().filter(|peer| peer.id == id).count() >= LINKS_PER_PEER) {
            warn!(peer = %id, revoked, "a connection was refused");
            return;
        }
        let (out, orders) = mpsc::channel(ANSWERS_WAITING);
        let pulling: Pulling = Arc::new(Mutex::new(None));
        let reader = tokio::spawn(receive::run(link, read, Arc::clone(&pulling), self.inbox.clone())).abort_handle();
        tokio::spawn(run_writer(link, write, orders, self.turns.clone(), self.handle.events.clone()));
        if let Some(crl) = crl.filter(|crl| crl.number > hello.crl_number) {
            let der = data_encoding::BASE64.encode(&crl.der);
            drop(out.try_send(Out::Send(Control::Crl { der })));
        }
        self.links.insert(link, Peer { id, certificate, out, checking: false, pulling, reader });
        if ours {
            self.input(Input::Connected(link));
        }
    }

    fn came(&mut self, link: Link, what: In) {
        match what {
            In::Control(control) => self.received(link, control),
            In::Stored { stripe, held, bytes } => {
                if let Some(peer) = self.links.get(&link) {
                    self.host.received(stripe.order, peer.id, bytes);
                }
                self.input(Input::Stored { link, stripe, held });
            }
            In::Bad(index) => self.input(Input::BadChunk(link, index)),
            In::Heartbeat(watermark) => self.input(Input::Heartbeat(link, watermark)),
            In::Alive => self.input(Input::Alive(link)),
            In::Ended(reason, detail) => self.down(link, reason, &detail),
        }
    }

    fn received(&mut self, link: Link, control: Control) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        let sender = peer.id;
        match control {
            Control::Offer(_) if peer.checking => {
                self.down(link, Reason::ProtocolBroken, "a second offer before the first was answered");
            }
            Control::Offer(offer) => {
                peer.checking = true;
                let (host, events) = (Arc::clone(&self.host), self.handle.events.clone());
                tokio::spawn(async move {
                    let result = host.check_offer(sender, *offer).await.map(Box::new);
                    drop(events.send(Event::Checked { link, result }));
                });
            }
            Control::OfferReply(reply) => self.input(Input::OfferAnswered(link, reply)),
            Control::PartsAccepted => self.input(Input::PartsAccepted(link)),
            Control::Pull(pull) => self.pulled(link, &pull),
            Control::PullReply(reply) => self.input(Input::PullAnswered(link, reply)),
            Control::Confirm(confirm) => self.host.confirmed(sender, &confirm),
            Control::Crl { der } => match data_encoding::BASE64.decode(der.as_bytes()) {
                Ok(der) => self.host.offer_crl(der, &self.handle),
                Err(_) => self.down(link, Reason::ProtocolBroken, "a revocation list that is not base64"),
            },
            Control::Bye { reason } => self.down(link, reason, "the other side hung up"),
            Control::Hello(_) => self.down(link, Reason::ProtocolBroken, "a second greeting"),
        }
    }

    fn pulled(&mut self, link: Link, pull: &Pull) {
        let Some(peer) = self.links.get(&link) else { return };
        let stripe = StripeId { order: pull.order, stripe: pull.stripe };
        match self.host.check_pull(peer.id, pull) {
            Ok(ancestor) => {
                let peer = peer.id;
                if let Some(content) = self.host.content(pull.order) {
                    self.send(link, Out::Beat(content, pull.stripe));
                }
                self.input(Input::Pulled { link, peer, stripe, from: pull.from, ancestor });
            }
            Err(reply) => self.send(link, Out::Send(Control::PullReply(reply))),
        }
    }

    /// The link is gone on its own account.
    fn down(&mut self, link: Link, reason: Reason, detail: &str) {
        let Some(peer) = self.links.remove(&link) else { return };
        debug!(?link, peer = %peer.id, %reason, detail, "connection ended");
        peer.reader.abort();
        if matches!(reason, Reason::ProtocolBroken | Reason::BadChunk) {
            self.host.refused(peer.id, reason, detail);
        }
        self.input(Input::Lost(link, reason));
    }

    /// The machine (or a revocation) ends the link.
    fn close(&mut self, link: Link, reason: Reason) {
        if let Some(dial) = self.dialling.remove(&link) {
            dial.abort();
        }
        if let Some(peer) = self.links.remove(&link) {
            drop(peer.out.try_send(Out::Close(reason)));
            peer.reader.abort();
        }
    }

    fn send(&mut self, link: Link, out: Out) {
        let full = |peer: &Peer| matches!(peer.out.try_send(out), Err(mpsc::error::TrySendError::Full(_)));
        if self.links.get(&link).is_some_and(full) {
            self.down(link, Reason::ProtocolBroken, "it does not read what it asked for");
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Dial { link, peer, .. } => self.dial(link, peer),
            Action::Offer { link, stripe, sublist, proof } => match self.host.make_offer(stripe, &sublist, &proof) {
                Ok(offer) => self.send(link, Out::Send(Control::Offer(Box::new(offer)))),
                Err(reason) => {
                    self.close(link, reason);
                    self.input(Input::Lost(link, reason));
                }
            },
            Action::AnswerOffer(link, reply) => self.send(link, Out::Send(Control::OfferReply(reply))),
            Action::TellPartsAccepted(link) => self.send(link, Out::Send(Control::PartsAccepted)),
            Action::Pull { link, stripe, from } => self.pull(link, stripe, from),
            Action::Serve { link, stripe, from, wait } => match self.host.content(stripe.order) {
                Some(content) => {
                    self.send(link, Out::Serve(Serving { content, stripe: stripe.stripe, next: from, wait }));
                }
                None => {
                    self.close(link, Reason::OrderExpired);
                    self.input(Input::Lost(link, Reason::OrderExpired));
                }
            },
            Action::RefusePull(link, reply) => {
                self.send(link, Out::Stop);
                self.send(link, Out::Send(Control::PullReply(reply)));
            }
            Action::Confirm(link, order) => {
                if let Some(content) = self.host.content(order) {
                    let confirm = banyan_proto::peer::Confirm { order, artifact: content.artifact().digest };
                    self.send(link, Out::Send(Control::Confirm(confirm)));
                }
            }
            Action::Close(link, reason) => self.close(link, reason),
            other @ (Action::VerifyArtifact(_)
            | Action::AskReceipt(_)
            | Action::AskGoAhead(_)
            | Action::Install(_)
            | Action::Report(..)) => self.host.perform(other, &self.handle),
        }
    }

    fn dial(&mut self, link: Link, peer: MachineId) {
        let (addresses, tls, hello) = (self.host.addresses(peer), self.handle.tls().connector, self.hello());
        let events = self.handle.events.clone();
        let task = tokio::spawn(async move {
            drop(match connection::dial(peer, addresses, tls, hello).await {
                Ok(connection) => events.send(Event::Up { link, connection: Box::new(connection) }),
                Err(error) => events.send(Event::NotUp { link, reason: error.reason, detail: error.detail }),
            });
        });
        self.dialling.insert(link, task.abort_handle());
    }

    fn pull(&mut self, link: Link, stripe: StripeId, from: u32) {
        let Some(peer) = self.links.get(&link) else { return };
        let (Some(membership), Some(content)) = (self.host.membership(stripe), self.host.content(stripe.order)) else {
            self.close(link, Reason::OrderExpired);
            self.input(Input::Lost(link, Reason::OrderExpired));
            return;
        };
        *peer.pulling.lock().unwrap_or_else(PoisonError::into_inner) = Some((stripe, content));
        let pull = Pull { order: stripe.order, stripe: stripe.stripe, from, membership };
        self.send(link, Out::Send(Control::Pull(Box::new(pull))));
    }
}

async fn run_writer(
    link: Link,
    to: impl tokio::io::AsyncWrite + Unpin,
    orders: mpsc::Receiver<Out>,
    turns: Turns,
    events: mpsc::UnboundedSender<Event>,
) {
    let sent = || drop(events.send(Event::Input(Input::Sent(link))));
    let (reason, detail) = match forward::write(to, orders, turns, sent).await {
        Ended::Closed => return,
        Ended::Broken(error) => (Reason::Unreachable, error.to_string()),
        Ended::Content(error) => (Reason::DiskFailed, error.to_string()),
    };
    drop(events.send(Event::Down { link, reason, detail }));
}
