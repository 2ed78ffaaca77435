//! The Sharing page.

use crate::{Clock, texts::format};
use banyan_proto::format_size;

pub const TODAY: &str = "Today";
pub const SHARED: &str = "Shared";
pub const DOWNLOADED: &str = "Downloaded";
pub const PREVIOUS_DAYS: &str = "Previous days";
pub const DAY: &str = "Day";
pub const WHY_SHARE: &str =
    "Computers here share updates with each other, so each one is downloaded from outside only once.";
pub const NO_PREVIOUS_DAYS: &str = "Days when this computer shares updates will be listed here.";

/// Returns the headline of the Sharing page.
#[must_use]
pub fn shared_today(bytes: u64) -> String {
    if bytes == 0 {
        "Nothing shared today".to_owned()
    } else {
        format!("{} shared with other computers today", format_size(bytes))
    }
}

/// Returns what is left of the daily sharing limit.
#[must_use]
pub fn quota_left(given: u64, quota: u64) -> String {
    format!("{} of {} left today", format_size(quota.saturating_sub(given)), format_size(quota))
}

/// Returns how much was downloaded today.
#[must_use]
pub fn downloaded_today(bytes: u64) -> String {
    format!("{} downloaded today", format_size(bytes))
}

/// Returns the current speeds.
#[must_use]
pub fn current_speeds(download: u64, upload: u64) -> String {
    format!("Now: downloading at {}, sharing at {}", format::speed(download), format::speed(upload))
}

/// Returns a day of the usage history, which the agent sends as `2026-11-22`: `Yesterday`, `Saturday, 21 November`.
#[must_use]
pub fn day_title(day: &str, clock: &Clock) -> String {
    let Ok(date) = day.parse::<jiff::civil::Date>() else { return day.to_owned() };
    let today = clock.local(clock.now).date();
    if today == date {
        return TODAY.to_owned();
    }
    if today.yesterday().is_ok_and(|yesterday| yesterday == date) {
        return "Yesterday".to_owned();
    }
    let year = if date.year() == today.year() { String::new() } else { format!(" {}", date.year()) };
    format!("{}, {} {}{year}", date.strftime("%A"), date.day(), date.strftime("%B"))
}

/// Returns an amount of bytes; a dash for none.
#[must_use]
pub fn amount(bytes: u64) -> String {
    if bytes == 0 { "–".to_owned() } else { format_size(bytes) }
}
