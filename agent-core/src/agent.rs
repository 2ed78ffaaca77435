//! The agent around the loop: holds what the stages need, carries out what the machine decides, and answers the loop.

use crate::{
    authenticate::Authenticate,
    identity,
    install::Install,
    installer::Outcome,
    offer::OfferStage,
    orders::{HeldOrder, Orders, lock},
    report::Reporter,
    server_api::{CallError, ServerApi},
    state::State,
};
use banyan_machine::io::{Action, Input, StripeId, TrustedOffer};
use banyan_proto::{
    AddresseeList, DeploymentId, MachineId, Membership, Proof, Reason, UnixSeconds,
    api::Event,
    order::Spread,
    peer::{Confirm, Offer, OfferReply, Pull, PullReply},
};
use banyan_wire::{
    connection::TlsPair,
    content::{ArtifactFile, ContentError},
    host::Host,
    node::NodeHandle,
    tls::{Credentials, Crl},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak},
    time::Instant,
};
use tracing::{info, warn};

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
    /// Leaves to install that wait for their turn.
    pub leaves: Mutex<HashMap<DeploymentId, crate::authenticate::AuthenticArtifact>>,
}

impl Agent {
    /// Number of the newest revocation list; 0 when there is none.
    pub(crate) fn crl_number(&self) -> u64 {
        lock(&self.crl).as_ref().map_or(0, |crl| crl.number)
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
    /// Renews the certificate when it is time (rule I7).
    pub(crate) async fn renew_when_due(&self) {
        if !identity::wants_renewal(&self.credentials().certificate, UnixSeconds::now()) {
            return;
        }
        match self.renew().await {
            Ok(()) => info!("the machine's certificate has been renewed"),
            Err(error) => warn!("the machine's certificate could not be renewed: {error:#}"),
        }
    }
    async fn renew(&self) -> anyhow::Result<()> {
        let reply = self.server.renew(identity::signing_request(&self.key)?).await?;
        let mut enrolment = self.state.enrolment()?.ok_or_else(|| anyhow::anyhow!("this machine is not enrolled"))?;
        enrolment.certificate = reply.certificate;
        let credentials = identity::credentials(&enrolment, &self.key)?;
        self.state.set_enrolment(&enrolment)?;
        self.server.set_credentials(&credentials)?;
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        if let Some(crl) = lock(&self.crl).clone() {
            self.use_tls(&crl);
        }
        Ok(())
    }
    /// An offer came straight from the server, as the answer to a call for help.
    pub(crate) async fn helped(self: &Arc<Self>, offer: Offer) {
        let Some(node) = self.node.get() else { return };
        if let Ok(trusted) = self.check(self.offers.server, offer).await {
            node.input(Input::Restored(trusted));
        }
    }
    async fn check(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        let offers = Arc::clone(&self.offers);
        let checked = tokio::task::spawn_blocking(move || offers.check(sender, offer, UnixSeconds::now())).await;
        match checked {
            Ok(Ok(accepted)) => {
                if let Some(node) = self.node.get() {
                    for older in accepted.superseded {
                        node.input(Input::Dropped(older, Reason::OrderSuperseded));
                        self.forget(older);
                    }
                }
                Ok(accepted.trusted)
            }
            Ok(Err(error)) => {
                warn!(%sender, %error, "an offer was not taken");
                let (reason, detail) = (error.reason(), error.to_string());
                self.reporter.report(None, Event::Refused { sender, reason, detail });
                Err(error.reply())
            }
            Err(_) => Err(OfferReply::Deferred { reason: Reason::InternalError }),
        }
    }
    /// Drops an order that is over. The file goes when no other order is about the same artifact.
    fn forget(&self, id: DeploymentId) {
        let Some(held) = self.orders.remove(id) else { return };
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
            self.forget(held.order.id);
        }
    }

    fn report(&self, order: DeploymentId, event: Event) {
        self.reporter.report(Some(order), event);
    }

    async fn verify(&self, held: &HeldOrder) -> Input {
        let order = held.order.id;
        let content = Arc::clone(&held.content);
        match tokio::task::spawn_blocking(move || content.verify_whole()).await {
            Ok(Ok(verified)) => {
                held.set_verified(verified);
                if held.order.spread == Spread::Verified {
                    held.content.release();
                }
                self.report(order, Event::Verified { sources: held.sources() });
                Input::ArtifactVerified(order)
            }
            failed => {
                let content = Arc::clone(&held.content);
                if let Ok(Err(error)) = &failed {
                    warn!(%order, %error, "the artifact on this disk is not what arrived");
                    if let ContentError::Disk(_) = error {
                        let detail = error.to_string();
                        self.report(order, Event::Waits { reason: Reason::DiskFailed, detail });
                    }
                }
                let left = tokio::task::spawn_blocking(move || content.recount()).await;
                let none = || vec![0; usize::from(held.content.stripes())];
                Input::ArtifactDamaged(order, left.ok().and_then(Result::ok).unwrap_or_else(none))
            }
        }
    }

    async fn receipt(&self, held: &HeldOrder) -> Input {
        let order = held.order.id;
        match self.authenticate.receipt(held).await {
            Ok(()) => Input::Receipted(order),
            Err(crate::authenticate::AuthenticateError::Call(CallError::Refused(error))) => {
                warn!(%order, %error, "the server refused the receipt");
                let (reason, detail) = (error.reason, error.detail);
                self.end(held, Err(reason));
                self.report(order, Event::Failed { reason, detail, restored: true });
                Input::ReceiptRefused(order, reason)
            }
            Err(error) => Input::Later(order, error.reason()),
        }
    }

    async fn leave(&self, held: &HeldOrder) -> Input {
        let order = held.order.id;
        match self.authenticate.leave(held).await {
            Ok(artifact) => {
                lock(&self.leaves).insert(order, artifact);
                Input::GoAhead(order)
            }
            Err(error) => {
                info!(%order, %error, "no leave to install yet");
                Input::Later(order, error.reason())
            }
        }
    }

    async fn install(&self, held: &HeldOrder) -> Input {
        let order = held.order.id;
        let Some(artifact) = lock(&self.leaves).remove(&order) else {
            return Input::Later(order, Reason::WaitsForGoAhead);
        };
        let begun = Instant::now();
        let finished = self.install.install(artifact).await;
        match finished.outcome {
            Outcome::Installed { already } => {
                let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                info!(%order, package = held.order.package, already, milliseconds, "installed");
                self.end(held, Ok(()));
                held.content.release();
                self.report(order, Event::Installed { already, milliseconds });
                Input::InstallEnded(order, Ok(()))
            }
            Outcome::Failed { reason, detail, restored } => {
                warn!(%order, %reason, detail, "not installed");
                let detail = format!("{detail}\n{}", finished.output).trim_end().to_owned();
                self.end(held, Err(reason));
                self.report(order, Event::Failed { reason, detail, restored });
                Input::InstallEnded(order, Err(reason))
            }
            Outcome::Waits { reason, detail } => {
                info!(%order, %reason, detail, "installing waits");
                self.report(order, Event::Waits { reason, detail });
                Input::Later(order, reason)
            }
        }
    }

    fn end(&self, held: &HeldOrder, result: Result<(), Reason>) {
        if let Err(error) = self.orders.ended(&self.state, held.order.id, result) {
            warn!(%error, "the end of an order could not be written down; it is found out again after a restart");
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

impl Host for Agent {
    async fn check_offer(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        self.check(sender, offer).await
    }
    fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        self.orders.make_offer(stripe, sublist, proof)
    }
    fn addresses(&self, peer: MachineId) -> Vec<SocketAddr> {
        self.orders.addresses(peer)
    }
    fn content(&self, order: DeploymentId) -> Option<Arc<ArtifactFile>> {
        Some(Arc::clone(&self.orders.get(order)?.content))
    }
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        self.orders.check_pull(peer, pull)
    }
    fn membership(&self, stripe: StripeId) -> Option<Membership> {
        self.orders.membership(stripe)
    }
    fn perform(&self, action: Action, node: &NodeHandle) {
        let (order, node) = match &action {
            Action::VerifyArtifact(order)
            | Action::AskReceipt(order)
            | Action::AskGoAhead(order)
            | Action::Install(order) => (*order, node.clone()),
            Action::Report(order, event) => return self.report(*order, event.clone()),
            other => return warn!(?other, "an action that is the loop's own"),
        };
        let Some(agent) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            let Some(held) = agent.orders.get(order) else { return };
            let input = match action {
                Action::VerifyArtifact(_) => agent.verify(&held).await,
                Action::AskReceipt(_) => agent.receipt(&held).await,
                Action::AskGoAhead(_) => agent.leave(&held).await,
                _ => agent.install(&held).await,
            };
            node.input(input);
        });
    }
    fn confirmed(&self, peer: MachineId, confirm: &Confirm) {
        tracing::debug!(%peer, order = %confirm.order, "a child has confirmed that the artifact arrived whole");
    }
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str) {
        self.reporter.report(None, Event::Refused { sender: peer, reason, detail: detail.to_owned() });
    }
    fn received(&self, order: DeploymentId, peer: MachineId, bytes: u64) {
        if let Some(held) = self.orders.get(order) {
            held.add_bytes(peer, bytes);
        }
    }
    fn crl(&self) -> Option<Arc<Crl>> {
        lock(&self.crl).clone()
    }
    fn offer_crl(&self, der: Vec<u8>, _: &NodeHandle) {
        self.take_crl(der);
    }
}
