//! The event loop: turns events into inputs of the pure state machine, and its actions into messages, dials and calls
//! of the [`Host`]. The loop itself makes no decisions.

mod actions;
mod effort;
mod peer_links;

use crate::{
    connection::TlsPair,
    forward::{WriterCommand, fair_scheduler::FairScheduler},
    frame_limits::FrameLimits,
    host::Host,
    node_handle::NodeEvent,
    rare_log::RareLog,
    receive::{ActivePull, PeerEvent, PeerEventSender},
};

pub use crate::node_handle::NodeHandle;

use banyan_proto::{
    MachineId, PROTOCOL_VERSIONS, Reason,
    peer::{Control, Hello},
};
use banyan_swarm::{
    Config, SwarmState,
    io::{Input, Link, LinkInput},
};
use rustls::pki_types::CertificateDer;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};
use tracing::{debug, info};

/// The most connections from one machine at once: two stripes of a few orders, and late redials.
const MAX_LINKS_PER_PEER: usize = 16;

/// The most peer events queued for the loop. A peer that sends more is slowed down.
const MAX_QUEUED_EVENTS: usize = 256;
/// The most messages queued for one peer. A peer that causes so many answers without reading them is disconnected.
const MAX_QUEUED_MESSAGES: usize = 64;

/// The configuration of a node.
pub struct NodeConfig {
    /// The state machine's configuration.
    pub swarm: Config,
    /// The program's name and version, sent in greetings.
    pub software: String,
    /// The node's credentials and trusted CA.
    pub tls: TlsPair,
    /// The longest message that peers may send (bytes), at most [`banyan_proto::limits::CONTROL_BYTES`].
    pub longest_message: usize,
    /// The most connections at once, those that others open and those that this node dials.
    pub max_links: usize,
}

struct Peer {
    id: MachineId,
    certificate: CertificateDer<'static>,
    writer: mpsc::Sender<WriterCommand>,
    /// Whether an offer of this peer is being checked. One at a time, because checking is expensive.
    is_checking_offer: bool,
    active_pull: ActivePull,
    effort: effort::PeerEffort,
    /// The number of its newest list of stopped orders; `None`: its version knows no such lists.
    stop_number: Option<u64>,
    reader: AbortHandle,
    limits: FrameLimits,
}

struct NodeLoop<H> {
    host: Arc<H>,
    swarm: SwarmState,
    software: String,
    handle: NodeHandle,
    events: mpsc::UnboundedReceiver<NodeEvent>,
    /// Events from peers, in a bounded queue.
    from_peers: mpsc::Receiver<(Link, PeerEvent)>,
    inbox: PeerEventSender,
    links: HashMap<Link, Peer>,
    /// Incoming connections whose greetings are being exchanged, by machine.
    greeting: HashMap<MachineId, usize>,
    limits: FrameLimits,
    max_links: usize,
    full: RareLog,
    /// Dials in progress, cancelled when the state machine closes the link before it is connected.
    dialling: HashMap<Link, AbortHandle>,
    scheduler: FairScheduler,
    started: Instant,
    incoming: u64,
    /// The state last reported to the state machine: whether this machine receives receives_slowly on purpose.
    receives_slowly: bool,
}

/// Starts the loop. It runs until [`NodeHandle::shutdown`].
#[must_use]
pub fn start<H: Host>(config: NodeConfig, host: Arc<H>) -> (NodeHandle, JoinHandle<()>) {
    let (sender, events) = mpsc::unbounded_channel();
    let (inbox, from_peers) = mpsc::channel(MAX_QUEUED_EVENTS);
    let handle = NodeHandle::new(sender, config.tls);
    let node = NodeLoop {
        host,
        swarm: SwarmState::new(config.swarm),
        software: config.software,
        handle: handle.clone(),
        events,
        from_peers,
        inbox,
        links: HashMap::new(),
        greeting: HashMap::new(),
        limits: FrameLimits::new(config.longest_message),
        max_links: config.max_links,
        full: RareLog::each_minute(),
        dialling: HashMap::new(),
        scheduler: FairScheduler::default(),
        started: Instant::now(),
        incoming: 0,
        receives_slowly: false,
    };
    (handle, tokio::spawn(node.run()))
}

impl<H: Host> NodeLoop<H> {
    async fn run(mut self) {
        loop {
            while let Some(action) = self.swarm.poll_action() {
                self.carry_out(action);
            }
            let wake = self.swarm.next_wake().map(|at| tokio::time::Instant::from_std(self.started + at));
            let event = tokio::select! {
                event = self.events.recv() => event,
                arrived = self.from_peers.recv() => arrived.map(|(link, what)| NodeEvent::FromPeer(link, what)),
                () = async {
                    match wake {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => Some(NodeEvent::Input(Input::Tick)),
            };
            match event {
                Some(NodeEvent::Stop(done)) => {
                    self.links.values().for_each(|peer| peer.reader.abort());
                    self.dialling.values().for_each(AbortHandle::abort);
                    drop(self.links);
                    let _informed = done.send(());
                    return;
                }
                Some(event) => self.handle(event),
                None => return,
            }
        }
    }

    fn input(&mut self, input: impl Into<Input>) {
        self.swarm.handle(self.started.elapsed(), input);
    }

    fn hello(&self) -> Hello {
        Hello {
            versions: PROTOCOL_VERSIONS.to_vec(),
            software: self.software.clone(),
            crl_number: self.host.crl().map_or(0, |crl| crl.number),
            stop_number: Some(self.host.stops().map_or(0, |stops| stops.number)),
        }
    }

    fn handle(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Input(input) => self.input(input),
            NodeEvent::Accepted(stream) => self.greet(*stream),
            NodeEvent::Connected { link, connection } => self.on_connected(link, *connection),
            NodeEvent::NotGreeted(peer) => self.end_greeting(peer),
            NodeEvent::DialFailed { link, reason, detail } => {
                debug!(?link, %reason, detail, "dial failed");
                if self.dialling.remove(&link).is_some() {
                    self.input(LinkInput::Lost(link, reason));
                }
            }
            NodeEvent::FromPeer(link, what) => self.on_peer_event(link, what),
            NodeEvent::OfferChecked { link, result } => {
                let Some(peer) = self.links.get_mut(&link) else { return };
                peer.is_checking_offer = false;
                match result {
                    Ok(offer) => {
                        let sender = peer.id;
                        self.input(LinkInput::Offered { link, sender, offer: *offer });
                    }
                    Err(reply) => self.send(link, WriterCommand::Send(Control::OfferReply(reply))),
                }
            }
            NodeEvent::LinkDown { link, reason, detail } => self.on_link_down(link, reason, &detail),
            NodeEvent::UpdateEffort => self.update_all_efforts(),
            NodeEvent::PassOnStops => self.pass_on_stops(),
            NodeEvent::Disconnect(filter) => {
                let closing: Vec<Link> = self
                    .links
                    .iter()
                    .filter(|(_, peer)| filter(peer.id, &peer.certificate))
                    .map(|(&link, _)| link)
                    .collect();
                for link in closing {
                    info!(peer = %self.links[&link].id, "connection closed: certificate revoked");
                    self.close(link, Reason::Revoked);
                    self.input(LinkInput::Lost(link, Reason::Revoked));
                }
            }
            NodeEvent::Stop(_) => {}
        }
    }
}
