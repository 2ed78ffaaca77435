//! The inputs and actions of the state machine.
//!
//! The driver (`banyan-wire` in the agent and the server, the simulation in tests) passes in [`Input`]s with the time.
//! It then takes [`Action`]s until there are none, and wakes the state machine at [`crate::Machine::next_wake`]. A
//! [`Link`] is one connection to one other machine for one stripe of one order; its number is never reused.

use banyan_proto::{
    AddresseeList, MachineId, OrderId, Proof, Reason,
    api::Event,
    peer::{OfferReply, PullReply},
};
use std::time::Duration;

/// Monotonic time since the driver's start.
pub type Now = Duration;

/// One connection to another machine. Odd numbers are assigned by this state machine for links it dials, even numbers
/// by the driver for accepted links. Neither has to ask the other for a free number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(pub u64);

/// One stripe of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StripeId {
    /// The order's identifier.
    pub order: OrderId,
    /// The stripe's index, `0..k`.
    pub stripe: u8,
}

/// An offer that passed every check of the offer stage: signatures, minimum sequence, proof, and that the sender is an
/// ancestor.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedOffer {
    /// The offered stripe.
    pub stripe: StripeId,
    /// The order's revision.
    pub revision: u32,
    /// The number of stripes in the order.
    pub stripes: u8,
    /// The number of chunks in the stripe.
    pub chunks: u32,
    /// This machine, followed by all machines it is responsible for.
    pub sublist: AddresseeList,
    /// The path from the order's root. Its heads are this machine's ancestors in this stripe, the server first.
    pub proof: Proof,
    /// How many of the stripe's chunks were already here and verified when the offer arrived.
    pub held: u32,
}

/// An event reported to the state machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Starts the root of an order. Only on the server, which heads the list, holds all content and delegates the
    /// parts.
    Plant(TrustedOffer),
    /// An accepted offer without a link: restored from the database after a restart, or given by the server to a
    /// machine that asked for help. `held` counts the content already here. If the install outcome is known,
    /// [`Input::InstallEnded`] must follow directly after the order's last stripe. The content is then served, and
    /// nothing is installed twice.
    Restored(TrustedOffer),
    /// A trusted offer arrived over a link.
    Offered {
        /// The link to answer on; it can also be used for pulling.
        link: Link,
        /// The machine that sent the offer.
        sender: MachineId,
        /// The offer.
        offer: TrustedOffer,
    },
    /// The connection requested by [`Action::Dial`] is established, and the peer is the expected machine.
    Connected(Link),
    /// The peer answered the offer sent over this link.
    OfferAnswered(Link, OfferReply),
    /// The peer has delegated its parts.
    PartsAccepted(Link),
    /// The peer answered the pull sent over this link.
    PullAnswered(Link, PullReply),
    /// A chunk of the stripe arrived over this link and was verified and stored.
    Stored {
        /// The link it arrived on.
        link: Link,
        /// Its stripe.
        stripe: StripeId,
        /// The number of chunks now held, counted from the first without a gap.
        held: u32,
    },
    /// A chunk with this index in the file arrived over this link and does not match the publisher's hash.
    BadChunk(Link, u32),
    /// The sender on this link is alive and holds this many chunks.
    Heartbeat(Link, u32),
    /// The sender on this link is alive: bytes of an incomplete frame are arriving. A large chunk on a slow link delays
    /// heartbeats. Report this at most once a second for each link.
    Alive(Link),
    /// All chunks requested by [`Action::Serve`] on this link have been written: the whole stripe, or, without `wait`,
    /// the chunks held. The slot passes to the next pull in the queue.
    Sent(Link),
    /// The peer asks for the stripe, starting at this chunk. Its membership has been checked.
    Pulled {
        /// The link to send on.
        link: Link,
        /// The machine that asks.
        peer: MachineId,
        /// The requested stripe.
        stripe: StripeId,
        /// The first chunk wanted.
        from: u32,
        /// Whether this machine is the server or an ancestor of the peer in the stripe, so that the peer may wait here
        /// for chunks.
        ancestor: bool,
    },
    /// The connection was lost, could not be established, or was refused, for this reason. The link is not used again.
    /// [`Reason::Unreachable`] stands for a connection that broke or was never established; after any other reason the
    /// same machine is not redialled at once. The driver must also report a peer that acknowledges nothing for some
    /// seconds, because otherwise only its children would notice.
    Lost(Link, Reason),
    /// The whole artifact on disk has been hashed and is correct.
    ArtifactVerified(OrderId),
    /// The artifact on disk is damaged. Contains the number of good chunks that remain in each stripe.
    ArtifactDamaged(OrderId, Vec<u32>),
    /// The server's receipt has arrived.
    Receipted(OrderId),
    /// The server refused the receipt. This is final.
    ReceiptRefused(OrderId, Reason),
    /// The server granted the install permit.
    InstallPermit(OrderId),
    /// Not possible now; the request has to be repeated. Possible causes: the server is unreachable, the deployment is
    /// halted or waits for approval, the package manager is busy. Answers [`Action::AskReceipt`],
    /// [`Action::AskInstallPermit`] or [`Action::Install`].
    Later(OrderId, Reason),
    /// The installer finished. `Err` is final.
    InstallEnded(OrderId, Result<(), Reason>),
    /// The order has expired, was superseded or cancelled: all its state is dropped.
    Dropped(OrderId, Reason),
    /// Whether this machine may forward now (transfer window, user, policy).
    MayForward(Result<(), Reason>),
    /// Whether this machine may receive this order's content now (transfer window, user, policy, disk). It also applies
    /// when it arrives before the order's offer. While closed, offers are deferred and no source is asked for chunks.
    /// Chunks already here are kept, and receiving resumes from them. An order without this input is open.
    MayReceive(OrderId, Result<(), Reason>),
    /// Whether this machine may install this order now. While closed, no install permit is requested.
    MayInstall(OrderId, Result<(), Reason>),
    /// Whether this machine receives more slowly than its sources could send (the owner's limit, or yielding to other
    /// traffic). While it does, no source is blamed for being slow (rule P8).
    TakesSlowly(bool),
    /// Time has passed.
    Tick,
}

/// A command to the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connect to this machine at all its last known addresses at once, for at most two seconds. Then report
    /// [`Input::Connected`] or [`Input::Lost`].
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
    TellPartsAccepted(Link),
    /// Request the stripe over this link, starting at this chunk.
    Pull {
        /// A connected link.
        link: Link,
        /// The requested stripe.
        stripe: StripeId,
        /// The first chunk wanted.
        from: u32,
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
    /// waiting for their turn. Report no further events for it; an [`Input::Lost`] does no harm. [`Reason::Done`] is
    /// the normal end.
    Close(Link, Reason),
    /// All chunks are here: hash the whole artifact from disk.
    VerifyArtifact(OrderId),
    /// Request the receipt from the server.
    AskReceipt(OrderId),
    /// Request the install permit from the server.
    AskInstallPermit(OrderId),
    /// Install now.
    Install(OrderId),
    /// Report the event to the server (queued while it is unreachable).
    Report(OrderId, Event),
}
