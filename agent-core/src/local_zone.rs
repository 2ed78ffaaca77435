//! The time zone of this machine's clock, followed while the agent runs.
//!
//! The TZif file that names the zone is looked at again from time to time, because it can be replaced: when somebody
//! moves with the computer, or when the rules of a zone change. The variable `TZ` cannot change from outside, but the file
//! that it names can.

use banyan_wire::lock::lock;
use jiff::tz::TimeZone;
use std::{
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

/// How often the file is looked at, at most.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// The zone in force.
pub(crate) struct LocalZone(Mutex<ZoneState>);

struct ZoneState {
    zone: TimeZone,
    version: Option<FileVersion>,
    checked: Instant,
    /// A zone that does not change, for tests.
    is_fixed: bool,
}

/// What identifies the contents of the file: where the link leads, and size and time of the file there.
#[derive(Debug, PartialEq, Eq)]
struct FileVersion {
    leads_to: Option<PathBuf>,
    file: Option<(u64, Option<SystemTime>)>,
}

/// Returns the file that says which zone applies: that of `TZ` if it names one, else the system's. `None` where the zone
/// does not come from a file.
pub(crate) fn zone_file() -> Option<PathBuf> {
    let system = || cfg!(unix).then(|| PathBuf::from("/etc/localtime"));
    match std::env::var("TZ") {
        Ok(named) if !named.is_empty() => {
            let path = PathBuf::from(named.strip_prefix(':').unwrap_or(&named));
            path.is_absolute().then_some(path)
        }
        _ => system(),
    }
}

fn version() -> Option<FileVersion> {
    let path = zone_file()?;
    let file = std::fs::metadata(&path).ok().map(|about| (about.len(), about.modified().ok()));
    Some(FileVersion { leads_to: std::fs::read_link(&path).ok(), file })
}

impl LocalZone {
    /// Returns the system's zone, which is followed from now on.
    pub(crate) fn of_system() -> Self {
        let state =
            ZoneState { zone: TimeZone::system(), version: version(), checked: Instant::now(), is_fixed: false };
        Self(Mutex::new(state))
    }
    /// Returns a zone that never changes.
    #[cfg(test)]
    pub(crate) fn fixed(zone: TimeZone) -> Self {
        Self(Mutex::new(ZoneState { zone, version: None, checked: Instant::now(), is_fixed: true }))
    }
    /// Returns the zone that applies now.
    pub(crate) fn current(&self) -> TimeZone {
        let mut state = lock(&self.0);
        if !state.is_fixed && state.checked.elapsed() >= CHECK_EVERY {
            state.update();
        }
        state.zone.clone()
    }
    /// Looks at the file now.
    pub(crate) fn check(&self) {
        let mut state = lock(&self.0);
        if !state.is_fixed {
            state.update();
        }
    }
}

impl ZoneState {
    fn update(&mut self) {
        self.checked = Instant::now();
        let found = version();
        // Where the zone does not come from a file, the library's own cache decides when to ask the system again.
        if found.is_some() && found == self.version {
            return;
        }
        if found.is_some() {
            jiff::tz::reset_system_time_zone_cache();
            jiff::tz::db().reset();
        }
        self.version = found;
        let zone = TimeZone::system();
        if zone != self.zone {
            tracing::info!(from = name(&self.zone), to = name(&zone), "time zone changed");
            self.zone = zone;
        }
    }
}

fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("an unnamed zone")
}
