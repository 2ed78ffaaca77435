//! The stages of an order on this machine, from the first offer to the outcome (rules A1–A6). Every transition takes
//! the current stage and returns the next; an event that does not apply leaves the stage unchanged.

use crate::{config::Timings, context::Context, io::Now, retry_delay::Pause};
use banyan_proto::Reason;

/// A request to the server that is repeated until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Waiting for the answer.
    Asked(Pause),
    /// The answer was "later"; asked again at this time.
    Again(Now, Pause),
}

/// The stage of an order on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// This machine is the server: it only delegates.
    Root,
    /// Chunks, or the offer of a stripe, are still missing.
    Receiving,
    /// All chunks are here; the whole artifact is being hashed from disk.
    Verifying,
    /// The artifact is verified; the receipt is requested.
    Receipt(Asking),
    /// The receipt is here; the schedule does not allow installing now.
    Closed,
    /// The receipt is here; the install permit is requested.
    InstallPermit(Asking),
    /// The install permit was granted at this time; other orders install first.
    Ready(Now, Pause),
    /// The installer is running. The pause applies if it answers "later".
    Installing(Pause),
    /// The order is finished; only its content is still served.
    Ended(Result<(), Reason>),
}

/// A request that a transition makes to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Verify,
    Receipt,
    InstallPermit,
}

impl Life {
    /// Applies that every chunk of every stripe is here.
    pub(crate) fn whole(self) -> (Self, Option<Ask>) {
        match self {
            Self::Receiving => (Self::Verifying, Some(Ask::Verify)),
            other => (other, None),
        }
    }
    /// Applies that the artifact's hash is correct.
    pub(crate) fn verified(self) -> (Self, Option<Ask>) {
        match self {
            Self::Verifying => (Self::Receipt(Asking::Asked(Pause::default())), Some(Ask::Receipt)),
            other => (other, None),
        }
    }
    /// Applies that the artifact's hash is wrong. A running installer has its own open file, and a finished order needs
    /// no content.
    pub(crate) fn damaged(self) -> Option<Self> {
        match self {
            Self::Verifying | Self::Receipt(_) | Self::Closed | Self::InstallPermit(_) | Self::Ready(..) => {
                Some(Self::Receiving)
            }
            Self::Root | Self::Receiving | Self::Installing(_) | Self::Ended(_) => None,
        }
    }
    /// Applies the server's receipt.
    pub(crate) fn receipted(self) -> (Self, Option<Ask>) {
        match self {
            Self::Receipt(_) => (Self::InstallPermit(Asking::Asked(Pause::default())), Some(Ask::InstallPermit)),
            other => (other, None),
        }
    }
    /// Applies that the schedule allows installing.
    pub(crate) fn opened(self) -> (Self, Option<Ask>) {
        match self {
            Self::Closed => (Self::InstallPermit(Asking::Asked(Pause::default())), Some(Ask::InstallPermit)),
            other => (other, None),
        }
    }
    /// Applies the install permit.
    pub(crate) fn install_permit(self, now: Now) -> Self {
        match self {
            Self::InstallPermit(Asking::Asked(pause) | Asking::Again(_, pause)) => Self::Ready(now, pause),
            other => other,
        }
    }
    /// Starts the install; a permit that expired while waiting is requested again.
    pub(crate) fn turn(self, now: Now, timings: &Timings) -> (Self, Option<Ask>) {
        match self {
            Self::Ready(since, pause) if now.saturating_sub(since) < timings.install_permit_fresh => {
                (Self::Installing(pause), None)
            }
            Self::Ready(_, pause) => (Self::InstallPermit(Asking::Asked(pause)), Some(Ask::InstallPermit)),
            other => (other, None),
        }
    }
    /// Schedules a retry after the answer "later". The second value tells whether a request was pending.
    pub(crate) fn later(self, ctx: &mut Context<'_>) -> (Self, bool) {
        let mut again = |mut pause: Pause| {
            let timings = &ctx.config.timings;
            Asking::Again(ctx.now + pause.next(timings.ask_retry, timings.ask_most, &mut ctx.out.jitter), pause)
        };
        match self {
            Self::Receipt(Asking::Asked(pause)) => (Self::Receipt(again(pause)), true),
            Self::InstallPermit(Asking::Asked(pause)) => (Self::InstallPermit(again(pause)), true),
            Self::Installing(pause) => (Self::InstallPermit(again(pause)), true),
            other => (other, false),
        }
    }
    /// Repeats a request whose retry time has come.
    pub(crate) fn run(self, now: Now) -> (Self, Option<Ask>) {
        match self {
            Self::Receipt(Asking::Again(at, pause)) if now >= at => {
                (Self::Receipt(Asking::Asked(pause)), Some(Ask::Receipt))
            }
            Self::InstallPermit(Asking::Again(at, pause)) if now >= at => {
                (Self::InstallPermit(Asking::Asked(pause)), Some(Ask::InstallPermit))
            }
            other => (other, None),
        }
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn wake(&self) -> Option<Now> {
        match self {
            Self::Receipt(Asking::Again(at, _)) | Self::InstallPermit(Asking::Again(at, _)) => Some(*at),
            _ => None,
        }
    }
    /// Finishes the order with this outcome. The server's own orders never finish this way.
    pub(crate) fn ended(self, outcome: Result<(), Reason>) -> Self {
        match self {
            Self::Root => Self::Root,
            Self::Ended(first) => Self::Ended(first),
            _ => Self::Ended(outcome),
        }
    }
}
