//! Why something was not trusted, in words for people and as an entry of the table of reasons.

use banyan_proto::{Digest, Reason, UnixSeconds, manifest::ManifestError};

/// Why metadata or a release was not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Larger than any honest one.
    #[error("{what} is too large: {found}, at most {limit} are accepted")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Bytes (or pieces) found.
        found: usize,
        /// Bytes (or pieces) allowed.
        limit: usize,
    },
    /// Enrolment: the server's first root is not the one in the join code.
    #[error(
        "the server's root of trust has the hash {found}, the join code names {expected}: this is not the server, or not the publishers, that the join code was made for"
    )]
    WrongFirstRoot {
        /// From the join code.
        expected: Digest,
        /// Of what the server sent.
        found: Digest,
    },
    /// The root gives roles to keys in a way that would undo what it protects.
    #[error("the root (version {version}) is not acceptable: {why}")]
    UnsoundRoot {
        /// Its version.
        version: u64,
        /// What is wrong.
        why: String,
    },
    /// Root versions are missing in between.
    #[error("the root versions do not follow each other: {trusted} is trusted, the next one offered is {offered}")]
    RootGap {
        /// The newest one trusted.
        trusted: u64,
        /// The one found.
        offered: u64,
    },
    /// A role's time is over.
    #[error("the {role} metadata expired {ago} seconds ago")]
    Expired {
        /// Which role.
        role: String,
        /// For how long it has been expired, by the later of this machine's clock and the last signed time.
        ago: u64,
    },
    /// Older than what this machine has seen.
    #[error("the {role} metadata has version {offered}, this machine has already seen version {seen}")]
    RolledBack {
        /// Which role.
        role: &'static str,
        /// The floor.
        seen: u64,
        /// The one found.
        offered: u64,
    },
    /// Wrong signatures, too few of them, or files that do not belong together.
    #[error("the {role} metadata cannot be believed: {source}")]
    Forged {
        /// Which role.
        role: &'static str,
        /// What the library found.
        source: sigstore_tuf::Error,
    },
    /// The manifest is not the one that the order names.
    #[error("the manifest that came has the hash {found}, the order names {wanted}")]
    ManifestSwapped {
        /// From the order.
        wanted: Digest,
        /// Of the one that came.
        found: Digest,
    },
    /// The manifest makes no sense, or is of a format that this version does not know.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The publishers' list of releases does not have it (with these bytes).
    #[error("the publishers' signed list (version {targets}) {what} {target}")]
    NotPublished {
        /// Version of the targets metadata.
        targets: u64,
        /// How it is missing.
        what: &'static str,
        /// The release's target name.
        target: String,
    },
    /// The publishers took it off their list.
    #[error("the publishers have withdrawn {target} (their signed list, version {targets}, says so)")]
    Withdrawn {
        /// Version of the targets metadata.
        targets: u64,
        /// The release's target name.
        target: String,
    },
    /// Below the floor of its package.
    #[error("{package} has sequence {sequence}, this machine takes {floor} or higher")]
    BelowFloor {
        /// Package.
        package: String,
        /// Of the release.
        sequence: u64,
        /// The highest `min_sequence` seen.
        floor: u64,
    },
    /// The order is about something else than the release says.
    #[error("the order names another {what} than the release has")]
    NotOrdered {
        /// What differs.
        what: &'static str,
    },
    /// The release has no file for the order's platform.
    #[error("{package} {version} has no file for {platform}")]
    WrongPlatform {
        /// Package.
        package: String,
        /// Version.
        version: String,
        /// The order's platform.
        platform: String,
    },
    /// A package file without any root: nobody can be said to have signed it.
    #[error("it has no root of trust in it")]
    NoRoot,
    /// Nobody here has said that they trust the file's publishers.
    #[error("it is signed by the root {root}, and nobody here has said that they trust it")]
    NotConsented {
        /// Hash of the first root.
        root: Digest,
    },
    /// The package's name belongs to the publishers who were the first to bring it here.
    #[error("{package} was installed here from other publishers (root {root}), and only they can replace it")]
    OtherSigner {
        /// Package.
        package: String,
        /// Hash of their first root.
        root: Digest,
    },
    /// What this machine keeps is not readable. It fails closed: nothing is trusted until it has been repaired.
    #[error("this machine's record of what it trusts is damaged ({0}); enrol it again")]
    StoreDamaged(String),
}

impl TrustError {
    /// The entry of the table of reasons.
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
            Self::TooLarge { .. } | Self::RootGap { .. } | Self::Manifest(_) => Reason::ProtocolBroken,
            Self::NoRoot => Reason::NotAPackage,
            Self::NotConsented { .. } => Reason::NotConsented,
            Self::OtherSigner { .. } => Reason::OtherSigner,
            Self::StoreDamaged(_) => Reason::InternalError,
        }
    }
    /// Whether the metadata is at fault, and not the release: then newer metadata may still prove the release.
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
    /// Sorts what the library found. `now` is the time it was asked with.
    pub(crate) fn from_library(role: &'static str, source: sigstore_tuf::Error, now: UnixSeconds) -> Self {
        match source {
            sigstore_tuf::Error::Expired { role, expires } => {
                Self::Expired { role, ago: now.0.saturating_sub(u64::try_from(expires.as_second()).unwrap_or(0)) }
            }
            source => Self::Forged { role, source },
        }
    }
}
