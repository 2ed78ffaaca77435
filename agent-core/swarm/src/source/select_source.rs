//! Source selection: which source to try next, and timeouts of the current one (rules P7, P8).
//!
//! Candidates in order: the nearest ancestor in this stripe's tree that is not avoided, then a failed source's parent
//! in another stripe, then the server. Machines that lose their source together contact the server at different times,
//! and retry after growing pauses.

use crate::{
    config::Timings,
    context::Context,
    io::Now,
    source::{
        Attempt, Candidate, Source, SourceState,
        stream::{Assessment, SourceKind, Stream},
    },
};
use banyan_proto::{MachineId, Reason};
use std::{collections::BTreeSet, time::Duration};

/// Machines that sent bad bytes for this order and are no longer used as sources. Never contains the server.
pub(crate) type BannedPeers = BTreeSet<MachineId>;

impl Source {
    /// Returns all candidates except the server that may be tried now, in order.
    fn candidates<'a>(&'a self, now: Now, banned: &'a BannedPeers) -> impl Iterator<Item = Candidate> + 'a {
        let ancestors = self.ancestors.iter().map(|id| Candidate { peer: *id, kind: SourceKind::Ancestor });
        let alternate_parent = self.alternate_parent.map(|peer| Candidate { peer, kind: SourceKind::Holder });
        ancestors
            .chain(alternate_parent)
            .filter(move |candidate| !banned.contains(&candidate.peer) && !self.backoff.is_avoided(candidate.peer, now))
    }
    /// Runs the timers, and chooses a source if there is none.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>, banned: &BannedPeers) {
        if !self.open {
            return;
        }
        self.check_timeouts(ctx, banned);
        self.try_named(ctx, banned);
        let SourceState::Searching { next, server_due } = self.state else { return };
        if ctx.now < next {
            return;
        }
        let server = Candidate { peer: ctx.config.server, kind: SourceKind::Server };
        let candidate = self.candidates(ctx.now, banned).next();
        self.state = match candidate.or((server_due && ctx.now >= self.server_retry_at).then_some(server)) {
            Some(candidate) => SourceState::Connecting(self.dial(ctx, candidate)),
            None => {
                let spread = ctx.now + ctx.effects.jitter.up_to(ctx.config.timings.server_jitter);
                SourceState::Searching { next: self.server_retry_at.max(spread), server_due: true }
            }
        };
    }
    pub(super) fn dial(&self, ctx: &mut Context<'_>, candidate: Candidate) -> Attempt {
        let link = ctx.dial(candidate.peer, self.id);
        Attempt::Dialling { link, candidate, deadline: ctx.now + ctx.config.timings.dial_timeout }
    }
    fn check_timeouts(&mut self, ctx: &mut Context<'_>, banned: &BannedPeers) {
        let timings = &ctx.config.timings;
        match self.state {
            SourceState::Searching { .. } | SourceState::Complete(_) => {}
            SourceState::Connecting(attempt) => {
                if ctx.now >= attempt.deadline(timings) {
                    ctx.close(attempt.link(), Reason::Unreachable);
                    self.on_link_lost(ctx, attempt.link(), Reason::Unreachable);
                }
            }
            SourceState::Streaming(stream) => match stream.assess(&self.rate, ctx.now, timings) {
                Assessment::Silent => self.close_and_drop(ctx, stream, Reason::Unreachable),
                Assessment::Slow(why) if !ctx.effects.receives_slowly && self.has_alternative(ctx, stream, banned) => {
                    self.rate.halve_expectation();
                    self.close_and_drop(ctx, stream, why);
                }
                Assessment::Slow(_) => {
                    self.state = SourceState::Streaming(Stream { ahead_since: Some(ctx.now), ..stream });
                }
                Assessment::Good if ctx.now >= self.probe_at => self.start_probe(ctx, stream, banned),
                Assessment::Good => {}
            },
            SourceState::Probing(stream, attempt, until) => {
                let why = (ctx.now >= attempt.deadline(timings)).then_some(Reason::Unreachable);
                if let Some(why) = why.or((ctx.now >= until).then_some(Reason::Busy)) {
                    ctx.close(attempt.link(), why);
                    self.on_link_lost(ctx, attempt.link(), why);
                } else if stream.assess(&self.rate, ctx.now, timings) == Assessment::Silent {
                    ctx.close(stream.link, Reason::Unreachable);
                    self.on_link_lost(ctx, stream.link, Reason::Unreachable);
                }
            }
        }
    }
    fn close_and_drop(&mut self, ctx: &mut Context<'_>, stream: Stream, why: Reason) {
        ctx.close(stream.link, why);
        self.drop_source(ctx, stream, why);
    }
    /// Returns whether there is another source to change to.
    fn has_alternative(&self, ctx: &Context<'_>, stream: Stream, banned: &BannedPeers) -> bool {
        self.candidates(ctx.now, banned).any(|candidate| candidate.peer != stream.peer)
            || (stream.kind != SourceKind::Server && ctx.now >= self.server_retry_at)
    }
    /// Asks another source whether there are more chunks: a different one each time, including the server.
    fn start_probe(&mut self, ctx: &mut Context<'_>, stream: Stream, banned: &BannedPeers) {
        let timings = &ctx.config.timings;
        self.probe_at = ctx.now
            + self.probe_delay.next(timings.probe_interval, timings.probe_interval_max, &mut ctx.effects.jitter);
        let server = (ctx.now >= self.server_retry_at)
            .then_some(Candidate { peer: ctx.config.server, kind: SourceKind::Server });
        let fresh = |candidate: &Candidate| candidate.peer != stream.peer && !self.probed.contains(&candidate.peer);
        let candidate = self.candidates(ctx.now, banned).chain(server).find(fresh);
        match candidate {
            Some(candidate) => {
                self.probed.push(candidate.peer);
                self.state = SourceState::Probing(stream, self.dial(ctx, candidate), ctx.now + timings.queue_timeout);
            }
            None => self.probed.clear(),
        }
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn next_wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        match &self.state {
            SourceState::Searching { .. } if !self.open => None,
            SourceState::Searching { next, .. } => Some(*next),
            SourceState::Connecting(attempt) => Some(attempt.deadline(timings)),
            SourceState::Streaming(stream) => Some(stream.next_wake(&self.rate, now, timings).min(self.probe_at)),
            SourceState::Probing(stream, attempt, until) => {
                Some(stream.next_wake(&self.rate, now, timings).min(attempt.deadline(timings)).min(*until))
            }
            SourceState::Complete(_) => None,
        }
    }
    /// Extends all deadlines by the time during which this machine was not running, so that others are not blamed for
    /// it.
    pub(crate) fn extend_deadlines(&mut self, by: Duration) {
        let later = |mut stream: Stream| {
            stream.last_heard += by;
            stream.last_content += by;
            stream.last_chunk += by;
            stream.ahead_since = stream.ahead_since.map(|since| since + by);
            stream
        };
        let later_attempt = |attempt: Attempt| match attempt {
            Attempt::Dialling { link, candidate, deadline } => {
                Attempt::Dialling { link, candidate, deadline: deadline + by }
            }
            Attempt::Requested(stream) => Attempt::Requested(later(stream)),
        };
        self.probe_at += by;
        self.state = match self.state {
            SourceState::Connecting(attempt) => SourceState::Connecting(later_attempt(attempt)),
            SourceState::Streaming(stream) => SourceState::Streaming(later(stream)),
            SourceState::Probing(stream, attempt, until) => {
                SourceState::Probing(later(stream), later_attempt(attempt), until + by)
            }
            SourceState::Searching { .. } | SourceState::Complete(_) => self.state,
        };
    }
}
