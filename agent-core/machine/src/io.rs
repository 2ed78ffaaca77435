//! What goes into the machine and what comes out of it.
//!
//! The driver (`banyan-wire`'s in the agent and in the server, the simulation's in tests) feeds [`Input`]s with the
//! time, then takes [`Action`]s until there are none, and wakes the machine at [`crate::Machine::next_wake`].
//! A [`Link`] is one connection to one other machine for one stripe of one order; its number is never used again.

use banyan_proto::{
    AddresseeList, DeploymentId, MachineId, Proof, Reason,
    api::Event,
    peer::{OfferReply, PullReply},
};
use std::time::Duration;

/// Monotonic time since the driver's start.
pub type Now = Duration;

/// One connection to another machine. Odd numbers are the machine's own (it asked for the connection), even ones the
/// driver's (the other side dialled), so neither has to ask the other for a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(pub u64);

/// One stripe of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StripeId {
    /// The order.
    pub order: DeploymentId,
    /// The stripe, `0..k`.
    pub stripe: u8,
}

/// An offer that passed every check of the offer stage (signatures, floors, proof, sender is an ancestor).
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedOffer {
    /// Which stripe.
    pub stripe: StripeId,
    /// The order's revision.
    pub revision: u32,
    /// How many stripes the order has.
    pub stripes: u8,
    /// How many chunks the stripe has.
    pub chunks: u32,
    /// This machine first, then everyone it is responsible for.
    pub sublist: AddresseeList,
    /// The way from the order's root: its heads are this machine's ancestors in this stripe, the server first.
    pub proof: Proof,
    /// How many of the stripe's chunks were already here, verified, when the offer came.
    pub held: u32,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The server only: it heads this list, holds everything, and shall hand the parts on.
    Plant(TrustedOffer),
    /// An accepted offer without a link: found in the database after a restart, or given by the server to a machine that
    /// asked it for help. Content that is here is in `held`. Where the outcome of the install is known already, give
    /// [`Input::InstallEnded`] right after the order's last stripe: the content is served on, nothing is installed twice.
    Restored(TrustedOffer),
    /// A trusted offer came over a link, from this machine.
    Offered {
        /// Where to answer; bytes can be pulled over it too.
        link: Link,
        /// Who sent it.
        sender: MachineId,
        /// The offer.
        offer: TrustedOffer,
    },
    /// The connection that [`Action::Dial`] asked for stands, and the other side is the expected machine.
    Connected(Link),
    /// The other side answered the offer sent over this link.
    OfferAnswered(Link, OfferReply),
    /// The other side has handed its parts on.
    PartsAccepted(Link),
    /// The other side answered the pull sent over this link.
    PullAnswered(Link, PullReply),
    /// A chunk of the stripe arrived over this link, was verified and stored: this many are held now, from the first
    /// without a gap.
    Stored {
        /// Where it came from.
        link: Link,
        /// Which stripe.
        stripe: StripeId,
        /// Chunks held.
        held: u32,
    },
    /// A chunk arrived over this link and is not the publisher's (index in the file).
    BadChunk(Link, u32),
    /// The sending side of this link is alive and holds this many chunks.
    Heartbeat(Link, u32),
    /// The sending side of this link is alive: bytes of a frame that is not complete yet arrive (a large chunk over a
    /// slow link keeps heartbeats waiting). Give it at most once a second for each link.
    Alive(Link),
    /// Everything that [`Action::Serve`] asked for over this link has been written: the stripe to its end, or, without
    /// `wait`, what was held. Its turn goes to the next one in the queue.
    Sent(Link),
    /// The other side asks for the stripe from this chunk on. Its membership has been checked; `ancestor` says that
    /// this machine is one of its ancestors in the stripe (or the server), so that it may wait here for chunks.
    Pulled {
        /// Where to send.
        link: Link,
        /// Who asks.
        peer: MachineId,
        /// Which stripe.
        stripe: StripeId,
        /// First chunk wanted.
        from: u32,
        /// Whether it may wait here.
        ancestor: bool,
    },
    /// The connection is gone, could not be made, or was refused, for this reason. The link is not used again.
    /// [`Reason::Unreachable`] stands for a connection that broke or was never made; after any other reason the same
    /// machine is not dialled again at once. A peer that acknowledges nothing for some seconds is gone too: only its
    /// children would notice its silence otherwise.
    Lost(Link, Reason),
    /// The whole artifact has been hashed from the disk and is right.
    ArtifactVerified(DeploymentId),
    /// It is wrong: the disk changed it. The good chunks that remain, by stripe.
    ArtifactDamaged(DeploymentId, Vec<u32>),
    /// The server's receipt is here.
    Receipted(DeploymentId),
    /// The server refused the receipt: final.
    ReceiptRefused(DeploymentId, Reason),
    /// The server gave leave to install.
    GoAhead(DeploymentId),
    /// Not now (server away, halted, waits for approval, package manager busy …): to be asked again. It answers
    /// [`Action::AskReceipt`], [`Action::AskGoAhead`] or [`Action::Install`].
    Later(DeploymentId, Reason),
    /// The installer ended. `Err` is final.
    InstallEnded(DeploymentId, Result<(), Reason>),
    /// The order is over (expired, superseded, cancelled): drop everything about it.
    Dropped(DeploymentId, Reason),
    /// This machine may hand on, or may not (transfer window, user, policy).
    MayForward(Result<(), Reason>),
    /// This machine may receive this order's content, or may not (transfer window, user, policy, disk). Told before the
    /// order's offer it holds for that too. While it is closed, offers are deferred and nobody is asked for chunks; what is
    /// here stays, and is gone on from when it opens. An order that nothing was said about is open.
    MayReceive(DeploymentId, Result<(), Reason>),
    /// This machine may install this order, or may not yet. While it is closed no leave to install is asked for.
    MayInstall(DeploymentId, Result<(), Reason>),
    /// This machine takes bytes in more slowly than they could come (a limit of its owner's, giving way to other
    /// traffic), or no longer: while it does, no source is blamed for being slow (rule P8).
    TakesSlowly(bool),
    /// Time has passed.
    Tick,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connect to this machine, at the addresses it was last heard from, all at once, for two seconds; then give
    /// [`Input::Connected`] or [`Input::Lost`].
    Dial {
        /// The new link's number.
        link: Link,
        /// Who.
        peer: MachineId,
        /// What for.
        stripe: StripeId,
    },
    /// Send an offer of this sublist over the link.
    Offer {
        /// Over a connected link.
        link: Link,
        /// Which stripe.
        stripe: StripeId,
        /// The peer first.
        sublist: AddresseeList,
        /// The way to it.
        proof: Proof,
    },
    /// Answer the offer that came over this link.
    AnswerOffer(Link, OfferReply),
    /// Tell the sender that the parts are handed on.
    TellPartsAccepted(Link),
    /// Ask for the stripe over this link from this chunk on.
    Pull {
        /// Over a connected link.
        link: Link,
        /// Which stripe.
        stripe: StripeId,
        /// First chunk wanted.
        from: u32,
    },
    /// Serve the pull that came over this link, in fair turns with all others; with `wait`, go on with chunks that
    /// come later, else stop at what is held.
    Serve {
        /// Where to send.
        link: Link,
        /// Which stripe.
        stripe: StripeId,
        /// First chunk to send.
        from: u32,
        /// Whether to wait for more.
        wait: bool,
    },
    /// Answer a pull without serving it. If it is being served, stop that: it ends a turn too. A pull that was neither
    /// served nor refused yet waits for its turn: send heartbeats on it, so that the puller does not think we are dead.
    RefusePull(Link, PullReply),
    /// Confirm to the parent that the whole artifact is here.
    Confirm(Link, DeploymentId),
    /// Hang up, saying why, after everything that was asked for on this link before has been sent (chunks that wait for
    /// their turn excepted). Give nothing more about this link; an [`Input::Lost`] does no harm. [`Reason::Done`] is the
    /// normal end.
    Close(Link, Reason),
    /// All chunks are here: hash the whole artifact from the disk.
    VerifyArtifact(DeploymentId),
    /// Ask the server for the receipt.
    AskReceipt(DeploymentId),
    /// Ask the server for leave to install.
    AskGoAhead(DeploymentId),
    /// Install now.
    Install(DeploymentId),
    /// Tell the server (queued while it is away).
    Report(DeploymentId, Event),
}
