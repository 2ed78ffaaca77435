//! Conditions that a machine observes about itself, as plain values.
//!
//! `banyan-schedule` handles their age and decides how an unknown value counts.

use serde::{Deserialize, Serialize};

/// The processor load, without the agent's own share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Average over the last 30 seconds, in percent of all cores.
    pub percent: u8,
    /// Whether the processor has been quiet for long enough to count as idle.
    pub idle: bool,
}

/// Whether a user is at the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Keyboard or mouse was used recently.
    Here,
    /// No user is active, or the screen is locked.
    Away,
}

/// The power source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// Whether the machine runs on battery.
    pub battery: bool,
    /// The battery's charge in percent; `None` if there is no battery or its charge is unknown.
    pub charge: Option<u8>,
    /// Whether the system's power saver is switched on.
    pub saver: bool,
}

/// The identity of a network, so that a choice can be remembered for it. It is the system's id of the connection. A
/// name alone is not enough, because other networks can copy it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkId(pub String);

/// The network of the default route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The network's identity.
    pub id: NetworkId,
    /// The name shown to users.
    pub name: String,
    /// Whether traffic costs money or is limited.
    pub metered: bool,
}
