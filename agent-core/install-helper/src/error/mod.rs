//! Errors of an install, and the reason code of each.

use crate::protocol::Outcome;
use banyan_archive::{ArchiveError, ArchiveRefusal};
use banyan_proto::{Reason, text};
use banyan_trust::TrustError;
use std::io;

/// Why an installation step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// The operating system returned an error. Typically a full disk or missing permissions.
    #[error("{context}: {}", text::system_error(source))]
    Io {
        /// What was attempted, for people.
        context: String,
        source: io::Error,
    },
    /// The archive must not, or cannot, be unpacked.
    #[error("the archive was rejected: {0}")]
    Archive(#[from] ArchiveRefusal),
    /// Any other error that has a reason code.
    #[error("{detail}")]
    Other { reason: Reason, detail: String },
}

impl InstallError {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Other { reason, detail: detail.into() }
    }
    pub(crate) fn reason(&self) -> Reason {
        match self {
            // A missing file is not a missing place; who looks for a place says so.
            Self::Io { source, .. } => match Reason::of_disk_error(source) {
                Reason::PlaceMissing => Reason::DiskFailed,
                reason => reason,
            },
            Self::Archive(refusal) if refusal.is_attack() => Reason::ArchiveUnsafe,
            Self::Archive(_) => Reason::InstallFailed,
            Self::Other { reason, .. } => *reason,
        }
    }
    /// Returns the outcome of a job that cannot begin or continue.
    pub(crate) fn to_outcome(&self, restored: bool) -> Outcome {
        let (reason, detail) = (self.reason(), self.to_string());
        if is_temporary(reason) {
            Outcome::Waits { reason, detail }
        } else {
            Outcome::Failed { reason, detail, restored }
        }
    }
}

/// Whether the condition is temporary, so that the job must be tried again.
pub(crate) fn is_temporary(reason: Reason) -> bool {
    // The agent fetches a new install permit and new metadata before it sends the job again.
    let renewed = matches!(reason, Reason::WaitsForPermit | Reason::ClockWrong | Reason::MetadataExpired);
    let of_places = matches!(reason, Reason::ReadOnly | Reason::NoExec | Reason::PlaceMissing | Reason::PlaceTaken);
    let of_room = matches!(reason, Reason::DiskFull | Reason::FileTooLarge);
    let of_dpkg = matches!(reason, Reason::PackageManagerBusy | Reason::PackageManagerMisconfigured);
    renewed || of_places || of_room || of_dpkg
}

/// Adds what was attempted to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, InstallError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, InstallError> {
        self.map_err(|source| InstallError::Io { context: what(), source })
    }
}

impl From<TrustError> for InstallError {
    fn from(error: TrustError) -> Self {
        InstallError::new(error.reason(), error.to_string())
    }
}

impl From<ArchiveError> for InstallError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Refused(refusal) => Self::Archive(refusal),
            ArchiveError::Io { context, source } => Self::Io { context, source },
        }
    }
}
