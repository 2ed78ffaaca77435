//! The handle through which the rest of the program controls a node, and the events that its loop processes.

use crate::{
    bandwidth_yield::BandwidthYield,
    connection::{Connection, TlsPair},
    link_measurement::LinkMeasurement,
    rate_limit::RateLimits,
    receive::PeerEvent,
    site_limit::SiteLimit,
    socket::Socket,
    tls::Crl,
};
use banyan_proto::{LinkRates, MachineId, Reason, peer::OfferReply};
use banyan_swarm::io::{Input, Link, TrustedOffer};
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot};

/// Selects connections by machine and certificate.
pub(crate) type PeerFilter = Box<dyn Fn(MachineId, &CertificateDer<'static>) -> bool + Send>;

/// An event that the loop processes.
pub(crate) enum NodeEvent {
    /// An input for the state machine.
    Input(Input),
    /// An incoming connection after its TLS handshake.
    Accepted(Box<tokio_rustls::server::TlsStream<Socket>>),
    /// A connection is established: dialled or accepted, greetings exchanged.
    Connected { link: Link, connection: Box<Connection> },
    /// An incoming connection of this machine ended before the greetings were exchanged.
    NotGreeted(MachineId),
    /// A dial failed.
    DialFailed { link: Link, reason: Reason, detail: String },
    /// Something arrived from a peer.
    FromPeer(Link, PeerEvent),
    /// The host has verified an offer, or refuses it.
    OfferChecked { link: Link, result: Result<Box<TrustedOffer>, OfferReply> },
    /// A link ended without this machine closing it.
    LinkDown { link: Link, reason: Reason, detail: String },
    /// Which transfers are in the background, or how those are sent, may have changed.
    UpdateEffort,
    /// The host has a newer list of stopped orders.
    PassOnStops,
    /// Close these connections.
    Disconnect(PeerFilter),
    /// End the loop.
    Stop(oneshot::Sender<()>),
}

/// A handle through which the rest of the program controls the loop.
#[derive(Clone)]
pub struct NodeHandle {
    events: mpsc::UnboundedSender<NodeEvent>,
    tls: Arc<RwLock<TlsPair>>,
    limits: RateLimits,
    bandwidth_yield: Arc<BandwidthYield>,
    link_measurement: Arc<LinkMeasurement>,
}

impl NodeHandle {
    pub(crate) fn new(events: mpsc::UnboundedSender<NodeEvent>, tls: TlsPair) -> Self {
        Self {
            events,
            tls: Arc::new(RwLock::new(tls)),
            limits: RateLimits::default(),
            bandwidth_yield: Arc::default(),
            link_measurement: Arc::default(),
        }
    }
    /// Returns the sender of the loop's events.
    pub(crate) fn events(&self) -> mpsc::UnboundedSender<NodeEvent> {
        self.events.clone()
    }
    /// Passes an input to the state machine.
    pub fn input(&self, input: impl Into<Input>) {
        drop(self.events.send(NodeEvent::Input(input.into())));
    }
    /// Accepts an incoming connection after its TLS handshake, with ALPN [`banyan_proto::ALPN_PEER`].
    pub fn accept(&self, stream: tokio_rustls::server::TlsStream<Socket>) {
        drop(self.events.send(NodeEvent::Accepted(Box::new(stream))));
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
    pub fn limits(&self) -> &RateLimits {
        &self.limits
    }
    /// Returns the bandwidth yielding shared by all connections. It also counts the bytes that left this machine.
    #[must_use]
    pub fn bandwidth_yield(&self) -> &Arc<BandwidthYield> {
        &self.bandwidth_yield
    }
    /// Returns the limit over the uplink of this machine's site.
    #[must_use]
    pub fn site_limit(&self) -> &Arc<SiteLimit> {
        &self.bandwidth_yield.site_limit
    }
    /// Returns the meter that all connections share.
    pub(crate) fn link_measurement(&self) -> &Arc<LinkMeasurement> {
        &self.link_measurement
    }
    /// Returns what this machine's link carried since the last call. The owner's limits are part of it.
    #[must_use]
    pub fn take_link_rates(&self) -> LinkRates {
        self.link_measurement.take_rates(self.limits.down.rate(), self.limits.up.rate())
    }
    /// Has the loop ask its host again which transfers are in the background, and how those are sent.
    pub fn update_effort(&self) {
        drop(self.events.send(NodeEvent::UpdateEffort));
    }
    /// Sends the host's list of stopped orders to all connected machines that have an older one. Inputs given afterwards are
    /// processed afterwards, so the machines learn of a stop before their links are closed.
    pub fn pass_on_stops(&self) {
        drop(self.events.send(NodeEvent::PassOnStops));
    }
    /// Closes all connections to a machine.
    pub fn cut(&self, machine: MachineId) {
        self.disconnect_where(move |peer, _| peer == machine);
    }
    /// Closes all connections whose certificate is on the revocation list (rule I5).
    pub fn cut_revoked(&self, crl: Crl) {
        self.disconnect_where(move |_, certificate| crl.revokes(certificate));
    }
    fn disconnect_where(&self, filter: impl Fn(MachineId, &CertificateDer<'static>) -> bool + Send + 'static) {
        drop(self.events.send(NodeEvent::Disconnect(Box::new(filter))));
    }
    /// Ends the loop and closes all connections.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.events.send(NodeEvent::Stop(done)).is_ok() {
            drop(wait.await);
        }
    }
}
