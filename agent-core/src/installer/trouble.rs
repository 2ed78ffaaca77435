//! What can go wrong while installing, and which entry of the table of reasons that is.

use super::archive::Refusal;
use banyan_proto::Reason;
use std::io;

/// Why a step of the installation did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The operating system refused something. Typically a full disk or missing rights.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried, for people.
        doing: String,
        source: io::Error,
    },
    /// The archive must not, or cannot, be unpacked.
    #[error("the archive is refused: {0}")]
    Archive(#[from] Refusal),
    /// Anything else that has an entry in the table.
    #[error("{detail}")]
    Because { reason: Reason, detail: String },
}

impl Trouble {
    pub(super) fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Because { reason, detail: detail.into() }
    }
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Io { source, .. } if is_full(source) => Reason::DiskFull,
            Self::Io { .. } => Reason::DiskFailed,
            Self::Archive(refusal) if refusal.is_attack() => Reason::ArchiveUnsafe,
            Self::Archive(_) => Reason::InstallFailed,
            Self::Because { reason, .. } => *reason,
        }
    }
}

/// Whether it passes by itself, so that the job is to be tried again.
pub(super) fn passes(reason: Reason) -> bool {
    // The agent asks for a new go-ahead, and for new metadata, before it gives the job again.
    let renewed = matches!(reason, Reason::WaitsForGoAhead | Reason::MetadataExpired);
    renewed || matches!(reason, Reason::DiskFull | Reason::PackageManagerBusy)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Says what was being done when the operating system refused.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Trouble>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Trouble> {
        self.map_err(|source| Trouble::Io { doing: what(), source })
    }
}
