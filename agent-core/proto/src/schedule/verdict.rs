//! Verdicts: what a machine may do now, and otherwise why not, who decided that and until when.
//!
//! A verdict contains enough for the tray and window to explain it in one sentence.

use super::{Network, Pause, Window};
use crate::{Reason, UnixSeconds};
use serde::{Deserialize, Serialize};

/// What a machine may do now, in general or for one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// Whether it may receive.
    pub receive: Gate,
    /// Whether it may install.
    pub install: Gate,
    /// Whether it may forward to other machines.
    pub forward: Gate,
    /// The deadlines to announce now, for closed gates. Users are notified of each once; an entry stays until the next
    /// one replaces it.
    pub announce: Vec<Announcement>,
}

/// A stage of an update that has its own gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Receiving.
    Receive,
    /// Installing.
    Install,
    /// Forwarding.
    Forward,
}

/// An announcement that a deadline is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The stage that will go ahead.
    pub stage: Stage,
    /// When the deadline is.
    pub at: UnixSeconds,
    /// Which announcement this is: seconds before the deadline.
    pub before: u32,
}

/// Whether one stage may go ahead now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// It may go ahead within a limit.
    Open {
        /// The limit.
        limit: Limit,
    },
    /// It may not go ahead.
    Closed {
        /// The strictest reason. A reason that has no end time counts as stricter than one that has. Of two end times,
        /// the later is stricter.
        because: Why,
        /// When the gate opens if nothing else changes; `None` if that depends on a change that the clock cannot
        /// predict.
        until: Option<UnixSeconds>,
    },
}

impl Gate {
    /// Returns whether the gate is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
    /// Returns the reason that other machines and the server receive for a closed gate; `None` if it is open.
    #[must_use]
    pub fn reason(&self, stage: Stage) -> Option<Reason> {
        match (self, stage) {
            (Self::Open { .. }, _) => None,
            (Self::Closed { because: Why::DiskLow { .. } | Why::DiskUnknown, .. }, _) => Some(Reason::DiskFull),
            (Self::Closed { .. }, Stage::Forward) => Some(Reason::MayNotForward),
            (Self::Closed { .. }, Stage::Receive | Stage::Install) => Some(Reason::NotNow),
        }
    }
}

/// How an allowed action may be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The speed limit, if any.
    pub rate: Option<Rate>,
    /// Whether it gives way to other traffic.
    #[serde(rename = "pace")]
    pub priority: Priority,
    /// The deadline that has passed and opened the gate; `None` if the gate is open without one.
    pub deadline: Option<UnixSeconds>,
}

/// A speed limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The limit in bytes a second.
    pub bytes_per_second: u64,
    /// Who set the limit.
    pub by: By,
}

/// Whether a transfer gives way to other traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// It gives way to all other traffic.
    Yielding,
    /// It gives way to nothing, because a user is waiting for it or its deadline has passed.
    Full,
}

/// Who set a limit or window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The user of the machine.
    User,
    /// The administrator, in the order.
    Order,
    /// The administrator, in the machine's policy.
    Policy,
}

/// The reason why a gate is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Free disk space is below the minimum.
    DiskLow {
        /// Free space in bytes.
        free: u64,
        /// The minimum in bytes.
        least: u64,
        /// Who set the minimum.
        by: By,
    },
    /// The free disk space could not be determined.
    DiskUnknown,
    /// It is switched off, or its limit is 0.
    SwitchedOff {
        /// Who switched it off.
        by: By,
    },
    /// The network is metered.
    Metered {
        /// The metered network.
        network: Network,
        /// Whether the user may use the network anyway.
        may_overrule: bool,
    },
    /// The system saves power.
    PowerSaver {
        /// Whether the user may continue anyway.
        may_overrule: bool,
    },
    /// The machine runs on battery.
    Battery {
        /// The charge in percent; `None` if it is unknown.
        charge: Option<u8>,
        /// The charge needed, in percent; `None`: not allowed on battery at all.
        least: Option<u8>,
        /// Whether the user may continue anyway.
        may_overrule: bool,
    },
    /// A program fills the screen.
    FullScreen {
        /// Whether the user may continue anyway.
        may_overrule: bool,
    },
    /// The user paused the machine.
    Paused {
        /// The pause.
        pause: Pause,
    },
    /// It is scheduled for when the machine is idle.
    NotIdle {
        /// Why the machine is not idle.
        unquiet: Unquiet,
        /// Who set this schedule.
        by: By,
    },
    /// The time is outside the window.
    Window {
        /// The window.
        window: Window,
        /// Who set the window.
        by: By,
    },
    /// The window is never open.
    NeverOpens {
        /// Who set the window.
        by: By,
    },
    /// The windows of user and administrator have no hour in common, though each has open hours.
    NeverMeet,
    /// The user postponed this update.
    PutOff,
    /// Today's upload quota is used up.
    QuotaUsed {
        /// The quota in bytes.
        quota: u64,
        /// Who set the quota.
        by: By,
    },
}

/// The reason why a machine does not count as idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unquiet {
    /// A user is at the machine.
    Person,
    /// The processor is busy, or has not been quiet for long enough. The value is the load in percent.
    Processor(u8),
    /// It is not known yet whether the processor is quiet.
    Unknown,
}

/// Usage of one local day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUse {
    /// The day, such as `2026-11-23`.
    pub day: String,
    /// Bytes that the link carried to other machines for forwarding, including headers and acknowledgements.
    pub given: u64,
    /// Content bytes received.
    pub received: u64,
}
