//! Why an archive is not unpacked. Names are shown escaped: they come from whoever made the archive.

/// One reason to refuse an archive as a whole; nothing of it is unpacked then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0:?} is an absolute path")]
    Absolute(String),
    #[error("{0:?} climbs out of the folder with \"..\"")]
    Climbs(String),
    #[error("{path:?} has a name that is not allowed: {why}")]
    Name { path: String, why: &'static str },
    #[error("{path:?} is a link to {target:?}, which leaves the folder")]
    LinkLeaves { path: String, target: String },
    #[error("{path:?} is a hard link to {target:?}, which is no file that came before it")]
    HardLink { path: String, target: String },
    #[error("{path:?} would be written through the link or file {through:?}")]
    Through { path: String, through: String },
    #[error("{path:?} is there twice, or differs only in case from {other:?}")]
    Collides { path: String, other: String },
    #[error("{path:?} is {what}")]
    Special { path: String, what: &'static str },
    #[error("{0:?} asks for set-user-id or set-group-id")]
    SetId(String),
    #[error("{path:?} is a link, and links cannot be unpacked on this system")]
    NoLinks { path: String },
    #[error("it has more than {0} entries")]
    TooMany(u64),
    #[error("it unpacks to more than {0} bytes, far more than an archive of its size may")]
    TooLarge(u64),
    #[error("an extended header is larger than {0} bytes")]
    HeaderTooLarge(u64),
    #[error("{path:?} says it has {said} bytes and has {found} or more")]
    Lies { path: String, said: u64, found: u64 },
    /// Not hostile on its face: damaged, cut short, or not an archive.
    #[error("it is damaged or cut short: {0}")]
    Broken(String),
    /// Not hostile either: made in a way that is not supported.
    #[error("{0}")]
    Unsupported(String),
}

impl Refusal {
    /// Whether it has an entry that must not be unpacked, as opposed to one that cannot be.
    pub(crate) fn is_attack(&self) -> bool {
        !matches!(self, Self::Broken(_) | Self::Unsupported(_) | Self::NoLinks { .. })
    }
}
