//! One source that was asked for a stripe, and the assessment of its delivery (rules P7, P8).

use crate::{
    config::Timings,
    io::{Link, Now},
    source::delivery_rate::Rate,
};
use banyan_proto::{MachineId, Reason};

/// The source's relation to this machine; it decides whether the source lets this machine wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Above this machine in the stripe's tree: this machine may also wait there for chunks it lacks.
    Ancestor,
    /// Holds everything, lets every machine wait, and is asked last.
    Server,
    /// Any other machine: it sends the chunks it holds, then this machine moves on to the next source.
    Holder,
}

/// A pull that has been sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stream {
    pub(crate) link: Link,
    pub(crate) peer: MachineId,
    pub(crate) kind: Kind,
    /// The source answered that it serves, or a chunk arrived; until then the pull is in its queue.
    pub(crate) serving: bool,
    /// When the source last sent anything (or when it was asked).
    pub(crate) heard: Now,
    /// How many chunks the source reports to hold.
    pub(crate) watermark: u32,
    /// Since when the source has continuously held chunks that this machine lacks.
    pub(crate) ahead_since: Option<Now>,
    /// A heartbeat reported that the source has nothing for this machine.
    pub(crate) dry: bool,
}

/// The assessment of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The source is kept.
    Good,
    /// Nothing at all arrives: the source is dropped.
    Silent,
    /// The source could deliver but does not: it is dropped if there is another.
    Slow(Reason),
}

impl Stream {
    pub(crate) fn new(link: Link, peer: MachineId, kind: Kind, now: Now) -> Self {
        Self { link, peer, kind, serving: false, heard: now, watermark: 0, ahead_since: None, dry: false }
    }
    /// Updates the time since when the source is ahead of this machine.
    pub(crate) fn compare(&mut self, held: u32, now: Now) {
        self.ahead_since = (self.watermark > held).then(|| self.ahead_since.unwrap_or(now));
    }
    /// Returns how long the source may be ahead without delivering.
    fn patience(&self, rate: &Rate, timings: &Timings) -> std::time::Duration {
        match self.serving {
            false => timings.queued,
            true => rate.window(timings.stalled).unwrap_or(timings.first_chunk),
        }
    }
    pub(crate) fn judge(&self, rate: &Rate, now: Now, timings: &Timings) -> Verdict {
        if now.saturating_sub(self.heard) >= timings.silent {
            return Verdict::Silent;
        }
        let patience = self.patience(rate, timings);
        match self.ahead_since {
            Some(since) if now.saturating_sub(since) >= patience && (!self.serving || rate.slow(now, patience)) => {
                Verdict::Slow(Reason::Busy)
            }
            _ => Verdict::Good,
        }
    }
    /// Returns when to assess the source again if nothing arrives.
    pub(crate) fn wake(&self, rate: &Rate, now: Now, timings: &Timings) -> Now {
        let silent = self.heard + timings.silent;
        match self.ahead_since.map(|since| since + self.patience(rate, timings)) {
            Some(slow) if slow > now => silent.min(slow),
            _ => silent,
        }
    }
}
