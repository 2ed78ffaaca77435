//! Errors of the repository.

use banyan_proto::{Reason, manifest::KindChange};
use banyan_trust::TrustError;
use banyan_tuf_signing::SigningError;
use std::{io, path::PathBuf};

/// Why the repository refused a request, or could not carry it out.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The disk failed, or the folder's permissions do not allow access.
    #[error("cannot {doing} {path}: {source}")]
    Disk {
        /// The operation: `read`, `write` or similar.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file in the folder was changed by something else, or damaged on disk.
    #[error("the repository's {what} cannot be used: {why}; restore it from the backup")]
    Damaged {
        /// The damaged part.
        what: String,
        /// The damage found.
        why: String,
    },
    /// No root is registered, so nothing can be published.
    #[error("no root of trust has been registered yet; run `banyan keys init`")]
    NoRoot,
    /// Machines would not accept the root.
    #[error("the root was not registered: {0}")]
    RootRefused(#[source] TrustError),
    /// A root of this version is registered.
    #[error(
        "the keys have changed meanwhile: a root of version {0} is registered already; nothing was changed, so run the \
         command again"
    )]
    RootTaken(u64),
    /// The root does not follow the newest one without a gap.
    #[error("the next root must have version {wanted}, this one has {found}")]
    RootVersion {
        /// The version expected next.
        wanted: u64,
        /// The version found.
        found: u64,
    },
    /// The root assigns an online role to other keys.
    #[error(
        "the root does not let this server sign the {0} role; create it with the online keys that this server reports"
    )]
    NotOurKeys(String),
    /// Machines would not trust the resulting metadata.
    #[error("machines would not trust this: {0}")]
    Untrusted(#[source] TrustError),
    /// Another list was published in the meantime, or an old file was sent.
    #[error(
        "the list of releases has version {offered}, the current one is {current}; fetch the current list and sign again"
    )]
    OldTargets {
        /// The current version.
        current: u64,
        /// The version offered.
        offered: u64,
    },
    /// Published releases are missing from the new list.
    #[error(
        "the new list lacks published releases ({}); to remove one on purpose, run `banyan releases withdraw`",
        .0.join(", ")
    )]
    Disappeared(Vec<String>),
    /// The contents of a published release would change.
    #[error("{0} was already published with different contents; give the release a new sequence")]
    Changed(String),
    /// Machines have an earlier release as another kind of package, and would have both installed.
    #[error(
        "{package} {version} (sequence {sequence}) has {change}; publish it under another name, or withdraw the earlier \
         releases first if no machine has installed them (`banyan releases withdraw {package}@{version}`)"
    )]
    OtherKind {
        /// The package.
        package: String,
        /// The version of the earlier release.
        version: String,
        /// The sequence of the earlier release.
        sequence: u64,
        /// What changes.
        change: KindChange,
    },
    /// A withdrawn release would return.
    #[error("{0} was withdrawn and cannot be published again; publish it with a new sequence")]
    Returned(String),
    /// The list withdraws a release in an invalid way.
    #[error("{name} cannot be withdrawn: {why}; fetch the current list and sign again")]
    Withdrawal {
        /// The target name.
        name: String,
        /// What is invalid.
        why: &'static str,
    },
    /// The new list names a release whose manifest was never sent to this server.
    #[error("the new list names {0}, whose manifest is not on this server; publish it first")]
    UnknownTarget(String),
    /// The current list has no such release.
    #[error("there is no release of {package} with sequence {sequence} on the current list")]
    NoSuchRelease {
        /// The package.
        package: String,
        /// The sequence.
        sequence: u64,
    },
    /// Signing failed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl RepositoryError {
    /// Returns whether the request is wrong, rather than this server: a corrected request can succeed.
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        match self {
            Self::Disk { .. } | Self::Damaged { .. } => false,
            Self::Signing(error) => matches!(error, SigningError::UnreadableRoot(_)),
            Self::NoRoot
            | Self::RootRefused(_)
            | Self::RootTaken(_)
            | Self::RootVersion { .. }
            | Self::NotOurKeys(_)
            | Self::Untrusted(_)
            | Self::OldTargets { .. }
            | Self::Disappeared(_)
            | Self::Changed(_)
            | Self::OtherKind { .. }
            | Self::Returned(_)
            | Self::Withdrawal { .. }
            | Self::UnknownTarget(_)
            | Self::NoSuchRelease { .. } => true,
        }
    }
    /// Returns the matching entry in the table of reasons.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::RootRefused(error) | Self::Untrusted(error) => error.reason(),
            Self::NoRoot | Self::NoSuchRelease { .. } | Self::UnknownTarget(_) | Self::Disappeared(_) => {
                Reason::NotPublished
            }
            Self::OtherKind { .. } => Reason::OtherKind,
            Self::Returned(_) => Reason::Withdrawn,
            Self::Withdrawal { .. } => Reason::NotPublished,
            Self::RootVersion { .. } | Self::NotOurKeys(_) | Self::Changed(_) => Reason::MetadataForged,
            Self::OldTargets { .. } | Self::RootTaken(_) => Reason::MetadataRolledBack,
            Self::Disk { .. } => Reason::DiskFailed,
            Self::Damaged { .. } | Self::Signing(_) => Reason::InternalError,
        }
    }
}
