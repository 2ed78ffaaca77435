//! The server as the first of the swarm: it heads every list, holds everything, hands offers and content on with the same
//! loop as the machines do, and asks nobody for anything.

use crate::nms::Nms;
use banyan_machine::io::{Action, StripeId, TrustedOffer};
use banyan_proto::{
    AddresseeList, DeploymentId, MachineId, Membership, Proof, Reason, RollingCode,
    api::Event,
    limits,
    peer::{Confirm, Offer, OfferReply, Pull, PullReply, ReleaseProof},
};
use banyan_wire::{content::ArtifactFile, host::Host, node::NodeHandle, tls::Crl};
use std::{net::SocketAddr, sync::Arc};
use tracing::{debug, error};

/// A signed hint takes about so much of an offer (bytes).
const HINT_BYTES: usize = 600;
/// A name on a list, and what else an offer has beside list, hints and release.
const NAME_BYTES: usize = 64;
const OTHER_BYTES: usize = 64 << 10;

impl Nms {
    /// The offer of a sublist to its head, as it comes from the server itself: by code and path the server is the sender,
    /// whoever stands between them in the tree.
    ///
    /// # Errors
    /// When the order's time is over, or nothing proves the release at the moment.
    pub(crate) fn offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        let open = self.book.get(stripe.order).ok_or(Reason::OrderExpired)?;
        let tree = open.tree(stripe.stripe).ok_or(Reason::InternalError)?;
        let subtree = sublist.subtree(stripe.stripe);
        if proof.root(stripe.stripe, subtree) != tree.root() {
            error!(order = %stripe.order, "a sublist that is no part of the order's list was to be offered");
            return Err(Reason::InternalError);
        }
        let metadata = self.desk.shown().metadata.ok_or(Reason::MetadataExpired)?;
        let release = ReleaseProof { metadata: (*metadata).clone(), manifest: open.manifest.clone() };
        let texts = [&release.metadata.timestamp, &release.metadata.snapshot, &release.metadata.targets];
        let texts = texts.into_iter().chain(&release.metadata.roots).chain([&release.manifest]);
        // In JSON each quotation mark takes two bytes, so texts of metadata grow by a third at most.
        let taken =
            texts.map(|text| text.len() + text.len() / 3).sum::<usize>() + sublist.len() * NAME_BYTES + OTHER_BYTES;
        let room = limits::CONTROL_BYTES.saturating_sub(taken);
        if room == 0 {
            error!(order = %stripe.order, "its manifest and metadata are too long for an offer");
            return Err(Reason::InternalError);
        }
        // The ancestors first: without the others a head steps over its children to nobody's harm, they ask for help.
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

/// The server as the loop's host.
pub(crate) struct Swarm(pub(crate) Arc<Nms>);

impl Host for Swarm {
    async fn check_offer(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        let detail = format!("an offer of stripe {} was sent to the server", offer.stripe);
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
    fn content(&self, order: DeploymentId) -> Option<Arc<ArtifactFile>> {
        self.0.book.get(order)?.content.clone()
    }
    /// The server is everybody's ancestor, so whoever is on the list may wait here.
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        let refused = |reason| Err(PullReply::Refused { reason });
        let Some(open) = self.0.book.get(pull.order) else { return refused(Reason::OrderExpired) };
        let Some(tree) = open.tree(pull.stripe) else { return refused(Reason::ProtocolBroken) };
        if let Some(reason) = self.0.registry.out(peer) {
            return refused(reason);
        }
        if pull.membership.proof.0.len() > limits::LIST_DEPTH || pull.membership.root(pull.stripe, peer) != tree.root()
        {
            let detail = "a pull whose membership proof leads to another list";
            self.0.suspect_later(Some(peer), Some(pull.order), Reason::NotAddressed, detail.into());
            return refused(Reason::NotAddressed);
        }
        Ok(true)
    }
    fn membership(&self, _: StripeId) -> Option<Membership> {
        None
    }
    fn perform(&self, action: Action, _: &NodeHandle) {
        match action {
            Action::Report(order, Event::SteppedOver { stripe, machine, reason }) => {
                debug!(%order, stripe, %machine, %reason, "stepped over");
                let nms = Arc::clone(&self.0);
                self.0.tasks.spawn(async move {
                    if let Err(error) =
                        nms.store.note(order, machine, reason, "the server could not hand it its part").await
                    {
                        error!("a machine's state could not be stored: {error}");
                    }
                });
            }
            // Everything else is about receiving and installing, which the server does not do.
            other => debug!(?other, "nothing to be done for"),
        }
    }
    fn confirmed(&self, peer: MachineId, confirm: &Confirm) {
        let Some(open) = self.0.book.get(confirm.order) else { return };
        if open.artifact.digest == confirm.artifact {
            debug!(order = %confirm.order, machine = %peer, "confirmed that the artifact arrived whole");
        } else {
            let detail = format!("it confirmed {} instead of {}", confirm.artifact, open.artifact.digest);
            self.0.suspect_later(Some(peer), Some(confirm.order), Reason::BadArtifact, detail);
        }
    }
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str) {
        self.0.suspect_later(Some(peer), None, reason, detail.to_owned());
    }
    fn received(&self, _: DeploymentId, _: Option<MachineId>, _: u64) {}
    fn sent(&self, _: DeploymentId, _: MachineId, _: u64) {}
    fn crl(&self) -> Option<Arc<Crl>> {
        Some(self.0.doors.crl())
    }
    /// The server makes the lists: nobody has a newer one.
    fn offer_crl(&self, _: Vec<u8>, _: &NodeHandle) {}
}
