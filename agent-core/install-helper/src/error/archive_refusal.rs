//! Reasons for refusing an archive. Names are shown escaped, because they come from the archive's author.

/// A reason to refuse a whole archive; nothing of it is unpacked then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveRefusal {
    #[error("{0:?} is an absolute path")]
    Absolute(String),
    #[error("{0:?} climbs out of the folder with \"..\"")]
    ParentFolder(String),
    #[error("{path:?} has a name that is not allowed: {why}")]
    Name { path: String, why: &'static str },
    #[error("{path:?} is a link to {target:?}, which leaves the folder")]
    LinkEscapes { path: String, target: String },
    #[error("{path:?} is a hard link to {target:?}, which is not an earlier file of the archive")]
    HardLink { path: String, target: String },
    #[error("{path:?} would be written through the link or file {through:?}")]
    ThroughLink { path: String, through: String },
    #[error("{path:?} appears twice, or differs only in case from {other:?}")]
    Collision { path: String, other: String },
    #[error("{path:?} is {what}")]
    Special { path: String, what: &'static str },
    #[error("{0:?} sets the set-user-id or set-group-id bit")]
    SetId(String),
    #[error("{path:?} is a link, and links cannot be unpacked on this system")]
    NoLinks { path: String },
    #[error("it has more than {0} entries")]
    TooManyEntries(u64),
    #[error("it unpacks to more than {0} bytes, far more than an archive of its size may")]
    TooLarge(u64),
    #[error("an extended header is larger than {0} bytes")]
    HeaderTooLarge(u64),
    #[error("{path:?} declares {said} bytes but has {found} or more")]
    WrongSize { path: String, said: u64, found: u64 },
    /// Not an obvious attack: damaged, truncated, or not an archive.
    #[error("it is damaged or truncated: {0}")]
    Damaged(String),
    /// Not an attack either: made in an unsupported way.
    #[error("{0}")]
    Unsupported(String),
}

impl ArchiveRefusal {
    /// Whether an entry must not be unpacked, as opposed to one that cannot be.
    pub(crate) fn is_attack(&self) -> bool {
        !matches!(self, Self::Damaged(_) | Self::Unsupported(_) | Self::NoLinks { .. })
    }
}
