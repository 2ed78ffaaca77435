//! The Schedule page: transfer and install windows, the night, pauses and the week grid.

use crate::Clock;
use banyan_proto::schedule::{Gate, Night, Window};
use banyan_schedule::sentences;

pub const PAUSE: &str = "Pause";
pub const RESUME: &str = "Resume";
pub const PAUSE_ONE_HOUR: &str = "For 1 hour";
pub const PAUSE_UNTIL_TOMORROW: &str = "Until tomorrow";
pub const PAUSE_UNTIL_RESUMED: &str = "Until I resume";
pub const TRANSFER_WINDOW: &str = "When to download and share";
pub const INSTALL_WINDOW: &str = "When to install";
pub const TRANSFERS_ALLOWED: &str = "Downloads and sharing are allowed now";
pub const NIGHT_FROM: &str = "Night hours:";
pub const NIGHT_TO: &str = "to";
pub const ANY_TIME: &str = "Any time";
pub const WHEN_IDLE: &str = "When idle";
pub const AT_NIGHT: &str = "At night";
pub const MY_SCHEDULE: &str = "My schedule";
pub const GRID_HINT: &str = "Drag to choose hours, or use the arrow keys and Space.";
pub const PRESET_NIGHTS: &str = "Nights";
pub const PRESET_WEEKENDS: &str = "Nights and weekends";
pub const PRESET_OUTSIDE_WORK: &str = "Outside working hours";
pub const PRESET_ALL: &str = "Select all";
pub const PRESET_NONE: &str = "Clear";

/// Returns the hours of the night: `22:00–06:00`.
#[must_use]
pub fn night_hours(night: Night) -> String {
    night.to_string().replace('-', "–")
}

/// Returns the name of a transfer window in a list of choices.
#[must_use]
pub fn window_name(window: &Window) -> &'static str {
    match window {
        Window::Any => ANY_TIME,
        Window::Idle => WHEN_IDLE,
        Window::Night => AT_NIGHT,
        Window::Weekly(_) => MY_SCHEDULE,
    }
}

/// Returns a day's name (0 = Monday), cut to this number of letters.
#[must_use]
pub fn day_name(day: usize, letters: usize) -> &'static str {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let name = DAYS[day % 7];
    &name[..letters.min(name.len())]
}

/// Says whether downloads and sharing are allowed; if not, why and until when.
#[must_use]
pub fn transfer_status(gate: &Gate, clock: &Clock) -> String {
    match gate {
        Gate::Open { .. } => TRANSFERS_ALLOWED.to_owned(),
        Gate::Closed { because, until } => sentences::closed_gate(because, *until, clock.here()),
    }
}
