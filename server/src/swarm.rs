//! The server as the first member of the swarm. It heads every list, holds all content, and sends offers and content
//! with the same loop that machines run. It requests nothing.

use crate::nms::Nms;
use banyan_proto::{
    AddresseeList, MachineId, Membership, OrderId, Proof, Reason, RollingCode,
    api::Event,
    limits,
    peer::{Confirm, Offer, OfferReply, Pull, PullReply, ReleaseProof},
};
use banyan_swarm::io::{OrderTask, StripeId, TrustedOffer};
use banyan_wire::{content::ArtifactFile, host::Host, node::NodeHandle, tls::Crl};
use std::{net::SocketAddr, sync::Arc};
use tracing::{debug, error};

/// Approximate size of a signed hint in an offer (bytes).
const HINT_BYTES: usize = 600;
/// Size of a name on a list, and of the rest of an offer besides list, hints and release (bytes).
const NAME_BYTES: usize = 64;
const OTHER_BYTES: usize = 64 << 10;

impl Nms {
    /// Makes the offer of a sublist to its head, sent by the server itself. Code and path name the server as the
    /// sender, whatever machines are between the two in the tree.
    ///
    /// # Errors
    /// Returns a reason if the order has expired, or if the signed metadata that proves the release is missing.
    pub(crate) fn offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        let open = self.book.get(stripe.order).ok_or(Reason::OrderExpired)?;
        let tree = open.tree(stripe.stripe).ok_or(Reason::InternalError)?;
        let subtree = sublist.subtree(stripe.stripe);
        if proof.root(stripe.stripe, subtree) != tree.root() {
            error!(order = %stripe.order, "offer not made: the sublist is not part of the order's list");
            return Err(Reason::InternalError);
        }
        let metadata = self.desk.shown().metadata.ok_or(Reason::MetadataExpired)?;
        let release = ReleaseProof { metadata: (*metadata).clone(), manifest: open.manifest.clone() };
        let texts = [&release.metadata.timestamp, &release.metadata.snapshot, &release.metadata.targets];
        let texts = texts.into_iter().chain(&release.metadata.roots).chain([&release.manifest]);
        // In JSON each quotation mark takes two bytes, so metadata texts grow by at most a third.
        let taken =
            texts.map(|text| text.len() + text.len() / 3).sum::<usize>() + sublist.len() * NAME_BYTES + OTHER_BYTES;
        let room = limits::CONTROL_BYTES.saturating_sub(taken);
        if room == 0 {
            error!(order = %stripe.order, "offer not made: its manifest and metadata are too long");
            return Err(Reason::InternalError);
        }
        // Ancestors first. Without the other hints a head skips its children, which does no harm: they ask for help.
        let names = proof.ancestors().chain(sublist.ids()).take(room / HINT_BYTES);
        let head = sublist.head();
        let root = RollingCode::root(&self.secrets.master, stripe.order, stripe.stripe, tree.root().hash);
        Ok(Offer {
            order: open.row.signed.clone(),
            stripe: stripe.stripe,
            sublist: sublist.clone(),
            proof: proof.clone(),
            path: vec![self.id],
            code: root.child(head, subtree.hash),
            hints: self.registry.hints(names),
            release,
        })
    }
}

/// The server as the host of the node's loop.
pub(crate) struct Swarm(pub(crate) Arc<Nms>);

impl Host for Swarm {
    async fn check_offer(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        let detail = format!("the server received an offer of stripe {}", offer.stripe);
        self.0.suspect(Some(sender), None, Reason::NotAddressed, detail.clone()).await;
        Err(OfferReply::Refused { reason: Reason::NotAddressed, detail })
    }
    fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        self.0.registry.out(sublist.head()).map_or(Ok(()), Err)?;
        self.0.offer(stripe, sublist, proof)
    }
    fn addresses(&self, peer: MachineId) -> Vec<SocketAddr> {
        self.0.registry.addresses(peer)
    }
    fn content(&self, order: OrderId) -> Option<Arc<ArtifactFile>> {
        self.0.book.get(order)?.content.clone()
    }
    /// The server is an ancestor of every machine, so every machine on the list may wait for content here.
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        let refused = |reason| Err(PullReply::Refused { reason });
        let Some(open) = self.0.book.get(pull.order) else { return refused(Reason::OrderExpired) };
        let Some(tree) = open.tree(pull.stripe) else { return refused(Reason::ProtocolBroken) };
        if let Some(reason) = self.0.registry.out(peer) {
            return refused(reason);
        }
        if pull.membership.proof.0.len() > limits::LIST_DEPTH || pull.membership.root(pull.stripe, peer) != tree.root()
        {
            let detail = "a pull's membership proof belongs to another list";
            self.0.suspect_later(Some(peer), Some(pull.order), Reason::NotAddressed, detail.into());
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
    fn report_event(&self, order: OrderId, event: Event) {
        match event {
            Event::SteppedOver { stripe, machine, reason } => {
                debug!(%order, stripe, %machine, %reason, "machine skipped");
                let nms = Arc::clone(&self.0);
                self.0.tasks.spawn(async move {
                    if let Err(error) = nms
                        .store
                        .note(order, machine, reason, "the server could not send it its part of the list")
                        .await
                    {
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
        let Some(open) = self.0.book.get(confirm.order) else { return };
        if open.artifact.digest == confirm.artifact {
            debug!(order = %confirm.order, machine = %peer, "machine confirmed that the artifact is complete");
        } else {
            let detail = format!("the machine confirmed {} instead of {}", confirm.artifact, open.artifact.digest);
            self.0.suspect_later(Some(peer), Some(confirm.order), Reason::BadArtifact, detail);
        }
    }
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str) {
        self.0.suspect_later(Some(peer), None, reason, detail.to_owned());
    }
    fn received(&self, _: OrderId, _: Option<MachineId>, _: u64) {}
    fn sent(&self, _: OrderId, _: MachineId, _: u64) {}
    fn crl(&self) -> Option<Arc<Crl>> {
        Some(self.0.doors.crl())
    }
    /// Ignored: the server signs the lists, so no machine has a newer one.
    fn offer_crl(&self, _: Vec<u8>, _: &NodeHandle) {}
}
