//! Source events: processes messages that arrive over links and updates the source's state.

use super::{
    Attempt, Candidate, Source, SourceState,
    arrivals::Arrivals,
    stream::{SourceKind, Stream},
};
use crate::{
    config::Timings,
    context::Context,
    io::{Action, Link, Now},
    retry_delay::RetryDelay,
};
use banyan_proto::{MachineId, Reason, api::Event, frame::Heartbeat, peer::PullReply};

/// A machine returns to a nearer ancestor that lacks at most this part of the stripe.
const RETURN_LAG: u32 = 32;

impl Source {
    /// Handles an offer: its sender is alive, and becomes the source if there is none.
    pub(crate) fn on_offer(&mut self, ctx: &mut Context<'_>, link: Link, sender: MachineId, kind: SourceKind) {
        self.backoff.clear(sender);
        if !self.open {
            return;
        }
        match self.state {
            // The offer may arrive over the same link that was dialled.
            SourceState::Connecting(dialling @ Attempt::Dialling { .. }) if dialling.link() != link => {
                ctx.close(dialling.link(), Reason::Done);
            }
            SourceState::Connecting(Attempt::Dialling { .. }) | SourceState::Searching { .. } => {}
            SourceState::Streaming(stream) if self.is_nearer(ctx, sender, stream.peer) => {
                return self.try_instead(sender);
            }
            SourceState::Connecting(Attempt::Requested(_))
            | SourceState::Streaming(_)
            | SourceState::Probing(..)
            | SourceState::Complete(_) => return,
        }
        self.state = SourceState::Connecting(self.send_pull(ctx, link, Candidate { peer: sender, kind }));
    }
    /// Returns whether this ancestor is nearer than the present source, which is an ancestor too or the server.
    fn is_nearer(&self, ctx: &Context<'_>, ancestor: MachineId, source: MachineId) -> bool {
        let place = |id: MachineId| self.ancestors.iter().position(|other| *other == id);
        let is_server = source == ctx.config.server;
        place(ancestor).is_some_and(|near| is_server || place(source).is_some_and(|far| near < far))
    }
    pub(super) fn send_pull(&self, ctx: &mut Context<'_>, link: Link, candidate: Candidate) -> Attempt {
        let wait = candidate.kind == SourceKind::Named;
        ctx.emit(Action::Pull { link, stripe: self.id, from: self.held, wait });
        Attempt::Requested(Stream::new(link, candidate, ctx.now))
    }
    /// Sends the pull over a dialled link that is now connected.
    pub(crate) fn on_connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        match self.state {
            SourceState::Connecting(Attempt::Dialling { link: own, candidate, .. }) if own == link => {
                self.state = SourceState::Connecting(self.send_pull(ctx, link, candidate));
            }
            SourceState::Probing(stream, Attempt::Dialling { link: own, candidate, .. }, until) if own == link => {
                self.state = SourceState::Probing(stream, self.send_pull(ctx, link, candidate), until);
            }
            _ => {}
        }
    }
    /// Handles a link that is gone, or on which the peer delivers nothing.
    pub(crate) fn on_link_lost(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        match self.state {
            SourceState::Connecting(attempt) if attempt.link() == link => self.drop_attempt(ctx, attempt, why),
            SourceState::Streaming(stream) if stream.link == link => self.drop_source(ctx, stream, why),
            SourceState::Probing(stream, attempt, _) if attempt.link() == link => {
                self.record_failure(ctx, attempt.candidate());
                self.state = SourceState::Streaming(stream);
            }
            SourceState::Probing(stream, attempt, _) if stream.link == link => {
                self.drop_source(ctx, stream, why);
                self.state = SourceState::Connecting(attempt);
            }
            SourceState::Complete(Some(stream)) if stream.link == link => self.state = SourceState::Complete(None),
            _ => {}
        }
    }
    /// Processes the peer's answer to the pull.
    pub(crate) fn on_pull_answer(&mut self, ctx: &mut Context<'_>, link: Link, reply: &PullReply) {
        let why = match reply {
            PullReply::Serving => {
                let now = ctx.now;
                return self.record_alive(ctx, link, |stream| {
                    stream.serving = true;
                    stream.last_content = now;
                });
            }
            PullReply::NotHere if self.is_too_early(ctx.now, &ctx.config.timings, link) => {
                ctx.close(link, Reason::Done);
                let timings = &ctx.config.timings;
                let pause =
                    self.offer_lag_delay.next(timings.offer_lag_retry, timings.offer_lag, &mut ctx.effects.jitter);
                self.state = SourceState::Searching { next: ctx.now + pause, server_due: false };
                return;
            }
            PullReply::NotHere => Reason::NoSource,
            PullReply::Refused { reason } => *reason,
        };
        if self.uses_link(link) && !matches!(self.state, SourceState::Complete(_)) {
            ctx.close(link, Reason::Done);
            self.on_link_lost(ctx, link, why);
        }
    }
    /// Returns whether the ancestor at the other end may not have its own offer yet. Offers travel down the tree, but a
    /// machine that nobody can dial gets its offer from the server.
    fn is_too_early(&self, now: Now, timings: &Timings, link: Link) -> bool {
        let is_asked = |stream: &Stream| stream.link == link && stream.kind == SourceKind::Ancestor && !stream.serving;
        let stream = match &self.state {
            SourceState::Connecting(Attempt::Requested(stream)) | SourceState::Streaming(stream) => stream,
            _ => return false,
        };
        is_asked(stream) && now < self.offered_at + timings.offer_lag
    }
    /// Processes a heartbeat: the sender is alive, and says what it has.
    pub(crate) fn on_heartbeat(&mut self, ctx: &mut Context<'_>, link: Link, heartbeat: &Heartbeat) {
        if !self.on_upstream(ctx, link, heartbeat) {
            return;
        }
        let (watermark, held) = (heartbeat.watermark.min(self.chunks), self.held);
        if let SourceState::Probing(stream, Attempt::Requested(probe), _) = self.state
            && probe.link == link
            && probe.kind == SourceKind::Named
            && probe.serving
            && (self.is_told(probe.peer)
                || self.is_nearer(ctx, probe.peer, stream.peer)
                    && watermark.saturating_add(self.chunks / RETURN_LAG) >= held)
        {
            // The server knows who advances at which rate. An ancestor and this machine may get the same chunks at the same
            // time from the source that is farther above.
            self.replace_source(ctx, stream, probe);
        }
        if let SourceState::Probing(stream, Attempt::Requested(probe), _) = self.state
            && probe.link == link
            && probe.kind != SourceKind::Named
            && watermark <= held
        {
            // The probed machine has no more than this one, so the current source is not to blame.
            ctx.close(link, Reason::Done);
            self.state = SourceState::Streaming(stream);
            return;
        }
        let now = ctx.now;
        self.record_alive(ctx, link, |stream| {
            stream.watermark = watermark;
            stream.update_ahead(held, now);
        });
        if let SourceState::Streaming(mut stream) = self.state
            && stream.link == link
            && stream.kind == SourceKind::Holder
        {
            let had_nothing_before = std::mem::replace(&mut stream.has_nothing_new, watermark <= held);
            self.state = SourceState::Streaming(stream);
            if had_nothing_before && stream.has_nothing_new {
                ctx.close(link, Reason::Done);
                self.drop_source(ctx, stream, Reason::NoSource);
            }
        }
    }
    /// Records a sign of life on the link; `note` updates the source with the details.
    pub(crate) fn record_alive(&mut self, ctx: &mut Context<'_>, link: Link, note: impl FnOnce(&mut Stream)) {
        let hear = |mut stream: Stream| {
            stream.last_heard = ctx.now;
            note(&mut stream);
            stream
        };
        match self.state {
            SourceState::Connecting(Attempt::Requested(stream)) if stream.link == link => {
                let stream = hear(stream);
                self.use_stream(ctx, stream);
            }
            SourceState::Streaming(stream) if stream.link == link => self.state = SourceState::Streaming(hear(stream)),
            SourceState::Probing(stream, attempt, until) if stream.link == link => {
                self.state = SourceState::Probing(hear(stream), attempt, until);
            }
            SourceState::Probing(stream, Attempt::Requested(probe), until) if probe.link == link => {
                self.state = SourceState::Probing(stream, Attempt::Requested(hear(probe)), until);
            }
            _ => {}
        }
    }
    /// Makes this stream the source.
    fn use_stream(&mut self, ctx: &mut Context<'_>, stream: Stream) {
        self.forget_upstream(ctx.now);
        self.state = SourceState::Streaming(stream);
        self.no_source_reported = false;
        self.reset_probe_timer(ctx);
        let left = self.drop_reason.take();
        if self.reported_source != Some(stream.peer) || left.is_some() {
            self.reported_source = Some(stream.peer);
            ctx.report(self.id.order, Event::Source { stripe: self.id.stripe, source: stream.peer, left });
        }
    }
    /// Records that chunks up to `held` are stored.
    pub(crate) fn on_stored(&mut self, ctx: &mut Context<'_>, link: Link, held: u32) {
        let held = held.min(self.chunks);
        if self.is_complete() {
            return;
        }
        let arrived = held.saturating_sub(self.held);
        self.held = self.held.max(held);
        if let SourceState::Probing(stream, Attempt::Requested(probe), _) = self.state
            && probe.link == link
            && arrived > 0
        {
            if probe.kind == SourceKind::Named {
                self.replace_source(ctx, stream, probe);
            } else {
                // The probed machine does have more: the current source withheld chunks, or was cut off itself.
                ctx.close(stream.link, Reason::NoSource);
                self.drop_source(ctx, stream, Reason::NoSource);
                self.state = SourceState::Connecting(Attempt::Requested(probe));
            }
        }
        let (held, now) = (self.held, ctx.now);
        self.record_arrival(now, link, arrived);
        self.record_alive(ctx, link, |stream| {
            stream.serving = true;
            stream.last_content = now;
            stream.last_chunk = now;
            stream.watermark = stream.watermark.max(held);
            stream.has_nothing_new = false;
        });
        if arrived > 0 {
            self.disk_delay = RetryDelay::default();
            self.rate.record(now, arrived, ctx.config.timings.stall_timeout);
            self.reset_probe_timer(ctx);
            if let SourceState::Probing(stream, attempt, _) = self.state
                && attempt.candidate().kind != SourceKind::Named
            {
                ctx.close(attempt.link(), Reason::Done);
                self.state = SourceState::Streaming(stream);
            }
            if let SourceState::Streaming(mut stream) = self.state {
                stream.update_ahead(held, now);
                self.state = SourceState::Streaming(stream);
                self.backoff.clear(stream.peer);
                if stream.kind == SourceKind::Server {
                    self.server_delay = RetryDelay::default();
                }
            }
        }
        if self.is_complete() {
            self.state = SourceState::Complete(self.take_stream(ctx));
        }
    }
    /// Measures what arrives over this link, if it is the source's.
    fn record_arrival(&mut self, now: Now, link: Link, chunks: u32) {
        let (SourceState::Connecting(Attempt::Requested(stream))
        | SourceState::Streaming(stream)
        | SourceState::Probing(stream, ..)) = self.state
        else {
            return;
        };
        if stream.link != link || chunks == 0 {
            return;
        }
        let ahead = stream.watermark.saturating_sub(self.held);
        match &mut self.arrivals {
            Some(arrivals) if arrivals.source() == stream.peer => arrivals.record(now, ahead),
            arrivals => *arrivals = Some(Arrivals::new(now, stream.peer)),
        }
    }
    /// Resets the starvation timers, because chunks arrived or the source changed.
    pub(super) fn reset_probe_timer(&mut self, ctx: &mut Context<'_>) {
        let timings = &ctx.config.timings;
        self.probed.clear();
        self.probe_delay = RetryDelay::default();
        // Machines nearer to the root ask first: what they find reaches those below before they ask.
        let step = timings.probe_interval / 4;
        let depth = u32::try_from(self.ancestors.len()).unwrap_or(u32::MAX);
        self.probe_at = ctx.now + timings.probe_interval + step.saturating_mul(depth) + ctx.effects.jitter.up_to(step);
    }
}
