//! The agent's implementation of [`Host`], the interface of the node loop.

use super::Agent;
use crate::orders::lock;
use banyan_proto::{
    AddresseeList, MachineId, Membership, OrderId, Proof, Reason,
    api::Event,
    peer::{Confirm, Offer, OfferReply, Pull, PullReply},
};
use banyan_swarm::io::{OrderTask, StripeId, TrustedOffer};
use banyan_wire::{content::ArtifactFile, host::Host, node::NodeHandle, tls::Crl};
use std::{net::SocketAddr, sync::Arc};

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
    fn content(&self, order: OrderId) -> Option<Arc<ArtifactFile>> {
        Some(Arc::clone(&self.orders.get(order)?.content))
    }
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        self.orders.check_pull(peer, pull)
    }
    fn membership(&self, stripe: StripeId) -> Option<Membership> {
        self.orders.membership(stripe)
    }
    fn run_task(&self, order: OrderId, task: OrderTask, node: &NodeHandle) {
        let (Some(agent), node) = (self.this.upgrade(), node.clone()) else { return };
        tokio::spawn(async move {
            let Some(held) = agent.orders.get(order) else { return };
            let input = match task {
                OrderTask::VerifyArtifact => agent.verify(&held).await,
                OrderTask::RequestReceipt => agent.receipt(&held).await,
                OrderTask::RequestInstallPermit => agent.leave(&held).await,
                OrderTask::Install => agent.install(&held).await,
            };
            node.input(input);
        });
    }
    fn report_event(&self, order: OrderId, event: Event) {
        self.report(order, event);
    }
    fn confirmed(&self, peer: MachineId, confirm: &Confirm) {
        tracing::debug!(%peer, order = %confirm.order, "child confirmed that the artifact is complete");
    }
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str) {
        self.reporter.report(None, Event::Refused { sender: peer, reason, detail: detail.to_owned() });
    }
    fn received(&self, order: OrderId, peer: Option<MachineId>, bytes: u64) {
        if let (Some(held), Some(peer)) = (self.orders.get(order), peer) {
            held.came_from(peer, bytes);
        }
        self.people.shared.received(&self.people.zone, bytes);
        self.people.changed();
    }
    fn sent(&self, order: OrderId, peer: MachineId, bytes: u64) {
        if let Some(held) = self.orders.get(order) {
            held.went_to(peer, bytes);
        }
        self.people.changed();
    }
    async fn may_send(&self, bytes: u64) -> bool {
        self.people.may_give(bytes, self.orders.still_to_come()).await
    }
    fn crl(&self) -> Option<Arc<Crl>> {
        lock(&self.crl).clone()
    }
    fn offer_crl(&self, der: Vec<u8>, _: &NodeHandle) {
        self.take_crl(der);
    }
}
