//! The actions that the state machine requests.

use super::{Link, StripeId};
use banyan_proto::{
    AddresseeList, MachineId, OrderId, Proof, Reason,
    api::{Event, FlowsRequest, SourcesRequest},
    frame::Upstream,
    peer::{OfferReply, PullReply},
};

/// A command to the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connect to this machine at all its last known addresses at once, for at most two seconds. Then report
    /// [`super::LinkInput::Connected`] or [`super::LinkInput::Lost`].
    Dial {
        /// The new link's number.
        link: Link,
        /// The machine to connect to.
        peer: MachineId,
        /// The stripe that the link is for.
        stripe: StripeId,
    },
    /// Send an offer of this sublist over the link.
    Offer {
        /// A connected link.
        link: Link,
        /// The offered stripe.
        stripe: StripeId,
        /// The sublist; the peer is its first entry.
        sublist: AddresseeList,
        /// The path from the order's root to the sublist.
        proof: Proof,
    },
    /// Answer the offer that arrived over this link.
    AnswerOffer(Link, OfferReply),
    /// Inform the sender that all parts are delegated.
    SendPartsAccepted(Link),
    /// Request the stripe over this link, starting at this chunk.
    Pull {
        /// A connected link.
        link: Link,
        /// The requested stripe.
        stripe: StripeId,
        /// The first chunk wanted.
        from: u32,
        /// Whether the server named the peer, so that this machine may wait there.
        wait: bool,
    },
    /// Serve the pull that arrived over this link, taking fair turns with all others.
    Serve {
        /// The link to send on.
        link: Link,
        /// The stripe to serve.
        stripe: StripeId,
        /// The first chunk to send.
        from: u32,
        /// Whether to continue with chunks that arrive later, or stop at those held now.
        wait: bool,
    },
    /// Refuse a pull, or stop serving it and free its slot. A pull that is neither served nor refused is queued. The
    /// driver sends heartbeats on it, so that the puller does not take this machine for dead.
    RefusePull(Link, PullReply),
    /// Confirm to the parent that the whole artifact is here.
    Confirm(Link, OrderId),
    /// Close the link with this reason, after everything requested earlier on it has been sent, except chunks still
    /// waiting for their turn. Report no further events for it; an [`super::LinkInput::Lost`] does no harm.
    /// [`Reason::Done`] is the normal end.
    Close(Link, Reason),
    /// Carry out this task of the order. The host answers with an [`super::OrderInput`].
    Run(OrderId, OrderTask),
    /// State this in all further heartbeats of the stripe.
    SetUpstream(StripeId, Upstream),
    /// Ask the server for a better source of a stripe. The driver answers with [`super::OrderInput::Sources`], or not at
    /// all if the server cannot be reached.
    RequestSources(SourcesRequest),
    /// Report to the server what arrives. The driver always answers with [`super::OrderInput::FlowsAnswered`], also if the
    /// server cannot be reached.
    ReportFlows(FlowsRequest),
    /// Report the event to the server (queued while it is unreachable).
    Report(OrderId, Event),
}

/// A task of an order that the program around the event loop carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderTask {
    /// All chunks are here: hash the whole artifact from disk.
    VerifyArtifact,
    /// Request the receipt from the server.
    RequestReceipt,
    /// Request the install permit from the server.
    RequestInstallPermit,
    /// Install now.
    Install,
}
