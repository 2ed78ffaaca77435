//! The scheduling part of a snapshot: the user's choice, the policy, the observed conditions and the resulting verdict.

use crate::{
    UnixSeconds,
    schedule::{Choice, DayUse, Load, Network, NetworkId, Policy, Power, Presence, Verdict},
};
use serde::{Deserialize, Serialize};

/// When and how this machine may transfer and install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scheduling {
    /// The user's choice; `None` before the first one, when the policy's defaults apply.
    pub choice: Option<Choice>,
    /// The administrator's policy. Its `bounds` limit what the user can choose.
    pub policy: Policy,
    /// The verdict for this machine in general. Each update also has its own verdict.
    pub verdict: Verdict,
    /// The conditions that the machine observes.
    pub signals: SeenSignals,
}

impl Scheduling {
    /// Returns the choice that applies: the user's, or else the policy's defaults.
    #[must_use]
    pub fn effective(&self) -> &Choice {
        self.choice.as_ref().unwrap_or(&self.policy.defaults)
    }
}

/// A condition with its time of observation. The age is the current time less `at`. The message carries a time instead
/// of an age, so the agent sends nothing while only the age changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Seen<T> {
    /// The current value; `None` if it is unknown because it is not being sampled, is too old or is not reported by the
    /// system.
    pub value: Option<T>,
    /// When the value was sampled, or when it last changed if the system reports changes.
    pub at: Option<UnixSeconds>,
    /// Whether the user chose to ignore this condition and the policy allows that.
    pub overruled: bool,
    /// Whether the policy lets the user ignore this condition.
    pub may_overrule: bool,
}

impl<T> Seen<T> {
    /// Returns a condition whose value is unknown.
    #[must_use]
    pub fn unknown(may_overrule: bool) -> Self {
        Self { value: None, at: None, overruled: false, may_overrule }
    }
}

/// All conditions that the machine observes. The agent samples them only while there is work to do or a user interface
/// is subscribed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeenSignals {
    /// Processor load, without the agent's own share.
    pub load: Seen<Load>,
    /// Since when the processor has been quiet.
    pub quiet_since: Option<UnixSeconds>,
    /// Whether someone is using the machine.
    pub presence: Seen<Presence>,
    /// The power source.
    pub power: Seen<Power>,
    /// The network of the default route. Ignoring this condition applies to that network only.
    pub network: Seen<Network>,
    /// Whether a program fills the screen.
    pub full_screen: Seen<bool>,
    /// Free space on the disk that stores content, in bytes. The user cannot ignore this condition.
    pub free_disk: Seen<u64>,
}

/// How much this machine has shared and received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sharing {
    /// Usage of the current day.
    pub today: DayUse,
    /// Usage of previous days, newest first.
    pub days: Vec<DayUse>,
    /// The stricter of the user's and the administrator's daily upload limit, in bytes.
    pub quota: Option<u64>,
    /// Current download rate in bytes a second.
    pub download: u64,
    /// Current upload rate in bytes a second.
    pub upload: u64,
}

/// The length of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseFor {
    /// For this many seconds.
    Seconds(u32),
    /// Until the next morning.
    UntilTomorrow,
    /// Until the user resumes.
    UntilResumed,
}

/// A condition that the user can choose to ignore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overruled {
    /// The metered state of this network; remembered for this network.
    Metered(NetworkId),
    /// Running on battery and power saving.
    Battery,
    /// A full-screen program.
    FullScreen,
    /// A busy processor.
    Processor,
    /// Someone using the machine.
    Presence,
}

/// A time to which the user can postpone an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Later {
    /// The name of the time.
    pub when: When,
    /// The time itself, for [`crate::schedule::Wish::After`].
    pub at: UnixSeconds,
}

/// A named time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// In an hour.
    InAnHour,
    /// When the night hours begin.
    Tonight,
    /// On the next morning.
    Tomorrow,
}
