//! The stages of an order on this machine, from the first offer to the outcome (rules A1–A6). Every transition takes
//! the current state and returns the next; an event that does not apply leaves the state unchanged.

use crate::{
    config::Timings,
    context::Context,
    io::{Now, OrderTask},
    retry_delay::RetryDelay,
};
use banyan_proto::Reason;

/// A request to the server that is repeated until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerRequest {
    /// Waiting for the answer.
    Sent(RetryDelay),
    /// The answer was "later"; the request is sent again at this time.
    RetryAt(Now, RetryDelay),
}

impl ServerRequest {
    fn first() -> Self {
        Self::Sent(RetryDelay::default())
    }
}

/// The state of an order on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderState {
    /// This machine is the server: it only delegates.
    Root,
    /// Chunks, or the offer of a stripe, are still missing.
    Receiving,
    /// All chunks are here; the whole artifact is being hashed from disk.
    Verifying,
    /// The artifact is verified; the receipt is requested.
    Receipt(ServerRequest),
    /// The receipt is here; the schedule does not allow installing now.
    Closed,
    /// The receipt is here; the install permit is requested.
    InstallPermit(ServerRequest),
    /// The install permit was granted at this time; other orders install first.
    Ready(Now, RetryDelay),
    /// The install helper is running. The delay applies if it answers "later".
    Installing(RetryDelay),
    /// The order is finished; only its content is still served.
    Ended(Result<(), Reason>),
}

/// The next state, and the task that the host has to carry out on entering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) state: OrderState,
    pub(crate) task: Option<OrderTask>,
}

impl OrderState {
    fn unchanged(self) -> Transition {
        Transition { state: self, task: None }
    }
    fn with(self, task: OrderTask) -> Transition {
        Transition { state: self, task: Some(task) }
    }
    fn request_install_permit() -> Transition {
        Self::InstallPermit(ServerRequest::first()).with(OrderTask::RequestInstallPermit)
    }
    /// Applies that every chunk of every stripe is here.
    pub(crate) fn on_complete(self) -> Transition {
        match self {
            Self::Receiving => Self::Verifying.with(OrderTask::VerifyArtifact),
            other => other.unchanged(),
        }
    }
    /// Applies that the artifact's hash is correct.
    pub(crate) fn on_artifact_verified(self) -> Transition {
        match self {
            Self::Verifying => Self::Receipt(ServerRequest::first()).with(OrderTask::RequestReceipt),
            other => other.unchanged(),
        }
    }
    /// Applies that the artifact's hash is wrong. A running install helper has its own open file, and a finished order
    /// needs no content.
    pub(crate) fn on_artifact_damaged(self) -> Option<Self> {
        match self {
            Self::Verifying | Self::Receipt(_) | Self::Closed | Self::InstallPermit(_) | Self::Ready(..) => {
                Some(Self::Receiving)
            }
            Self::Root | Self::Receiving | Self::Installing(_) | Self::Ended(_) => None,
        }
    }
    /// Applies the server's receipt.
    pub(crate) fn on_receipt(self) -> Transition {
        match self {
            Self::Receipt(_) => Self::request_install_permit(),
            other => other.unchanged(),
        }
    }
    /// Applies that the schedule allows installing.
    pub(crate) fn on_install_opened(self) -> Transition {
        match self {
            Self::Closed => Self::request_install_permit(),
            other => other.unchanged(),
        }
    }
    /// Applies the install permit.
    pub(crate) fn on_install_permit(self, now: Now) -> Self {
        match self {
            Self::InstallPermit(ServerRequest::Sent(delay) | ServerRequest::RetryAt(_, delay)) => {
                Self::Ready(now, delay)
            }
            other => other,
        }
    }
    /// Returns since when the order has been ready to install.
    pub(crate) fn ready_since(&self) -> Option<Now> {
        match self {
            Self::Ready(since, _) => Some(*since),
            Self::Root
            | Self::Receiving
            | Self::Verifying
            | Self::Receipt(_)
            | Self::Closed
            | Self::InstallPermit(_)
            | Self::Installing(_)
            | Self::Ended(_) => None,
        }
    }
    /// Starts the install; a permit that expired while waiting is requested again.
    pub(crate) fn start_install(self, now: Now, timings: &Timings) -> Transition {
        match self {
            Self::Ready(since, delay) if now.saturating_sub(since) < timings.install_permit_max_age => {
                Self::Installing(delay).with(OrderTask::Install)
            }
            Self::Ready(_, delay) => {
                Self::InstallPermit(ServerRequest::Sent(delay)).with(OrderTask::RequestInstallPermit)
            }
            other => other.unchanged(),
        }
    }
    /// Schedules a retry after the answer "later"; `None` if no answer was pending.
    pub(crate) fn on_retry_later(self, ctx: &mut Context<'_>) -> Option<Self> {
        let mut retry = |mut delay: RetryDelay| {
            let timings = &ctx.config.timings;
            let wait = delay.next(timings.request_retry, timings.request_retry_max, &mut ctx.effects.jitter);
            ServerRequest::RetryAt(ctx.now + wait, delay)
        };
        match self {
            Self::Receipt(ServerRequest::Sent(delay)) => Some(Self::Receipt(retry(delay))),
            Self::InstallPermit(ServerRequest::Sent(delay)) | Self::Installing(delay) => {
                Some(Self::InstallPermit(retry(delay)))
            }
            Self::Root
            | Self::Receiving
            | Self::Verifying
            | Self::Receipt(ServerRequest::RetryAt(..))
            | Self::Closed
            | Self::InstallPermit(ServerRequest::RetryAt(..))
            | Self::Ready(..)
            | Self::Ended(_) => None,
        }
    }
    /// Repeats a request for the install permit at once, because a place is free.
    pub(crate) fn on_place_free(self) -> Transition {
        match self {
            Self::InstallPermit(ServerRequest::RetryAt(_, delay)) => {
                Self::InstallPermit(ServerRequest::Sent(delay)).with(OrderTask::RequestInstallPermit)
            }
            other => other.unchanged(),
        }
    }
    /// Repeats a request whose retry time has come.
    pub(crate) fn run(self, now: Now) -> Transition {
        match self {
            Self::Receipt(ServerRequest::RetryAt(at, delay)) if now >= at => {
                Self::Receipt(ServerRequest::Sent(delay)).with(OrderTask::RequestReceipt)
            }
            Self::InstallPermit(ServerRequest::RetryAt(at, delay)) if now >= at => {
                Self::InstallPermit(ServerRequest::Sent(delay)).with(OrderTask::RequestInstallPermit)
            }
            other => other.unchanged(),
        }
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn next_wake(&self) -> Option<Now> {
        match self {
            Self::Receipt(ServerRequest::RetryAt(at, _)) | Self::InstallPermit(ServerRequest::RetryAt(at, _)) => {
                Some(*at)
            }
            Self::Root
            | Self::Receiving
            | Self::Verifying
            | Self::Receipt(ServerRequest::Sent(_))
            | Self::Closed
            | Self::InstallPermit(ServerRequest::Sent(_))
            | Self::Ready(..)
            | Self::Installing(_)
            | Self::Ended(_) => None,
        }
    }
    /// Finishes the order with this outcome. The server's own orders never finish this way.
    pub(crate) fn finish(self, outcome: Result<(), Reason>) -> Self {
        match self {
            Self::Root => Self::Root,
            Self::Ended(first) => Self::Ended(first),
            Self::Receiving
            | Self::Verifying
            | Self::Receipt(_)
            | Self::Closed
            | Self::InstallPermit(_)
            | Self::Ready(..)
            | Self::Installing(_) => Self::Ended(outcome),
        }
    }
}
