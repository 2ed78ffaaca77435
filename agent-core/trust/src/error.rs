//! The reasons why metadata, a release or a package file was not trusted. Each maps to an entry of the reason table.

use banyan_proto::{Digest, Reason, UnixSeconds, manifest::ManifestError};

/// The reason why metadata, a release or a package file was not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A part is larger than its limit.
    #[error("{what} is too large: {found}, the limit is {limit}")]
    TooLarge {
        /// The part.
        what: &'static str,
        /// The size found, in bytes (for a chain of roots, their number).
        found: usize,
        /// The limit, in the same unit.
        limit: usize,
    },
    /// At enrolment, the server's first root does not match the join code.
    #[error(
        "the server's root of trust has the hash {found}, but the join code expects {expected}: \
         the join code is for another server or other publishers"
    )]
    WrongFirstRoot {
        /// The hash in the join code.
        expected: Digest,
        /// The hash of the root that the server sent.
        found: Digest,
    },
    /// The root assigns keys to roles in a way that defeats the separation of roles.
    #[error("the root (version {version}) is not acceptable: {why}")]
    UnsoundRoot {
        /// The root's version.
        version: u64,
        /// What is wrong.
        why: String,
    },
    /// Root versions are missing from the chain.
    #[error("root versions are missing: version {trusted} is trusted, the next one offered is {offered}")]
    RootGap {
        /// The newest trusted version.
        trusted: u64,
        /// The offered version.
        offered: u64,
    },
    /// A role's metadata has expired.
    #[error("the {role} metadata expired {ago} seconds ago")]
    Expired {
        /// The role.
        role: String,
        /// Seconds since expiry, by the later of this machine's clock and the last signed time.
        ago: u64,
    },
    /// The metadata is older than what this machine has seen.
    #[error("the {role} metadata has version {offered}, but this machine has already seen version {seen}")]
    RolledBack {
        /// The role.
        role: &'static str,
        /// The highest version seen.
        seen: u64,
        /// The offered version.
        offered: u64,
    },
    /// Signatures are wrong or too few, or the files do not belong together.
    #[error("the {role} metadata cannot be trusted: {source}")]
    Forged {
        /// The role.
        role: &'static str,
        /// The library's error.
        source: sigstore_tuf::Error,
    },
    /// The manifest is not the one in the order.
    #[error("the received manifest has the hash {found}, but the order requires {wanted}")]
    ManifestSwapped {
        /// The hash in the order.
        wanted: Digest,
        /// The hash of the received manifest.
        found: Digest,
    },
    /// The manifest is invalid, or its format is unknown to this version.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The publishers' release list does not contain the release with these bytes.
    #[error("the publishers' release list (version {targets}) {what} {target}")]
    NotPublished {
        /// The version of the targets metadata.
        targets: u64,
        /// How the entry is missing, as a verb phrase.
        what: &'static str,
        /// The release's target name.
        target: String,
    },
    /// The publishers have withdrawn the release.
    #[error("the publishers have withdrawn {target} (release list version {targets})")]
    Withdrawn {
        /// The version of the targets metadata.
        targets: u64,
        /// The release's target name.
        target: String,
    },
    /// The release is below its package's floor.
    #[error("{package} has sequence {sequence}; {floor} or higher is required")]
    BelowFloor {
        /// The package's name.
        package: String,
        /// The release's sequence.
        sequence: u64,
        /// The highest `min_sequence` seen.
        floor: u64,
    },
    /// The order and the release do not match.
    #[error("the order and the release have a different {what}")]
    NotOrdered {
        /// The field that differs.
        what: &'static str,
    },
    /// The release has no file for the platform.
    #[error("{package} {version} has no file for {platform}")]
    WrongPlatform {
        /// The package's name.
        package: String,
        /// The version shown to users.
        version: String,
        /// The platform.
        platform: String,
    },
    /// A package file contains no root, so its signer cannot be identified.
    #[error("the file contains no root of trust")]
    NoRoot,
    /// The user has not chosen to trust the file's publishers.
    #[error("it is signed under the root {root}, which is not trusted on this computer yet")]
    NotConsented {
        /// The hash of the first root.
        root: Digest,
    },
    /// Other publishers installed a package of this name first, so the name belongs to them.
    #[error("{package} was installed from another publisher (root {root}), and only that publisher can replace it")]
    OtherSigner {
        /// The package's name.
        package: String,
        /// The hash of those publishers' first root.
        root: Digest,
    },
    /// The machine's trust store cannot be read. The machine fails closed: it trusts nothing until the store is
    /// repaired.
    #[error("this machine's trust store is damaged ({0}); enrol the machine again")]
    StoreDamaged(String),
}

impl TrustError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Expired { .. } => Reason::MetadataExpired,
            Self::RolledBack { .. } => Reason::MetadataRolledBack,
            Self::Forged { .. }
            | Self::WrongFirstRoot { .. }
            | Self::UnsoundRoot { .. }
            | Self::ManifestSwapped { .. } => Reason::MetadataForged,
            Self::NotPublished { .. } | Self::NotOrdered { .. } => Reason::NotPublished,
            Self::Withdrawn { .. } => Reason::Withdrawn,
            Self::BelowFloor { .. } => Reason::BelowFloor,
            Self::WrongPlatform { .. } => Reason::WrongPlatform,
            Self::Manifest(ManifestError::NotUnderstood(_)) => Reason::NotUnderstood,
            Self::TooLarge { .. } | Self::RootGap { .. } | Self::Manifest(_) => Reason::ProtocolBroken,
            Self::NoRoot => Reason::NotAPackage,
            Self::NotConsented { .. } => Reason::NotConsented,
            Self::OtherSigner { .. } => Reason::OtherSigner,
            Self::StoreDamaged(_) => Reason::InternalError,
        }
    }
    /// Returns whether the metadata is at fault instead of the release, so that newer metadata may still prove the
    /// release.
    pub(crate) fn is_about_metadata(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::WrongFirstRoot { .. }
            | Self::UnsoundRoot { .. }
            | Self::RootGap { .. }
            | Self::Expired { .. }
            | Self::RolledBack { .. }
            | Self::Forged { .. } => true,
            Self::ManifestSwapped { .. }
            | Self::Manifest(_)
            | Self::NotPublished { .. }
            | Self::Withdrawn { .. }
            | Self::BelowFloor { .. }
            | Self::NotOrdered { .. }
            | Self::WrongPlatform { .. }
            | Self::NoRoot
            | Self::NotConsented { .. }
            | Self::OtherSigner { .. }
            | Self::StoreDamaged(_) => false,
        }
    }
    /// Converts an error of the library. `now` is the time that the check used.
    pub(crate) fn from_library(role: &'static str, source: sigstore_tuf::Error, now: UnixSeconds) -> Self {
        match source {
            sigstore_tuf::Error::Expired { role, expires } => {
                Self::Expired { role, ago: now.0.saturating_sub(u64::try_from(expires.as_second()).unwrap_or(0)) }
            }
            source => Self::Forged { role, source },
        }
    }
}
