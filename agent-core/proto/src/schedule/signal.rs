//! What a machine can see of its own state, as values. How old they are and what an unknown one counts as is
//! `banyan-schedule`'s.

use serde::{Deserialize, Serialize};

/// The processor, without this program's own share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Average of the last half minute (percent of all cores).
    pub percent: u8,
    /// It has been quiet for long enough to count as idle.
    pub idle: bool,
}

/// Whether somebody is at the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Keyboard or mouse were used a moment ago.
    Here,
    /// Nobody, or the screen is locked.
    Away,
}

/// Where the power comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// From the battery.
    pub battery: bool,
    /// How full the battery is (percent); none when there is none or it does not say.
    pub charge: Option<u8>,
    /// The system saves power because it was told to.
    pub saver: bool,
}

/// A network's identity, so that a choice can be remembered for it: whatever the system identifies it by (the id of its
/// connection, never only its name, which others can copy).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkId(pub String);

/// The network that leads out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Which.
    pub id: NetworkId,
    /// What people call it.
    pub name: String,
    /// Bytes cost money, or are few.
    pub metered: bool,
}
