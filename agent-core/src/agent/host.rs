//! The agent's implementation of [`Host`], the interface of the node loop.

use super::Agent;
use banyan_proto::{
    Address, AddresseeList, MachineId, Membership, OrderId, Proof, Reason, Signed, StopList,
    api::{Event, FlowsRequest, SourcesRequest},
    peer::{Confirm, Offer, OfferReply, Pull, PullReply},
    schedule::Background,
};
use banyan_swarm::io::{OrderInput, OrderTask, StripeId, TrustedOffer};
use banyan_wire::{
    content::{ArtifactFile, ContentError},
    host::{Host, NumberedStops},
    node::NodeHandle,
    rare_log::RareLog,
    tls::Crl,
};
use std::{sync::Arc, time::Duration};

/// The pause after a report that the server did not take.
const FLOWS_RETRY: Duration = Duration::from_secs(5);

impl Host for Agent {
    async fn check_offer(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        self.accept_offer(sender, offer).await
    }
    fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        self.orders.make_offer(stripe, sublist, proof)
    }
    fn addresses(&self, peer: MachineId) -> Vec<Address> {
        self.orders.address_hints.addresses(peer)
    }
    /// Whoever receives from this machine needs no more than arrives here.
    fn expected_rate(&self, _: MachineId) -> Option<u64> {
        self.last_link_check.down()
    }
    fn content(&self, order: OrderId) -> Option<Arc<ArtifactFile>> {
        Some(Arc::clone(&self.orders.get(order)?.content))
    }
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        if self.identity.stops.is_stopped(pull.order) {
            return Err(PullReply::Refused { reason: Reason::Halted });
        }
        self.orders.check_pull(peer, pull)
    }
    fn membership(&self, stripe: StripeId) -> Option<Membership> {
        self.orders.membership(stripe)
    }
    fn run_task(&self, order: OrderId, task: OrderTask, node: &NodeHandle) {
        let (Some(agent), node) = (self.this.upgrade(), node.clone()) else { return };
        tokio::spawn(async move {
            let Some(active) = agent.orders.get(order) else { return };
            let input = match task {
                OrderTask::VerifyArtifact => agent.verify(&active).await,
                OrderTask::RequestReceipt => agent.request_receipt(&active).await,
                OrderTask::RequestInstallPermit => agent.request_install_permit(&active).await,
                OrderTask::Install => agent.install(&active).await,
            };
            node.input(input);
        });
    }
    fn request_sources(&self, request: SourcesRequest, node: &NodeHandle) {
        let (Some(agent), node) = (self.this.upgrade(), node.clone()) else { return };
        tokio::spawn(async move {
            match agent.server.api.sources(&request).await {
                // The server knows now why those below wait. Another source would not be faster.
                Ok(_) if !request.starves && node.site_limit().is_limiting_receive() => {}
                Ok(reply) => {
                    agent.orders.address_hints.learn(&reply.hints);
                    let stripe = StripeId { order: request.order, stripe: request.stripe };
                    node.input(OrderInput::Sources(stripe, reply.machines));
                }
                // The stripe goes on as it is, and asks again.
                Err(error) => tracing::debug!(order = %request.order, "no better source: {error}"),
            }
        });
    }
    fn report_flows(&self, request: FlowsRequest, node: &NodeHandle) {
        let (Some(agent), node) = (self.this.upgrade(), node.clone()) else { return };
        tokio::spawn(async move {
            let changes = match agent.server.api.flows(&request).await {
                Ok(reply) => {
                    agent.orders.address_hints.learn(&reply.hints);
                    reply.changes
                }
                // The stripes go on as they are.
                Err(error) => {
                    tracing::debug!(order = %request.order, "the server did not take the report of what arrives: {error}");
                    tokio::time::sleep(FLOWS_RETRY).await;
                    Vec::new()
                }
            };
            node.input(OrderInput::FlowsAnswered(request.order, changes));
        });
    }
    fn report_event(&self, order: OrderId, event: Event) {
        // The state machine knows reasons alone.
        let event = match event {
            Event::Waits { reason: Reason::DiskFull, detail } if detail.is_empty() => {
                let detail = self.orders.get(order).map(|active| self.gates.describe_full_disk(&active));
                Event::Waits { reason: Reason::DiskFull, detail: detail.unwrap_or_default() }
            }
            other => other,
        };
        self.report(order, event);
    }
    fn confirmed(&self, peer: MachineId, confirm: &Confirm) {
        tracing::debug!(%peer, order = %confirm.order, "child confirmed that the artifact is complete");
    }
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str) {
        self.stages.reporter.report(None, Event::Refused { sender: peer, reason, detail: detail.to_owned() });
    }
    fn content_failed(&self, order: OrderId, peer: MachineId, error: &ContentError) {
        static FAILED: RareLog = RareLog::each_minute();
        if let Some(more) = FAILED.due() {
            tracing::warn!(%order, %peer, more, "cannot send the content of an order: {error}");
        }
    }
    fn received(&self, order: OrderId, peer: MachineId, bytes: u64) {
        if let Some(active) = self.orders.get(order) {
            active.record_received(peer, bytes);
        }
        self.user.upload_quota.count_received(bytes);
        self.notifier.notify_snapshot();
    }
    fn sent(&self, order: OrderId, peer: MachineId, bytes: u64) {
        if let Some(active) = self.orders.get(order) {
            active.record_sent(peer, bytes);
        }
        self.notifier.notify_snapshot();
    }
    async fn may_send(&self, bytes: u64) -> bool {
        self.user.may_upload(bytes, self.orders.missing_bytes()).await
    }
    fn is_background(&self, order: OrderId) -> bool {
        self.gates.is_background(order)
    }
    fn background(&self, _: MachineId) -> Background {
        self.user.policy.current().background
    }
    fn crl(&self) -> Option<Arc<Crl>> {
        self.tls.crl()
    }
    fn offer_crl(&self, der: Vec<u8>, _: &NodeHandle) {
        self.tls.accept_crl(der);
    }
    fn stops(&self) -> Option<NumberedStops> {
        self.identity.stops.newest()
    }
    fn offer_stops(&self, list: Signed<StopList>, _: &NodeHandle) {
        self.apply_stops(list);
    }
}
