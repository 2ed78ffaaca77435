//! Source events: processes messages that arrive over links and updates the source's state.

use super::{
    Attempt, Seat, Source,
    stream::{Kind, Stream},
};
use crate::{
    context::Context,
    io::{Action, Link},
    retry_delay::Pause,
};
use banyan_proto::{MachineId, Reason, api::Event, peer::PullReply};

impl Source {
    /// Handles an offer: its sender is alive, and becomes the source if there is none.
    pub(crate) fn offered(&mut self, ctx: &mut Context<'_>, link: Link, sender: MachineId, kind: Kind) {
        self.suspects.cleared(sender);
        if !self.open {
            return;
        }
        match self.seat {
            // The offer may arrive over the same link that was dialled.
            Seat::Trying(dialling @ Attempt::Dialling { .. }) if dialling.link() != link => {
                ctx.close(dialling.link(), Reason::Done);
            }
            Seat::Trying(Attempt::Dialling { .. }) | Seat::Empty { .. } => {}
            Seat::Trying(Attempt::Asked(_)) | Seat::Fed(_) | Seat::Probing(..) | Seat::Whole(_) => return,
        }
        self.seat = Seat::Trying(self.ask(ctx, link, sender, kind));
    }
    pub(super) fn ask(&self, ctx: &mut Context<'_>, link: Link, peer: MachineId, kind: Kind) -> Attempt {
        ctx.act(Action::Pull { link, stripe: self.id, from: self.held });
        Attempt::Asked(Stream::new(link, peer, kind, ctx.now))
    }
    /// Sends the pull over a dialled link that is now connected.
    pub(crate) fn connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        match self.seat {
            Seat::Trying(Attempt::Dialling { link: own, peer, kind, .. }) if own == link => {
                self.seat = Seat::Trying(self.ask(ctx, link, peer, kind));
            }
            Seat::Probing(stream, Attempt::Dialling { link: own, peer, kind, .. }, until) if own == link => {
                self.seat = Seat::Probing(stream, self.ask(ctx, link, peer, kind), until);
            }
            _ => {}
        }
    }
    /// Handles a link that is gone, or on which the peer delivers nothing.
    pub(crate) fn gone(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        match self.seat {
            Seat::Trying(attempt) if attempt.link() == link => self.leave_attempt(ctx, attempt, why),
            Seat::Fed(stream) if stream.link == link => self.leave(ctx, stream, why),
            Seat::Probing(stream, attempt, _) if attempt.link() == link => {
                self.failed(ctx, attempt.peer());
                self.seat = Seat::Fed(stream);
            }
            Seat::Probing(stream, attempt, _) if stream.link == link => {
                self.leave(ctx, stream, why);
                self.seat = Seat::Trying(attempt);
            }
            Seat::Whole(Some(stream)) if stream.link == link => self.seat = Seat::Whole(None),
            _ => {}
        }
    }
    /// Processes the peer's answer to the pull.
    pub(crate) fn answered(&mut self, ctx: &mut Context<'_>, link: Link, reply: &PullReply) {
        let why = match reply {
            PullReply::Serving => {
                return self.alive(ctx, link, |stream| stream.serving = true);
            }
            PullReply::NotHere => Reason::NoSource,
            PullReply::Refused { reason } => *reason,
        };
        if self.uses(link) && !matches!(self.seat, Seat::Whole(_)) {
            ctx.close(link, Reason::Done);
            self.gone(ctx, link, why);
        }
    }
    /// Processes a heartbeat: the sender is alive and holds `watermark` chunks.
    pub(crate) fn heartbeat(&mut self, ctx: &mut Context<'_>, link: Link, watermark: u32) {
        let (watermark, held) = (watermark.min(self.chunks), self.held);
        if let Seat::Probing(stream, Attempt::Asked(probe), _) = self.seat
            && probe.link == link
            && watermark <= held
        {
            // The probed machine has no more than this one, so the current source is not to blame.
            ctx.close(link, Reason::Done);
            self.seat = Seat::Fed(stream);
            return;
        }
        let now = ctx.now;
        self.alive(ctx, link, |stream| {
            stream.watermark = watermark;
            stream.compare(held, now);
        });
        if let Seat::Fed(mut stream) = self.seat
            && stream.link == link
            && stream.kind == Kind::Holder
        {
            let dry_before = std::mem::replace(&mut stream.dry, watermark <= held);
            self.seat = Seat::Fed(stream);
            if dry_before && stream.dry {
                ctx.close(link, Reason::Done);
                self.leave(ctx, stream, Reason::NoSource);
            }
        }
    }
    /// Records a sign of life on the link; `note` updates the source with the details.
    pub(crate) fn alive(&mut self, ctx: &mut Context<'_>, link: Link, note: impl FnOnce(&mut Stream)) {
        let hear = |mut stream: Stream| {
            stream.heard = ctx.now;
            note(&mut stream);
            stream
        };
        match self.seat {
            Seat::Trying(Attempt::Asked(stream)) if stream.link == link => {
                let stream = hear(stream);
                self.feed(ctx, stream);
            }
            Seat::Fed(stream) if stream.link == link => self.seat = Seat::Fed(hear(stream)),
            Seat::Probing(stream, attempt, until) if stream.link == link => {
                self.seat = Seat::Probing(hear(stream), attempt, until);
            }
            Seat::Probing(stream, Attempt::Asked(probe), until) if probe.link == link => {
                self.seat = Seat::Probing(stream, Attempt::Asked(hear(probe)), until);
            }
            _ => {}
        }
    }
    /// Makes this stream the source.
    fn feed(&mut self, ctx: &mut Context<'_>, stream: Stream) {
        self.seat = Seat::Fed(stream);
        self.complained = false;
        self.fed(ctx);
        let left = self.left.take();
        if self.reported != Some(stream.peer) || left.is_some() {
            self.reported = Some(stream.peer);
            ctx.report(self.id.order, Event::Source { stripe: self.id.stripe, source: stream.peer, left });
        }
    }
    /// Records that chunks up to `held` are stored.
    pub(crate) fn stored(&mut self, ctx: &mut Context<'_>, link: Link, held: u32) {
        let held = held.min(self.chunks);
        if self.is_whole() {
            return;
        }
        let came = held.saturating_sub(self.held);
        self.held = self.held.max(held);
        if let Seat::Probing(stream, Attempt::Asked(probe), _) = self.seat
            && probe.link == link
            && came > 0
        {
            // The probed machine does have more: the current source withheld chunks, or was cut off itself.
            ctx.close(stream.link, Reason::NoSource);
            self.leave(ctx, stream, Reason::NoSource);
            self.seat = Seat::Trying(Attempt::Asked(probe));
        }
        let (held, now) = (self.held, ctx.now);
        self.alive(ctx, link, |stream| {
            stream.serving = true;
            stream.watermark = stream.watermark.max(held);
            stream.dry = false;
        });
        if came > 0 {
            self.rate.arrived(now, came, ctx.config.timings.stalled);
            self.fed(ctx);
            if let Seat::Probing(stream, attempt, _) = self.seat {
                ctx.close(attempt.link(), Reason::Done);
                self.seat = Seat::Fed(stream);
            }
            if let Seat::Fed(mut stream) = self.seat {
                stream.compare(held, now);
                self.seat = Seat::Fed(stream);
                self.suspects.cleared(stream.peer);
                if stream.kind == Kind::Server {
                    self.server_pause = Pause::default();
                }
            }
        }
        if self.is_whole() {
            self.seat = Seat::Whole(self.rest(ctx));
        }
    }
    /// Resets the starvation timers, because chunks arrived or the source changed.
    pub(super) fn fed(&mut self, ctx: &mut Context<'_>) {
        let timings = &ctx.config.timings;
        self.probed.clear();
        self.probe_pause = Pause::default();
        // Machines nearer to the root ask first: what they find reaches those below before they ask.
        let step = timings.starved / 4;
        let depth = u32::try_from(self.ancestors.len()).unwrap_or(u32::MAX);
        self.probe_at = ctx.now + timings.starved + step.saturating_mul(depth) + ctx.out.jitter.up_to(step);
    }
}
