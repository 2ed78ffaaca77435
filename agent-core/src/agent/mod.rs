//! The running agent: holds what the stages need, carries out the state machine's actions, and serves as the node
//! loop's host.

pub mod gates;
mod host;
mod policy;
mod renewal;
mod restored;
mod stages;

use crate::{
    authenticate::Authenticate,
    catalogue::Shelf,
    install::Install,
    offer::OfferStage,
    orders::{Orders, lock},
    people::People,
    report::Reporter,
    server_api::{CallError, ServerApi, bars},
    state::State,
};
use banyan_proto::{MachineId, OrderId, Reason, UnixSeconds, api::ApiError};
use banyan_swarm::io::OrderInput;
use banyan_wire::{
    connection::TlsPair,
    node::NodeHandle,
    tls::{Credentials, Crl},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing::{debug, warn};

/// The agent.
pub struct Agent {
    /// A weak reference to itself, for the tasks it starts.
    pub this: Weak<Self>,
    /// This machine's identifier.
    pub me: MachineId,
    /// The machine's display name.
    pub label: String,
    /// Maximum number of machines served at once.
    pub max_children: usize,
    /// The address the agent listens on.
    pub listen: SocketAddr,
    /// The database.
    pub state: Arc<State>,
    /// Settings, history and quota of the users at this machine.
    pub people: Arc<People>,
    /// The accepted orders.
    pub orders: Arc<Orders>,
    /// The client for the server's API.
    pub server: Arc<ServerApi>,
    /// The offer stage.
    pub offers: Arc<OfferStage>,
    /// The authenticate stage.
    pub authenticate: Authenticate,
    /// The install stage.
    pub install: Install,
    /// The report stage.
    pub reporter: Reporter,
    /// This machine's TLS credentials; renewed from time to time.
    pub credentials: RwLock<Arc<Credentials>>,
    /// The machine's key.
    pub key: rcgen::KeyPair,
    /// The newest revocation list.
    pub crl: Mutex<Option<Arc<Crl>>>,
    /// The handle of the node loop, once it runs.
    pub node: OnceLock<NodeHandle>,
    /// When the server last answered (seconds since 1970; 0 for never).
    pub heard: AtomicU64,
    /// Why the server refuses this machine, while it does.
    pub trouble: Mutex<Option<ApiError>>,
    /// The scheduling decisions passed on last.
    pub told: Mutex<gates::Told>,
    /// Install permits, each with its artifact, that wait for their turn.
    pub leaves: Mutex<HashMap<OrderId, crate::authenticate::AuthenticArtifact>>,
    /// The server's last catalogue answer.
    pub(crate) shelf: Shelf,
}

impl Agent {
    /// Returns the number of the newest revocation list; 0 when there is none.
    pub(crate) fn crl_number(&self) -> u64 {
        lock(&self.crl).as_ref().map_or(0, |crl| crl.number)
    }
    /// Records that the server has just answered.
    pub(crate) fn set_heard(&self) {
        self.heard.store(UnixSeconds::now().0, Ordering::Relaxed);
        *lock(&self.trouble) = None;
        self.people.changed();
    }
    /// Returns why the server excludes this machine from everything, while it does.
    fn barred(&self) -> Option<Reason> {
        lock(&self.trouble).as_ref().map(|trouble| trouble.reason).filter(|&reason| bars(reason))
    }
    /// Records a failed call to the server. A repeated refusal is logged once, because such calls are retried
    /// endlessly.
    pub(crate) fn not_heard(&self, error: &CallError) {
        let CallError::Refused(refusal) = error else { return debug!(%error, "no response from the server") };
        let mut trouble = lock(&self.trouble);
        if trouble.as_ref() != Some(refusal) {
            warn!(next = refusal.reason.for_admin().advice, "the server refused this machine: {refusal}");
            *trouble = Some(refusal.clone());
            drop(trouble);
            self.people.changed();
        }
    }
    /// Returns when the server last answered.
    pub(crate) fn heard(&self) -> Option<UnixSeconds> {
        Some(UnixSeconds(self.heard.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }
    /// Returns the addresses at which other machines reach this one now: the listen address or, if that is
    /// unspecified, the local address of the route to the server.
    pub(crate) fn addresses_now(&self) -> Vec<SocketAddr> {
        addresses(self.listen, self.offers.orders.addresses(self.offers.server))
    }
    /// Accepts a revocation list if the server signed it and it is newer (rule I5). New handshakes with revoked
    /// machines fail, and their open connections are cut.
    pub(crate) fn take_crl(&self, der: Vec<u8>) {
        let crl = match Crl::read(der, &self.credentials().ca) {
            Ok(crl) => crl,
            Err(error) => return warn!(%error, "revocation list refused"),
        };
        let mut current = lock(&self.crl);
        if current.as_ref().is_some_and(|current| current.number >= crl.number) {
            return;
        }
        if let Err(error) = self.state.set_crl(&crl.der) {
            return warn!(%error, "failed to store the revocation list");
        }
        *current = Some(Arc::new(crl.clone()));
        drop(current);
        self.use_tls(&crl);
        if let Some(node) = self.node.get() {
            node.cut_revoked(crl);
        }
    }
    fn use_tls(&self, crl: &Crl) {
        let Some(node) = self.node.get() else { return };
        match TlsPair::for_peers(&self.credentials(), Some(crl)) {
            Ok(pair) => node.set_tls(pair),
            Err(error) => warn!(%error, "failed to apply the revocation list or the certificate"),
        }
    }
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Drops an order that has ended. Deletes the file when no other order is for the same artifact.
    pub(crate) fn forget(&self, id: OrderId, reason: Reason) {
        let Some(held) = self.orders.remove(id) else { return };
        self.people.gone(id, &held.order.package, &held.described().version, reason);
        let digest = held.content.artifact().digest;
        if !self.orders.all().iter().any(|other| other.content.artifact().digest == digest) {
            drop(std::fs::remove_file(self.offers.folder.join(digest.to_string())));
        }
        if let Err(error) = self.state.forget_order(id) {
            warn!(%error, "failed to delete an ended order");
        }
    }
    /// Drops orders whose content no longer has to be kept.
    pub(crate) fn forget_old(&self, now: UnixSeconds) {
        for held in self.orders.all().iter().filter(|held| held.order.keep_until <= now) {
            if let Some(node) = self.node.get() {
                node.input(OrderInput::Dropped(held.order.id, Reason::OrderExpired));
            }
            self.forget(held.order.id, Reason::OrderExpired);
        }
    }
}

/// Returns the addresses at which others reach a machine with this listen address and these server addresses.
pub(crate) fn addresses(listen: SocketAddr, server: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    // Connecting a datagram socket sends nothing; it makes the system choose the local address.
    let towards = |server: SocketAddr| {
        let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = std::net::UdpSocket::bind(any).ok()?;
        socket.connect(server).ok()?;
        Some(SocketAddr::new(socket.local_addr().ok()?.ip(), listen.port()))
    };
    server.into_iter().filter_map(towards).collect()
}
