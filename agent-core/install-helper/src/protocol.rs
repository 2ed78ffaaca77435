//! The protocol between agent and install helper: requests and answers.
//!
//! A request is a JSON file with a header (rule S3), an answer one JSON line. A job contains documents that publishers and server signed, not
//! conclusions drawn from them, because the caller may have taken the agent over. `verification` draws the conclusions
//! from the helper's own records. The names in the JSON stay the same when types are renamed.

use banyan_proto::{
    Digest, Format, InstallPermit, KeyRing, MachineId, Membership, Order, OrderId, Reason, Signed, peer::ReleaseProof,
};
use banyan_trust::package::Head;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One request to the install helper. It contains no secrets: any user may read the file that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", content = "with", rename_all = "kebab-case")]
pub enum HelperRequest {
    /// Sets whom to trust from now on; answered with [`TrustAnswer`].
    #[serde(rename = "believe")]
    SetTrust(EnrolledIdentity),
    /// Installs a release; answered with [`InstallResult`].
    Install(Box<InstallJob>),
    /// Marks the helper as belonging to the user who runs it, and to no server; answered with [`TrustAnswer`].
    #[serde(rename = "stand-alone")]
    SetPersonal,
    /// Installs a release that the user wants and no server ordered; answered with [`InstallResult`].
    #[serde(rename = "install-alone")]
    InstallStandalone(Box<StandaloneJob>),
    /// Stops trusting the publishers of this first root; answered with [`TrustAnswer`].
    #[serde(rename = "forget")]
    ForgetPublisher(Digest),
}

impl Format for HelperRequest {
    const KIND: &'static str = "request";
}

/// This machine's identity and trusted keys, from its enrolment. The first one is kept; a different one is refused
/// afterwards (rule N5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledIdentity {
    /// This machine's identifier.
    pub machine: MachineId,
    /// The server's identifier; the server is the head of every list.
    pub server: MachineId,
    /// The keys that sign orders and install permits.
    pub keys: KeyRing,
    /// The server's epoch.
    pub epoch: u64,
    /// The publishers' root (JSON). At the first start, its hash is the one in the join code.
    pub root: String,
}

/// The answer to a request about trust: one JSON line on the helper's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustAnswer {
    /// The helper trusts exactly this, from now on or already.
    #[serde(rename = "yes")]
    Accepted,
    /// The helper refuses.
    #[serde(rename = "no")]
    Refused {
        /// The reason code.
        reason: Reason,
        /// The explanation for people.
        detail: String,
    },
}

/// One installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallJob {
    /// Raised when someone retries a failed order. If the same order and attempt already failed after changing
    /// something, the install helper returns the same answer without running again.
    #[serde(default)]
    pub attempt: u32,
    /// The server's order.
    pub order: Signed<Order>,
    /// The stripe to which `membership` refers.
    pub stripe: u8,
    /// The proof that this machine is on the order's list.
    pub membership: Membership,
    /// The server's permit to install the order on this machine now.
    pub install_permit: Signed<InstallPermit>,
    /// The publishers' signed release. It covers everything that runs.
    pub release: ReleaseProof,
    /// Whether someone is waiting for it. If so, the install does not yield to other work on the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// How many older versions of an archive stay, by this machine's policy. Not signed: whatever the agent says, the
    /// previous version stays, and versions in use do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
}

/// One installation without an order: the publishers' signature and the user's consent replace it. Only an install
/// helper without privileges and without a server accepts one (rule N10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandaloneJob {
    /// Identifies this installation, like an order's identifier.
    pub id: OrderId,
    /// The publishers' signed release.
    pub head: Head,
    /// The BLAKE3 hash of the manifest that the user was shown.
    pub manifest: Digest,
    /// Set when the user decides to trust the publishers of this first root. Not needed if they already do.
    pub consent: Option<Digest>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The release is installed and the probe passed.
    Installed {
        /// Whether it was already installed, so that nothing was changed.
        already: bool,
        /// What the administrator should know about the machine all the same, such as another package's failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remark: Option<String>,
    },
    /// The release is not installed. Final for this order and attempt.
    Failed {
        /// The reason code.
        reason: Reason,
        /// The explanation for people.
        detail: String,
        /// Whether the machine is in the state it was in before the job.
        restored: bool,
    },
    /// The job cannot run now and must be tried again later.
    Waits {
        /// What it is waiting for.
        reason: Reason,
        /// The explanation for people.
        detail: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed { .. } => f.write_str("installed"),
            Self::Failed { detail, .. } => write!(f, "failed: {detail}"),
            Self::Waits { detail, .. } => write!(f, "put off: {detail}"),
        }
    }
}

/// The answer to an install: one JSON line on the install helper's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallResult {
    /// How the job ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The last 8 KiB that dpkg, detect, probe and undo commands printed.
    pub output: String,
}
