//! The links of a node: how they are established, what arrives over them, and how they end.

use super::{ANSWERS_WAITING, Event, LINKS_PER_PEER, Loop, Peer};
use crate::{
    connection::{self, Connection},
    forward::{self, Ended, Out, fair_scheduler::Turns},
    host::Host,
    rate_limit::Bucket,
    receive::{self, In, Pulling},
    socket::Socket,
};
use banyan_proto::{
    OrderId, Reason,
    peer::{Control, Pull},
};
use banyan_swarm::io::{Input, Link, StripeId};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tracing::{debug, warn};

impl<H: Host> Loop<H> {
    /// Greets an incoming connection. The state machine learns of it when an offer or a pull arrives over it.
    pub(super) fn greet(&mut self, stream: tokio_rustls::server::TlsStream<Socket>) {
        self.incoming += 2;
        let (link, hello, events) = (Link(self.incoming), self.hello(), self.handle.events.clone());
        tokio::spawn(async move {
            match connection::accept(stream, hello).await {
                Ok(connection) => drop(events.send(Event::Up { link, connection: Box::new(connection) })),
                Err(error) => debug!(reason = %error.reason, %error, "incoming connection refused"),
            }
        });
    }

    pub(super) fn up(&mut self, link: Link, connection: Connection) {
        let Connection { peer: id, certificate, hello, read, write, expected } = connection;
        let dialled = self.dialling.remove(&link).is_some();
        let ours = link.0 % 2 == 1;
        if ours && !dialled {
            return; // The state machine gave the link up while it was being established.
        }
        let crl = self.host.crl();
        let revoked = crl.as_ref().is_some_and(|crl| crl.revokes(&certificate));
        if revoked || (!ours && self.links.values().filter(|peer| peer.id == id).count() >= LINKS_PER_PEER) {
            warn!(peer = %id, revoked, "connection refused");
            if ours {
                self.input(Input::Lost(link, Reason::Revoked));
            }
            return;
        }
        expected.join(&self.handle.giver);
        let (out, orders) = mpsc::channel(ANSWERS_WAITING);
        let pulling: Pulling = Arc::new(Mutex::new(None));
        let reader = tokio::spawn(receive::run(
            link,
            read,
            expected,
            Arc::clone(&pulling),
            self.inbox.clone(),
            (Arc::clone(&self.handle.limits.down), Arc::clone(&self.handle.giver)),
        ))
        .abort_handle();
        let host = Arc::clone(&self.host);
        let asked = Arc::clone(&self.host);
        let may = move |bytes| {
            let host = Arc::clone(&asked);
            async move { host.may_send(bytes).await }
        };
        let passed_on = move |order, bytes| host.sent(order, id, bytes);
        let pacing = (self.turns.clone(), Arc::clone(&self.handle.limits.up));
        tokio::spawn(run_writer(link, write, orders, pacing, self.handle.events.clone(), (may, passed_on)));
        if let Some(crl) = crl.filter(|crl| crl.number > hello.crl_number) {
            let der = data_encoding::BASE64.encode(&crl.der);
            drop(out.try_send(Out::Send(Control::Crl { der })));
        }
        self.links.insert(link, Peer { id, certificate, out, checking: false, pulling, reader });
        if ours {
            self.input(Input::Connected(link));
        }
    }

    pub(super) fn came(&mut self, link: Link, what: In) {
        // A source that is slow because this machine throttles it must not be dropped for slowness.
        let slowly = self.handle.limits.down.is_limited() || self.handle.giver.holds_down();
        if std::mem::replace(&mut self.slowly, slowly) != slowly {
            self.input(Input::TakesSlowly(slowly));
        }
        match what {
            In::Control(control) => self.received(link, control),
            In::Stored { stripe, held, bytes } => {
                // This counts even if the connection has just ended, because the chunk is stored.
                self.host.received(stripe.order, self.links.get(&link).map(|peer| peer.id), bytes);
                self.input(Input::Stored { link, stripe, held });
            }
            In::Bad(index) => self.input(Input::BadChunk(link, index)),
            In::Heartbeat(watermark) => self.input(Input::Heartbeat(link, watermark)),
            In::Alive => self.input(Input::Alive(link)),
            In::Ended(reason, detail) => self.down(link, reason, &detail),
        }
    }

    pub(super) fn received(&mut self, link: Link, control: Control) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        let sender = peer.id;
        match control {
            Control::Offer(_) if peer.checking => {
                self.down(link, Reason::ProtocolBroken, "the peer sent a second offer before the first was answered");
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
                Err(_) => self.down(link, Reason::ProtocolBroken, "the revocation list is not base64"),
            },
            Control::Bye { reason } => self.down(link, reason, "the peer closed the connection"),
            Control::Hello(_) => self.down(link, Reason::ProtocolBroken, "the peer sent a second greeting"),
        }
    }

    pub(super) fn pulled(&mut self, link: Link, pull: &Pull) {
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

    /// Handles a link that ended without this machine closing it.
    pub(super) fn down(&mut self, link: Link, reason: Reason, detail: &str) {
        let Some(peer) = self.links.remove(&link) else { return };
        debug!(?link, peer = %peer.id, %reason, detail, "connection ended");
        peer.reader.abort();
        if matches!(reason, Reason::ProtocolBroken | Reason::BadChunk) {
            self.host.refused(peer.id, reason, detail);
        }
        self.input(Input::Lost(link, reason));
    }

    /// Closes a link on behalf of the state machine or a revocation.
    pub(super) fn close(&mut self, link: Link, reason: Reason) {
        if let Some(dial) = self.dialling.remove(&link) {
            dial.abort();
        }
        if let Some(peer) = self.links.remove(&link) {
            drop(peer.out.try_send(Out::Close(reason)));
            peer.reader.abort();
        }
    }

    pub(super) fn send(&mut self, link: Link, out: Out) {
        let full = |peer: &Peer| matches!(peer.out.try_send(out), Err(mpsc::error::TrySendError::Full(_)));
        if self.links.get(&link).is_some_and(full) {
            self.down(link, Reason::ProtocolBroken, "the peer does not read the answers it requested");
        }
    }
}

async fn run_writer<M: Future<Output = bool>>(
    link: Link,
    to: impl tokio::io::AsyncWrite + Unpin,
    orders: mpsc::Receiver<Out>,
    pacing: (Turns, Arc<Bucket>),
    events: mpsc::UnboundedSender<Event>,
    told: (impl Fn(u64) -> M, impl Fn(OrderId, u64)),
) {
    let sent = || drop(events.send(Event::Input(Input::Sent(link))));
    let (reason, detail) = match forward::write(to, orders, pacing, sent, told).await {
        Ended::Closed => return,
        Ended::Broken(error) => (Reason::Unreachable, error.to_string()),
        Ended::Content(error) => (Reason::DiskFailed, error.to_string()),
    };
    drop(events.send(Event::Down { link, reason, detail }));
}
