//! The interface between the event loop (`crate::node`) and its program: the agent or the server.
//!
//! The loop moves offers and chunks and asks the pure state machine what to do. Everything that needs trust, secrets, a
//! database or the server's API is behind this trait.

use crate::{
    content::{ArtifactFile, ContentError},
    node_handle::NodeHandle,
};
use banyan_proto::{
    Address, AddresseeList, MachineId, Membership, OrderId, Proof, Reason, Signed, StopList,
    api::{Event, FlowsRequest, SourcesRequest},
    peer::{Offer, OfferReply, Pull, PullReply},
    schedule::Background,
};
use banyan_swarm::io::{OrderTask, StripeId, TrustedOffer};
use std::{future::Future, sync::Arc};

/// A list of stopped orders with its number, as it is passed on.
#[derive(Debug, Clone)]
pub struct NumberedStops {
    /// The list's number.
    pub number: u64,
    /// The list.
    pub list: Arc<Signed<StopList>>,
}

/// The program around the event loop.
pub trait Host: Send + Sync + 'static {
    /// Verifies an offer from a peer, whose certificate identifies it as `sender`, before anything else is done with
    /// it. When this returns a [`TrustedOffer`], [`Host::content`] must know the order's file.
    ///
    /// # Errors
    /// The reply to send instead.
    fn check_offer(
        &self,
        sender: MachineId,
        offer: Offer,
    ) -> impl Future<Output = Result<TrustedOffer, OfferReply>> + Send;

    /// Builds the offer of a sublist for its head: order, proof, code for this hop, path, hints, release.
    ///
    /// # Errors
    /// When this machine no longer knows the order.
    fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason>;

    /// Returns the addresses from which a machine was last seen; empty when unknown.
    fn addresses(&self, peer: MachineId) -> Vec<Address>;

    /// Returns the most that a peer can use of what this machine sends over all stripes (bytes of content a second);
    /// `None` if that is much or unknown.
    fn expected_rate(&self, peer: MachineId) -> Option<u64> {
        let _unknown = peer;
        None
    }

    /// Returns the file of an order's artifact.
    fn content(&self, order: OrderId) -> Option<Arc<ArtifactFile>>;

    /// Verifies a pull: the puller must be on the list (rule P6). Returns whether this machine is one of its ancestors
    /// in the stripe, so that it may wait here (rule P7).
    ///
    /// # Errors
    /// The reply to send instead.
    fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply>;

    /// Returns this machine's own membership, for its pulls; `None` when the order is unknown (the server never pulls).
    fn membership(&self, stripe: StripeId) -> Option<Membership>;

    /// Starts a task of an order. Must not block; the result is passed back through the handle as an
    /// [`banyan_swarm::OrderInput`].
    fn run_task(&self, order: OrderId, task: OrderTask, node: &NodeHandle);

    /// Asks the server for a better source of a stripe. Must not block; the answer is passed back through the handle as an
    /// [`banyan_swarm::OrderInput::Sources`].
    fn request_sources(&self, request: SourcesRequest, node: &NodeHandle);

    /// Reports to the server what arrives. Must not block; the answer is passed back through the handle as an
    /// [`banyan_swarm::OrderInput::FlowsAnswered`], also if the server cannot be reached.
    fn report_flows(&self, request: FlowsRequest, node: &NodeHandle);

    /// Reports an event of an order to the server.
    fn report_event(&self, order: OrderId, event: Event);

    /// Records a child's confirmation that the whole artifact arrived (rule C7).
    fn confirmed(&self, peer: MachineId, confirm: &banyan_proto::peer::Confirm);

    /// Records a peer's action that this machine refused, for the report.
    fn refused(&self, peer: MachineId, reason: Reason, detail: &str);

    /// Records that this machine cannot send an order's content to a peer, because its disk failed or changed the bytes.
    fn content_failed(&self, order: OrderId, peer: MachineId, error: &ContentError);

    /// Counts verified content bytes received from a peer, for the report of byte sources.
    fn received(&self, order: OrderId, peer: MachineId, bytes: u64);

    /// Counts content bytes written to a peer.
    fn sent(&self, order: OrderId, peer: MachineId, bytes: u64);

    /// Returns whether this many content bytes may be sent now. Called before each chunk; a yes counts them as sent.
    /// After a no the stream pauses until the state machine receives the reason.
    fn may_send(&self, bytes: u64) -> impl Future<Output = bool> + Send {
        let _unlimited = bytes;
        std::future::ready(true)
    }

    /// Returns whether an order is received in the background. After a change, the program calls
    /// [`NodeHandle::update_effort`].
    fn is_background(&self, order: OrderId) -> bool {
        let _in_the_background = order;
        true
    }

    /// Returns how background transfers from and to a peer are sent. After a change, the program calls
    /// [`NodeHandle::update_effort`].
    fn background(&self, peer: MachineId) -> Background;

    /// Returns the newest revocation list this machine has.
    fn crl(&self) -> Option<Arc<crate::tls::Crl>>;

    /// Handles a newer revocation list from a peer: verifies it, stores it, and gives it to the loop if it is valid.
    fn offer_crl(&self, der: Vec<u8>, node: &NodeHandle);

    /// Returns the newest list of stopped orders that this machine has.
    fn stops(&self) -> Option<NumberedStops>;

    /// Handles a list of stopped orders from a peer: verifies it, stores it if it is newer, and acts on it.
    fn offer_stops(&self, list: Signed<StopList>, node: &NodeHandle);
}
