//! What the installer is asked, and what it answers.
//!
//! A job carries documents that publishers and server signed, and no conclusions from them: who asks may be anybody who
//! has taken the agent over. `check` draws the conclusions, from what the installer itself keeps (`record`).

use super::trouble::{Trouble, passes};
use banyan_proto::{
    DeploymentId, Digest, GoAhead, KeyRing, MachineId, Membership, Order, Reason, Signed, manifest::InstallSpec,
    peer::ReleaseProof,
};
use banyan_trust::package::Head;
use serde::{Deserialize, Serialize};

/// One call of the installer. It holds no secrets: the file that carries it may be read by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Whom to believe from now on; answered with [`Believes`].
    Believe(Enrolled),
    /// An installation; answered with [`Finished`].
    Install(Box<Job>),
    /// It belongs to the person who runs it, and to no server; answered with [`Believes`].
    StandAlone,
    /// An installation that the person wants and no server ordered; answered with [`Finished`].
    InstallAlone(Box<AloneJob>),
    /// The person does not trust the publishers of this first root any more; answered with [`Believes`].
    Forget(Digest),
}

/// Who this machine is and whom it believes, as its enrolment said. The first one is kept; any other one is refused
/// afterwards (rule N5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// This machine.
    pub machine: MachineId,
    /// The server: head of every list.
    pub server: MachineId,
    /// Keys that sign orders and go-aheads.
    pub keys: KeyRing,
    /// The server's epoch.
    pub epoch: u64,
    /// The publishers' root (JSON). At the first start its hash is the one in the join code.
    pub root: String,
}

/// Answer to [`Call::Believe`]: one JSON line on the installer's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Believes {
    /// It believes exactly these, now or since long.
    Yes,
    /// It does not.
    No {
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
    },
}

/// One installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Raised when a person wants a failed order tried again. The same order and attempt that failed after changing
    /// something gets the same answer without doing it again.
    #[serde(default)]
    pub attempt: u32,
    /// What the server wants installed.
    pub order: Signed<Order>,
    /// The stripe that `membership` is about.
    pub stripe: u8,
    /// Shows that this machine is on the order's list.
    pub membership: Membership,
    /// The server's leave to install it on this machine now.
    pub go_ahead: Signed<GoAhead>,
    /// What the publishers signed about the release: everything that runs is in it.
    pub release: ReleaseProof,
    /// What to do when an old version is there that could not be put back.
    #[serde(default)]
    pub without_restore: WithoutRestore,
    /// Somebody waits for it: it does not give way to other work on the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
}

/// One installation without an order: the publishers' signature and the person's word stand in for it. Only an installer
/// that has no privileges and belongs to no server takes one (rule N10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AloneJob {
    /// Names this installation, as an order's id does.
    pub id: DeploymentId,
    /// What the publishers signed about the release.
    pub head: Head,
    /// BLAKE3 of the manifest that the person was shown.
    pub manifest: Digest,
    /// The person trusts the publishers of this first root; not needed when they have said so before.
    pub consent: Option<Digest>,
}

/// What to do when an old version is installed, nobody kept its installer, and the manifest has no undo command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutRestore {
    /// Nothing is changed; the outcome is [`Reason::CannotRestore`].
    #[default]
    Refuse,
    /// Somebody decided that the new version goes in all the same.
    GoOn,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The release is there and the probe passed.
    Installed {
        /// It was there before; nothing was changed.
        already: bool,
    },
    /// It is not there. Final for this order and attempt.
    Failed {
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
        /// The machine is as it was before the job.
        restored: bool,
    },
    /// Not now: to be tried again later.
    Waits {
        /// What it waits for.
        reason: Reason,
        /// For people.
        detail: String,
    },
}

/// The answer: one JSON line on the installer's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What dpkg, detect, probe and undo commands printed: the last 8 KiB.
    pub output: String,
}

/// What a checked job is about: the manifest without what only the transfer needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    pub(super) package: String,
    pub(super) version: String,
    pub(super) sequence: u64,
    /// BLAKE3 of the manifest.
    pub(super) manifest: Digest,
    /// BLAKE3 of the artifact.
    pub(super) artifact: Digest,
    /// Bytes of the artifact.
    pub(super) size: u64,
    pub(super) file_name: String,
    /// As in the manifest.
    pub(super) platform: String,
    pub(super) spec: InstallSpec,
}

/// What a job comes to that cannot begin or go on.
pub(super) fn outcome_of(trouble: &Trouble, restored: bool) -> Outcome {
    let (reason, detail) = (trouble.reason(), trouble.to_string());
    if passes(reason) { Outcome::Waits { reason, detail } } else { Outcome::Failed { reason, detail, restored } }
}
