//! Why the repository refused something, or could not do it.

use super::signing::SigningError;
use banyan_proto::Reason;
use banyan_trust::TrustError;
use std::{io, path::PathBuf};

/// Why the repository refused something, or could not do it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The disk, or the rights on the folder.
    #[error("cannot {doing} {path}: {source}")]
    Disk {
        /// `read` or `write`.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in the folder was changed by other hands or by the disk.
    #[error("the repository's {what} cannot be used: {why}; put it back from the backup")]
    Damaged {
        /// What.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing can be published before a root is registered.
    #[error("no root of trust has been registered yet; run `banyan keys init`")]
    NoRoot,
    /// A root that machines would not accept.
    #[error("the root was not registered: {0}")]
    RootRefused(#[source] TrustError),
    /// Roots follow each other without a gap.
    #[error("the next root must have version {wanted}, this one has {found}")]
    RootVersion {
        /// The version that is next.
        wanted: u64,
        /// The one found.
        found: u64,
    },
    /// The root gives an online role to other keys.
    #[error("the root does not let this server sign the {0} role; make it from the keys that this server shows")]
    NotOurKeys(String),
    /// Machines would not trust the result.
    #[error("machines would not trust this: {0}")]
    Untrusted(#[source] TrustError),
    /// Somebody else has published in between, or an old file was sent.
    #[error(
        "the list of releases has version {offered}, the current one is {current}; fetch the current list and sign again"
    )]
    OldTargets {
        /// The current version.
        current: u64,
        /// The one offered.
        offered: u64,
    },
    /// Published releases are missing from the new list.
    #[error(
        "the new list lacks published releases ({}); `banyan releases withdraw` takes a release off the list on purpose",
        .0.join(", ")
    )]
    Disappeared(Vec<String>),
    /// A published release would get other contents.
    #[error("{0} was published before with other contents; give the release a new sequence")]
    Changed(String),
    /// A withdrawn release would come back.
    #[error("{0} was withdrawn, and a withdrawn release never comes back; publish it with a new sequence")]
    Returned(String),
    /// The list withdraws something in a way that makes no sense.
    #[error("{name} cannot be withdrawn: {why}; fetch the current list and sign again")]
    Withdrawal {
        /// Target name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The new list names a release whose manifest never came here.
    #[error("the new list names {0}, whose manifest was never sent here; publish it first")]
    UnknownTarget(String),
    /// There is no such release (any more).
    #[error("there is no release of {package} with sequence {sequence} on the current list")]
    NoSuchRelease {
        /// Package.
        package: String,
        /// Sequence.
        sequence: u64,
    },
    /// Signing failed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl RepositoryError {
    /// Whether what was sent is wrong, and not this server: the request can be mended and sent again.
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        match self {
            Self::Disk { .. } | Self::Damaged { .. } => false,
            Self::Signing(error) => matches!(error, SigningError::UnreadableRoot(_)),
            Self::NoRoot
            | Self::RootRefused(_)
            | Self::RootVersion { .. }
            | Self::NotOurKeys(_)
            | Self::Untrusted(_)
            | Self::OldTargets { .. }
            | Self::Disappeared(_)
            | Self::Changed(_)
            | Self::Returned(_)
            | Self::Withdrawal { .. }
            | Self::UnknownTarget(_)
            | Self::NoSuchRelease { .. } => true,
        }
    }
    /// The entry of the table of reasons.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::RootRefused(error) | Self::Untrusted(error) => error.reason(),
            Self::NoRoot | Self::NoSuchRelease { .. } | Self::UnknownTarget(_) | Self::Disappeared(_) => {
                Reason::NotPublished
            }
            Self::Returned(_) => Reason::Withdrawn,
            Self::Withdrawal { .. } => Reason::NotPublished,
            Self::RootVersion { .. } | Self::NotOurKeys(_) | Self::Changed(_) => Reason::MetadataForged,
            Self::OldTargets { .. } => Reason::MetadataRolledBack,
            Self::Disk { .. } => Reason::DiskFailed,
            Self::Damaged { .. } | Self::Signing(_) => Reason::InternalError,
        }
    }
}
