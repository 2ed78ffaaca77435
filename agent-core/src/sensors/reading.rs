//! One value that a sensor reads, with its age.

use banyan_proto::local::Seen;
use banyan_schedule::{Moment, Signal};
use std::time::Duration;

/// A value, when it was read, and how long it is valid; without limit if changes are reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading<T> {
    pub(super) value: T,
    pub(super) at: Moment,
    pub(super) valid_for: Option<Duration>,
}

impl<T: Clone> Reading<T> {
    /// Returns a measured value.
    pub(super) fn measured(value: T, at: Moment, valid_for: Duration) -> Self {
        Self { value, at, valid_for: Some(valid_for) }
    }
    /// Returns a value whose changes are reported.
    pub(super) fn reported(value: T, at: Moment) -> Self {
        Self { value, at, valid_for: None }
    }
    fn is_fresh(&self, now: Moment) -> bool {
        self.valid_for.is_none_or(|valid_for| now.mono < self.at.mono + valid_for)
    }
    /// Returns the value for decisions.
    pub(super) fn to_signal(reading: Option<&Self>) -> Signal<T> {
        reading.map_or_else(Signal::unknown, |reading| {
            let seen = Signal::seen(reading.value.clone(), reading.at.mono);
            if let Some(valid_for) = reading.valid_for { seen.good_for(valid_for) } else { seen }
        })
    }
    /// Returns the value for display.
    pub(super) fn to_seen(reading: Option<&Self>, now: Moment, overruled: bool, may_overrule: bool) -> Seen<T> {
        let fresh = reading.filter(|reading| reading.is_fresh(now));
        Seen {
            value: fresh.map(|reading| reading.value.clone()),
            at: reading.map(|reading| reading.at.wall),
            overruled: overruled && may_overrule,
            may_overrule,
        }
    }
}
