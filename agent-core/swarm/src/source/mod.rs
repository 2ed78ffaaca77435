//! The source of one stripe's chunks: one at a time, dropped only for a reason (rules P7, P8).
//!
//! Events on links (`on_message.rs`) and drops (`drop_source.rs`) only change the [`Seat`]. A new source is chosen in `select_source.rs`,
//! once per call, after all events are processed.

mod delivery_rate;
mod drop_source;
mod on_message;
mod peer_backoff;
pub(crate) mod select_source;
pub(crate) mod stream;

use crate::{
    context::Context,
    io::{Link, Now, StripeId},
    retry_delay::Pause,
};
use banyan_proto::{MachineId, Reason};
use delivery_rate::Rate;
use peer_backoff::Suspects;
use stream::{Kind, Stream};

/// A candidate source that has not proven useful yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Attempt {
    /// Waiting for the connection, until the deadline.
    Dialling { link: Link, peer: MachineId, kind: Kind, deadline: Now },
    /// Connected, and the pull is sent.
    Asked(Stream),
}

impl Attempt {
    pub(crate) fn link(&self) -> Link {
        match self {
            Self::Dialling { link, .. } => *link,
            Self::Asked(stream) => stream.link,
        }
    }
    pub(crate) fn peer(&self) -> (MachineId, Kind) {
        match self {
            Self::Dialling { peer, kind, .. } => (*peer, *kind),
            Self::Asked(stream) => (stream.peer, stream.kind),
        }
    }
}

/// The state of a stripe's source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Seat {
    /// No source; a new one is chosen at `next`. `server_due`: the pause before asking the server is over by then.
    Empty { next: Now, server_due: bool },
    /// No source yet; one candidate is being tried.
    Trying(Attempt),
    /// A living source.
    Fed(Stream),
    /// A living source that has delivered nothing for long, and a candidate that may have more.
    Probing(Stream, Attempt, Now),
    /// All chunks are here. The sender of the last one is informed when the artifact is verified.
    Whole(Option<Stream>),
}

/// The receiving side of one stripe.
#[derive(Debug)]
pub(crate) struct Source {
    id: StripeId,
    /// The ancestors without the server, nearest first.
    ancestors: Vec<MachineId>,
    chunks: u32,
    held: u32,
    /// The schedule allows this machine to receive.
    open: bool,
    seat: Seat,
    suspects: Suspects,
    /// A source that failed, and whose parent in another stripe may help. The order takes it to look that parent up.
    orphaned_by: Option<MachineId>,
    /// The parent of the failed source in another stripe.
    cousin: Option<MachineId>,
    server_pause: Pause,
    server_at: Now,
    rate: Rate,
    /// When to check with another source whether more chunks exist, and the pause between checks.
    probe_at: Now,
    probe_pause: Pause,
    probed: Vec<MachineId>,
    /// The source that was last reported, and the reason for dropping the previous one.
    reported: Option<MachineId>,
    left: Option<Reason>,
    /// The lack of a source has been reported.
    complained: bool,
}

impl Source {
    /// Creates the receiving side. `ancestors` are ordered nearest first, without the server.
    pub(crate) fn new(id: StripeId, ancestors: Vec<MachineId>, chunks: u32, held: u32, now: Now, open: bool) -> Self {
        let held = held.min(chunks);
        let seat = if held == chunks { Seat::Whole(None) } else { Seat::Empty { next: now, server_due: false } };
        Self {
            id,
            ancestors,
            chunks,
            held,
            open,
            seat,
            suspects: Suspects::default(),
            orphaned_by: None,
            cousin: None,
            server_pause: Pause::default(),
            server_at: Now::ZERO,
            rate: Rate::default(),
            probe_at: now,
            probe_pause: Pause::default(),
            probed: Vec::new(),
            reported: None,
            left: None,
            complained: false,
        }
    }
    pub(crate) fn chunks(&self) -> u32 {
        self.chunks
    }
    pub(crate) fn held(&self) -> u32 {
        self.held
    }
    pub(crate) fn is_whole(&self) -> bool {
        self.held == self.chunks
    }
    /// Returns whether the schedule allows this machine to receive.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }
    /// Returns the living source, or the machine that sent the last chunk.
    pub(crate) fn feeder(&self) -> Option<MachineId> {
        match &self.seat {
            Seat::Empty { .. } | Seat::Trying(_) => None,
            Seat::Fed(stream) | Seat::Probing(stream, ..) => Some(stream.peer),
            Seat::Whole(last) => last.map(|stream| stream.peer),
        }
    }
    /// Returns whether the link is used for pulling, or is needed to confirm the verified artifact.
    pub(crate) fn uses(&self, link: Link) -> bool {
        match &self.seat {
            Seat::Empty { .. } => false,
            Seat::Trying(attempt) => attempt.link() == link,
            Seat::Fed(stream) => stream.link == link,
            Seat::Probing(stream, attempt, _) => stream.link == link || attempt.link() == link,
            Seat::Whole(last) => last.is_some_and(|stream| stream.link == link),
        }
    }
    /// Replaces the ancestors after the lists were replanned.
    pub(crate) fn set_ancestors(&mut self, ancestors: Vec<MachineId>) {
        self.ancestors = ancestors;
    }
    /// Returns, once, the failed machine whose parent in another stripe should be looked up.
    pub(crate) fn take_orphaned_by(&mut self) -> Option<MachineId> {
        self.orphaned_by.take()
    }
    pub(crate) fn set_cousin(&mut self, cousin: Option<MachineId>) {
        self.cousin = cousin;
    }
    /// Avoids these ancestors for a while, because a sender skipped them.
    pub(crate) fn suspect(&mut self, ctx: &Context<'_>, who: impl Iterator<Item = MachineId>) {
        who.for_each(|who| self.suspects.failed(who, ctx.now, &ctx.config.timings));
    }
}
