//! Leaving: what is remembered about those who failed, and what is given up.

use super::{
    Attempt, Seat, Source,
    stream::{Kind, Stream},
};
use crate::{context::Context, io::Link};
use banyan_proto::{MachineId, Reason, api::Event};

impl Source {
    /// Nothing more is wanted: gives up whoever has only been tried, and returns the source.
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
    /// The artifact is right: whom to tell, if the link still stands.
    pub(crate) fn release(&mut self) -> Option<Link> {
        let Seat::Whole(Some(stream)) = self.seat else { return None };
        self.seat = Seat::Whole(None);
        Some(stream.link)
    }
    /// The schedule opened or closed receiving: closed, nobody is asked for anything; opened, it goes on from what is here.
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
    /// The disk lost chunks that were here.
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
    /// This machine sent bytes that are not the publisher's: it is left at once.
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
    /// A living source is left. The seat is empty afterwards.
    pub(super) fn leave(&mut self, ctx: &mut Context<'_>, stream: Stream, why: Reason) {
        self.left = self.left.or(Some(why));
        self.seat = Seat::Empty { next: ctx.now, server_due: false };
        let broken = why == Reason::Unreachable && ctx.now < stream.heard + ctx.config.timings.silent;
        if !(broken && self.suspects.forgive(stream.peer, ctx.now, &ctx.config.timings)) {
            self.failed(ctx, (stream.peer, stream.kind));
            self.complain(ctx, stream.kind, why);
        }
    }
    /// The server was the last hope: says once that there is nobody.
    pub(super) fn complain(&mut self, ctx: &mut Context<'_>, kind: Kind, why: Reason) {
        if kind == Kind::Server && !std::mem::replace(&mut self.complained, true) {
            let detail = format!("{}; {}", why.words(), Reason::NoSource.next());
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
