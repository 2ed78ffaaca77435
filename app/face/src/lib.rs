//! What the tray and the window share: the line to the agent ([`Line`]), the words ([`texts`]), what an update is in one
//! glance ([`glance`]), the icon ([`crown`]), and what one person wants of both ([`Preferences`]). No GUI here: it is all data, tested as data.

pub mod catalogue;
pub mod choices;
pub mod crown;
pub mod glance;
mod line;
pub mod package;
mod preferences;
#[cfg(feature = "sample")]
pub mod sample;
mod show;
pub mod texts;

pub use line::{Line, View};
pub use preferences::Preferences;
pub use show::{SHOWN, Show};

use banyan_proto::{UnixSeconds, local::Snapshot};
use banyan_schedule::say::Here;
use jiff::{Timestamp, Zoned, fmt::temporal::DateTimeParser, tz::TimeZone};
use std::path::PathBuf;

/// A page of the window; the tray opens it at one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// What comes in.
    Updates,
    /// When this computer transfers.
    Schedule,
    /// What it gave.
    Sharing,
    /// What happened.
    History,
    /// What people may take by themselves.
    Catalogue,
    /// Limits.
    Settings,
    /// Who this computer is.
    Computer,
}

impl Page {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Updates, Self::Schedule, Self::Sharing, Self::History, Self::Catalogue, Self::Settings, Self::Computer];

    /// Its name for command lines and messages between tray and window.
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
    /// The page of this name.
    #[must_use]
    pub fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.code() == code)
    }
}

/// Where the agent of the machine answers, when it runs as a service.
#[must_use]
pub fn system_socket() -> PathBuf {
    PathBuf::from(if cfg!(unix) { "/run/banyan/agent.sock" } else { r"\\.\pipe\banyan-agent" })
}

/// The clock and the zone that times are said in: the agent's zone, since its hours are meant.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Now.
    pub now: UnixSeconds,
    /// Local time.
    pub zone: TimeZone,
}

impl Clock {
    /// This time, in the agent's zone, or in this program's where that is not known.
    #[must_use]
    pub fn of(snapshot: Option<&Snapshot>, now: UnixSeconds) -> Self {
        let zone = snapshot.and_then(|snapshot| DateTimeParser::new().parse_time_zone(&snapshot.about.zone).ok());
        Self { now, zone: zone.unwrap_or_else(TimeZone::system) }
    }
    /// A time as the clock on the wall shows it.
    #[must_use]
    pub fn local(&self, at: UnixSeconds) -> Zoned {
        let at = i64::try_from(at.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.unwrap_or_default().to_zoned(self.zone.clone())
    }
    /// The present day of the week (0 = Monday) and hour.
    #[must_use]
    pub fn day_and_hour(&self) -> (usize, usize) {
        let now = self.local(self.now);
        let part = |number: i8| usize::try_from(number).unwrap_or_default();
        (part(now.weekday().to_monday_zero_offset()), part(now.hour()))
    }
    /// As [`banyan_schedule::say`] takes it.
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
        let mut snapshot = sample::quiet();
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
