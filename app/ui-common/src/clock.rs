//! The time, and the zone in which times are shown.

use banyan_proto::{UnixSeconds, local::Snapshot};
use banyan_schedule::sentences::ReaderTime;
use jiff::{Timestamp, Zoned, fmt::temporal::DateTimeParser, tz::TimeZone};

/// The current time and the zone for showing times. The zone is the agent's, because schedules refer to its hours.
#[derive(Debug, Clone)]
pub struct Clock {
    /// The current time.
    pub now: UnixSeconds,
    /// The zone in which times are shown.
    pub zone: TimeZone,
}

impl Clock {
    /// Returns a clock in the agent's zone, or in this program's zone when the agent's is unknown.
    #[must_use]
    pub fn of(snapshot: Option<&Snapshot>, now: UnixSeconds) -> Self {
        let zone = snapshot.and_then(|snapshot| DateTimeParser::new().parse_time_zone(&snapshot.about.zone).ok());
        Self { now, zone: zone.unwrap_or_else(TimeZone::system) }
    }
    /// Converts a time to local time.
    #[must_use]
    pub fn local(&self, at: UnixSeconds) -> Zoned {
        let at = i64::try_from(at.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.unwrap_or_default().to_zoned(self.zone.clone())
    }
    /// Returns the current day of the week (0 = Monday) and hour.
    #[must_use]
    pub fn day_and_hour(&self) -> (usize, usize) {
        let now = self.local(self.now);
        let part = |number: i8| usize::try_from(number).unwrap_or_default();
        (part(now.weekday().to_monday_zero_offset()), part(now.hour()))
    }
    /// Returns the clock in the form that [`banyan_schedule::sentences`] takes.
    #[must_use]
    pub fn here(&self) -> ReaderTime<'_> {
        ReaderTime { zone: &self.zone, now: self.now }
    }
}

// Two attributes instead of `all(…)`, so that `xtask import-cycles` recognises a test.
#[cfg(test)]
#[cfg(feature = "sample")]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_agents_zone_however_it_is_named() {
        // 23 November 2026, 12:00 UTC, and half a year earlier.
        let (winter, summer) = (UnixSeconds(1_795_435_200), UnixSeconds(1_779_710_400));
        let mut snapshot = crate::sample_data::quiet();
        for (zone, hours) in [
            ("Europe/Berlin", (13, 14)),
            ("CET-1CEST,M3.5.0,M10.5.0/3", (13, 14)),
            ("+05:00", (17, 17)),
            ("UTC", (12, 12)),
        ] {
            zone.clone_into(&mut snapshot.about.zone);
            let clock = Clock::of(Some(&snapshot), winter);
            assert_eq!((clock.local(winter).hour(), clock.local(summer).hour()), hours, "{zone}");
        }
        snapshot.about.zone.clear();
        assert_eq!(Clock::of(Some(&snapshot), winter).zone, TimeZone::system());
    }
}
