//! What the loop ([`crate::node`]) needs from the program it runs in: the agent, or the server.
//!
//! The loop moves offers and chunks and asks the pure machine what to do; everything that needs trust, secrets, a
//! database or the server's API is behind this trait.

use crate::{content::ArtifactFile, node::NodeHandle};
use banyan_machine::io::{Action, StripeId, TrustedOffer};
use banyan_proto::{
    AddresseeList, DeploymentId, MachineId, Membership, Proof, Reason,
    peer::{Offer, OfferReply, Pull, PullReply},
};
use std::{future::Future, net::SocketAddr, sync::Arc};

/// The program around the loop.
pub trait Host: Send + Sync + 'static {
    /// Checks an offer from a peer (whose certificate says that it is `sender`) before anything else is done about it.
    /// When it gives a [`TrustedOffer`], [`Host::content`] knows the order's file.
    fn check_offer(
        &self,
        sender: MachineId,
        offer: Offer,
    ) -> impl Future<Output = Result<TrustedOffer, OfferReply>> + Send;

    /// Makes the offer of a sublist to its head: order, proof, code for this hop, path, hints, release.
    ///
    /// # Errors
    /// When this machine no longer knows the order.
    fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason>;

    /// Where a machine was last heard from; empty when unknown.
    fn addresses(&self, peer: MachineId) -> Vec<SocketAddr>;

    /// The file of an order's artifact.
    fn content(&self, order: DeploymentId) -> Option<Arc<ArtifactFile>>;

    /// Checks a pull: that the puller is on the list (rule P6). Gives whether this machine is one of its ancestors in
    /// the stripe, so that it may wait here (rule P7).
    ///
    /// # Errors
    /// What to answer instead.
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply>;

    /// This machine's own membership, for its pulls; `None` when the order is unknown (the server never pulls).
    fn membership(&self, stripe: StripeId) -> Option<Membership>;

    /// Carries out an action that is not the loop's own: `VerifyArtifact`, `AskReceipt`, `AskGoAhead`, `Install`,
    /// `Report`. Must not block; what comes of it goes back through the handle.
    fn perform(&self, action: Action, node: &NodeHandle);

    /// A confirmation that the artifact arrived whole came from a child (rule C7).
    fn confirmed(&self, peer: MachineId, confirm: &banyan_proto::peer::Confirm);

    /// Something a peer did that this machine refused, for the report.
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str);

    /// So many verified content bytes came from a peer (for the report of byte sources); none: the connection has just been
    /// ended.
    fn received(&self, order: DeploymentId, peer: Option<MachineId>, bytes: u64);

    /// So many content bytes were written to a peer.
    fn sent(&self, order: DeploymentId, peer: MachineId, bytes: u64);

    /// Whether so many content bytes may be sent now. Asked before each chunk, and counted as sent with a yes. After a no the
    /// stream stands still until the machine is told why.
    fn may_send(&self, bytes: u64) -> impl Future<Output = bool> + Send {
        let _unlimited = bytes;
        std::future::ready(true)
    }

    /// The newest revocation list this machine has.
    fn crl(&self) -> Option<Arc<crate::tls::Crl>>;

    /// A peer has passed on a newer revocation list. It is checked, kept, and given to the loop when it is good.
    fn offer_crl(&self, der: Vec<u8>, node: &NodeHandle);
}
