//! Times, durations, speeds, and the case of sentences.

use crate::Clock;
use banyan_proto::{UnixSeconds, format_size};
use banyan_schedule::sentences;

/// Returns a time for the middle of a sentence: `in 14 minutes` within the hour, then `at 14:30`, `tonight at 22:00`.
#[must_use]
pub fn upcoming(at: UnixSeconds, clock: &Clock) -> String {
    sentences::format_upcoming(at, clock.here())
}

/// Returns a speed: `3.1 MB/s`.
#[must_use]
pub fn speed(bytes_per_second: u64) -> String {
    format!("{}/s", format_size(bytes_per_second))
}

/// Returns a duration, given in seconds: `2 min`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..=59 => "less than a minute".to_owned(),
        60..=3599 => format!("{} min", seconds.div_ceil(60)),
        3600..=86_399 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400..=172_799 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a date and time: `today at 14:30`, `yesterday at 16:05`, `16 November at 09:12`.
#[must_use]
pub fn past_moment(at: UnixSeconds, clock: &Clock) -> String {
    let (at, now) = (clock.local(at), clock.local(clock.now));
    let time = at.strftime("%H:%M");
    if at.date() == now.date() {
        format!("today at {time}")
    } else if now.date().yesterday().is_ok_and(|yesterday| yesterday == at.date()) {
        format!("yesterday at {time}")
    } else if at.year() == now.year() {
        format!("{} {} at {time}", at.day(), at.strftime("%B"))
    } else {
        format!("{} {} {} at {time}", at.day(), at.strftime("%B"), at.year())
    }
}

/// Returns the text with a capital first letter.
#[must_use]
pub fn capitalise(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the text with a small first letter, for the middle of a sentence.
#[must_use]
pub fn lowercase_if(middle: bool, text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if middle => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}
