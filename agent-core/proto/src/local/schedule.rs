//! What was chosen, what the policy allows, what the machine sees of itself, and what comes of it.

use crate::{
    UnixSeconds,
    schedule::{Choice, DayUse, Load, Network, NetworkId, Policy, Power, Presence, Verdict},
};
use serde::{Deserialize, Serialize};

/// When and how this machine may transfer and install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scheduling {
    /// What was chosen; none as long as nobody has: the policy's defaults hold.
    pub choice: Option<Choice>,
    /// What the administrator laid down; `bounds` in it says what may be chosen.
    pub policy: Policy,
    /// What may be done now, in general; each update has its own beside it.
    pub verdict: Verdict,
    /// What the machine sees of itself.
    pub signals: SeenSignals,
}

impl Scheduling {
    /// The choice that holds: the person's, or the administrator's defaults.
    #[must_use]
    pub fn effective(&self) -> &Choice {
        self.choice.as_ref().unwrap_or(&self.policy.defaults)
    }
}

/// A signal as a face shows it. Its age is now less `at`; it is given as a time so that nothing has to be said while
/// it only grows older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Seen<T> {
    /// Present value; none when it is unknown (not looked at now, too old, or the system does not say).
    pub value: Option<T>,
    /// When it was seen, or last changed where the system tells of changes.
    pub at: Option<UnixSeconds>,
    /// The person said that it does not count, and the policy allows that.
    pub overruled: bool,
    /// The policy lets the person say so.
    pub may_overrule: bool,
}

impl<T> Seen<T> {
    /// Nothing is known.
    #[must_use]
    pub fn unknown(may_overrule: bool) -> Self {
        Self { value: None, at: None, overruled: false, may_overrule }
    }
}

/// Everything the machine sees of itself. Signals are looked at while something is to be done or somebody watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeenSignals {
    /// The processor, without the agent's own share.
    pub load: Seen<Load>,
    /// Since when the processor has been quiet.
    pub quiet_since: Option<UnixSeconds>,
    /// Whether somebody is at the machine.
    pub presence: Seen<Presence>,
    /// Where the power comes from.
    pub power: Seen<Power>,
    /// The network that leads out; overruling it means this network alone.
    pub network: Seen<Network>,
    /// A program fills the screen.
    pub full_screen: Seen<bool>,
    /// Free disk where content is kept (bytes). Cannot be overruled.
    pub free_disk: Seen<u64>,
}

/// What this machine gave and got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sharing {
    /// Today.
    pub today: DayUse,
    /// Days before, newest first.
    pub days: Vec<DayUse>,
    /// Passed on in one day at the most, by whoever's limit is stricter (bytes).
    pub quota: Option<u64>,
    /// Receiving now (bytes a second).
    pub download: u64,
    /// Passing on now (bytes a second).
    pub upload: u64,
}

/// How long a pause lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseFor {
    /// For so many seconds.
    Seconds(u32),
    /// Until the next morning.
    UntilTomorrow,
    /// Until the person says so.
    UntilResumed,
}

/// A signal that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overruled {
    /// This network is used although it is metered; remembered for this network.
    Metered(NetworkId),
    /// Battery and power saving.
    Battery,
    /// A full-screen program.
    FullScreen,
    /// A busy processor.
    Processor,
    /// Somebody at the machine.
    Presence,
}

/// A time that an install may be put off to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Later {
    /// What people call it.
    pub when: When,
    /// Which that is, for [`crate::schedule::Wish::After`].
    pub at: UnixSeconds,
}

/// What people call a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// In an hour.
    InAnHour,
    /// When the night hours begin.
    Tonight,
    /// In the morning of the next day.
    Tomorrow,
}
