//! Why an archive is refused. Each text names the entry and what to do. Names are shown escaped, because they come from
//! the archive's author.

use std::io;

/// An archive that cannot be read, or must not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive itself is at fault.
    #[error(transparent)]
    Refused(#[from] ArchiveRefusal),
    /// The operating system returned an error.
    #[error("{context}: {source}")]
    Io {
        /// What was attempted, for people.
        context: String,
        /// The system's error.
        source: io::Error,
    },
}

/// A reason to refuse a whole archive; nothing of it is unpacked then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveRefusal {
    /// `/etc/passwd`.
    #[error(
        "{0:?} is an absolute path; make the archive with names relative to its own folder (tar -C FOLDER -czf FILE .)"
    )]
    Absolute(String),
    /// `../x`.
    #[error("{0:?} climbs out of the folder with \"..\"; make the archive from inside the folder that it packs")]
    ParentFolder(String),
    /// A name that cannot be a file's name everywhere it must be one.
    #[error("{path:?} has a name that is not allowed: {why}; rename it")]
    Name {
        /// The entry.
        path: String,
        /// What is wrong with the name.
        why: &'static str,
    },
    /// A link to an absolute path.
    #[error(
        "{path:?} is a link to the absolute path {target:?}, outside the archive; use a relative link, or leave it out"
    )]
    LinkAbsolute {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A link with too many `..`.
    #[error("{path:?} is a link to {target:?}, which leaves the folder; point it inside the archive, or leave it out")]
    LinkEscapes {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A link without a target.
    #[error("{path:?} is a link to nothing; leave it out")]
    LinkEmpty {
        /// The link.
        path: String,
    },
    /// A hard link that does not name an earlier entry.
    #[error(
        "{path:?} is a hard link to {target:?}, which is not an earlier file of the archive; pack both, or use tar --hard-dereference"
    )]
    HardLink {
        /// The link.
        path: String,
        /// The missing file.
        target: String,
    },
    /// An entry below a link or file.
    #[error("{path:?} would be written through the link or file {through:?}; pack the real folder instead")]
    ThroughLink {
        /// The entry.
        path: String,
        /// The link or file.
        through: String,
    },
    /// Two entries that cannot both exist.
    #[error("{}", describe_collision(path, other))]
    Collision {
        /// The later entry.
        path: String,
        /// The earlier entry.
        other: String,
    },
    /// A device, a pipe, a socket.
    #[error("{path:?} is {what}; leave it out of the archive")]
    Special {
        /// The entry.
        path: String,
        /// Its type, with an article.
        what: &'static str,
    },
    /// A link for a system that has none.
    #[error("{path:?} is a link, and Windows machines do not unpack links; pack a copy of the file instead")]
    NoLinks {
        /// The link.
        path: String,
    },
    /// Too many entries.
    #[error("it has more than {0} entries; pack fewer files, or put some into an archive of their own")]
    TooManyEntries(u64),
    /// It unpacks to too much.
    #[error(
        "it unpacks to more than {0} bytes, far more than an archive of its size may; if that is right, publish it again so that the release states its size (needs_bytes)"
    )]
    TooLarge(u64),
    /// A header that fills the memory.
    #[error("a name or the map of a sparse file is larger than {0} bytes; make the archive with GNU tar or bsdtar")]
    HeaderTooLarge(u64),
    /// The archive contradicts itself.
    #[error("{path:?} declares {said} bytes but has {found} or more; make the archive again")]
    WrongSize {
        /// The entry.
        path: String,
        /// The size in its header.
        said: u64,
        /// The bytes found.
        found: u64,
    },
    /// Nothing would be installed.
    #[error("there is no file in it; check what was packed")]
    Empty,
    /// Not an obvious attack: damaged, truncated, or not an archive.
    #[error("it is damaged or truncated: {0}; make or download the archive again")]
    Damaged(String),
    /// Not an attack either: made in an unsupported way. The text says what to do.
    #[error("{0}")]
    Unsupported(String),
    /// Of no format that is known here.
    #[error("it is not an archive that machines can unpack; use tar (plain, gzip, xz, bzip2 or zstd) or zip")]
    UnknownFormat,
}

impl ArchiveRefusal {
    /// Whether an entry must not be unpacked, as opposed to one that cannot be.
    #[must_use]
    pub fn is_attack(&self) -> bool {
        !matches!(
            self,
            Self::Damaged(_) | Self::Unsupported(_) | Self::UnknownFormat | Self::NoLinks { .. } | Self::Empty
        )
    }
}

fn describe_collision(path: &str, other: &str) -> String {
    if path == other {
        return format!("{path:?} is in it as a folder and as something else; rename or remove one of them");
    }
    format!("{path:?} is in the way of {other:?}, or differs from it only in case; rename or remove one of them")
}

/// Returns the refusal for an error of a decompressor or of the file.
#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub(crate) fn damaged(error: io::Error) -> ArchiveRefusal {
    ArchiveRefusal::Damaged(error.to_string())
}
