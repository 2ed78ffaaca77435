//! The wall clock and the monotonic clock, and steps of the wall clock.
//!
//! A verdict depends on the wall clock, so a step requires a new one. A driver that the system can notify of steps
//! (`timerfd` with `TFD_TIMER_CANCEL_ON_SET`, `WM_TIMECHANGE`) uses that. Any other driver checks with [`ClockWatch`]
//! whenever it is awake.

use crate::{Seconds, local_time};
use banyan_proto::{
    UnixSeconds,
    schedule::{Choice, Night, Pause},
};
use jiff::tz::TimeZone;
use std::time::Duration;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall-clock time.
    pub wall: UnixSeconds,
    /// Monotonic time since the driver's start.
    pub mono: Duration,
}

/// Converts a time, limited to what a time zone can represent (until the year 9892).
pub(crate) fn seconds(at: UnixSeconds) -> Seconds {
    i64::try_from(at.0).unwrap_or(i64::MAX).min(250_000_000_000)
}

pub(crate) fn unix(at: Seconds) -> UnixSeconds {
    UnixSeconds(u64::try_from(at).unwrap_or(0))
}

/// Detects steps of the wall clock.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    last: Moment,
}

/// The smallest difference that counts as a step (seconds). Smaller ones are rounding and slewing.
const MIN_STEP: i64 = 3;

impl ClockWatch {
    /// Starts watching.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { last: now }
    }
    /// Returns by how many seconds the wall clock has moved ahead of the monotonic one since the last step (negative:
    /// behind). Returns `None` without a step. Sleep that the monotonic clock does not count looks like a step forward.
    pub fn detect_step(&mut self, now: Moment) -> Option<i64> {
        let wall = seconds(now.wall) - seconds(self.last.wall);
        let mono = i64::try_from(now.mono.saturating_sub(self.last.mono).as_secs()).unwrap_or(i64::MAX);
        let step = wall.saturating_sub(mono);
        if step.abs() < MIN_STEP {
            return None;
        }
        self.last = now;
        Some(step)
    }
}

/// Adjusts the choice after the clock was stepped by this many seconds (the result of [`ClockWatch::detect_step`]; 0 at
/// the start). Returns whether the choice changed and must be stored.
///
/// After a step back, an earlier pause moves back with the clock, so that it does not become longer. After a step
/// forward or a sleep, the pause ends by the wall clock. A pause from the future is dropped: the clock was set back
/// while the program was not running, so the pause's remaining length is unknown.
pub fn adjust_to_clock_step(choice: &mut Choice, now: UnixSeconds, by: i64) -> bool {
    let Some(pause) = &mut choice.pause else { return false };
    let (Pause::For { asked, .. } | Pause::UntilTomorrow { asked } | Pause::UntilResumed { asked }) = pause;
    let before = *asked;
    if by < 0 {
        *asked = UnixSeconds(asked.0.saturating_sub(by.unsigned_abs()));
    }
    let moved = *asked != before;
    let endless = matches!(pause, Pause::UntilResumed { .. });
    if !endless && pause.asked() > now.plus(MAX_FUTURE) {
        choice.pause = None;
        return true;
    }
    moved
}

/// A pause from further in the future than this is dropped (seconds).
const MAX_FUTURE: u64 = 300;

/// Returns when a pause ends; `None` if it has no end. `most` is the longest pause that the policy allows (seconds).
pub(crate) fn pause_end(pause: Pause, most: Option<u32>, zone: &TimeZone) -> Option<Seconds> {
    let asked = seconds(pause.asked());
    let end = match pause {
        Pause::For { seconds, .. } => Some(asked + i64::from(seconds)),
        Pause::UntilTomorrow { .. } => Some(local_time::tomorrow_morning(zone, asked)),
        Pause::UntilResumed { .. } => None,
    };
    let most = most.map(|most| asked + i64::from(most));
    end.into_iter().chain(most).min()
}

/// Returns "tonight" for [`banyan_proto::schedule::Wish::After`]: when the night hours next begin, or now during them.
#[must_use]
pub fn tonight(now: UnixSeconds, zone: &TimeZone, night: Night) -> UnixSeconds {
    let now = seconds(now);
    unix(local_time::next_open(&night.week(), zone, now).unwrap_or(now))
}

/// Returns "tomorrow": 06:00 on the next day.
#[must_use]
pub fn tomorrow(now: UnixSeconds, zone: &TimeZone) -> UnixSeconds {
    unix(local_time::tomorrow_morning(zone, seconds(now)))
}

/// Returns the local day that contains this time, as in the usage history: `2026-11-23`.
#[must_use]
pub fn day_name(now: UnixSeconds, zone: &TimeZone) -> String {
    local_time::day_name(local_time::day(zone, seconds(now)))
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
        assert_eq!(watch.detect_step(at(100_060, 60)), None);
        assert_eq!(watch.detect_step(at(100_121, 120)), None);
        assert_eq!(watch.detect_step(at(100_120 - 3600, 120)), Some(-3600));
        assert_eq!(watch.detect_step(at(100_121 - 3540, 180)), None, "reported once");
        assert_eq!(watch.detect_step(at(100_240 - 3600 + 7200, 240)), Some(7200));
    }

    #[test]
    fn a_clock_step_back_does_not_lengthen_a_pause() {
        let mut choice = Choice { pause: Some(Pause::an_hour(UnixSeconds(100_000))), ..Choice::default() };
        // Ten minutes in, the clock is set back by two hours.
        assert!(adjust_to_clock_step(&mut choice, UnixSeconds(100_600 - 7200), -7200));
        let end = pause_end(choice.pause.unwrap(), None, &TimeZone::UTC).unwrap();
        assert_eq!(end - (100_600 - 7200), 3000, "fifty minutes are left");
        assert!(!adjust_to_clock_step(&mut choice, UnixSeconds(200_000), 100_000));
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
            assert_eq!(adjust_to_clock_step(&mut choice, UnixSeconds(100_000), 0), !kept, "{pause:?}");
            assert_eq!(choice.pause.is_some(), kept, "{pause:?}");
        }
    }
}
