//! The server as the first member of the swarm. It heads every list, holds all content, and sends offers and content
//! with the same loop that machines run. It requests nothing.

use crate::{
    deployments::{
        active_orders::ActiveOrders, direct_offers::DirectOffers, policies::GroupPolicies, stop_lists::StopLists,
    },
    identity::registry::Registry,
    machines::{dial_checks::DialChecks, link_checks::LinkChecks},
    net::{connections::Connections, tls_configuration::TlsConfiguration, wake_ups::WakeUps},
    publishing::artifacts::ArtifactStore,
    store::{ProgressNote, Store},
    suspicion_log::{self, SuspicionLog},
};
use banyan_proto::{
    Address, AddresseeList, MachineId, Membership, OrderId, Proof, Reason, Signed, StopList, UnixSeconds,
    api::{Event, FlowsRequest, SourcesRequest},
    limits,
    peer::{Confirm, Offer, OfferReply, Pull, PullReply},
    schedule::Background,
};
use banyan_swarm::io::{OrderTask, StripeId, TrustedOffer};
use banyan_wire::{
    content::{ArtifactFile, ContentError},
    host::{Host, NumberedStops},
    node::NodeHandle,
    tls::Crl,
};
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

/// The server as the host of the node's loop.
pub(crate) struct SwarmHost {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) tls: Arc<TlsConfiguration>,
    pub(crate) active_orders: Arc<ActiveOrders>,
    pub(crate) direct_offers: Arc<DirectOffers>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) suspicions: SuspicionLog,
    pub(crate) connections: Connections,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) dial_checks: Arc<DialChecks>,
    pub(crate) link_checks: Arc<LinkChecks>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) stop_lists: Arc<StopLists>,
    /// Carries what is stored in the background.
    pub(crate) tasks: TaskTracker,
}

impl Host for SwarmHost {
    async fn check_offer(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        let detail = format!("the server received an offer of stripe {}", offer.stripe);
        self.suspicions.record(&suspicion_log::Event::of(sender, None, Reason::NotAddressed, detail.clone()));
        Err(OfferReply::Refused { reason: Reason::NotAddressed, detail })
    }
    fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        self.registry.exclusion(sublist.head()).map_or(Ok(()), Err)?;
        self.direct_offers.make_offer(stripe, sublist, proof)
    }
    fn addresses(&self, peer: MachineId) -> Vec<Address> {
        self.registry.addresses(peer)
    }
    fn expected_rate(&self, peer: MachineId) -> Option<u64> {
        self.registry.download_rate(peer, UnixSeconds::now())
    }
    fn content(&self, order: OrderId) -> Option<Arc<ArtifactFile>> {
        self.active_orders.get(order)?.content()
    }
    /// The server is an ancestor of every machine, so every machine on the list may wait for content here.
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        let refused = |reason| Err(PullReply::Refused { reason });
        let Some(open) = self.active_orders.get(pull.order) else { return refused(Reason::OrderExpired) };
        let Some(tree) = open.tree(pull.stripe) else { return refused(Reason::ProtocolBroken) };
        if let Some(reason) = self.registry.exclusion(peer) {
            return refused(reason);
        }
        if self.stop_lists.is_stopped(pull.order) {
            return refused(Reason::Halted);
        }
        if pull.membership.proof.0.len() > limits::LIST_DEPTH || pull.membership.root(pull.stripe, peer) != tree.root()
        {
            let detail = "a pull's membership proof belongs to another list";
            self.suspicions.record(&suspicion_log::Event::of(peer, Some(pull.order), Reason::NotAddressed, detail));
            return refused(Reason::NotAddressed);
        }
        Ok(true)
    }
    fn membership(&self, _: StripeId) -> Option<Membership> {
        None
    }
    /// Ignored: tasks concern receiving and installing, which the server does not do.
    fn run_task(&self, order: OrderId, task: OrderTask, _: &NodeHandle) {
        debug!(%order, ?task, "task ignored");
    }
    /// Ignored: the server has everything.
    fn request_sources(&self, _: SourcesRequest, _: &NodeHandle) {}
    fn report_flows(&self, _: FlowsRequest, _: &NodeHandle) {}
    fn report_event(&self, order: OrderId, event: Event) {
        match event {
            Event::SteppedOver { stripe, machine, reason } => {
                debug!(%order, stripe, %machine, %reason, "machine skipped");
                if reason == Reason::Unreachable && self.connections.is_online(machine) {
                    self.wake_ups.announce_undelivered(machine, order);
                    self.dial_checks.start_again(machine);
                }
                let store = Arc::clone(&self.store);
                self.tasks.spawn(async move {
                    let detail = "the server could not send it its part of the list".to_owned();
                    if let Err(error) = store.note(&[ProgressNote { order, machine, reason, detail }]).await {
                        error!("failed to store a machine's state: {error}");
                    }
                });
            }
            // All other events concern receiving and installing, which the server does not do.
            Event::Offered { .. }
            | Event::Refused { .. }
            | Event::Source { .. }
            | Event::BadChunk { .. }
            | Event::Progress { .. }
            | Event::Verified { .. }
            | Event::Authenticated
            | Event::Installing
            | Event::Installed { .. }
            | Event::Waits { .. }
            | Event::Failed { .. } => debug!(?event, "event ignored"),
        }
    }
    fn confirmed(&self, peer: MachineId, confirm: &Confirm) {
        let Some(open) = self.active_orders.get(confirm.order) else { return };
        if open.artifact.digest == confirm.artifact {
            debug!(order = %confirm.order, machine = %peer, "machine confirmed that the artifact is complete");
        } else {
            let detail = format!("the machine confirmed {} instead of {}", confirm.artifact, open.artifact.digest);
            self.suspicions.record(&suspicion_log::Event::of(peer, Some(confirm.order), Reason::BadArtifact, detail));
        }
    }
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str) {
        self.suspicions.record(&suspicion_log::Event::of(peer, None, reason, detail));
    }
    fn content_failed(&self, order: OrderId, _: MachineId, error: &ContentError) {
        if let Some(open) = self.active_orders.get(order) {
            open.record_content_failure(error);
            self.artifacts.distrust(open.artifact.digest);
        }
    }
    fn received(&self, _: OrderId, _: MachineId, _: u64) {}
    fn sent(&self, _: OrderId, _: MachineId, bytes: u64) {
        self.link_checks.record_sent(bytes);
    }
    fn background(&self, peer: MachineId) -> Background {
        let assigned = self.registry.get(peer).map(|row| row.assigned).unwrap_or_default();
        self.policies.of(&assigned).background
    }
    fn crl(&self) -> Option<Arc<Crl>> {
        Some(self.tls.crl())
    }
    /// Ignored: the server signs the lists, so no machine has a newer one.
    fn offer_crl(&self, _: Vec<u8>, _: &NodeHandle) {}
    fn stops(&self) -> Option<NumberedStops> {
        self.stop_lists.newest()
    }
    /// Ignored for the same reason.
    fn offer_stops(&self, _: Signed<StopList>, _: &NodeHandle) {}
}
