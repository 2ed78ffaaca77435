//! Dropping a source: closes links, and records failures and backoff.

use super::{
    Attempt, Candidate, Source, SourceState,
    stream::{SourceKind, Stream},
};
use crate::{context::Context, io::Link};
use banyan_proto::{MachineId, Reason, api::Event};

impl Source {
    /// Ends receiving: drops an unproven attempt and returns the current source.
    pub(super) fn take_stream(&mut self, ctx: &mut Context<'_>) -> Option<Stream> {
        match self.state {
            SourceState::Searching { .. } => None,
            SourceState::Connecting(Attempt::Requested(stream)) | SourceState::Streaming(stream) => Some(stream),
            SourceState::Connecting(attempt) => {
                ctx.close(attempt.link(), Reason::Done);
                None
            }
            SourceState::Probing(stream, attempt, _) => {
                ctx.close(attempt.link(), Reason::Done);
                Some(stream)
            }
            SourceState::Complete(last) => last,
        }
    }
    /// Returns the link to confirm the verified artifact on, if it is still connected.
    pub(crate) fn take_confirm_link(&mut self) -> Option<Link> {
        let SourceState::Complete(Some(stream)) = self.state else { return None };
        self.state = SourceState::Complete(None);
        Some(stream.link)
    }
    /// Opens or closes receiving, as the schedule decides. While closed, no source is asked; once open, receiving
    /// resumes from the chunks already here.
    pub(crate) fn set_open(&mut self, ctx: &mut Context<'_>, may: Result<(), Reason>) {
        let was_open = std::mem::replace(&mut self.open, may.is_ok());
        if self.is_complete() || was_open == self.open {
            return;
        }
        if let Err(reason) = may
            && let Some(stream) = self.take_stream(ctx)
        {
            ctx.close(stream.link, reason);
        }
        self.state = SourceState::Searching { next: ctx.now, server_due: false };
        self.reset_probe_timer(ctx);
    }
    /// Stops receiving for a moment, because this machine cannot store what arrives over the link. No source failed.
    pub(crate) fn pause(&mut self, ctx: &mut Context<'_>, link: Link, reason: Reason) {
        if self.is_complete() || !self.uses_link(link) {
            return;
        }
        if let Some(stream) = self.take_stream(ctx) {
            ctx.close(stream.link, reason);
        }
        let timings = &ctx.config.timings;
        let pause = self.disk_delay.next(timings.disk_retry, timings.disk_retry_max, &mut ctx.effects.jitter);
        self.state = SourceState::Searching { next: ctx.now + pause, server_due: false };
    }
    /// Reduces the held count after the disk lost chunks.
    pub(crate) fn lose_chunks(&mut self, ctx: &mut Context<'_>, held: u32) {
        if held >= self.held {
            return;
        }
        let last = self.take_stream(ctx);
        self.held = held;
        self.state = match last {
            Some(stream) if self.open => SourceState::Connecting(self.send_pull(ctx, stream.link, stream.candidate())),
            last => {
                last.into_iter().for_each(|stream| ctx.close(stream.link, Reason::NotNow));
                SourceState::Searching { next: ctx.now, server_due: false }
            }
        };
    }
    /// Drops this machine as a source at once, because it sent bytes that do not match the publisher's hash.
    pub(crate) fn ban(&mut self, ctx: &mut Context<'_>, who: MachineId) {
        let links = match self.state {
            SourceState::Connecting(attempt) => [Some((attempt.candidate().peer, attempt.link())), None],
            SourceState::Streaming(stream) => [Some((stream.peer, stream.link)), None],
            SourceState::Probing(stream, attempt, _) => {
                [Some((stream.peer, stream.link)), Some((attempt.candidate().peer, attempt.link()))]
            }
            SourceState::Searching { .. } | SourceState::Complete(_) => [None, None],
        };
        for (_, link) in links.into_iter().flatten().filter(|(peer, _)| *peer == who) {
            ctx.close(link, Reason::BadChunk);
            self.on_link_lost(ctx, link, Reason::BadChunk);
        }
    }
    pub(super) fn drop_attempt(&mut self, ctx: &mut Context<'_>, attempt: Attempt, why: Reason) {
        self.record_failure(ctx, attempt.candidate());
        self.report_no_source(ctx, attempt.candidate().kind, why);
        self.state = SourceState::Searching { next: ctx.now, server_due: false };
    }
    /// Drops a living source; a new one is searched for afterwards.
    pub(super) fn drop_source(&mut self, ctx: &mut Context<'_>, stream: Stream, why: Reason) {
        self.drop_reason = self.drop_reason.or(Some(why));
        self.state = SourceState::Searching { next: ctx.now, server_due: false };
        let broken = why == Reason::Unreachable && ctx.now < stream.last_heard + ctx.config.timings.silence_timeout;
        if !(broken && self.backoff.allow_immediate_retry(stream.peer, ctx.now, &ctx.config.timings)) {
            self.record_failure(ctx, stream.candidate());
            self.report_no_source(ctx, stream.kind, why);
        }
    }
    /// Reports, once, that no source is left. The server is the last resort.
    pub(super) fn report_no_source(&mut self, ctx: &mut Context<'_>, kind: SourceKind, why: Reason) {
        if kind == SourceKind::Server && !std::mem::replace(&mut self.no_source_reported, true) {
            let detail = why.for_admin().what.to_owned();
            ctx.report(self.id.order, Event::Waits { reason: Reason::NoSource, detail });
        }
    }
    pub(super) fn record_failure(&mut self, ctx: &mut Context<'_>, failed: Candidate) {
        let Candidate { peer, kind } = failed;
        let timings = &ctx.config.timings;
        match kind {
            SourceKind::Server => {
                let pause =
                    self.server_delay.next(timings.server_retry, timings.server_retry_max, &mut ctx.effects.jitter);
                self.server_retry_at = ctx.now + pause;
            }
            SourceKind::Ancestor => {
                self.backoff.record_failure(peer, ctx.now, timings);
                self.failed_source = Some(peer);
            }
            SourceKind::Named => self.backoff.record_failure(peer, ctx.now, timings),
            SourceKind::Holder => {
                self.backoff.record_failure(peer, ctx.now, timings);
                self.alternate_parent = self.alternate_parent.filter(|alternate_parent| *alternate_parent != peer);
            }
        }
    }
}
