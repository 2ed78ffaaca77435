//! The links of a node: how they are established, what arrives over them, and how they end.

use super::{MAX_LINKS_PER_PEER, MAX_QUEUED_MESSAGES, NodeLoop, Peer, effort::PeerEffort};
use crate::{
    bandwidth_yield::BandwidthYield,
    chunk_log,
    connection::{self, Connection},
    forward::{self, SentChunk, WriterCommand, WriterEnd, WriterLink, fair_scheduler::FairScheduler},
    frame_limits::MessageShare,
    host::{Host, NumberedStops},
    link_measurement::LinkMeasurement,
    node_handle::NodeEvent,
    rate_limit::TokenBucket,
    receive::{self, ActivePull, PeerEvent, ReceiveFrom, ReceiveLimits},
    socket::{Socket, SocketControl},
    tls::machine_of,
};
use banyan_proto::{
    MachineId, Reason, Signed,
    peer::{Control, Pull},
};
use banyan_swarm::{
    io::{Input, Link, LinkInput, StripeId},
    link_meter::Direction,
};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tracing::{debug, warn};

impl<H: Host> NodeLoop<H> {
    /// Greets an incoming connection. The state machine learns of it when an offer or a pull arrives over it.
    pub(super) fn greet(&mut self, stream: tokio_rustls::server::TlsStream<Socket>) {
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let Some(Ok(peer)) = certificate.map(machine_of) else {
            debug!("incoming connection refused: it presents no machine's certificate");
            return;
        };
        if let Err(why) = self.check_room(peer) {
            if let Some(more) = self.full.due() {
                warn!(%peer, more, "connection refused: {why}");
            }
            return;
        }
        *self.greeting.entry(peer).or_default() += 1;
        self.incoming += 2;
        let (link, hello, events) = (Link(self.incoming), self.hello(), self.handle.events());
        tokio::spawn(async move {
            match connection::accept(stream, hello).await {
                Ok(connection) => drop(events.send(NodeEvent::Connected { link, connection: Box::new(connection) })),
                Err(error) => {
                    debug!(reason = %error.reason, %error, "incoming connection refused");
                    drop(events.send(NodeEvent::NotGreeted(peer)));
                }
            }
        });
    }

    /// Checks that there is room for one more incoming connection of this machine.
    fn check_room(&self, peer: MachineId) -> Result<(), &'static str> {
        let greeting = self.greeting.get(&peer).copied().unwrap_or(0);
        if greeting + self.links.values().filter(|open| open.id == peer).count() >= MAX_LINKS_PER_PEER {
            return Err("this machine has too many connections");
        }
        let all = self.links.len() + self.greeting.values().sum::<usize>() + self.dialling.len();
        if all >= self.max_links { Err("too many connections in all; raise the limit of open files") } else { Ok(()) }
    }

    pub(super) fn end_greeting(&mut self, peer: MachineId) {
        if let Some(count) = self.greeting.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.greeting.remove(&peer);
            }
        }
    }

    pub(super) fn on_connected(&mut self, link: Link, connection: Connection) {
        let Connection { peer: id, certificate, hello, read, write, control, handle } = connection;
        let dialled = self.dialling.remove(&link).is_some();
        let ours = link.0 % 2 == 1;
        if !ours {
            self.end_greeting(id);
        }
        if ours && !dialled {
            return; // The state machine gave the link up while it was being established.
        }
        let crl = self.host.crl();
        let revoked = crl.as_ref().is_some_and(|crl| crl.revokes(&certificate));
        if revoked {
            warn!(peer = %id, "connection refused: the machine is revoked");
            if ours {
                self.input(LinkInput::Lost(link, Reason::Revoked));
            }
            return;
        }
        control.register(self.handle.bandwidth_yield(), handle);
        let effort = PeerEffort::new(control.clone());
        let other = self.links.values().find(|peer| peer.id == id);
        let limits = other.map_or_else(|| self.limits.for_new_peer(), |peer| peer.limits.clone());
        let (writer, commands) = mpsc::channel(MAX_QUEUED_MESSAGES);
        let active_pull: ActivePull = Arc::new(Mutex::new(None));
        let reader = tokio::spawn(receive::run(
            ReceiveFrom { link, peer: id },
            read,
            control.clone(),
            Arc::clone(&active_pull),
            self.inbox.clone(),
            ReceiveLimits {
                rate: Arc::clone(&self.handle.limits().down),
                bandwidth_yield: Arc::clone(self.handle.bandwidth_yield()),
                frames: limits.clone(),
                measurement: Arc::clone(self.handle.link_measurement()),
            },
        ))
        .abort_handle();
        let writer_link = HostLink {
            host: Arc::clone(&self.host),
            link,
            peer: id,
            control,
            events: self.handle.events(),
            bandwidth_yield: Arc::clone(self.handle.bandwidth_yield()),
            measurement: Arc::clone(self.handle.link_measurement()),
        };
        let (scheduler, limit) = (self.scheduler.clone(), Arc::clone(&self.handle.limits().up));
        tokio::spawn(run_writer(writer_link, write, commands, scheduler, limit));
        if let Some(crl) = crl.filter(|crl| crl.number > hello.crl_number) {
            let der = data_encoding::BASE64.encode(&crl.der);
            drop(writer.try_send(WriterCommand::Send(Control::Crl { der })));
        }
        let peer = Peer {
            id,
            certificate,
            writer,
            is_checking_offer: false,
            active_pull,
            effort,
            stop_number: hello.stop_number,
            reader,
            limits,
        };
        self.links.insert(link, peer);
        self.pass_on_stops();
        if ours {
            self.input(LinkInput::Connected(link));
        }
    }

    /// Sends this machine's list of stopped orders to all peers that have an older one.
    pub(super) fn pass_on_stops(&mut self) {
        let Some(NumberedStops { number, list }) = self.host.stops() else { return };
        for peer in self.links.values_mut() {
            if peer.stop_number.is_some_and(|known| known < number) {
                peer.stop_number = Some(number);
                // If the queue is full, the peer is about to be disconnected, and gets the list over its next link.
                drop(peer.writer.try_send(WriterCommand::Send(Control::Stops { list: Signed::clone(&list) })));
            }
        }
    }

    pub(super) fn on_peer_event(&mut self, link: Link, what: PeerEvent) {
        // A source that is slow because this machine throttles it must not be dropped for slowness.
        let receives_slowly =
            self.handle.limits().down.is_limited() || self.handle.bandwidth_yield().is_throttling_receive();
        if std::mem::replace(&mut self.receives_slowly, receives_slowly) != receives_slowly {
            self.input(Input::ReceivesSlowly(receives_slowly));
        }
        match what {
            PeerEvent::Control(control, share) => self.on_message(link, control, share),
            PeerEvent::Stored { stripe, source, held, bytes } => {
                // This counts even if the connection has just ended, because the chunk is stored.
                chunk_log::arrived(stripe, held, source);
                self.host.received(stripe.order, source, bytes);
                self.input(LinkInput::Stored { link, stripe, held });
            }
            // The host describes a full disk, with its place and amounts.
            PeerEvent::NotStored(Reason::DiskFull, _) => {
                self.input(LinkInput::NotStored { link, reason: Reason::DiskFull, detail: String::new() });
            }
            PeerEvent::NotStored(reason, detail) => self.input(LinkInput::NotStored { link, reason, detail }),
            PeerEvent::BadChunk(index) => self.input(LinkInput::BadChunk(link, index)),
            PeerEvent::Heartbeat(heartbeat) => self.input(LinkInput::Heartbeat(link, heartbeat)),
            PeerEvent::Alive => self.input(LinkInput::Alive(link)),
            PeerEvent::Ended(reason, detail) => self.on_link_down(link, reason, &detail),
        }
    }

    /// Acts on a message. Its share of the memory for long messages is given back afterwards.
    pub(super) fn on_message(&mut self, link: Link, control: Control, share: MessageShare) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        let sender = peer.id;
        match control {
            Control::Offer(_) if peer.is_checking_offer => {
                self.on_link_down(
                    link,
                    Reason::ProtocolBroken,
                    "the peer sent a second offer before the first was answered",
                );
            }
            Control::Offer(offer) => {
                peer.is_checking_offer = true;
                let (host, events) = (Arc::clone(&self.host), self.handle.events());
                tokio::spawn(async move {
                    let result = host.check_offer(sender, *offer).await.map(Box::new);
                    drop(share);
                    drop(events.send(NodeEvent::OfferChecked { link, result }));
                });
            }
            Control::OfferReply(reply) => self.input(LinkInput::OfferAnswered(link, reply)),
            Control::PartsAccepted => self.input(LinkInput::PartsAccepted(link)),
            Control::Pull(pull) => self.on_pull(link, &pull),
            Control::PullReply(reply) => self.input(LinkInput::PullAnswered(link, reply)),
            Control::Confirm(confirm) => self.host.confirmed(sender, &confirm),
            Control::Crl { der } => match data_encoding::BASE64.decode(der.as_bytes()) {
                Ok(der) => self.host.offer_crl(der, &self.handle),
                Err(_) => self.on_link_down(link, Reason::ProtocolBroken, "the revocation list is not base64"),
            },
            Control::Stops { list } => self.host.offer_stops(list, &self.handle),
            Control::Bye { reason } => self.on_link_down(link, reason, "the peer closed the connection"),
            Control::Hello(_) => self.on_link_down(link, Reason::ProtocolBroken, "the peer sent a second greeting"),
        }
    }

    pub(super) fn on_pull(&mut self, link: Link, pull: &Pull) {
        self.set_served_effort(link, pull.effort);
        if pull.changes_effort {
            return;
        }
        let Some(peer) = self.links.get(&link) else { return };
        let stripe = StripeId { order: pull.order, stripe: pull.stripe };
        match self.host.check_pull(peer.id, pull) {
            Ok(ancestor) => {
                let peer = peer.id;
                if let Some(content) = self.host.content(pull.order) {
                    self.send(link, WriterCommand::StartHeartbeats(content, pull.stripe));
                }
                let may_wait = ancestor || pull.wait;
                self.input(LinkInput::Pulled { link, peer, stripe, from: pull.from, may_wait });
            }
            Err(reply) => self.send(link, WriterCommand::Send(Control::PullReply(reply))),
        }
    }

    /// Handles a link that ended without this machine closing it.
    pub(super) fn on_link_down(&mut self, link: Link, reason: Reason, detail: &str) {
        let Some(peer) = self.links.remove(&link) else { return };
        debug!(?link, peer = %peer.id, %reason, detail, "connection ended");
        peer.reader.abort();
        if reason == Reason::NotUnderstood {
            // The peer learns why; its administrator may have to update this side.
            drop(peer.writer.try_send(WriterCommand::Close(reason)));
        }
        if matches!(reason, Reason::ProtocolBroken | Reason::BadChunk | Reason::NotUnderstood) {
            self.host.refused(peer.id, reason, detail);
        }
        self.input(LinkInput::Lost(link, reason));
    }

    /// Closes a link on behalf of the state machine or a revocation.
    pub(super) fn close(&mut self, link: Link, reason: Reason) {
        if let Some(dial) = self.dialling.remove(&link) {
            dial.abort();
        }
        if let Some(peer) = self.links.remove(&link) {
            drop(peer.writer.try_send(WriterCommand::Close(reason)));
            peer.reader.abort();
        }
    }

    pub(super) fn send(&mut self, link: Link, command: WriterCommand) {
        let full = |peer: &Peer| matches!(peer.writer.try_send(command), Err(mpsc::error::TrySendError::Full(_)));
        if self.links.get(&link).is_some_and(full) {
            self.on_link_down(link, Reason::ProtocolBroken, "the peer does not read the answers it requested");
        }
    }
}

/// The link of a writer: passes the host's answers to it, and its reports to the host and the loop.
struct HostLink<H> {
    host: Arc<H>,
    link: Link,
    peer: MachineId,
    control: SocketControl,
    events: mpsc::UnboundedSender<NodeEvent>,
    bandwidth_yield: Arc<BandwidthYield>,
    measurement: Arc<LinkMeasurement>,
}

impl<H: Host> WriterLink for &HostLink<H> {
    fn on_sent(&self) {
        drop(self.events.send(NodeEvent::Input(LinkInput::Sent(self.link).into())));
    }
    fn may_send(&self, bytes: u64) -> impl Future<Output = bool> + Send {
        self.host.may_send(bytes)
    }
    fn set_pace(&self, pace: Option<u64>) {
        self.control.set_pace(pace);
    }
    fn count_sent(&self, chunk: &SentChunk) {
        chunk_log::left(chunk.stripe, chunk.at, self.peer);
        let is_next_waiting = chunk.is_next_waiting && !self.bandwidth_yield.is_throttling_send();
        self.measurement.record(Direction::Up, self.peer, chunk.bytes, is_next_waiting);
        self.host.sent(chunk.stripe.order, self.peer, chunk.bytes);
    }
}

async fn run_writer<H: Host>(
    link: HostLink<H>,
    to: impl tokio::io::AsyncWrite + Unpin,
    commands: mpsc::Receiver<WriterCommand>,
    scheduler: FairScheduler,
    limit: Arc<TokenBucket>,
) {
    let (reason, detail) = match forward::write(to, commands, scheduler, limit, &link).await {
        WriterEnd::Closed => return,
        WriterEnd::Broken(error) => (Reason::Unreachable, error.to_string()),
        WriterEnd::Content(order, error) => {
            link.host.content_failed(order, link.peer, &error);
            (Reason::DiskFailed, error.to_string())
        }
    };
    drop(link.events.send(NodeEvent::LinkDown { link: link.link, reason, detail }));
}
