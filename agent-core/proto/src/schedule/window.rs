//! Transfer windows: the text form that `--window`, orders, policies and user preferences share.

use super::week::{Week, day, hours};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest text accepted, in bytes. The longest text that [`Window`] writes is shorter.
const TEXT_BYTES: usize = 8 << 10;

/// When a machine may transfer. The text form is also the wire form: `any`, `idle`, `night`, `never` or, for example,
/// `Mon-Fri 22:00-06:00`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Window {
    /// Any time.
    #[default]
    Any,
    /// While the processor is quiet and the machine is not in use.
    Idle,
    /// During the night hours, which the user's choice or the administrator's policy defines separately.
    Night,
    /// During these half-hours of each week.
    Weekly(Week),
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Idle => f.write_str("idle"),
            Self::Night => f.write_str("night"),
            Self::Weekly(week) => week.fmt(f),
        }
    }
}

impl From<Window> for String {
    fn from(window: Window) -> String {
        window.to_string()
    }
}
impl TryFrom<String> for Window {
    type Error = WindowError;
    fn try_from(text: String) -> Result<Self, WindowError> {
        text.parse()
    }
}

impl FromStr for Window {
    type Err = WindowError;
    /// Parses a window. Commas separate spans, which add up. Days can be omitted (every day), given as ranges, or
    /// listed before one span (`Mon,Wed 22:00-06:00`). A span whose end is not after its start ends on the next day.
    fn from_str(text: &str) -> Result<Self, WindowError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "any" => Ok(Self::Any),
            "idle" => Ok(Self::Idle),
            "night" => Ok(Self::Night),
            "never" => Ok(Self::Weekly(Week::NEVER)),
            _ if text.len() > TEXT_BYTES => Err(WindowError::new("…", "the text is too long")),
            _ => week(text).map(Self::Weekly).map_err(|wrong| WindowError::new(text, wrong)),
        }
    }
}

fn week(text: &str) -> Result<Week, String> {
    let mut week = Week::NEVER;
    let (mut days, mut spans) = ([false; 7], 0);
    for part in text.split(',') {
        let begins = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
        let (names, times) = part.split_at(begins);
        add_days(&mut days, names)?;
        if times.is_empty() {
            continue;
        }
        let (from, to) = hours(times)?;
        let every_day = !days.contains(&true);
        (0..7).filter(|&day| every_day || days[day]).for_each(|day| week.open_span(day, from, to));
        (days, spans) = ([false; 7], spans + 1);
    }
    if days.contains(&true) || spans == 0 { Err("the hours are missing".to_owned()) } else { Ok(week) }
}

/// Parses `Mon`, `Mon-Fri`, `Fri-Mon` or the empty text.
fn add_days(days: &mut [bool; 7], text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let span = (last + 7 - first) % 7;
    (first..=first + span).for_each(|day| days[day % 7] = true);
    Ok(())
}

/// A text that is not a valid transfer window. The message says what is wrong and shows a valid form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid transfer window: {wrong}. Use any, idle, night, or days and hours, as in \
     \"Mon-Fri 22:00-06:00\""
)]
pub struct WindowError {
    text: String,
    wrong: String,
}

impl WindowError {
    pub(super) fn new(text: &str, wrong: impl Into<String>) -> Self {
        Self { text: text.chars().take(80).collect(), wrong: wrong.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Night;

    fn open(text: &str) -> u32 {
        match text.parse().unwrap() {
            Window::Weekly(week) => week.open_half_hours(),
            other => panic!("{text} was parsed as {other}"),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read_again() {
        for (text, shown) in [
            ("any", "any"),
            (" Idle ", "idle"),
            ("NIGHT", "night"),
            ("never", "never"),
            ("Mon-Fri 22:00-06:00", "Mon-Fri 22:00-06:00"),
            ("22-6", "Mon-Sun 22:00-06:00"),
            ("friday 9:30-24:00", "Fri 09:30-24:00"),
            ("mon,wed 10-12,sat 10-12", "Mon,Wed,Sat 10:00-12:00"),
            ("Fri-Mon 12:00-13:00", "Mon,Fri-Sun 12:00-13:00"),
            ("Mon-Sun 00:00-24:00", "Mon-Sun 00:00-24:00"),
            ("Sat-Sun 00:00-24:00", "Sat-Sun 00:00-24:00"),
            ("Sun 23:00-01:00", "Sun 23:00-01:00"),
            ("Fri 18:00-24:00, Sat-Sun 0-24, Mon 0-6", "Fri 18:00-24:00, Sat-Sun 00:00-24:00, Mon 00:00-06:00"),
            ("Mon 10-12, Mon 11-13", "Mon 10:00-13:00"),
        ] {
            let window: Window = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(window.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Window>().unwrap(), window, "{text}");
            let json = serde_json::to_string(&window).unwrap();
            assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
        }
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_it_begins_on() {
        let Window::Weekly(week) = "Mon-Fri 22:00-06:00".parse().unwrap() else { panic!() };
        assert_eq!(week.open_half_hours(), 5 * 16);
        assert!(!week.is_open(0, 11), "Monday 05:30 belongs to the night that starts on Sunday");
        assert!(week.is_open(0, 44) && week.is_open(5, 11), "Monday 22:00 to Saturday 06:00");
        assert!(!week.is_open(5, 12) && !week.is_open(5, 44));
        assert_eq!(Night::default().week().open_half_hours(), 7 * 16);
        assert_eq!(open("00:00-24:00"), 336);
    }

    #[test]
    fn what_is_no_window_is_refused_with_what_is_wrong() {
        for (text, wrong) in [
            ("", "the hours are missing"),
            (",", "the hours are missing"),
            ("Mon 24:00-06:00", "24:00 is an end"),
            ("sometimes", "is not a day"),
            ("Mon-Fry 22:00-06:00", "\"Fry\" is not a day"),
            ("Mo 22:00-06:00", "\"Mo\" is not a day"),
            ("Mon", "the hours are missing"),
            ("Mon 22:00", "has no end"),
            ("Mon 22:10-06:00", "not on the hour or half-hour"),
            ("Mon 25:00-06:00", "is not a time of day"),
            ("Mon 24:30-06:00", "is not a time of day"),
            ("Mon 22:00-06:00-07:00", "is not a time of day"),
            ("Mon +2-06:00", "is not a day"),
            ("Mon 22:00-22:00", "begins and ends at the same time"),
            ("Mon 00:00-00:00", "begins and ends at the same time"),
            ("Mon 22:00-06:00, Tue", "the hours are missing"),
        ] {
            let error = text.parse::<Window>().expect_err(text).to_string();
            assert!(error.contains(wrong), "{text}: {error}");
            assert!(error.contains("Mon-Fri 22:00-06:00"), "{error}");
        }
    }
}
