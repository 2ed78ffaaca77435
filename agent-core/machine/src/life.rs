//! The life of an order on this machine, from the first offer to the outcome (rules A1–A6). Every step takes the state it
//! stands in and gives the next; what does not fit the state leaves it as it is.

use crate::{config::Timings, context::Context, io::Now, pause::Pause};
use banyan_proto::Reason;

/// A question to the server that is asked until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Waits for the answer.
    Asked(Pause),
    /// The answer was "later"; asked again then.
    Again(Now, Pause),
}

/// Where an order stands on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// This machine is the server: it only hands on.
    Root,
    /// Chunks, or an offer for a stripe, are still missing.
    Receiving,
    /// Every chunk is here; the whole artifact is being hashed from the disk.
    Verifying,
    /// The artifact is right; the receipt is asked for.
    Receipt(Asking),
    /// The receipt is here; the schedule does not let this machine install now.
    Closed,
    /// The receipt is here; leave to install is asked for.
    GoAhead(Asking),
    /// There is leave to install, since then; other orders' installs come first.
    Ready(Now, Pause),
    /// The installer runs. The pause is for asking again, should it say "later".
    Installing(Pause),
    /// Nothing more happens here, except that the content is served on.
    Ended(Result<(), Reason>),
}

/// What the driver has to be asked for after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Verify,
    Receipt,
    GoAhead,
}

impl Life {
    /// Every chunk of every stripe is here.
    pub(crate) fn whole(self) -> (Self, Option<Ask>) {
        match self {
            Self::Receiving => (Self::Verifying, Some(Ask::Verify)),
            other => (other, None),
        }
    }
    /// The hash is right.
    pub(crate) fn verified(self) -> (Self, Option<Ask>) {
        match self {
            Self::Verifying => (Self::Receipt(Asking::Asked(Pause::default())), Some(Ask::Receipt)),
            other => (other, None),
        }
    }
    /// The hash is wrong. A running installer has its own open file, and an ended order needs none.
    pub(crate) fn damaged(self) -> Option<Self> {
        match self {
            Self::Verifying | Self::Receipt(_) | Self::Closed | Self::GoAhead(_) | Self::Ready(..) => {
                Some(Self::Receiving)
            }
            Self::Root | Self::Receiving | Self::Installing(_) | Self::Ended(_) => None,
        }
    }
    /// The receipt is here.
    pub(crate) fn receipted(self) -> (Self, Option<Ask>) {
        match self {
            Self::Receipt(_) => (Self::GoAhead(Asking::Asked(Pause::default())), Some(Ask::GoAhead)),
            other => (other, None),
        }
    }
    /// The schedule lets this machine install.
    pub(crate) fn opened(self) -> (Self, Option<Ask>) {
        match self {
            Self::Closed => (Self::GoAhead(Asking::Asked(Pause::default())), Some(Ask::GoAhead)),
            other => (other, None),
        }
    }
    /// Leave to install is here.
    pub(crate) fn go_ahead(self, now: Now) -> Self {
        match self {
            Self::GoAhead(Asking::Asked(pause) | Asking::Again(_, pause)) => Self::Ready(now, pause),
            other => other,
        }
    }
    /// It is this order's turn to install; a go-ahead that grew old meanwhile is asked for anew.
    pub(crate) fn turn(self, now: Now, timings: &Timings) -> (Self, Option<Ask>) {
        match self {
            Self::Ready(since, pause) if now.saturating_sub(since) < timings.go_ahead_fresh => {
                (Self::Installing(pause), None)
            }
            Self::Ready(_, pause) => (Self::GoAhead(Asking::Asked(pause)), Some(Ask::GoAhead)),
            other => (other, None),
        }
    }
    /// Not now. The second value says whether that was an answer to anything.
    pub(crate) fn later(self, ctx: &mut Context<'_>) -> (Self, bool) {
        let mut again = |mut pause: Pause| {
            let timings = &ctx.config.timings;
            Asking::Again(ctx.now + pause.next(timings.ask_retry, timings.ask_most, &mut ctx.out.jitter), pause)
        };
        match self {
            Self::Receipt(Asking::Asked(pause)) => (Self::Receipt(again(pause)), true),
            Self::GoAhead(Asking::Asked(pause)) => (Self::GoAhead(again(pause)), true),
            Self::Installing(pause) => (Self::GoAhead(again(pause)), true),
            other => (other, false),
        }
    }
    /// Lets time pass.
    pub(crate) fn run(self, now: Now) -> (Self, Option<Ask>) {
        match self {
            Self::Receipt(Asking::Again(at, pause)) if now >= at => {
                (Self::Receipt(Asking::Asked(pause)), Some(Ask::Receipt))
            }
            Self::GoAhead(Asking::Again(at, pause)) if now >= at => {
                (Self::GoAhead(Asking::Asked(pause)), Some(Ask::GoAhead))
            }
            other => (other, None),
        }
    }
    /// When something has to be done here though nothing happens.
    pub(crate) fn wake(&self) -> Option<Now> {
        match self {
            Self::Receipt(Asking::Again(at, _)) | Self::GoAhead(Asking::Again(at, _)) => Some(*at),
            _ => None,
        }
    }
    /// It is over. The server's own orders never end this way.
    pub(crate) fn ended(self, outcome: Result<(), Reason>) -> Self {
        match self {
            Self::Root => Self::Root,
            Self::Ended(first) => Self::Ended(first),
            _ => Self::Ended(outcome),
        }
    }
}
