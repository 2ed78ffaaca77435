//! Turns a verdict into a sentence for the user: what it is waiting for, and until when.
//!
//! All user interfaces take these sentences from here, so that they agree and a translation has one place. Where the
//! user may ignore a condition, the interface adds its own button.

use crate::{clock::seconds, local_time};
use banyan_proto::{
    UnixSeconds, format_size,
    schedule::{By, Pause, Stage, Unquiet, Why, Window},
};
use jiff::tz::TimeZone;

/// The reader's local time.
#[derive(Debug, Clone, Copy)]
pub struct ReaderTime<'a> {
    /// The reader's time zone.
    pub zone: &'a TimeZone,
    /// The current time.
    pub now: UnixSeconds,
}

/// Returns why a gate is closed and until when: "Scheduled for tonight at 22:00".
#[must_use]
pub fn closed_gate(because: &Why, until: Option<UnixSeconds>, reader: ReaderTime<'_>) -> String {
    let when = |otherwise: &str| until.map_or_else(|| otherwise.to_owned(), |until| format_time(until, reader));
    let upcoming = |otherwise: &str| until.map_or_else(|| otherwise.to_owned(), |until| format_upcoming(until, reader));
    let begins = || match until {
        Some(until) if is_within_the_hour(until, reader) => format!("Starts {}", format_upcoming(until, reader)),
        _ => format!("Scheduled for {}", when("later")),
    };
    match because {
        Why::DiskLow { free, least, .. } => {
            format!("Waiting for free disk space: {} free, {} needed", format_size(*free), format_size(*least))
        }
        Why::DiskUnknown => "Waiting: couldn't check the free disk space".to_owned(),
        Why::SwitchedOff { by: By::User } => "Switched off in your settings".to_owned(),
        Why::SwitchedOff { by: By::Order | By::Policy } => "Switched off by your administrator".to_owned(),
        Why::Metered { network, .. } => format!("Waiting for an unmetered network ({} is metered)", network.name),
        Why::PowerSaver { .. } => "Waiting until power saving ends".to_owned(),
        Why::Battery { least: None, .. } => "Waiting until you plug in".to_owned(),
        Why::Battery { least: Some(least), charge: Some(charge), .. } => {
            format!("Waiting until you plug in: battery at {charge}%, needs {least}%")
        }
        Why::Battery { charge: None, .. } => "Waiting until you plug in: the battery level is unknown".to_owned(),
        Why::FullScreen { .. } => "Waiting until you leave full screen".to_owned(),
        Why::Paused { pause: Pause::UntilResumed { .. } } if until.is_none() => "Paused until you resume".to_owned(),
        Why::Paused { .. } => format!("Paused until {}", when("you resume")),
        Why::NotIdle { unquiet, .. } => match unquiet {
            Unquiet::Person => "Waiting until this computer isn't in use".to_owned(),
            Unquiet::Processor(percent) => {
                format!("Waiting until this computer is idle (processor at {percent}%)")
            }
            Unquiet::Unknown => "Waiting until this computer is idle".to_owned(),
        },
        Why::Window { .. } | Why::PutOff => begins(),
        Why::NeverOpens { by: By::User } => until.map_or_else(
            || "Never: your schedule has no hours".to_owned(),
            |_| format!("Your schedule has no hours, but this has a deadline: {}", upcoming("")),
        ),
        Why::NeverOpens { by: By::Order | By::Policy } => until.map_or_else(
            || "Never: your administrator allows no hours".to_owned(),
            |_| format!("{}, as set by your administrator", begins()),
        ),
        Why::NeverMeet => "Never: your hours and your administrator's don't overlap".to_owned(),
        Why::QuotaUsed { quota, .. } => format!(
            "Today's sharing limit ({}) is used up; resumes {}",
            format_size(*quota),
            upcoming("when the limit is raised")
        ),
    }
}

/// Returns a sentence about the setting that closes a gate: "Downloads on this computer run only at night."
#[must_use]
pub fn closing_setting(because: &Why, stage: Stage) -> Option<String> {
    let (window, by) = match because {
        Why::Window { window, by } => (window, *by),
        Why::NotIdle { by, .. } => (&Window::Idle, *by),
        _ => return None,
    };
    let whose = match (by, stage) {
        (By::User, Stage::Receive) => "Downloads on this computer run",
        (By::User, Stage::Install) => "Updates on this computer install",
        (By::User, Stage::Forward) => "Sharing on this computer runs",
        (By::Order, Stage::Receive) => "Your administrator lets this update download",
        (By::Order, Stage::Install) => "Your administrator lets this update install",
        (By::Order, Stage::Forward) => "Your administrator lets computers share this update",
        (By::Policy, Stage::Receive) => "Your administrator lets this computer download",
        (By::Policy, Stage::Install) => "Your administrator lets this computer install updates",
        (By::Policy, Stage::Forward) => "Your administrator lets this computer share updates",
    };
    let when = match window {
        Window::Any => "at any time".to_owned(),
        Window::Idle => "only when it is idle".to_owned(),
        Window::Night => "only at night".to_owned(),
        Window::Weekly(week) => format!("only during {week}"),
    };
    Some(format!("{whose} {when}."))
}

fn is_within_the_hour(at: UnixSeconds, reader: ReaderTime<'_>) -> bool {
    at.0 <= reader.now.0.saturating_add(3600)
}

/// Formats a time for the middle of a sentence: `in 14 minutes` within the hour, then `at 14:30`, `tonight at 22:00`.
#[must_use]
pub fn format_upcoming(at: UnixSeconds, reader: ReaderTime<'_>) -> String {
    if is_within_the_hour(at, reader) {
        return match at.0.saturating_sub(reader.now.0) {
            0 => "in a moment".to_owned(),
            1..=60 => "in 1 minute".to_owned(),
            left => format!("in {} minutes", left.div_ceil(60)),
        };
    }
    let time = format_time(at, reader);
    match time.starts_with(|first: char| first.is_ascii_digit()).then(|| time.contains(' ')) {
        Some(true) => format!("on {time}"),
        Some(false) => format!("at {time}"),
        None => time,
    }
}

/// Formats a time: "14:30" (today), "tonight at 22:00", "tomorrow at 06:00", "Friday at 22:00", "2026-12-24 at 22:00".
#[must_use]
pub fn format_time(at: UnixSeconds, reader: ReaderTime<'_>) -> String {
    let (now, at) = (seconds(reader.now), seconds(at));
    let (today, day) = (local_time::day(reader.zone, now), local_time::day(reader.zone, at));
    let (hour, minute) = local_time::clock(reader.zone, at);
    let clock = format!("{hour:02}:{minute:02}");
    // The hours before 05:00 count as part of the previous evening.
    let night = if hour < 5 { day - 1 } else { day };
    let this_night = if local_time::clock(reader.zone, now).0 < 5 { today - 1 } else { today };
    match day - today {
        _ if !(5..18).contains(&hour) && night == this_night => format!("tonight at {clock}"),
        0 => clock,
        1 => format!("tomorrow at {clock}"),
        2..=6 => format!("{} at {clock}", local_time::weekday(day)),
        _ => format!("{} at {clock}", local_time::day_name(day)),
    }
}
