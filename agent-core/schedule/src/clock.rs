//! The two times, and clocks that are put right.
//!
//! A verdict depends on the wall clock, so when that is stepped the verdict must be asked for again. A driver that can be told of
//! steps (`timerfd` with `TFD_TIMER_CANCEL_ON_SET`, `WM_TIMECHANGE`) uses that; any other looks with [`ClockWatch`]
//! whenever it is awake anyway.

use crate::{Seconds, local};
use banyan_proto::{
    UnixSeconds,
    schedule::{Choice, Night, Pause},
};
use jiff::tz::TimeZone;
use std::time::Duration;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The clock on the wall.
    pub wall: UnixSeconds,
    /// Monotonic time since the driver's start.
    pub mono: Duration,
}

/// Times as far as a zone can show them (until the year 9892); later ones count as that.
pub(crate) fn seconds(at: UnixSeconds) -> Seconds {
    i64::try_from(at.0).unwrap_or(i64::MAX).min(250_000_000_000)
}

pub(crate) fn unix(at: Seconds) -> UnixSeconds {
    UnixSeconds(u64::try_from(at).unwrap_or(0))
}

/// Notices that the wall clock was stepped.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    last: Moment,
}

/// Smaller differences are rounding and slewing.
const NOTICED: i64 = 3;

impl ClockWatch {
    /// Starts watching.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { last: now }
    }
    /// By how many seconds the wall clock has moved more (or, negative, less) than the monotonic one since the last step.
    /// None when it has not been stepped. Sleep that the monotonic clock does not count looks like a step forward.
    pub fn look(&mut self, now: Moment) -> Option<i64> {
        let wall = seconds(now.wall) - seconds(self.last.wall);
        let mono = i64::try_from(now.mono.saturating_sub(self.last.mono).as_secs()).unwrap_or(i64::MAX);
        let step = wall.saturating_sub(mono);
        if step.abs() < NOTICED {
            return None;
        }
        self.last = now;
        Some(step)
    }
}

/// Call it when the clock was stepped by so many seconds (as [`ClockWatch::look`] says), and with 0 at the start. Says
/// whether the choice was changed and has to be stored.
///
/// A pause that was asked for before a step back goes with it and does not become longer; after a step forward (or a sleep) it ends by
/// the clock on the wall. A pause from the future, left by a clock that was put back while nobody watched, is dropped: how
/// long it should last can no longer be known.
pub fn after_clock_step(choice: &mut Choice, now: UnixSeconds, by: i64) -> bool {
    let Some(pause) = &mut choice.pause else { return false };
    let (Pause::For { asked, .. } | Pause::UntilTomorrow { asked } | Pause::UntilResumed { asked }) = pause;
    let before = *asked;
    if by < 0 {
        *asked = UnixSeconds(asked.0.saturating_sub(by.unsigned_abs()));
    }
    let moved = *asked != before;
    let endless = matches!(pause, Pause::UntilResumed { .. });
    if !endless && pause.asked() > now.plus(FUTURE) {
        choice.pause = None;
        return true;
    }
    moved
}

/// A pause this far in the future (seconds) is not believed.
const FUTURE: u64 = 300;

/// When a pause ends; none when it does not by itself. `most` is the longest pause the policy allows (seconds).
pub(crate) fn pause_end(pause: Pause, most: Option<u32>, zone: &TimeZone) -> Option<Seconds> {
    let asked = seconds(pause.asked());
    let end = match pause {
        Pause::For { seconds, .. } => Some(asked + i64::from(seconds)),
        Pause::UntilTomorrow { .. } => Some(local::tomorrow_morning(zone, asked)),
        Pause::UntilResumed { .. } => None,
    };
    let most = most.map(|most| asked + i64::from(most));
    end.into_iter().chain(most).min()
}

/// "Tonight", as a time for [`banyan_proto::schedule::Wish::After`]: when these hours next begin, or now when they have.
#[must_use]
pub fn tonight(now: UnixSeconds, zone: &TimeZone, night: Night) -> UnixSeconds {
    let now = seconds(now);
    unix(local::next_open(&night.week(), zone, now).unwrap_or(now))
}

/// "Tomorrow": 06:00 of the next day.
#[must_use]
pub fn tomorrow(now: UnixSeconds, zone: &TimeZone) -> UnixSeconds {
    unix(local::tomorrow_morning(zone, seconds(now)))
}

/// The local day that this time falls on, as the ledger calls it: `2026-11-23`.
#[must_use]
pub fn day_name(now: UnixSeconds, zone: &TimeZone) -> String {
    local::day_name(local::day(zone, seconds(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, mono: u64) -> Moment {
        Moment { wall: UnixSeconds(wall), mono: Duration::from_secs(mono) }
    }

    #[test]
    fn steps_are_noticed_and_rounding_is_not() {
        let mut watch = ClockWatch::new(at(100_000, 0));
        assert_eq!(watch.look(at(100_060, 60)), None);
        assert_eq!(watch.look(at(100_121, 120)), None);
        assert_eq!(watch.look(at(100_120 - 3600, 120)), Some(-3600));
        assert_eq!(watch.look(at(100_121 - 3540, 180)), None, "told once");
        assert_eq!(watch.look(at(100_240 - 3600 + 7200, 240)), Some(7200));
    }

    #[test]
    fn a_pause_does_not_get_longer_by_a_step_back() {
        let mut choice = Choice { pause: Some(Pause::an_hour(UnixSeconds(100_000))), ..Choice::default() };
        // Ten minutes in, the clock is put back by two hours.
        assert!(after_clock_step(&mut choice, UnixSeconds(100_600 - 7200), -7200));
        let end = pause_end(choice.pause.unwrap(), None, &TimeZone::UTC).unwrap();
        assert_eq!(end - (100_600 - 7200), 3000, "fifty minutes are left");
        assert!(!after_clock_step(&mut choice, UnixSeconds(200_000), 100_000));
        assert!(choice.pause.is_some(), "past its end it does nothing anyway");
    }

    #[test]
    fn a_pause_from_the_future_is_dropped_at_the_start() {
        for (pause, kept) in [
            (Pause::an_hour(UnixSeconds(90_000_000)), false),
            (Pause::UntilTomorrow { asked: UnixSeconds(90_000_000) }, false),
            (Pause::UntilResumed { asked: UnixSeconds(90_000_000) }, true),
            (Pause::an_hour(UnixSeconds(100_100)), true),
        ] {
            let mut choice = Choice { pause: Some(pause), ..Choice::default() };
            assert_eq!(after_clock_step(&mut choice, UnixSeconds(100_000), 0), !kept, "{pause:?}");
            assert_eq!(choice.pause.is_some(), kept, "{pause:?}");
        }
    }
}
