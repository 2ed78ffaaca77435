//! One source that was asked for a stripe, and the assessment of its delivery (rules P7, P8).

use crate::{
    config::Timings,
    io::{Link, Now},
    source::{Candidate, delivery_rate::Rate},
};
use banyan_proto::{MachineId, Reason};
use std::time::Duration;

/// The source's relation to this machine; it decides whether the source lets this machine wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// Above this machine in the stripe's tree: this machine may also wait there for chunks it lacks.
    Ancestor,
    /// Holds everything, lets every machine wait, and is asked last.
    Server,
    /// A machine that the server named as a better source.
    Named,
    /// Any other machine: it sends the chunks it holds, then this machine moves on to the next source.
    Holder,
}

/// A pull that has been sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stream {
    pub(crate) link: Link,
    pub(crate) peer: MachineId,
    pub(crate) kind: SourceKind,
    /// The source answered that it serves, or a chunk arrived; until then the pull is in its queue.
    pub(crate) serving: bool,
    /// When the source last sent anything (or when it was asked).
    pub(crate) last_heard: Now,
    /// When the source last sent bytes of a chunk (or when it began to serve).
    pub(crate) last_content: Now,
    /// When the source last delivered a whole chunk (or when it was asked).
    pub(crate) last_chunk: Now,
    /// How many chunks the source reports to hold.
    pub(crate) watermark: u32,
    /// Since when the source has continuously held chunks that this machine lacks.
    pub(crate) ahead_since: Option<Now>,
    /// A heartbeat reported that the source has nothing for this machine.
    pub(crate) has_nothing_new: bool,
}

/// The assessment of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assessment {
    /// The source is kept.
    Good,
    /// Nothing at all arrives: the source is dropped.
    Silent,
    /// The source could deliver but does not: it is dropped if there is another.
    Slow(Reason),
}

impl Stream {
    pub(crate) fn new(link: Link, candidate: Candidate, now: Now) -> Self {
        let Candidate { peer, kind } = candidate;
        Self {
            link,
            peer,
            kind,
            serving: false,
            last_heard: now,
            last_content: now,
            last_chunk: now,
            watermark: 0,
            ahead_since: None,
            has_nothing_new: false,
        }
    }
    pub(crate) fn candidate(&self) -> Candidate {
        Candidate { peer: self.peer, kind: self.kind }
    }
    /// Updates the time since when the source is ahead of this machine.
    pub(crate) fn update_ahead(&mut self, held: u32, now: Now) {
        self.ahead_since = (self.watermark > held).then(|| self.ahead_since.unwrap_or(now));
    }
    /// Records that bytes of a chunk are arriving: the source holds that chunk, whatever its heartbeats say.
    pub(crate) fn record_content(&mut self, now: Now) {
        self.last_content = now;
        self.ahead_since = self.ahead_since.or(Some(now));
    }
    /// Returns how long the source may be ahead without delivering.
    fn stall_limit(&self, rate: &Rate, timings: &Timings) -> Duration {
        match self.serving {
            false => timings.queue_timeout,
            true => rate.observation_window(timings.stall_timeout).unwrap_or(timings.first_chunk_timeout),
        }
    }
    /// Returns when the source counts as withholding its chunks if no byte of content arrives until then. While the usual
    /// rate is unknown, such a source gets less time than one whose chunks take long.
    fn withholds_at(&self, rate: &Rate, timings: &Timings) -> Option<Now> {
        let is_unknown = rate.observation_window(timings.stall_timeout).is_none();
        let since = self.ahead_since.filter(|_| self.serving && is_unknown)?;
        Some(since.max(self.last_content) + timings.content_timeout)
    }
    pub(crate) fn assess(&self, rate: &Rate, now: Now, timings: &Timings) -> Assessment {
        if now.saturating_sub(self.last_heard) >= timings.silence_timeout {
            return Assessment::Silent;
        }
        let stall_limit = self.stall_limit(rate, timings);
        let is_stalled = self.ahead_since.is_some_and(|since| now >= since + stall_limit)
            && (!self.serving || rate.is_slow(now, stall_limit));
        let withholds = self.withholds_at(rate, timings).is_some_and(|at| now >= at);
        if is_stalled || withholds { Assessment::Slow(Reason::Busy) } else { Assessment::Good }
    }
    /// Returns when to assess the source again if nothing arrives.
    pub(crate) fn next_wake(&self, rate: &Rate, now: Now, timings: &Timings) -> Now {
        let silent = self.last_heard + timings.silence_timeout;
        let stalled = self.ahead_since.map(|since| since + self.stall_limit(rate, timings));
        let slow = [stalled, self.withholds_at(rate, timings)].into_iter().flatten().filter(|at| *at > now);
        slow.fold(silent, Now::min)
    }
}
