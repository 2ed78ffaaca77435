//! A week as half-hours that are open or closed, and its text form: `Mon-Fri 22:00-06:00, Sat 10:00-12:00`.
//!
//! The unit is a half-hour because some schools and shops open at half past. A user interface can show whole hours, two
//! cells at a time. A cell refers to local clock time. When daylight saving repeats an hour, its cells apply twice;
//! when it skips an hour, its cells do not occur that day. So 22:00–06:00 lasts seven or nine hours in those two
//! nights. A window that begins in a skipped hour opens at the end of that hour.

use super::window::WindowError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Cells in a day.
const DAY: usize = 48;
const ALL_DAY: u64 = (1 << DAY) - 1;
const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The open half-hours of a week in local time. Days count from 0 = Monday, half-hours from 0 = 00:00.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Week {
    /// Bit *n* of a day is its half-hour *n*.
    days: [u64; 7],
}

impl Week {
    /// Never open.
    pub const NEVER: Self = Self { days: [0; 7] };
    /// Always open.
    pub const ALWAYS: Self = Self { days: [ALL_DAY; 7] };

    /// Returns whether a half-hour is open. `day` counts from 0 = Monday, `half_hour` from 0 = 00:00; both wrap around.
    #[must_use]
    pub fn is_open(&self, day: usize, half_hour: usize) -> bool {
        self.days[day % 7] >> (half_hour % DAY) & 1 == 1
    }
    /// Opens or closes one half-hour.
    pub fn set(&mut self, day: usize, half_hour: usize, open: bool) {
        let bit = 1 << (half_hour % DAY);
        let day = &mut self.days[day % 7];
        *day = if open { *day | bit } else { *day & !bit };
    }
    /// Returns the half-hours that are open in both weeks.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { days: std::array::from_fn(|day| self.days[day] & other.days[day]) }
    }
    /// Returns the number of open half-hours in the week.
    #[must_use]
    pub fn open_half_hours(&self) -> u32 {
        self.days.iter().map(|day| day.count_ones()).sum()
    }
    /// Opens the half-hours `from..to` of a day. If `to` is not after `from`, it refers to the next day.
    pub(super) fn open_span(&mut self, day: usize, from: usize, to: usize) {
        let end = if to > from { to } else { to + DAY };
        for cell in from..end {
            self.set(day + cell / DAY, cell, true);
        }
    }
    /// Returns the open spans as (day, from, to) in half-hours. A span shorter than a day is one entry, even across
    /// midnight. Longer spans are split at midnight.
    fn spans(&self) -> Vec<(usize, usize, usize)> {
        let open = |at: usize| self.is_open(at / DAY, at);
        let mut spans = Vec::new();
        if *self == Self::ALWAYS {
            return (0..7).map(|day| (day, 0, DAY)).collect();
        }
        for start in (0..7 * DAY).filter(|&at| open(at) && !open(at + 7 * DAY - 1)) {
            let length = (0..).take_while(|n| open(start + n)).count();
            let (from, end) = (start % DAY, start % DAY + length);
            if length < DAY {
                spans.push((start / DAY, from, if end > DAY { end - DAY } else { end }));
                continue;
            }
            for day in 0..end.div_ceil(DAY) {
                let (first, last) = (if day == 0 { from } else { 0 }, (end - day * DAY).min(DAY));
                spans.push(((start / DAY + day) % 7, first, last));
            }
        }
        spans
    }
}

impl fmt::Debug for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Week({self})")
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<((usize, usize), [bool; 7])> = Vec::new();
        for (day, from, to) in self.spans() {
            let at = groups.iter().position(|(hours, _)| *hours == (from, to)).unwrap_or_else(|| {
                groups.push(((from, to), [false; 7]));
                groups.len() - 1
            });
            groups[at].1[day] = true;
        }
        if groups.is_empty() {
            return f.write_str("never");
        }
        for (n, ((from, to), days)) in groups.iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} {}-{}", day_ranges(days), clock(*from), clock(*to))?;
        }
        Ok(())
    }
}

/// Formats days as ranges, such as `Mon-Fri,Sun`.
fn day_ranges(days: &[bool; 7]) -> String {
    let mut texts = Vec::new();
    let mut day = 0;
    while day < 7 {
        let length = days[day..].iter().take_while(|on| **on).count();
        match length {
            0 => day += 1,
            1 => texts.push(NAMES[day].to_owned()),
            _ => texts.push(format!("{}-{}", NAMES[day], NAMES[day + length - 1])),
        }
        day += length;
    }
    texts.join(",")
}

/// Formats a number of half-hours as a time of day, such as `22:30`.
fn clock(half_hours: usize) -> String {
    format!("{:02}:{}", half_hours / 2, if half_hours.is_multiple_of(2) { "00" } else { "30" })
}

/// Parses the English name of a day, or its first three letters or more, and returns its number (0 = Monday).
pub(super) fn day(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let full = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    full.iter()
        .position(|name| lower.len() >= 3 && name.starts_with(&lower))
        .ok_or_else(|| format!("{:?} is not a day (Mon, Tue, Wed, Thu, Fri, Sat, Sun)", text.trim()))
}

/// Parses a time of day such as `22`, `22:00` or `22:30`, at most 24:00, and returns it in half-hours.
pub(super) fn half_hours(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a time of day (00:00 to 24:00)");
    let number = |part: &str| -> Result<usize, String> {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| digits).ok_or_else(wrong)
    };
    let (hour, minute) = match text.split_once(':') {
        Some((hour, minute)) => (number(hour)?, number(minute)?),
        None => (number(text)?, 0),
    };
    if hour > 24 || minute > 59 || (hour == 24 && minute > 0) {
        return Err(wrong());
    }
    match minute {
        0 => Ok(hour * 2),
        30 => Ok(hour * 2 + 1),
        _ => Err(format!("{text:?} is not on the hour or half-hour")),
    }
}

/// Parses a span such as `22:00-06:00` and returns its start and end in half-hours.
pub(super) fn hours(text: &str) -> Result<(usize, usize), String> {
    let (from, to) = text.split_once('-').ok_or_else(|| format!("{:?} has no end (22:00-06:00)", text.trim()))?;
    let (from, to) = (half_hours(from)?, half_hours(to)?);
    if from == DAY {
        return Err("24:00 is an end; start at 00:00 of the next day".to_owned());
    }
    if from == to % DAY && !(from == 0 && to == DAY) {
        return Err("it begins and ends at the same time; for a whole day use 00:00-24:00".to_owned());
    }
    Ok((from, to))
}

/// The hours that count as night, the same every day. The text form is, for example, `22:00-06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Night {
    from: u8,
    to: u8,
}

impl Night {
    /// Returns the night hours as a week.
    #[must_use]
    pub fn week(self) -> Week {
        let mut week = Week::NEVER;
        (0..7).for_each(|day| week.open_span(day, self.from.into(), self.to.into()));
        week
    }
}
impl Default for Night {
    /// 22:00–06:00.
    fn default() -> Self {
        Self { from: 44, to: 12 }
    }
}
impl fmt::Display for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", clock(self.from.into()), clock(self.to.into()))
    }
}
impl From<Night> for String {
    fn from(night: Night) -> String {
        night.to_string()
    }
}
impl std::str::FromStr for Night {
    type Err = WindowError;
    fn from_str(text: &str) -> Result<Self, WindowError> {
        let (from, to) = hours(text).map_err(|wrong| WindowError::new(text, wrong))?;
        let cell = |n: usize| u8::try_from(n).expect("a day has 48 half-hours");
        Ok(Self { from: cell(from), to: cell(to) })
    }
}
impl TryFrom<String> for Night {
    type Error = WindowError;
    fn try_from(text: String) -> Result<Self, WindowError> {
        text.parse()
    }
}
