//! Errors of an install, and the reason code of each.

pub(crate) mod archive_refusal;

use crate::{error::archive_refusal::Refusal, protocol::Outcome};
use banyan_proto::Reason;
use banyan_trust::TrustError;
use std::io;

/// Why an installation step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The operating system returned an error. Typically a full disk or missing permissions.
    #[error("{doing}: {source}")]
    Io {
        /// What was attempted, for people.
        doing: String,
        source: io::Error,
    },
    /// The archive must not, or cannot, be unpacked.
    #[error("the archive was rejected: {0}")]
    Archive(#[from] Refusal),
    /// Any other error that has a reason code.
    #[error("{detail}")]
    Because { reason: Reason, detail: String },
}

impl Trouble {
    pub(crate) fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Because { reason, detail: detail.into() }
    }
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Io { source, .. } if is_full(source) => Reason::DiskFull,
            Self::Io { .. } => Reason::DiskFailed,
            Self::Archive(refusal) if refusal.is_attack() => Reason::ArchiveUnsafe,
            Self::Archive(_) => Reason::InstallFailed,
            Self::Because { reason, .. } => *reason,
        }
    }
    /// Returns the outcome of a job that cannot begin or continue.
    pub(crate) fn to_outcome(&self, restored: bool) -> Outcome {
        let (reason, detail) = (self.reason(), self.to_string());
        if passes(reason) { Outcome::Waits { reason, detail } } else { Outcome::Failed { reason, detail, restored } }
    }
}

/// Whether the condition is temporary, so that the job must be tried again.
pub(crate) fn passes(reason: Reason) -> bool {
    // The agent fetches a new install permit and new metadata before it sends the job again.
    let renewed = matches!(reason, Reason::WaitsForPermit | Reason::MetadataExpired);
    renewed || matches!(reason, Reason::DiskFull | Reason::PackageManagerBusy)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Adds what was attempted to an error of the operating system.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Trouble>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Trouble> {
        self.map_err(|source| Trouble::Io { doing: what(), source })
    }
}

impl From<TrustError> for Trouble {
    fn from(error: TrustError) -> Self {
        Trouble::because(error.reason(), error.to_string())
    }
}
