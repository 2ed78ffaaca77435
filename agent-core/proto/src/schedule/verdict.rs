//! What may be done now, and where not: why, by whose will, and until when. Enough for a face to say it in one sentence.

use super::{Network, Pause, Window};
use crate::{Reason, UnixSeconds};
use serde::{Deserialize, Serialize};

/// What a machine may do now, in general or with one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// Receiving.
    pub receive: Gate,
    /// Installing.
    pub install: Gate,
    /// Passing on to others.
    pub forward: Gate,
    /// Deadlines to be announced now, of gates that are closed. Each is told once: the same one stands here until the next.
    pub announce: Vec<Announcement>,
}

/// What is gated apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Receiving.
    Receive,
    /// Installing.
    Install,
    /// Passing on.
    Forward,
}

/// Something that goes ahead soon in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// What.
    pub stage: Stage,
    /// When.
    pub at: UnixSeconds,
    /// Which announcement it is: so many seconds before.
    pub before: u32,
}

/// Whether one thing may be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Yes, this way.
    Open {
        /// How.
        limit: Limit,
    },
    /// No.
    Closed {
        /// The strictest of the reasons: what does not open by itself before what does, what opens later before what
        /// opens sooner.
        because: Why,
        /// When it opens, if nothing else changes; none when it waits for a change that no clock foretells.
        until: Option<UnixSeconds>,
    },
}

impl Gate {
    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
    /// How a closed gate is told to other machines and to the server.
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

/// How something that is allowed is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// At most so fast.
    pub rate: Option<Rate>,
    /// Whether it gives way to other traffic.
    pub pace: Pace,
    /// It goes ahead because this deadline has passed; otherwise it would be closed.
    pub deadline: Option<UnixSeconds>,
}

/// A speed limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Bytes a second.
    pub bytes_per_second: u64,
    /// Whose.
    pub by: By,
}

/// Whether a transfer gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// To all other traffic.
    Yielding,
    /// To nobody: somebody waits for it, or its deadline has passed.
    Full,
}

/// Whose will it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The person at the machine.
    User,
    /// The administrator, for this order.
    Order,
    /// The administrator, for this machine.
    Policy,
}

/// Why something may not be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// There is less free disk than must stay free.
    DiskLow {
        /// Free (bytes).
        free: u64,
        /// To stay free (bytes).
        least: u64,
        /// Whose floor.
        by: By,
    },
    /// How much disk is free could not be found out.
    DiskUnknown,
    /// It is switched off, or its limit is 0.
    SwitchedOff {
        /// By whom.
        by: By,
    },
    /// The network is metered.
    Metered {
        /// Which.
        network: Network,
        /// Whether the person may use it all the same.
        may_overrule: bool,
    },
    /// The system saves power.
    PowerSaver {
        /// Whether the person may go on all the same.
        may_overrule: bool,
    },
    /// It runs on battery.
    Battery {
        /// How full (percent).
        charge: Option<u8>,
        /// How full it must be; none: not on battery at all.
        least: Option<u8>,
        /// Whether the person may go on all the same.
        may_overrule: bool,
    },
    /// A program fills the screen.
    FullScreen {
        /// Whether the person may go on all the same.
        may_overrule: bool,
    },
    /// The person said so.
    Paused {
        /// How.
        pause: Pause,
    },
    /// It waits until the machine is idle.
    NotIdle {
        /// What is in the way.
        unquiet: Unquiet,
        /// Who wants it idle.
        by: By,
    },
    /// Outside of the window.
    Window {
        /// Which.
        window: Window,
        /// Whose.
        by: By,
    },
    /// The window is never open.
    NeverOpens {
        /// Whose.
        by: By,
    },
    /// Each window opens sometimes, but never at the same time.
    NeverMeet,
    /// The person put this update off.
    PutOff,
    /// Today's upload quota is used up.
    QuotaUsed {
        /// The quota (bytes).
        quota: u64,
        /// Whose.
        by: By,
    },
}

/// Why a machine does not count as idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unquiet {
    /// Somebody is at it.
    Person,
    /// The processor is busy (percent), or has not been quiet for long enough.
    Processor(u8),
    /// It is not known yet whether the processor is quiet.
    Unknown,
}

/// What was given and received on one local day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUse {
    /// The day, `2026-11-23`.
    pub day: String,
    /// Passed on: what the link carried to other machines for it, with headers and acknowledgements (bytes).
    pub given: u64,
    /// Content received (bytes).
    pub received: u64,
}
