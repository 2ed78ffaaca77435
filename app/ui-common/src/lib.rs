//! The code that the tray and the window share: the connection to the agent ([`Line`]), the texts ([`texts`]), the summary
//! of an update ([`update_summary`]), the icon ([`tray_icon`]) and the person's preferences ([`Preferences`]). It contains no GUI
//! code: everything is data and is tested as data.

mod agent_client;
pub mod catalogue;
mod open_request;
pub mod package_file;
mod preferences;
#[cfg(feature = "sample")]
pub mod sample_data;
pub mod schedule_choices;
pub mod texts;
pub mod tray_icon;
pub mod update_summary;

pub use agent_client::{Line, View};
pub use open_request::{SHOWN, Show};
pub use preferences::Preferences;

use banyan_proto::{UnixSeconds, local::Snapshot};
use banyan_schedule::say::Here;
use jiff::{Timestamp, Zoned, fmt::temporal::DateTimeParser, tz::TimeZone};
use std::path::PathBuf;

/// A page of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// The updates of this computer.
    Updates,
    /// When this computer downloads, shares and installs.
    Schedule,
    /// How much this computer shared and downloaded.
    Sharing,
    /// Past events.
    History,
    /// Software that people can install themselves.
    Catalogue,
    /// Limits and notifications.
    Settings,
    /// The identity of this computer, and joining a server.
    Computer,
}

impl Page {
    /// All pages, in the order of the navigation.
    pub const ALL: [Self; 7] =
        [Self::Updates, Self::Schedule, Self::Sharing, Self::History, Self::Catalogue, Self::Settings, Self::Computer];

    /// Returns the page's name on command lines and in messages between tray and window.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Schedule => "schedule",
            Self::Sharing => "sharing",
            Self::History => "history",
            Self::Catalogue => "catalogue",
            Self::Settings => "settings",
            Self::Computer => "computer",
        }
    }
    /// Returns the page with this name.
    #[must_use]
    pub fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.code() == code)
    }
}

/// Returns the socket (on Windows: the pipe) of an agent that runs as a service.
#[must_use]
pub fn system_socket() -> PathBuf {
    PathBuf::from(if cfg!(unix) { "/run/banyan/agent.sock" } else { r"\\.\pipe\banyan-agent" })
}

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
    /// Returns the clock in the form that [`banyan_schedule::say`] takes.
    #[must_use]
    pub fn here(&self) -> Here<'_> {
        Here { zone: &self.zone, now: self.now }
    }
}

#[cfg(all(test, feature = "sample"))]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_agents_zone_however_it_is_named() {
        // 23 November 2026, 12:00 UTC, and half a year earlier.
        let (winter, summer) = (UnixSeconds(1_795_435_200), UnixSeconds(1_779_710_400));
        let mut snapshot = sample_data::quiet();
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
