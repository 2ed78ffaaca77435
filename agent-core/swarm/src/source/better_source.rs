//! Leaving a source (rules P12, P13): what this machine tells those below it, the request for another source when
//! nothing arrives, and the change to a machine that the server names.
//!
//! A machine changes to a source that the server has decided on as soon as that one serves. It changes to one that it has
//! asked for when that one delivers.

use super::{
    Attempt, Candidate, Source, SourceState,
    select_source::BannedPeers,
    stream::{SourceKind, Stream},
};
use crate::{
    context::Context,
    io::{Action, Link, Now},
    retry_delay::RetryDelay,
};
use banyan_proto::{
    MachineId, Reason,
    api::SourcesRequest,
    frame::{Heartbeat, Holdup, Upstream},
    limits,
};
use std::{collections::VecDeque, time::Duration};

/// A stripe is held up if it arrives at less than this share of the best rate.
const HELD_UP_SHARE: f64 = 0.45;
/// … for this long.
const LASTING: Duration = Duration::from_millis(400);
/// A machine is behind another one when it lacks at least this many chunks that the other one has.
const MIN_LAG: u32 = 3;
/// Rates are averages over the time in which this many chunks arrive at the best rate …
const CHUNKS_IN_WINDOW: f64 = 6.0;
/// … within these limits.
const SHORTEST_WINDOW: Duration = Duration::from_millis(1500);
const LONGEST_WINDOW: Duration = Duration::from_secs(30);

/// What the source has said about itself, and the search for a better one.
#[derive(Debug, Default)]
pub(super) struct BetterSource {
    /// What the present source said of its own sources.
    above: Upstream,
    /// What those below this machine were last told.
    stated: Upstream,
    /// Since when the present source has delivered.
    since: Now,
    /// Since when the stripe has been held up.
    held_up_since: Option<Now>,
    /// The machines that the server named and that were not tried yet.
    named: VecDeque<MachineId>,
    /// The source that the server decided on last.
    told: Option<MachineId>,
    request_at: Now,
    request_delay: RetryDelay,
}

/// Returns the time over which rates are averaged.
fn window(best: f64) -> Duration {
    let time = CHUNKS_IN_WINDOW / best.max(1e-3);
    Duration::from_secs_f64(time).clamp(SHORTEST_WINDOW, LONGEST_WINDOW)
}

impl Source {
    /// Forgets what was known about the former source.
    pub(super) fn forget_upstream(&mut self, now: Now) {
        self.better.above = Upstream::default();
        self.better.named.clear();
        self.better.since = now;
    }
    /// Processes what a source says about itself. Returns whether it can be a source: its chunks must not come through
    /// this machine.
    pub(super) fn on_upstream(&mut self, ctx: &mut Context<'_>, link: Link, heartbeat: &Heartbeat) -> bool {
        let upstream = &heartbeat.upstream;
        let is_circle = upstream.path.contains(&ctx.config.me) || upstream.path.len() >= limits::LIST_DEPTH;
        match self.state {
            SourceState::Probing(stream, attempt, _) if attempt.link() == link && is_circle => {
                ctx.close(link, Reason::NoSource);
                self.state = SourceState::Streaming(stream);
                return false;
            }
            SourceState::Probing(_, attempt, _) if attempt.link() == link => {}
            _ if self.uses_link(link) && !self.is_complete() => {
                if is_circle {
                    ctx.close(link, Reason::NoSource);
                    self.on_link_lost(ctx, link, Reason::NoSource);
                    return false;
                }
                self.better.above = upstream.clone();
            }
            _ => {}
        }
        true
    }
    /// Returns whether the chunks of this machine come through `peer`.
    pub(crate) fn comes_through(&self, peer: MachineId) -> bool {
        self.current_peer() == Some(peer) || (!self.is_complete() && self.better.above.path.contains(&peer))
    }
    fn stream(&self) -> Option<Stream> {
        match self.state {
            SourceState::Streaming(stream) | SourceState::Probing(stream, ..) => Some(stream),
            SourceState::Searching { .. } | SourceState::Connecting(_) | SourceState::Complete(_) => None,
        }
    }
    /// Returns the rate at which the stripe has arrived lately, as a share of the best rate.
    fn share(&self, now: Now, best: f64) -> f64 {
        let window = window(best);
        f64::from(self.rate.arrived_since(now, window)) / window.as_secs_f64() / best
    }
    /// Returns how far the most advanced machine is that is known here.
    pub(crate) fn front(&self) -> u32 {
        let heard = if self.stream().is_some() { self.better.above.front } else { 0 };
        self.held.max(heard.min(self.chunks))
    }
    /// Returns where the stripe is held up, if it arrives much more slowly than elsewhere. `best`: the rate elsewhere.
    fn holdup(&self, now: Now, front: u32, best: Option<f64>) -> Option<Holdup> {
        let (stream, best) = (self.stream()?, best?);
        let is_settled = now.saturating_sub(self.better.since) >= window(best);
        let is_behind = front.saturating_sub(self.held) >= MIN_LAG && self.share(now, best) < HELD_UP_SHARE;
        let is_here = stream.watermark.saturating_sub(self.held) >= MIN_LAG;
        (is_settled && is_behind).then_some(if is_here { Holdup::Here } else { Holdup::Above })
    }
    /// Returns where the stripe has been held up for some time.
    pub(crate) fn lasting_holdup(&mut self, now: Now, front: u32, best: Option<f64>) -> Option<Holdup> {
        let Some(holdup) = self.holdup(now, front, best) else {
            self.better.held_up_since = None;
            return None;
        };
        let since = *self.better.held_up_since.get_or_insert(now);
        (now.saturating_sub(since) >= LASTING).then_some(holdup)
    }
    /// Tells those below where the chunks come from and what holds them up, if that has changed.
    pub(crate) fn state_upstream(&mut self, ctx: &mut Context<'_>, front: u32, holdup: Option<Holdup>) {
        let path = match self.stream() {
            Some(stream) => std::iter::once(stream.peer).chain(self.better.above.path.iter().copied()).collect(),
            None => Vec::new(),
        };
        let new = Upstream { front, holdup, path };
        // Without a source, nobody has to know how far others are.
        if self.better.stated != new && (self.better.stated.path != new.path || !new.path.is_empty()) {
            self.better.stated = new.clone();
            ctx.emit(Action::SetUpstream(self.id, new));
        }
    }
    /// Returns where the stripe is held up if no chunk has arrived for long, whatever the source says of others.
    fn starvation(&self, ctx: &Context<'_>, stream: &Stream) -> Option<Holdup> {
        let stall_timeout = ctx.config.timings.stall_timeout;
        let limit = self.rate.observation_window(stall_timeout).unwrap_or(stall_timeout);
        let place = if stream.ahead_since.is_some() { Holdup::Here } else { Holdup::Above };
        (ctx.now.saturating_sub(stream.last_chunk) >= limit).then_some(place)
    }
    /// Asks the server for another source, if the stripe starves. `best`: the rate elsewhere.
    pub(crate) fn request_sources(&mut self, ctx: &mut Context<'_>, best: Option<f64>, in_every_stripe: bool) {
        let SourceState::Streaming(stream) = self.state else { return };
        let Some(holdup) = self.starvation(ctx, &stream) else {
            self.better.request_delay = RetryDelay::default();
            return;
        };
        if !self.better.named.is_empty() || ctx.now < self.better.request_at {
            return;
        }
        let share = best.map_or(0.0, |best| self.share(ctx.now, best));
        let timings = &ctx.config.timings;
        let pause =
            self.better.request_delay.next(timings.source_retry, timings.source_retry_max, &mut ctx.effects.jitter);
        self.better.request_at = ctx.now + pause;
        let rate_percent = (100.0 * share) as u8;
        let held_percent = (100 * u64::from(self.held) / u64::from(self.chunks.max(1))) as u8;
        ctx.emit(Action::RequestSources(SourcesRequest {
            order: self.id.order,
            stripe: self.id.stripe,
            source: stream.peer,
            rate_percent,
            chunks_per_minute: best.map(|best| (60.0 * share * best) as u32),
            held_percent,
            holdup,
            in_every_stripe,
            starves: true,
        }));
    }
    /// Takes the machines that the server named.
    pub(crate) fn on_sources(&mut self, machines: Vec<MachineId>) {
        if matches!(self.state, SourceState::Streaming(_)) {
            self.better.named = machines.into();
        }
    }
    /// Takes the source that the server has decided on. This machine changes to it as soon as it serves, even if it holds
    /// less: the server knows who advances at which rate.
    pub(crate) fn on_change(&mut self, ctx: &mut Context<'_>, source: MachineId) {
        self.backoff.clear(source);
        self.better.named = [source].into();
        self.better.told = Some(source);
        if let SourceState::Probing(stream, attempt, _) = self.state {
            ctx.close(attempt.link(), Reason::Done);
            self.state = SourceState::Streaming(stream);
        }
    }
    /// Returns whether the server has decided that this machine is the source.
    pub(super) fn is_told(&self, source: MachineId) -> bool {
        self.better.told == Some(source)
    }
    /// Tries this machine instead of the present source, which is kept until the other one delivers.
    pub(super) fn try_instead(&mut self, peer: MachineId) {
        self.better.named = [peer].into();
    }
    /// Tries the next machine that the server named. The present source is kept until the other one delivers, or serves if
    /// the server has decided on it.
    pub(super) fn try_named(&mut self, ctx: &mut Context<'_>, banned: &BannedPeers) {
        let SourceState::Streaming(stream) = self.state else { return };
        while let Some(peer) = self.better.named.pop_front() {
            let me = [ctx.config.me, stream.peer];
            if me.contains(&peer) || banned.contains(&peer) || self.backoff.is_avoided(peer, ctx.now) {
                continue;
            }
            let until = ctx.now + ctx.config.timings.silence_timeout;
            self.state =
                SourceState::Probing(stream, self.dial(ctx, Candidate { peer, kind: SourceKind::Named }), until);
            return;
        }
    }
    /// Changes to a named machine that has delivered a chunk, or to one that the server has decided on.
    pub(super) fn replace_source(&mut self, ctx: &mut Context<'_>, old: Stream, new: Stream) {
        ctx.close(old.link, Reason::Done);
        if !self.is_told(new.peer) {
            self.backoff.record_failure(old.peer, ctx.now, &ctx.config.timings);
        }
        self.drop_reason = self.drop_reason.or(Some(Reason::Busy));
        self.state = SourceState::Connecting(Attempt::Requested(new));
    }
}
