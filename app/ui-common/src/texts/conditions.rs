//! The current conditions of the computer.

use crate::{Clock, texts::format};
use banyan_proto::{
    UnixSeconds, format_size,
    local::Overruled,
    schedule::{Load, Network, Power, Presence},
};

pub const CURRENT_CONDITIONS: &str = "Current conditions";
pub const IGNORE: &str = "Ignore";

/// Describes the processor's load, and for how long it has been quiet.
#[must_use]
pub fn load(load: Option<Load>, quiet_since: Option<UnixSeconds>, clock: &Clock) -> String {
    let Some(load) = load else { return "Processor: not being checked".to_owned() };
    let quiet = quiet_since.filter(|_| load.idle).map(|since| format::duration(clock.now.0.saturating_sub(since.0)));
    let quiet = quiet.map_or_else(|| ", busy".to_owned(), |quiet| format!(", quiet for {quiet}"));
    format!("Processor at {}%{quiet}", load.percent)
}

/// Says whether the computer is in use.
#[must_use]
pub fn presence(presence: Option<Presence>) -> String {
    let text = match presence {
        Some(Presence::Here) => "You're using this computer",
        Some(Presence::Away) => "Not in use",
        None => "Computer in use: unknown",
    };
    text.to_owned()
}

/// Describes the power supply.
#[must_use]
pub fn power(power: Option<Power>) -> String {
    let Some(power) = power else { return "Power: unknown".to_owned() };
    let saver = if power.saver { ", power saver on" } else { "" };
    let supply = match (power.battery, power.charge) {
        (true, None) => "On battery".to_owned(),
        (true, Some(charge)) => format!("On battery at {charge}%"),
        (false, None) => "Plugged in".to_owned(),
        (false, Some(charge)) => format!("Plugged in, battery at {charge}%"),
    };
    format!("{supply}{saver}")
}

/// Describes the network of the default route.
#[must_use]
pub fn network(network: Option<&Network>) -> String {
    let Some(network) = network else { return "Network: unknown".to_owned() };
    format!("{}, {}", network.name, if network.metered { "metered" } else { "unmetered" })
}

/// Says whether an app is in full screen.
#[must_use]
pub fn full_screen(full_screen: Option<bool>) -> String {
    let text = match full_screen {
        Some(true) => "An app is in full screen",
        Some(false) => "No app is in full screen",
        None => "Full screen: unknown",
    };
    text.to_owned()
}

/// Returns the free disk space.
#[must_use]
pub fn free_disk(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "Free disk space: unknown".to_owned(), |bytes| format!("{} free on disk", format_size(bytes)))
}

/// Returns a condition's name, for the accessible name of its "Ignore" box.
#[must_use]
pub fn condition_name(signal: &Overruled) -> &'static str {
    match signal {
        Overruled::Metered(_) => "metered network",
        Overruled::Battery => "battery",
        Overruled::FullScreen => "full-screen app",
        Overruled::Processor => "processor",
        Overruled::Presence => "computer in use",
    }
}

/// Returns the age of a condition's value.
#[must_use]
pub fn age(seconds: u64) -> String {
    if seconds < 60 { "just now".to_owned() } else { format!("{} ago", format::duration(seconds)) }
}
