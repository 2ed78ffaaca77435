//! Dropping a source: closes links, and records failures and backoff.

use super::{
    Attempt, Seat, Source,
    stream::{Kind, Stream},
};
use crate::{context::Context, io::Link};
use banyan_proto::{MachineId, Reason, api::Event};

impl Source {
    /// Ends receiving: drops an unproven attempt and returns the current source.
    pub(super) fn rest(&mut self, ctx: &mut Context<'_>) -> Option<Stream> {
        match self.seat {
            Seat::Empty { .. } => None,
            Seat::Trying(Attempt::Asked(stream)) | Seat::Fed(stream) => Some(stream),
            Seat::Trying(attempt) => {
                ctx.close(attempt.link(), Reason::Done);
                None
            }
            Seat::Probing(stream, attempt, _) => {
                ctx.close(attempt.link(), Reason::Done);
                Some(stream)
            }
            Seat::Whole(last) => last,
        }
    }
    /// Returns the link to confirm the verified artifact on, if it is still connected.
    pub(crate) fn release(&mut self) -> Option<Link> {
        let Seat::Whole(Some(stream)) = self.seat else { return None };
        self.seat = Seat::Whole(None);
        Some(stream.link)
    }
    /// Opens or closes receiving, as the schedule decides. While closed, no source is asked; once open, receiving
    /// resumes from the chunks already here.
    pub(crate) fn set_open(&mut self, ctx: &mut Context<'_>, may: Result<(), Reason>) {
        let was_open = std::mem::replace(&mut self.open, may.is_ok());
        if self.is_whole() || was_open == self.open {
            return;
        }
        if let Err(reason) = may
            && let Some(stream) = self.rest(ctx)
        {
            ctx.close(stream.link, reason);
        }
        self.seat = Seat::Empty { next: ctx.now, server_due: false };
        self.fed(ctx);
    }
    /// Reduces the held count after the disk lost chunks.
    pub(crate) fn set_back(&mut self, ctx: &mut Context<'_>, held: u32) {
        if held >= self.held {
            return;
        }
        let last = self.rest(ctx);
        self.held = held;
        self.seat = match last {
            Some(stream) if self.open => Seat::Trying(self.ask(ctx, stream.link, stream.peer, stream.kind)),
            last => {
                last.into_iter().for_each(|stream| ctx.close(stream.link, Reason::NotNow));
                Seat::Empty { next: ctx.now, server_due: false }
            }
        };
    }
    /// Drops this machine as a source at once, because it sent bytes that do not match the publisher's hash.
    pub(crate) fn banned(&mut self, ctx: &mut Context<'_>, who: MachineId) {
        let links = match self.seat {
            Seat::Trying(attempt) => [Some((attempt.peer().0, attempt.link())), None],
            Seat::Fed(stream) => [Some((stream.peer, stream.link)), None],
            Seat::Probing(stream, attempt, _) => {
                [Some((stream.peer, stream.link)), Some((attempt.peer().0, attempt.link()))]
            }
            Seat::Empty { .. } | Seat::Whole(_) => [None, None],
        };
        for (_, link) in links.into_iter().flatten().filter(|(peer, _)| *peer == who) {
            ctx.close(link, Reason::BadChunk);
            self.gone(ctx, link, Reason::BadChunk);
        }
    }
    pub(super) fn leave_attempt(&mut self, ctx: &mut Context<'_>, attempt: Attempt, why: Reason) {
        self.failed(ctx, attempt.peer());
        self.complain(ctx, attempt.peer().1, why);
        self.seat = Seat::Empty { next: ctx.now, server_due: false };
    }
    /// Drops a living source. The source state is empty afterwards.
    pub(super) fn leave(&mut self, ctx: &mut Context<'_>, stream: Stream, why: Reason) {
        self.left = self.left.or(Some(why));
        self.seat = Seat::Empty { next: ctx.now, server_due: false };
        let broken = why == Reason::Unreachable && ctx.now < stream.heard + ctx.config.timings.silent;
        if !(broken && self.suspects.forgive(stream.peer, ctx.now, &ctx.config.timings)) {
            self.failed(ctx, (stream.peer, stream.kind));
            self.complain(ctx, stream.kind, why);
        }
    }
    /// Reports, once, that no source is left. The server is the last resort.
    pub(super) fn complain(&mut self, ctx: &mut Context<'_>, kind: Kind, why: Reason) {
        if kind == Kind::Server && !std::mem::replace(&mut self.complained, true) {
            let detail = format!("{}; {}", why.for_admin().what, Reason::NoSource.for_admin().advice);
            ctx.report(self.id.order, Event::Waits { reason: Reason::NoSource, detail });
        }
    }
    pub(super) fn failed(&mut self, ctx: &mut Context<'_>, (peer, kind): (MachineId, Kind)) {
        let timings = &ctx.config.timings;
        match kind {
            Kind::Server => {
                let pause = self.server_pause.next(timings.server_retry, timings.server_most, &mut ctx.out.jitter);
                self.server_at = ctx.now + pause;
            }
            Kind::Ancestor => {
                self.suspects.failed(peer, ctx.now, timings);
                self.orphaned_by = Some(peer);
            }
            Kind::Holder => {
                self.suspects.failed(peer, ctx.now, timings);
                self.cousin = self.cousin.filter(|cousin| *cousin != peer);
            }
        }
    }
}
