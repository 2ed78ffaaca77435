//! Updates in progress on this machine, and the history of earlier ones.

use super::Later;
use crate::{
    MachineId, OrderId, Reason, UnixSeconds,
    manifest::Kind,
    schedule::{Stage, Verdict, Wish},
};
use serde::{Deserialize, Serialize};

/// An update: an order that this machine has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// The order's identifier.
    pub order: OrderId,
    /// The order's number. It rises with every order of the server; updates are sorted by it.
    pub number: u64,
    /// The package's name.
    pub package: String,
    /// The version shown to users.
    pub version: String,
    /// The release's sequence.
    pub sequence: u64,
    /// The publisher's display name, signed with the release; may be empty.
    pub publisher: String,
    /// Release notes in plain text; may be empty.
    pub notes: String,
    /// The kind of the file.
    pub kind: Kind,
    /// The file's size in bytes.
    pub size: u64,
    /// When the order was signed.
    pub issued: UnixSeconds,
    /// When this machine first learned of the order.
    pub seen: UnixSeconds,
    /// The update's state.
    pub state: UpdateState,
    /// Why the update is delayed although this machine's schedule allows it. Examples: the server's install permit is
    /// missing, there is no source, or the package manager is busy.
    pub waits: Option<Wait>,
    /// How much content has arrived, and the current speed.
    pub progress: Progress,
    /// What may be done with the update now; otherwise why not, who decided that and until when. Also lists the
    /// deadlines to announce.
    pub verdict: Verdict,
    /// The deadline for receiving, after which the schedule no longer delays it.
    pub receive_deadline: Option<UnixSeconds>,
    /// The deadline for installing, after which the schedule no longer delays it.
    pub install_deadline: Option<UnixSeconds>,
    /// The user's wishes for this update.
    pub wishes: Wishes,
    /// The times to which the user can postpone the install. Empty if the update is finished or the policy leaves no
    /// time.
    pub later: Vec<Later>,
    /// Whether the user installed it without a server. In that case the outcome is not reported to any server.
    #[serde(default)]
    pub alone: bool,
}

/// The user's wishes for an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Wishes {
    /// The wish for receiving.
    pub receive: Wish,
    /// The wish for installing.
    pub install: Wish,
}

/// The state of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum UpdateState {
    /// Content is incomplete. `verdict.receive` and the speed tell whether it is arriving now.
    Receiving,
    /// All content has arrived. This machine verifies it again, and then the server authenticates it.
    Checking,
    /// The content is genuine. `verdict.install` and `waits` say what the install is waiting for.
    Ready,
    /// The install helper is running.
    Installing,
    /// The new version works, or was already installed.
    Installed {
        /// When it was installed.
        at: UnixSeconds,
    },
    /// The update ended without success.
    Failed {
        /// When it failed.
        at: UnixSeconds,
        /// The reason. Its table entry has the text and the next step.
        reason: Reason,
        /// Output of the package manager or the probe.
        detail: String,
        /// Whether the previous version was restored or never changed.
        restored: bool,
    },
}

impl UpdateState {
    /// Returns whether the update has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Installed { .. } | Self::Failed { .. })
    }
}

/// A delay that is not caused by the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wait {
    /// The delayed stage.
    pub stage: Stage,
    /// The reason for the delay.
    pub reason: Reason,
    /// An explanation for people; may be empty.
    pub detail: String,
    /// When the delay began.
    pub since: UnixSeconds,
    /// When the next attempt is due, if that is known.
    pub next: Option<UnixSeconds>,
}

/// How much of an update's content has arrived, and the current speed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Verified bytes on this machine.
    pub held: u64,
    /// Total bytes.
    pub of: u64,
    /// Current download rate in bytes a second.
    pub down: u64,
    /// Current upload rate in bytes a second.
    pub up: u64,
    /// Bytes forwarded so far.
    pub passed_on: u64,
    /// The machines that content came from, most bytes first.
    pub from: Vec<Partner>,
    /// The machines that content was forwarded to, most bytes first.
    pub to: Vec<Partner>,
}

impl Progress {
    /// Returns the seconds until all content has arrived at the current speed; `None` while nothing is arriving.
    #[must_use]
    pub fn seconds_left(&self) -> Option<u64> {
        (self.down > 0).then(|| self.of.saturating_sub(self.held).div_ceil(self.down))
    }
    /// Returns the received share in percent, rounded down: 100 only when all content has arrived.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let percent = u128::from(self.held) * 100 / u128::from(self.of.max(1));
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}

/// Another machine that content comes from or goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Partner {
    /// The machine's identity.
    pub machine: MachineId,
    /// The machine's display name, or the first digits of its id if the name is unknown. `server` for the server.
    pub label: String,
    /// Content bytes so far.
    pub bytes: u64,
    /// Whether a transfer between the two machines is active.
    pub now: bool,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HistoryEntry {
    /// When it happened.
    pub at: UnixSeconds,
    /// The order it is about; `None` if it is about the machine.
    pub order: Option<OrderId>,
    /// The package's name at that time; empty if the entry is about the machine.
    pub package: String,
    /// The version at that time; empty if the entry is about the machine.
    pub version: String,
    /// What happened.
    pub what: Happened,
}

/// An event in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "kebab-case")]
pub enum Happened {
    /// The order arrived.
    Incoming,
    /// All content has arrived and is verified.
    Received,
    /// The new version works.
    Installed {
        /// Whether it was already installed.
        already: bool,
    },
    /// The update ended without success.
    Failed {
        /// The reason.
        reason: Reason,
        /// Output of the package manager or the probe.
        detail: String,
        /// Whether the previous version was restored or never changed.
        restored: bool,
    },
    /// The update was dropped because a newer one replaced it or its order expired.
    Dropped {
        /// The reason.
        reason: Reason,
    },
    /// This machine was enrolled.
    Enrolled,
}
