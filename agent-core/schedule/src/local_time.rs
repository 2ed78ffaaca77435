//! Local time: when weekly windows open and close, and when days begin.
//!
//! A half-hour is open whenever the wall clock shows it. Between two changes of the UTC offset, local time runs evenly.
//! The functions here therefore go from one offset change to the next and count seconds in between. They never convert
//! an ambiguous local time to an instant, so skipped or repeated hours and changes at midnight need no special case.

use crate::Seconds;
use banyan_proto::schedule::Week;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

const DAY: i64 = 86_400;
const HALF_HOUR: i64 = 1_800;
/// How far ahead to search for an edge. A weekly window can miss two weeks in a row (its hour is skipped in one, its
/// day in the other). A window that does not open for three weeks never opens.
const HORIZON: Seconds = 22 * DAY;

/// Returns the UTC offset (seconds), and until when it applies.
fn offset_and_end(zone: &TimeZone, at: Seconds) -> (i64, Seconds) {
    let at = timestamp(at);
    let until = zone.following(at).next().map_or(Seconds::MAX, |change| change.timestamp().as_second());
    (i64::from(zone.to_offset(at).seconds()), until)
}

fn timestamp(at: Seconds) -> Timestamp {
    // Stays slightly inside the range that every zone can represent.
    const FIRST: i64 = -300_000_000_000;
    const LAST: i64 = 250_000_000_000;
    Timestamp::from_second(at.clamp(FIRST, LAST)).expect("a time within the range of time stamps")
}

/// Returns local seconds since 1970-01-01T00:00 local time.
fn local_seconds(zone: &TimeZone, at: Seconds) -> i64 {
    let at = timestamp(at);
    at.as_second() + i64::from(zone.to_offset(at).seconds())
}

fn is_open_at_local(week: &Week, local: i64) -> bool {
    // 1970-01-01 was a Thursday: day 3 when Monday is 0.
    let day = (local.div_euclid(DAY) + 3).rem_euclid(7);
    let half_hour = local.rem_euclid(DAY) / HALF_HOUR;
    week.is_open(usize::try_from(day).unwrap_or(0), usize::try_from(half_hour).unwrap_or(0))
}

/// Returns whether the week is open at this time.
pub(crate) fn is_open(week: &Week, zone: &TimeZone, at: Seconds) -> bool {
    is_open_at_local(week, local_seconds(zone, at))
}

/// Returns when the week next opens or closes after this time; `None` if it never does.
pub(crate) fn next_edge(week: &Week, zone: &TimeZone, at: Seconds) -> Option<Seconds> {
    if *week == Week::ALWAYS || *week == Week::NEVER {
        return None;
    }
    let before = is_open(week, zone, at);
    let mut from = at;
    while from < at.saturating_add(HORIZON) {
        let (offset, until) = offset_and_end(zone, from);
        let mut half_hour = (from + offset).div_euclid(HALF_HOUR) * HALF_HOUR;
        while half_hour - offset < until && half_hour < from + offset + HORIZON {
            // The half-hour that contains `from` has the same state as before.
            if is_open_at_local(week, half_hour) != before {
                return Some(half_hour - offset);
            }
            half_hour += HALF_HOUR;
        }
        if until == Seconds::MAX {
            return None;
        }
        if is_open_at_local(week, local_seconds(zone, until)) != before {
            return Some(until);
        }
        from = until;
    }
    None
}

/// Returns when the week is next open, from this time on; `None` if never.
pub(crate) fn next_open(week: &Week, zone: &TimeZone, at: Seconds) -> Option<Seconds> {
    if is_open(week, zone, at) { Some(at) } else { next_edge(week, zone, at) }
}

/// Returns the local day, as days since 1970-01-01.
pub(crate) fn day(zone: &TimeZone, at: Seconds) -> i64 {
    local_seconds(zone, at).div_euclid(DAY)
}

/// Returns the first instant whose local day is after the given one, searching from `at`.
pub(crate) fn day_after_begins(zone: &TimeZone, at: Seconds, day_number: i64) -> Seconds {
    first_at(zone, at, (day_number + 1) * DAY)
}

/// Returns 06:00 on the day after the one that contains `at`.
pub(crate) fn tomorrow_morning(zone: &TimeZone, at: Seconds) -> Seconds {
    first_at(zone, at, (day(zone, at) + 1) * DAY + 6 * 3600)
}

/// Returns the first instant, from `at` on, at which the wall clock shows this local time or a later one.
fn first_at(zone: &TimeZone, at: Seconds, local: i64) -> Seconds {
    let mut from = at;
    loop {
        let (offset, until) = offset_and_end(zone, from);
        let there = (local - offset).max(from);
        if there < until || until == Seconds::MAX {
            return there;
        }
        from = until;
    }
}

/// Formats a day as `2026-11-23`.
pub(crate) fn day_name(day: i64) -> String {
    timestamp(day.saturating_mul(DAY)).to_zoned(TimeZone::UTC).date().to_string()
}

/// Parses a day such as `2026-11-23`.
pub(crate) fn day_of_name(name: &str) -> Option<i64> {
    let date: Date = name.parse().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second().div_euclid(DAY))
}

/// Returns the local hour and minute.
pub(crate) fn clock(zone: &TimeZone, at: Seconds) -> (i64, i64) {
    let minutes = local_seconds(zone, at).rem_euclid(DAY) / 60;
    (minutes / 60, minutes % 60)
}

/// Returns the day of the week.
pub(crate) fn weekday(day: i64) -> &'static str {
    match (day + 3).rem_euclid(7) {
        0 => "Monday",
        1 => "Tuesday",
        2 => "Wednesday",
        3 => "Thursday",
        4 => "Friday",
        5 => "Saturday",
        _ => "Sunday",
    }
}
