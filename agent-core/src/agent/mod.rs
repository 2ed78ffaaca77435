//! The agent around the loop: holds what the stages need, carries out what the machine decides, and answers the loop.

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
use banyan_machine::io::Input;
use banyan_proto::{DeploymentId, MachineId, Reason, UnixSeconds, api::ApiError};
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
    /// Itself, for the tasks it starts.
    pub this: Weak<Self>,
    /// This machine.
    pub me: MachineId,
    /// What people call it.
    pub label: String,
    /// How many machines it serves at once.
    pub max_children: usize,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What outlives a restart.
    pub state: Arc<State>,
    /// What the people at this machine chose and are told.
    pub people: Arc<People>,
    /// The accepted orders.
    pub orders: Arc<Orders>,
    /// The server.
    pub server: Arc<ServerApi>,
    /// The offer stage.
    pub offers: Arc<OfferStage>,
    /// The authenticate stage.
    pub authenticate: Authenticate,
    /// The install stage.
    pub install: Install,
    /// The report stage.
    pub reporter: Reporter,
    /// What this machine proves itself with; renewed from time to time.
    pub credentials: RwLock<Arc<Credentials>>,
    /// The machine's key.
    pub key: rcgen::KeyPair,
    /// The newest revocation list.
    pub crl: Mutex<Option<Arc<Crl>>>,
    /// The loop, once it runs.
    pub node: OnceLock<NodeHandle>,
    /// When the server last answered (seconds since 1970; 0 for never).
    pub heard: AtomicU64,
    /// Why the server does not let this machine in, while that is so.
    pub trouble: Mutex<Option<ApiError>>,
    /// What the schedule let the machine do last.
    pub told: Mutex<gates::Told>,
    /// Leaves to install that wait for their turn.
    pub leaves: Mutex<HashMap<DeploymentId, crate::authenticate::AuthenticArtifact>>,
    /// What the server last said that it offers to the people here.
    pub(crate) shelf: Shelf,
}

impl Agent {
    /// Number of the newest revocation list; 0 when there is none.
    pub(crate) fn crl_number(&self) -> u64 {
        lock(&self.crl).as_ref().map_or(0, |crl| crl.number)
    }
    /// The server has just answered.
    pub(crate) fn set_heard(&self) {
        self.heard.store(UnixSeconds::now().0, Ordering::Relaxed);
        *lock(&self.trouble) = None;
        self.people.changed();
    }
    /// Why the server lets this machine take part in nothing, while that is so.
    fn barred(&self) -> Option<Reason> {
        lock(&self.trouble).as_ref().map(|trouble| trouble.reason).filter(|&reason| bars(reason))
    }
    /// The server has answered a call with no, or has not answered. Said once: such calls are made again and again.
    pub(crate) fn not_heard(&self, error: &CallError) {
        let CallError::Refused(refusal) = error else { return debug!(%error, "the server does not answer") };
        let mut trouble = lock(&self.trouble);
        if trouble.as_ref() != Some(refusal) {
            warn!(next = refusal.reason.next(), "the server refuses this machine: {refusal}");
            *trouble = Some(refusal.clone());
            drop(trouble);
            self.people.changed();
        }
    }
    /// When the server last answered.
    pub(crate) fn heard(&self) -> Option<UnixSeconds> {
        Some(UnixSeconds(self.heard.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }
    /// Where other machines reach this one now: where it listens, or when that is everywhere, the address that its way
    /// to the server starts from.
    pub(crate) fn addresses_now(&self) -> Vec<SocketAddr> {
        addresses(self.listen, self.offers.orders.addresses(self.offers.server))
    }
    /// Takes a revocation list if it is the server's and newer (rule I5): new handshakes refuse who is on it, and
    /// connections that are open are cut.
    pub(crate) fn take_crl(&self, der: Vec<u8>) {
        let crl = match Crl::read(der, &self.credentials().ca) {
            Ok(crl) => crl,
            Err(error) => return warn!(%error, "a revocation list was refused"),
        };
        let mut current = lock(&self.crl);
        if current.as_ref().is_some_and(|current| current.number >= crl.number) {
            return;
        }
        if let Err(error) = self.state.set_crl(&crl.der) {
            return warn!(%error, "a revocation list could not be kept");
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
            Err(error) => warn!(%error, "the revocation list or the certificate cannot be used"),
        }
    }
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Drops an order that is over. The file goes when no other order is about the same artifact.
    pub(crate) fn forget(&self, id: DeploymentId, reason: Reason) {
        let Some(held) = self.orders.remove(id) else { return };
        self.people.gone(id, &held.order.package, &held.described().version, reason);
        let digest = held.content.artifact().digest;
        if !self.orders.all().iter().any(|other| other.content.artifact().digest == digest) {
            drop(std::fs::remove_file(self.offers.folder.join(digest.to_string())));
        }
        if let Err(error) = self.state.forget_order(id) {
            warn!(%error, "an order that is over could not be forgotten");
        }
    }
    /// Drops orders whose content need not be kept any longer.
    pub(crate) fn forget_old(&self, now: UnixSeconds) {
        for held in self.orders.all().iter().filter(|held| held.order.keep_until <= now) {
            if let Some(node) = self.node.get() {
                node.input(Input::Dropped(held.order.id, Reason::OrderExpired));
            }
            self.forget(held.order.id, Reason::OrderExpired);
        }
    }
}

/// Where others reach a machine that listens there and whose server is at one of these addresses.
pub(crate) fn addresses(listen: SocketAddr, server: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    // Connecting a datagram socket sends nothing; it asks the system which of its addresses it would use.
    let towards = |server: SocketAddr| {
        let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = std::net::UdpSocket::bind(any).ok()?;
        socket.connect(server).ok()?;
        Some(SocketAddr::new(socket.local_addr().ok()?.ip(), listen.port()))
    };
    server.into_iter().filter_map(towards).collect()
}
