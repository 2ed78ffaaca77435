//! Where the chunks of one stripe come from: one source at a time, left only for a reason (rules P7, P8).
//!
//! What happens on links (`hear.rs`) and leaving (`leave.rs`) only change the [`Seat`]; somebody new is looked for in
//! `seek.rs`, once per call, when everything is known.

mod hear;
mod leave;
mod rate;
pub(crate) mod seek;
pub(crate) mod stream;
mod suspects;

use crate::{
    context::Context,
    io::{Link, Now, StripeId},
    pause::Pause,
};
use banyan_proto::{MachineId, Reason};
use rate::Rate;
use stream::{Kind, Stream};
use suspects::Suspects;

/// Somebody who was turned to and has not shown yet that it helps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Attempt {
    /// Waits for the connection, until then.
    Dialling { link: Link, peer: MachineId, kind: Kind, deadline: Now },
    /// Has been asked.
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

/// Who sits where the source sits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Seat {
    /// Nobody; somebody is looked for at this time. `server_due`: the pause before turning to the server is over then.
    Empty { next: Now, server_due: bool },
    /// Nobody yet.
    Trying(Attempt),
    /// A living source.
    Fed(Stream),
    /// A living source that has long brought nothing, and somebody who may have more.
    Probing(Stream, Attempt, Now),
    /// Every chunk is here. Whoever brought the last one is told when the artifact is verified.
    Whole(Option<Stream>),
}

/// The receiving side of one stripe.
#[derive(Debug)]
pub(crate) struct Source {
    id: StripeId,
    /// Nearest first, without the server.
    ancestors: Vec<MachineId>,
    chunks: u32,
    held: u32,
    /// The schedule lets this machine receive.
    open: bool,
    seat: Seat,
    suspects: Suspects,
    /// A machine that failed us as a source and whose parent elsewhere may help: taken by the order, which knows.
    orphaned_by: Option<MachineId>,
    /// That parent.
    cousin: Option<MachineId>,
    server_pause: Pause,
    server_at: Now,
    rate: Rate,
    /// When to ask somebody else whether there is really nothing to be had, and the pause after that.
    probe_at: Now,
    probe_pause: Pause,
    probed: Vec<MachineId>,
    /// The source that was last reported, and why it was left.
    reported: Option<MachineId>,
    left: Option<Reason>,
    /// That there is no source has been reported.
    complained: bool,
}

impl Source {
    /// `ancestors`: nearest first, without the server.
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
    /// Whether the schedule lets this machine receive.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }
    /// The living source, or whoever brought the last chunk.
    pub(crate) fn feeder(&self) -> Option<MachineId> {
        match &self.seat {
            Seat::Empty { .. } | Seat::Trying(_) => None,
            Seat::Fed(stream) | Seat::Probing(stream, ..) => Some(stream.peer),
            Seat::Whole(last) => last.map(|stream| stream.peer),
        }
    }
    /// The link in use for pulling, or still to be told that the artifact is right.
    pub(crate) fn uses(&self, link: Link) -> bool {
        match &self.seat {
            Seat::Empty { .. } => false,
            Seat::Trying(attempt) => attempt.link() == link,
            Seat::Fed(stream) => stream.link == link,
            Seat::Probing(stream, attempt, _) => stream.link == link || attempt.link() == link,
            Seat::Whole(last) => last.is_some_and(|stream| stream.link == link),
        }
    }
    /// The lists were cut anew.
    pub(crate) fn set_ancestors(&mut self, ancestors: Vec<MachineId>) {
        self.ancestors = ancestors;
    }
    /// The machine whose parent elsewhere should be looked up, once.
    pub(crate) fn take_orphaned_by(&mut self) -> Option<MachineId> {
        self.orphaned_by.take()
    }
    pub(crate) fn set_cousin(&mut self, cousin: Option<MachineId>) {
        self.cousin = cousin;
    }
    /// A sender stepped over these ancestors: they are passed over here too, for a while.
    pub(crate) fn suspect(&mut self, ctx: &Context<'_>, who: impl Iterator<Item = MachineId>) {
        who.for_each(|who| self.suspects.failed(who, ctx.now, &ctx.config.timings));
    }
}
