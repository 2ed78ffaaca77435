//! The source of one stripe's chunks: one at a time, dropped only for a reason (rules P7, P8).
//!
//! Events on links (`on_message.rs`) and drops (`drop_source.rs`) only change the [`SourceState`]. A new source is
//! chosen in `select_source.rs`, once per call, after all events are processed.

pub(crate) mod arrivals;
mod better_source;
mod delivery_rate;
mod drop_source;
mod on_message;
mod peer_backoff;
pub(crate) mod select_source;
pub(crate) mod stream;

use crate::{
    config::Timings,
    context::Context,
    io::{Link, Now, StripeId},
    retry_delay::RetryDelay,
};
use arrivals::Arrivals;
use banyan_proto::{MachineId, Reason, api::Flow};
use better_source::BetterSource;
use delivery_rate::Rate;
use peer_backoff::PeerBackoff;
use stream::{SourceKind, Stream};

/// A machine that may be asked for chunks, and its relation to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) peer: MachineId,
    pub(crate) kind: SourceKind,
}

/// A candidate that is being asked and has not delivered yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Attempt {
    /// Waiting for the connection, until the deadline.
    Dialling { link: Link, candidate: Candidate, deadline: Now },
    /// Connected, and the pull is sent.
    Requested(Stream),
}

impl Attempt {
    pub(crate) fn link(&self) -> Link {
        match self {
            Self::Dialling { link, .. } => *link,
            Self::Requested(stream) => stream.link,
        }
    }
    pub(crate) fn candidate(&self) -> Candidate {
        match self {
            Self::Dialling { candidate, .. } => *candidate,
            Self::Requested(stream) => stream.candidate(),
        }
    }
    /// Returns when the attempt has failed if nothing arrives.
    fn deadline(&self, timings: &Timings) -> Now {
        match self {
            Self::Dialling { deadline, .. } => *deadline,
            Self::Requested(stream) => stream.last_heard + timings.silence_timeout,
        }
    }
}

/// The state of a stripe's source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SourceState {
    /// No source; a new one is chosen at `next`. `server_due`: the pause before asking the server is over by then.
    Searching { next: Now, server_due: bool },
    /// No source yet; one candidate is being tried.
    Connecting(Attempt),
    /// A living source.
    Streaming(Stream),
    /// A living source that has delivered nothing for long, and a candidate that may have more.
    Probing(Stream, Attempt, Now),
    /// All chunks are here. The sender of the last one is informed when the artifact is verified.
    Complete(Option<Stream>),
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
    state: SourceState,
    backoff: PeerBackoff,
    /// When this stripe's offer arrived, and the pauses before an ancestor is asked again that has none yet.
    offered_at: Now,
    offer_lag_delay: RetryDelay,
    /// A source that failed, and whose parent in another stripe may help. The order takes it to look that parent up.
    failed_source: Option<MachineId>,
    /// The parent of the failed source in another stripe.
    alternate_parent: Option<MachineId>,
    server_delay: RetryDelay,
    server_retry_at: Now,
    /// The pauses while this machine cannot store what arrives.
    disk_delay: RetryDelay,
    rate: Rate,
    /// What has arrived from the present source; `None` before its first chunk.
    arrivals: Option<Arrivals>,
    /// When to check with another source whether more chunks exist, and the pause between checks.
    probe_at: Now,
    probe_delay: RetryDelay,
    probed: Vec<MachineId>,
    better: BetterSource,
    /// The source that was last reported, and the reason for dropping the previous one.
    reported_source: Option<MachineId>,
    drop_reason: Option<Reason>,
    /// The lack of a source has been reported.
    no_source_reported: bool,
}

impl Source {
    /// Creates the receiving side. `ancestors` are ordered nearest first, without the server.
    pub(crate) fn new(id: StripeId, ancestors: Vec<MachineId>, chunks: u32, held: u32, now: Now, open: bool) -> Self {
        let held = held.min(chunks);
        let state = if held == chunks {
            SourceState::Complete(None)
        } else {
            SourceState::Searching { next: now, server_due: false }
        };
        Self {
            id,
            ancestors,
            chunks,
            held,
            open,
            state,
            backoff: PeerBackoff::default(),
            offered_at: now,
            offer_lag_delay: RetryDelay::default(),
            failed_source: None,
            alternate_parent: None,
            server_delay: RetryDelay::default(),
            server_retry_at: Now::ZERO,
            disk_delay: RetryDelay::default(),
            rate: Rate::default(),
            arrivals: None,
            probe_at: now,
            probe_delay: RetryDelay::default(),
            probed: Vec::new(),
            better: BetterSource::default(),
            reported_source: None,
            drop_reason: None,
            no_source_reported: false,
        }
    }
    pub(crate) fn chunks(&self) -> u32 {
        self.chunks
    }
    pub(crate) fn held(&self) -> u32 {
        self.held
    }
    pub(crate) fn is_complete(&self) -> bool {
        self.held == self.chunks
    }
    /// Returns whether the schedule allows this machine to receive.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }
    pub(crate) fn state(&self) -> &SourceState {
        &self.state
    }
    /// Returns the living source, or the machine that sent the last chunk.
    pub(crate) fn current_peer(&self) -> Option<MachineId> {
        match &self.state {
            SourceState::Searching { .. } | SourceState::Connecting(_) => None,
            SourceState::Streaming(stream) | SourceState::Probing(stream, ..) => Some(stream.peer),
            SourceState::Complete(last) => last.map(|stream| stream.peer),
        }
    }
    /// Returns whether anything has arrived since the start.
    pub(crate) fn has_received(&self) -> bool {
        self.arrivals.is_some()
    }
    /// Returns what arrives from the present source, for the server. A stripe that is here comes from its last source, or
    /// from `me` if that is not known any more.
    pub(crate) fn take_flow(&mut self, now: Now, me: MachineId) -> Option<Flow> {
        let (stripe, held) = (self.id.stripe, self.held);
        if self.is_complete() {
            let source = self.arrivals.map_or(me, |arrivals| arrivals.source());
            return Some(Flow { stripe, source, held, chunks_per_minute: None, waits: false });
        }
        let (SourceState::Streaming(stream) | SourceState::Probing(stream, ..)) = self.state else { return None };
        let arrivals = self.arrivals.as_mut().filter(|arrivals| arrivals.source() == stream.peer);
        let reading = arrivals.and_then(|arrivals| arrivals.take(now, stream.watermark.saturating_sub(held)));
        let chunks_per_minute = reading.map(|reading| (60.0 * reading.rate) as u32);
        let waits = reading.is_some_and(|reading| reading.waits);
        Some(Flow { stripe, source: stream.peer, held, chunks_per_minute, waits })
    }
    /// Returns whether the link is used for pulling, or is needed to confirm the verified artifact.
    pub(crate) fn uses_link(&self, link: Link) -> bool {
        match &self.state {
            SourceState::Searching { .. } => false,
            SourceState::Connecting(attempt) => attempt.link() == link,
            SourceState::Streaming(stream) => stream.link == link,
            SourceState::Probing(stream, attempt, _) => stream.link == link || attempt.link() == link,
            SourceState::Complete(last) => last.is_some_and(|stream| stream.link == link),
        }
    }
    /// Replaces the ancestors after the lists were replanned.
    pub(crate) fn set_ancestors(&mut self, ancestors: Vec<MachineId>) {
        self.ancestors = ancestors;
    }
    /// Returns, once, the failed machine whose parent in another stripe should be looked up.
    pub(crate) fn take_failed_source(&mut self) -> Option<MachineId> {
        self.failed_source.take()
    }
    pub(crate) fn set_alternate_parent(&mut self, alternate_parent: Option<MachineId>) {
        self.alternate_parent = alternate_parent;
    }
    /// Avoids these ancestors for a while, because a sender skipped them.
    pub(crate) fn back_off_from(&mut self, ctx: &Context<'_>, who: impl Iterator<Item = MachineId>) {
        who.for_each(|who| self.backoff.record_failure(who, ctx.now, &ctx.config.timings));
    }
}
