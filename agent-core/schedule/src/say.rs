//! A verdict as a sentence, for the people at the machine: what it waits for, and until when.
//!
//! All words stand here, so that every face says the same and a translation has one place. A face puts its own button beside it
//! where the reason says that the person may go on all the same.

use crate::{clock::seconds, local};
use banyan_proto::{
    UnixSeconds,
    schedule::{Announcement, By, Pause, Stage, Unquiet, Why, Window},
};
use jiff::tz::TimeZone;

/// Where and when it is said.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// Local time of the reader.
    pub zone: &'a TimeZone,
    /// Now.
    pub now: UnixSeconds,
}

/// Why a gate is closed, and until when: "Waits for tonight, 22:00".
#[must_use]
pub fn closed(because: &Why, until: Option<UnixSeconds>, here: Here<'_>) -> String {
    let when = |otherwise: &str| until.map_or_else(|| otherwise.to_owned(), |until| moment(until, here));
    match because {
        Why::DiskLow { free, least, .. } => {
            format!("Waits for free disk space: {} of {} are free", bytes(*free), bytes(*least))
        }
        Why::DiskUnknown => "Waits: the free disk space cannot be found out".to_owned(),
        Why::SwitchedOff { by: By::User } => "Switched off in your settings".to_owned(),
        Why::SwitchedOff { by: By::Order | By::Policy } => "Switched off by your administrator".to_owned(),
        Why::Metered { network, .. } => format!("Waits for a network that is not metered; {} is", network.name),
        Why::PowerSaver { .. } => "Waits until power saving ends".to_owned(),
        Why::Battery { least: None, .. } => "Waits for mains power".to_owned(),
        Why::Battery { least: Some(least), charge: Some(charge), .. } => {
            format!("Waits for mains power: the battery is at {charge} %, {least} % are needed")
        }
        Why::Battery { charge: None, .. } => {
            "Waits for mains power: the battery does not say how full it is".to_owned()
        }
        Why::FullScreen { .. } => "Waits until the full-screen program ends".to_owned(),
        Why::Paused { pause: Pause::UntilResumed { .. } } if until.is_none() => "Paused until you resume".to_owned(),
        Why::Paused { .. } => format!("Paused until {}", when("you resume")),
        Why::NotIdle { unquiet, .. } => match unquiet {
            Unquiet::Person => "Waits until nobody uses this computer".to_owned(),
            Unquiet::Processor(percent) => {
                format!("Waits until this computer is idle; its processor is at {percent} %")
            }
            Unquiet::Unknown => "Waits until this computer is idle".to_owned(),
        },
        Why::Window { .. } | Why::PutOff => format!("Waits for {}", when("its time")),
        Why::NeverOpens { by: By::User } => until.map_or_else(
            || "Never: no hour is chosen in your schedule".to_owned(),
            |_| format!("No hour is chosen in your schedule; goes ahead {} in any case", when("")),
        ),
        Why::NeverOpens { by: By::Order | By::Policy } => until.map_or_else(
            || "Never: your administrator allows no hour".to_owned(),
            |_| format!("Waits for {}, as your administrator set it", when("")),
        ),
        Why::NeverMeet => "Never: your schedule and your administrator's have no hour in common".to_owned(),
        Why::QuotaUsed { quota, .. } => format!("Today's {} are passed on; more {}", bytes(*quota), when("on no day")),
    }
}

/// A sentence about the setting behind it: "This computer transfers at night only."
#[must_use]
pub fn setting(because: &Why) -> Option<String> {
    let (window, by) = match because {
        Why::Window { window, by } => (window, *by),
        Why::NotIdle { by, .. } => (&Window::Idle, *by),
        _ => return None,
    };
    let whose = match by {
        By::User => "This computer transfers",
        By::Order => "Your administrator sends this update",
        By::Policy => "Your administrator lets this computer transfer",
    };
    let when = match window {
        Window::Any => "at any time".to_owned(),
        Window::Idle => "when it is idle only".to_owned(),
        Window::Night => "at night only".to_owned(),
        Window::Weekly(week) => format!("in these hours only: {week}"),
    };
    Some(format!("{whose} {when}."))
}

/// What is announced: "Installs tonight, 22:00, in any case".
#[must_use]
pub fn announcement(announcement: &Announcement, here: Here<'_>) -> String {
    let does = match announcement.stage {
        Stage::Receive => "Is received",
        Stage::Install => "Is installed",
        Stage::Forward => "Is passed on",
    };
    format!("{does} {}, in any case", moment(announcement.at, here))
}

/// A time as people say it: "14:30" (today), "tonight, 22:00", "tomorrow, 06:00", "Friday, 22:00", "2026-12-24, 22:00".
#[must_use]
pub fn moment(at: UnixSeconds, here: Here<'_>) -> String {
    let (now, at) = (seconds(here.now), seconds(at));
    let (today, day) = (local::day(here.zone, now), local::day(here.zone, at));
    let (hour, minute) = local::clock(here.zone, at);
    let clock = format!("{hour:02}:{minute:02}");
    // The small hours belong to the evening before.
    let night = if hour < 5 { day - 1 } else { day };
    let this_night = if local::clock(here.zone, now).0 < 5 { today - 1 } else { today };
    match day - today {
        _ if !(5..18).contains(&hour) && night == this_night => format!("tonight, {clock}"),
        0 => clock,
        1 => format!("tomorrow, {clock}"),
        2..=6 => format!("{}, {clock}", local::weekday(day)),
        _ => format!("{}, {clock}", local::day_name(day)),
    }
}

/// "1.5 GiB".
fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) if count / unit >= 10 => format!("{} {name}", count / unit),
        Some((unit, name)) => format!("{}.{} {name}", count / unit, count % unit * 10 / unit),
        None => format!("{count} bytes"),
    }
}
