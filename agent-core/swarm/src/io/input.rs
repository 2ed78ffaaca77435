//! The inputs of the state machine, grouped by what they concern: a link, an order, or the whole machine.

use super::{Link, StripeId, TrustedOffer};
use banyan_proto::{
    MachineId, OrderId, Reason,
    api::SourceChange,
    frame::Heartbeat,
    peer::{OfferReply, PullReply},
};

/// An event reported to the state machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// An event on one link.
    Link(LinkInput),
    /// An event that concerns one order.
    Order(OrderInput),
    /// Whether this machine may forward now (transfer window, user, policy).
    MayForward(Result<(), Reason>),
    /// Whether this machine receives more slowly than its sources could send (the owner's limit, or yielding to other
    /// traffic). While it does, no source is blamed for being slow (rule P8).
    ReceivesSlowly(bool),
    /// Time has passed.
    Tick,
}

impl From<LinkInput> for Input {
    fn from(input: LinkInput) -> Self {
        Self::Link(input)
    }
}

impl From<OrderInput> for Input {
    fn from(input: OrderInput) -> Self {
        Self::Order(input)
    }
}

/// An event on one link.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkInput {
    /// A trusted offer arrived over a link.
    Offered {
        /// The link to answer on; it can also be used for pulling.
        link: Link,
        /// The machine that sent the offer.
        sender: MachineId,
        /// The offer.
        offer: TrustedOffer,
    },
    /// The connection requested by [`super::Action::Dial`] is established, and the peer is the expected machine.
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
    /// A chunk arrived over this link, and this machine could not store it.
    NotStored {
        /// The link it arrived on.
        link: Link,
        /// What is wrong with this machine's disk.
        reason: Reason,
        /// What the reason's text does not say.
        detail: String,
    },
    /// A chunk with this index in the file arrived over this link and does not match the publisher's hash.
    BadChunk(Link, u32),
    /// The sender on this link is alive, and says what it has.
    Heartbeat(Link, Heartbeat),
    /// The sender on this link is alive: bytes of an incomplete frame are arriving. A large chunk on a slow link delays
    /// heartbeats. Report this at most once a second for each link.
    Alive(Link),
    /// All chunks requested by [`super::Action::Serve`] on this link have been written: the whole stripe, or, without
    /// `wait`, the chunks held. The slot passes to the next pull in the queue.
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
        /// Whether the peer may wait here for chunks: this machine is the server or one of its ancestors in the stripe, or
        /// the server named it.
        may_wait: bool,
    },
    /// The connection was lost, could not be established, or was refused, for this reason. The link is not used again.
    /// [`Reason::Unreachable`] stands for a connection that broke or was never established; after any other reason the
    /// same machine is not redialled at once. The driver must also report a peer that acknowledges nothing for some
    /// seconds, because otherwise only its children would notice.
    Lost(Link, Reason),
}

/// An event that concerns one order: how it starts and ends, the host's answers, and what the schedule allows.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderInput {
    /// Starts the root of an order. Only on the server, which heads the list, holds all content and delegates the
    /// parts.
    StartRoot(TrustedOffer),
    /// An accepted offer without a link: restored from the database after a restart, or given by the server to a
    /// machine that asked for help. `held` counts the content already here. If the install outcome is known,
    /// [`OrderInput::InstallEnded`] must follow directly after the order's last stripe. The content is then served, and
    /// nothing is installed twice.
    Restored(TrustedOffer),
    /// The whole artifact on disk has been hashed and is correct.
    ArtifactVerified(OrderId),
    /// The artifact on disk is damaged. Contains the number of good chunks that remain in each stripe.
    ArtifactDamaged(OrderId, Vec<u32>),
    /// The server's receipt has arrived.
    Receipted(OrderId),
    /// The server refused the receipt. This is final.
    ReceiptRefused(OrderId, Reason),
    /// Machines that may be better sources of this stripe, the best first. Answers [`super::Action::RequestSources`].
    Sources(StripeId, Vec<MachineId>),
    /// The sources to change to, if there are any. Answers [`super::Action::ReportFlows`].
    FlowsAnswered(OrderId, Vec<SourceChange>),
    /// The server granted the install permit; the order waits for its turn in this lane.
    InstallPermit(OrderId, InstallLane),
    /// Not possible now; the request has to be repeated. The text says what the reason does not. Possible causes: the
    /// server is unreachable, the deployment is halted or waits for approval, the package manager is busy. Answers
    /// [`super::OrderTask::RequestReceipt`], [`super::OrderTask::RequestInstallPermit`] or [`super::OrderTask::Install`].
    RetryLater(OrderId, Reason, String),
    /// The server says that a place to install is free: a request for the install permit that waits to be repeated is
    /// repeated now.
    PlaceFree(OrderId),
    /// The install helper finished. `Err` is final.
    InstallEnded(OrderId, Result<(), Reason>),
    /// The order has expired, was superseded or cancelled: all its state is dropped.
    Dropped(OrderId, Reason),
    /// Whether this machine may receive this order's content now (transfer window, user, policy, disk). It also applies
    /// when it arrives before the order's offer. While closed, offers are deferred and no source is asked for chunks.
    /// Chunks already here are kept, and receiving resumes from them. An order without this input is open.
    MayReceive(OrderId, Result<(), Reason>),
    /// Whether this machine may install this order now. While closed, no install permit is requested.
    MayInstall(OrderId, Result<(), Reason>),
}

/// Installs of one lane run one after the other, and lanes beside each other: an archive does not wait for a package
/// manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstallLane {
    /// Packages that Banyan unpacks itself.
    #[default]
    Own,
    /// Packages that the system's package manager installs.
    System,
}
