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
        Attempt, Seat, Source,
        stream::{Kind, Stream, Verdict},
    },
};
use banyan_proto::{MachineId, Reason};
use std::{collections::BTreeSet, time::Duration};

/// Machines that sent bad bytes for this order and are no longer used as sources. Never contains the server.
pub(crate) type Banned = BTreeSet<MachineId>;

impl Source {
    /// Returns all candidates except the server that may be tried now, in order.
    fn candidates<'a>(&'a self, now: Now, banned: &'a Banned) -> impl Iterator<Item = (MachineId, Kind)> + 'a {
        let ancestors = self.ancestors.iter().map(|id| (*id, Kind::Ancestor));
        let cousin = self.cousin.map(|id| (id, Kind::Holder));
        ancestors.chain(cousin).filter(move |(id, _)| !banned.contains(id) && !self.suspects.passed_over(*id, now))
    }
    /// Runs the timers, and chooses a source if there is none.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>, banned: &Banned) {
        if !self.open {
            return;
        }
        self.expire(ctx, banned);
        let Seat::Empty { next, server_due } = self.seat else { return };
        if ctx.now < next {
            return;
        }
        let server = (ctx.config.server, Kind::Server);
        let candidate = self.candidates(ctx.now, banned).next();
        self.seat = match candidate.or((server_due && ctx.now >= self.server_at).then_some(server)) {
            Some(candidate) => Seat::Trying(self.dial(ctx, candidate)),
            None => {
                let spread = ctx.now + ctx.out.jitter.up_to(ctx.config.timings.server_jitter);
                Seat::Empty { next: self.server_at.max(spread), server_due: true }
            }
        };
    }
    fn dial(&self, ctx: &mut Context<'_>, (peer, kind): (MachineId, Kind)) -> Attempt {
        let link = ctx.dial(peer, self.id);
        Attempt::Dialling { link, peer, kind, deadline: ctx.now + ctx.config.timings.dial }
    }
    fn expire(&mut self, ctx: &mut Context<'_>, banned: &Banned) {
        let timings = &ctx.config.timings;
        match self.seat {
            Seat::Empty { .. } | Seat::Whole(_) => {}
            Seat::Trying(attempt) => {
                if let Some(why) = self.overdue(&attempt, ctx.now, timings) {
                    ctx.close(attempt.link(), why);
                    self.gone(ctx, attempt.link(), why);
                }
            }
            Seat::Fed(stream) => match stream.judge(&self.rate, ctx.now, timings) {
                Verdict::Silent => self.abandon(ctx, stream, Reason::Unreachable),
                Verdict::Slow(why) if !ctx.out.takes_slowly && self.has_other(ctx, stream, banned) => {
                    self.rate.expect_less();
                    self.abandon(ctx, stream, why);
                }
                Verdict::Slow(_) => self.seat = Seat::Fed(Stream { ahead_since: Some(ctx.now), ..stream }),
                Verdict::Good if ctx.now >= self.probe_at => self.probe(ctx, stream, banned),
                Verdict::Good => {}
            },
            Seat::Probing(stream, attempt, until) => {
                let why = self.overdue(&attempt, ctx.now, timings);
                if let Some(why) = why.or((ctx.now >= until).then_some(Reason::Busy)) {
                    ctx.close(attempt.link(), why);
                    self.gone(ctx, attempt.link(), why);
                } else if stream.judge(&self.rate, ctx.now, timings) == Verdict::Silent {
                    ctx.close(stream.link, Reason::Unreachable);
                    self.gone(ctx, stream.link, Reason::Unreachable);
                }
            }
        }
    }
    /// Returns the reason for giving up the attempt, if it is overdue.
    fn overdue(&self, attempt: &Attempt, now: Now, timings: &Timings) -> Option<Reason> {
        let over = match attempt {
            Attempt::Dialling { deadline, .. } => now >= *deadline,
            Attempt::Asked(stream) => now >= stream.heard + timings.silent,
        };
        over.then_some(Reason::Unreachable)
    }
    fn abandon(&mut self, ctx: &mut Context<'_>, stream: Stream, why: Reason) {
        ctx.close(stream.link, why);
        self.leave(ctx, stream, why);
    }
    /// Returns whether there is another source to change to.
    fn has_other(&self, ctx: &Context<'_>, stream: Stream, banned: &Banned) -> bool {
        self.candidates(ctx.now, banned).any(|(peer, _)| peer != stream.peer)
            || (stream.kind != Kind::Server && ctx.now >= self.server_at)
    }
    /// Asks another source whether there are more chunks: a different one each time, including the server.
    fn probe(&mut self, ctx: &mut Context<'_>, stream: Stream, banned: &Banned) {
        let timings = &ctx.config.timings;
        self.probe_at = ctx.now + self.probe_pause.next(timings.starved, timings.starved_most, &mut ctx.out.jitter);
        let server = (ctx.now >= self.server_at).then_some((ctx.config.server, Kind::Server));
        let fresh = |(id, _): &(MachineId, Kind)| *id != stream.peer && !self.probed.contains(id);
        let candidate = self.candidates(ctx.now, banned).chain(server).find(fresh);
        match candidate {
            Some(candidate) => {
                self.probed.push(candidate.0);
                self.seat = Seat::Probing(stream, self.dial(ctx, candidate), ctx.now + timings.queued);
            }
            None => self.probed.clear(),
        }
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        let overdue = |attempt: &Attempt| match attempt {
            Attempt::Dialling { deadline, .. } => *deadline,
            Attempt::Asked(stream) => stream.heard + timings.silent,
        };
        match &self.seat {
            Seat::Empty { .. } if !self.open => None,
            Seat::Empty { next, .. } => Some(*next),
            Seat::Trying(attempt) => Some(overdue(attempt)),
            Seat::Fed(stream) => Some(stream.wake(&self.rate, now, timings).min(self.probe_at)),
            Seat::Probing(stream, attempt, until) => {
                Some(stream.wake(&self.rate, now, timings).min(overdue(attempt)).min(*until))
            }
            Seat::Whole(_) => None,
        }
    }
    /// Extends all deadlines by the time during which this machine was not running, so that others are not blamed for
    /// it.
    pub(crate) fn slept(&mut self, by: Duration) {
        let later = |mut stream: Stream| {
            stream.heard += by;
            stream.ahead_since = stream.ahead_since.map(|since| since + by);
            stream
        };
        let later_attempt = |attempt: Attempt| match attempt {
            Attempt::Dialling { link, peer, kind, deadline } => {
                Attempt::Dialling { link, peer, kind, deadline: deadline + by }
            }
            Attempt::Asked(stream) => Attempt::Asked(later(stream)),
        };
        self.probe_at += by;
        self.seat = match self.seat {
            Seat::Trying(attempt) => Seat::Trying(later_attempt(attempt)),
            Seat::Fed(stream) => Seat::Fed(later(stream)),
            Seat::Probing(stream, attempt, until) => Seat::Probing(later(stream), later_attempt(attempt), until + by),
            Seat::Empty { .. } | Seat::Whole(_) => self.seat,
        };
    }
}
