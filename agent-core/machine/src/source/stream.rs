//! One source that was asked for a stripe, and how it does (rules P7, P8).

use crate::{
    config::Timings,
    io::{Link, Now},
    source::rate::Rate,
};
use banyan_proto::{MachineId, Reason};

/// What a source is to us; decides whether it lets us wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Stands above us in this stripe's tree: we may wait there for chunks it lacks too.
    Ancestor,
    /// Holds everything, lets everyone wait, and is asked last.
    Server,
    /// Any other machine: it gives what it holds, then we go on to the next.
    Holder,
}

/// A pull that has been sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stream {
    pub(crate) link: Link,
    pub(crate) peer: MachineId,
    pub(crate) kind: Kind,
    /// It said that it serves, or a chunk came; until then we stand in its queue.
    pub(crate) serving: bool,
    /// When anything last came from it (or it was asked).
    pub(crate) heard: Now,
    /// How many chunks it says it holds.
    pub(crate) watermark: u32,
    /// Since when it has, without a break, held chunks that we lack.
    pub(crate) ahead_since: Option<Now>,
    /// A heartbeat said that it had nothing for us.
    pub(crate) dry: bool,
}

/// How a source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Kept.
    Good,
    /// Nothing at all comes: it is left.
    Silent,
    /// It could deliver and does not: it is left if there is anybody else.
    Slow(Reason),
}

impl Stream {
    pub(crate) fn new(link: Link, peer: MachineId, kind: Kind, now: Now) -> Self {
        Self { link, peer, kind, serving: false, heard: now, watermark: 0, ahead_since: None, dry: false }
    }
    /// Updates since when it is ahead of us.
    pub(crate) fn compare(&mut self, held: u32, now: Now) {
        self.ahead_since = (self.watermark > held).then(|| self.ahead_since.unwrap_or(now));
    }
    /// How long it may be ahead without delivering.
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
    /// When to judge again, if nothing comes.
    pub(crate) fn wake(&self, rate: &Rate, now: Now, timings: &Timings) -> Now {
        let silent = self.heard + timings.silent;
        match self.ahead_since.map(|since| since + self.patience(rate, timings)) {
            Some(slow) if slow > now => silent.min(slow),
            _ => silent,
        }
    }
}
