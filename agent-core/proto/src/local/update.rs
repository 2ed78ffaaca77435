//! One update on its way to this machine, and what has become of earlier ones.

use super::Later;
use crate::{
    DeploymentId, MachineId, Reason, UnixSeconds,
    manifest::Kind,
    schedule::{Stage, Verdict, Wish},
};
use serde::{Deserialize, Serialize};

/// One update: an order that this machine has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// Which.
    pub order: DeploymentId,
    /// Rises with every order of the server: newest first is by this.
    pub number: u64,
    /// Name of the package.
    pub package: String,
    /// The version as people read it.
    pub version: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// Who publishes, in words; signed, like everything of the release. May be empty.
    pub publisher: String,
    /// Release notes, plain text. May be empty.
    pub notes: String,
    /// What the file is.
    pub kind: Kind,
    /// Bytes of the file.
    pub size: u64,
    /// When the order was signed.
    pub issued: UnixSeconds,
    /// When this machine first heard of it.
    pub seen: UnixSeconds,
    /// Where it is.
    pub state: UpdateState,
    /// Why it is not further although nothing of this machine's schedule is in the way (the server's leave is missing, no
    /// source, a busy package manager …).
    pub waits: Option<Wait>,
    /// What is here, and how fast it moves.
    pub progress: Progress,
    /// What may be done with it now, and if not: why, by whose will, until when; deadlines to be announced.
    pub verdict: Verdict,
    /// When it is received in any case.
    pub receive_deadline: Option<UnixSeconds>,
    /// When it is installed in any case.
    pub install_deadline: Option<UnixSeconds>,
    /// What the person said.
    pub wishes: Wishes,
    /// Times that the install may be put off to. Empty when it is over, or the policy leaves no time.
    pub later: Vec<Later>,
    /// No server ordered it, the person did: nobody else hears how it ends.
    #[serde(default)]
    pub alone: bool,
}

/// What the person said about an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Wishes {
    /// About receiving it.
    pub receive: Wish,
    /// About installing it.
    pub install: Wish,
}

/// Where an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum UpdateState {
    /// Not all of it is here. Whether it moves now is said by `verdict.receive` and the speed.
    Receiving,
    /// It is here and is checked once more, by this machine and then by the server.
    Checking,
    /// It is here and genuine; `verdict.install` and `waits` say what it waits for.
    Ready,
    /// The installer is at work.
    Installing,
    /// The new version runs (or was there already).
    Installed {
        /// Since when.
        at: UnixSeconds,
    },
    /// It ended without success.
    Failed {
        /// When.
        at: UnixSeconds,
        /// Why. The table has the words and what to do.
        reason: Reason,
        /// What the installer or the probe said.
        detail: String,
        /// The old version is back, or was never touched.
        restored: bool,
    },
}

impl UpdateState {
    /// Nothing more is to be done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Installed { .. } | Self::Failed { .. })
    }
}

/// Something is in the way that is not the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wait {
    /// What.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// For people; may be empty.
    pub detail: String,
    /// Since when.
    pub since: UnixSeconds,
    /// When it is tried next, if that is known.
    pub next: Option<UnixSeconds>,
}

/// What of an update is here, and how fast it moves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Verified and here (bytes).
    pub held: u64,
    /// In all (bytes).
    pub of: u64,
    /// Coming in now (bytes a second).
    pub down: u64,
    /// Passed on now (bytes a second).
    pub up: u64,
    /// Passed on so far (bytes).
    pub passed_on: u64,
    /// Who it came from, most bytes first.
    pub from: Vec<Partner>,
    /// Who it is passed on to, most bytes first.
    pub to: Vec<Partner>,
}

impl Progress {
    /// Seconds until all is here, at the present speed; none while nothing moves.
    #[must_use]
    pub fn seconds_left(&self) -> Option<u64> {
        (self.down > 0).then(|| self.of.saturating_sub(self.held).div_ceil(self.down))
    }
    /// How much is here (percent, rounded down: 100 only when all is).
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
    /// Which.
    pub machine: MachineId,
    /// What people call it; the first digits of its id where that is not known. `server` for the server.
    pub label: String,
    /// Content (bytes) so far.
    pub bytes: u64,
    /// Something is moving between them now.
    pub now: bool,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HistoryEntry {
    /// When.
    pub at: UnixSeconds,
    /// About which order; none for what is about the machine.
    pub order: Option<DeploymentId>,
    /// Package and version, as they were called then; empty for what is about the machine.
    pub package: String,
    /// Likewise.
    pub version: String,
    /// What happened.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "kebab-case")]
pub enum Happened {
    /// The order came.
    Incoming,
    /// All of it is here and verified.
    Received,
    /// The new version runs.
    Installed {
        /// It was there already.
        already: bool,
    },
    /// It ended without success.
    Failed {
        /// Why.
        reason: Reason,
        /// What the installer or the probe said.
        detail: String,
        /// The old version is back, or was never touched.
        restored: bool,
    },
    /// It was dropped: a newer one came, or its time was over.
    Dropped {
        /// Why.
        reason: Reason,
    },
    /// This machine was enrolled.
    Enrolled,
}
