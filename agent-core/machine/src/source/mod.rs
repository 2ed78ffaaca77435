//! Where the chunks of one stripe come from: one source at a time, left only for a reason (rules P7, P8).
//!
//! What happens on links is taken in here and only changes the [`Seat`]; looking for somebody new happens in
//! [`Source::run`] (in `seek.rs`), once per call, when everything is known.

mod rate;
pub(crate) mod seek;
pub(crate) mod stream;
mod suspects;

use crate::{
    context::Context,
    io::{Action, Link, Now, StripeId},
    pause::Pause,
};
use banyan_proto::{MachineId, Reason, api::Event, peer::PullReply};
use rate::Rate;
use stream::{Kind, Stream};
use suspects::Suspects;

/// Somebody who was turned to and has not shown yet that it helps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Attempt {
    /// Waits for the connection, until then.
    Dialling { link: Link, peer: MachineId, kind: Kind, deadline: Now },
    /// Has been asked.
    Asked(Stream),
}

impl Attempt {
    pub(crate) fn link(&self) -> Link {
        match self {
            Self::Dialling { link, .. } => *link,
            Self::Asked(stream) => stream.link,
        }
    }
    pub(crate) fn peer(&self) -> (MachineId, Kind) {
        match self {
            Self::Dialling { peer, kind, .. } => (*peer, *kind),
            Self::Asked(stream) => (stream.peer, stream.kind),
        }
    }
}

/// Who sits where the source sits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Seat {
    /// Nobody; somebody is looked for at this time. `server_due`: the pause before turning to the server is over then.
    Empty { next: Now, server_due: bool },
    /// Nobody yet.
    Trying(Attempt),
    /// A living source.
    Fed(Stream),
    /// A living source that has long brought nothing, and somebody who may have more.
    Probing(Stream, Attempt, Now),
    /// Every chunk is here. Whoever brought the last one is told when the artifact is verified.
    Whole(Option<Stream>),
}

/// The receiving side of one stripe.
#[derive(Debug)]
pub(crate) struct Source {
    id: StripeId,
    /// Nearest first, without the server.
    ancestors: Vec<MachineId>,
    chunks: u32,
    held: u32,
    seat: Seat,
    suspects: Suspects,
    /// A machine that failed us as a source and whose parent elsewhere may help: taken by the order, which knows.
    orphaned_by: Option<MachineId>,
    /// That parent.
    cousin: Option<MachineId>,
    server_pause: Pause,
    server_at: Now,
    rate: Rate,
    /// When to ask somebody else whether there is really nothing to be had, and the pause after that.
    probe_at: Now,
    probe_pause: Pause,
    probed: Vec<MachineId>,
    /// The source that was last reported, and why it was left.
    reported: Option<MachineId>,
    left: Option<Reason>,
    /// That there is no source has been reported.
    complained: bool,
}

impl Source {
    /// `ancestors`: nearest first, without the server.
    pub(crate) fn new(id: StripeId, ancestors: Vec<MachineId>, chunks: u32, held: u32, now: Now) -> Self {
        let held = held.min(chunks);
        let seat = if held == chunks { Seat::Whole(None) } else { Seat::Empty { next: now, server_due: false } };
        Self {
            id,
            ancestors,
            chunks,
            held,
            seat,
            suspects: Suspects::default(),
            orphaned_by: None,
            cousin: None,
            server_pause: Pause::default(),
            server_at: Now::ZERO,
            rate: Rate::default(),
            probe_at: now,
            probe_pause: Pause::default(),
            probed: Vec::new(),
            reported: None,
            left: None,
            complained: false,
        }
    }
    pub(crate) fn chunks(&self) -> u32 {
        self.chunks
    }
    pub(crate) fn held(&self) -> u32 {
        self.held
    }
    pub(crate) fn is_whole(&self) -> bool {
        self.held == self.chunks
    }
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }
    /// The living source, or whoever brought the last chunk.
    pub(crate) fn feeder(&self) -> Option<MachineId> {
        match &self.seat {
            Seat::Empty { .. } | Seat::Trying(_) => None,
            Seat::Fed(stream) | Seat::Probing(stream, ..) => Some(stream.peer),
            Seat::Whole(last) => last.map(|stream| stream.peer),
        }
    }
    /// The link in use for pulling, or still to be told that the artifact is right.
    pub(crate) fn uses(&self, link: Link) -> bool {
        match &self.seat {
            Seat::Empty { .. } => false,
            Seat::Trying(attempt) => attempt.link() == link,
            Seat::Fed(stream) => stream.link == link,
            Seat::Probing(stream, attempt, _) => stream.link == link || attempt.link() == link,
            Seat::Whole(last) => last.is_some_and(|stream| stream.link == link),
        }
    }
    /// The lists were cut anew.
    pub(crate) fn set_ancestors(&mut self, ancestors: Vec<MachineId>) {
        self.ancestors = ancestors;
    }
    /// The machine whose parent elsewhere should be looked up, once.
    pub(crate) fn take_orphaned_by(&mut self) -> Option<MachineId> {
        self.orphaned_by.take()
    }
    pub(crate) fn set_cousin(&mut self, cousin: Option<MachineId>) {
        self.cousin = cousin;
    }
    /// A sender stepped over these ancestors: they are passed over here too, for a while.
    pub(crate) fn suspect(&mut self, ctx: &Context<'_>, who: impl Iterator<Item = MachineId>) {
        who.for_each(|who| self.suspects.failed(who, ctx.now, &ctx.config.timings));
    }
    /// An offer came over this link: its sender is alive, and the source if there is no other.
    pub(crate) fn offered(&mut self, ctx: &mut Context<'_>, link: Link, sender: MachineId, kind: Kind) {
        self.suspects.cleared(sender);
        match self.seat {
            Seat::Trying(dialling @ Attempt::Dialling { .. }) => ctx.close(dialling.link(), Reason::Done),
            Seat::Empty { .. } => {}
            Seat::Trying(Attempt::Asked(_)) | Seat::Fed(_) | Seat::Probing(..) | Seat::Whole(_) => return,
        }
        self.seat = Seat::Trying(self.ask(ctx, link, sender, kind));
    }
    fn ask(&self, ctx: &mut Context<'_>, link: Link, peer: MachineId, kind: Kind) -> Attempt {
        ctx.act(Action::Pull { link, stripe: self.id, from: self.held });
        Attempt::Asked(Stream::new(link, peer, kind, ctx.now))
    }
    /// The dialled link stands.
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
    /// The link is gone, or the other side gives nothing over it.
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
    /// The other side answered the pull.
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
    /// The sending side says that it is alive and holds this many.
    pub(crate) fn heartbeat(&mut self, ctx: &mut Context<'_>, link: Link, watermark: u32) {
        let (watermark, held) = (watermark.min(self.chunks), self.held);
        if let Seat::Probing(stream, Attempt::Asked(probe), _) = self.seat
            && probe.link == link
            && watermark <= held
        {
            // It has no more than we do: the present source is not to blame.
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
    /// Something came over the link; `note` says what it tells about the source.
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
    /// This one is the source from now on.
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
    /// Chunks are here up to `held`.
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
            // It does have more: the present source kept it from us, or was cut off itself.
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
    /// Chunks came, or their source was changed: it is not starving.
    fn fed(&mut self, ctx: &mut Context<'_>) {
        let timings = &ctx.config.timings;
        self.probed.clear();
        self.probe_pause = Pause::default();
        // Whoever stands nearer to the root asks first: what it finds reaches those below before they ask.
        let step = timings.starved / 4;
        let depth = u32::try_from(self.ancestors.len()).unwrap_or(u32::MAX);
        self.probe_at = ctx.now + timings.starved + step.saturating_mul(depth) + ctx.out.jitter.up_to(step);
    }
    /// Nothing more is wanted: gives up whoever has only been tried, and returns the source.
    fn rest(&mut self, ctx: &mut Context<'_>) -> Option<Stream> {
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
    /// The disk lost chunks that were here.
    pub(crate) fn set_back(&mut self, ctx: &mut Context<'_>, held: u32) {
        if held >= self.held {
            return;
        }
        let last = self.rest(ctx);
        self.held = held;
        self.seat = match last {
            Some(stream) => Seat::Trying(self.ask(ctx, stream.link, stream.peer, stream.kind)),
            None => Seat::Empty { next: ctx.now, server_due: false },
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
    fn leave_attempt(&mut self, ctx: &mut Context<'_>, attempt: Attempt, why: Reason) {
        self.failed(ctx, attempt.peer());
        self.complain(ctx, attempt.peer().1, why);
        self.seat = Seat::Empty { next: ctx.now, server_due: false };
    }
    /// A living source is left. The seat is empty afterwards.
    fn leave(&mut self, ctx: &mut Context<'_>, stream: Stream, why: Reason) {
        self.left = self.left.or(Some(why));
        self.seat = Seat::Empty { next: ctx.now, server_due: false };
        let broken = why == Reason::Unreachable && ctx.now < stream.heard + ctx.config.timings.silent;
        if !(broken && self.suspects.forgive(stream.peer, ctx.now, &ctx.config.timings)) {
            self.failed(ctx, (stream.peer, stream.kind));
            self.complain(ctx, stream.kind, why);
        }
    }
    /// The server was the last hope: says once that there is nobody.
    fn complain(&mut self, ctx: &mut Context<'_>, kind: Kind, why: Reason) {
        if kind == Kind::Server && !std::mem::replace(&mut self.complained, true) {
            let detail = format!("{}; {}", why.words(), Reason::NoSource.next());
            ctx.report(self.id.order, Event::Waits { reason: Reason::NoSource, detail });
        }
    }
    fn failed(&mut self, ctx: &mut Context<'_>, (peer, kind): (MachineId, Kind)) {
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
