//! Validates the entries of an archive in the archive's order, and tracks the tree built so far.
//!
//! The scan runs twice over the same bytes: once over the whole archive with nothing written, then again while
//! unpacking. Only the [`Planned`] values that it returns are written.

use crate::{
    error::archive_refusal::Refusal,
    methods::archive::{
        reader::{Entry, What},
        safe_path::{Rules, SafePath, link_target},
    },
};
use std::collections::HashMap;

/// Maximum number of entries.
pub(super) const ENTRIES: u64 = 200_000;
/// Bytes that any archive may unpack to, however small it is.
const BYTES_FREE: u64 = 64 << 20;
/// The maximum ratio of unpacked to packed size, beyond [`BYTES_FREE`]. Programs reach 2 to 10, text 20; deflate allows
/// at most 1032, zstd a million.
const RATIO: u64 = 100;
/// Maximum bytes that an archive may unpack to, whatever its size.
const BYTES: u64 = 256 << 30;
/// Approximate disk space that each entry takes besides its content (bytes).
const ENTRY_ROOM: u64 = 4096;

/// Returns how much an archive of `archive` bytes may unpack to (bytes, including the archive's own headers).
pub(super) fn most_bytes(archive: u64) -> u64 {
    archive.saturating_mul(RATIO).saturating_add(BYTES_FREE).min(BYTES)
}

/// What to write for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Planned {
    /// The target folder itself.
    Root,
    Folder(SafePath),
    File {
        path: SafePath,
        size: u64,
        executable: bool,
    },
    Symlink {
        path: SafePath,
        target: String,
    },
    /// A second name for a file that was written before.
    HardLink {
        path: SafePath,
        to: SafePath,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File,
    Link,
}

/// The tree found so far.
pub(super) struct Scan {
    rules: Rules,
    entries: u64,
    bytes: u64,
    /// All paths and their nodes, by the path in lower case.
    tree: HashMap<String, Vec<(String, Node)>>,
}

impl Scan {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, entries: 0, bytes: 0, tree: HashMap::new() }
    }

    /// Returns the disk space that everything admitted so far takes (bytes).
    pub(super) fn room(&self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(ENTRY_ROOM))
    }

    /// Validates one entry.
    ///
    /// # Errors
    /// When the archive must not be unpacked.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<Planned, Refusal> {
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(Refusal::TooMany(ENTRIES));
        }
        let path = SafePath::parse(&entry.path, self.rules)?;
        let shown = || path.as_str().to_owned();
        if entry.mode & 0o6000 != 0 {
            return Err(Refusal::SetId(shown()));
        }
        let planned = match &entry.what {
            What::Special(what) => return Err(Refusal::Special { path: shown(), what }),
            What::Folder if path.is_root() => return Ok(Planned::Root),
            _ if path.is_root() => return Err(Refusal::Name { path: shown(), why: "it is empty" }),
            What::Symlink(_) | What::HardLink(_) if !self.rules.links => {
                return Err(Refusal::NoLinks { path: shown() });
            }
            What::Folder => Planned::Folder(path),
            What::File { size } => {
                self.bytes = self.bytes.saturating_add(*size);
                Planned::File { executable: entry.mode & 0o111 != 0, size: *size, path }
            }
            What::Symlink(raw) => Planned::Symlink { target: link_target(&path, raw, self.rules)?, path },
            What::HardLink(raw) => {
                let to = SafePath::parse(raw, self.rules)?;
                if self.exact(to.as_str()) != Some(Node::File) {
                    return Err(Refusal::HardLink { path: shown(), target: to.as_str().into() });
                }
                Planned::HardLink { path, to }
            }
        };
        match &planned {
            Planned::Root => {}
            Planned::Folder(path) => self.place(path, Node::Folder)?,
            Planned::File { path, .. } | Planned::HardLink { path, .. } => self.place(path, Node::File)?,
            Planned::Symlink { path, .. } => self.place(path, Node::Link)?,
        }
        Ok(planned)
    }

    /// Adds an entry and its parent folders to the tree.
    fn place(&mut self, path: &SafePath, node: Node) -> Result<(), Refusal> {
        for parent in path.parents() {
            let through = |other: &str| Refusal::Through { path: path.as_str().into(), through: other.into() };
            let mut known = false;
            for (other, there) in self.like(parent) {
                let same = other == parent;
                known |= same;
                // A file system that ignores case would also follow a link spelled in different case.
                if (same && *there != Node::Folder) || *there == Node::Link {
                    return Err(through(other));
                }
                if !same && self.rules.portable {
                    return Err(Refusal::Collides { path: path.as_str().into(), other: other.clone() });
                }
            }
            if !known {
                self.insert(parent, Node::Folder);
            }
        }
        let path = path.as_str();
        let mut known = false;
        for (other, there) in self.like(path) {
            let same = other == path;
            known |= same;
            let harmless = if same {
                (*there, node) == (Node::Folder, Node::Folder)
            } else {
                !self.rules.portable && *there != Node::Link && node != Node::Link
            };
            if !harmless {
                return Err(Refusal::Collides { path: path.into(), other: other.clone() });
            }
        }
        if !known {
            self.insert(path, node);
        }
        Ok(())
    }

    fn exact(&self, path: &str) -> Option<Node> {
        self.like(path).iter().find(|(other, _)| other == path).map(|(_, node)| *node)
    }
    /// Returns all paths that equal `path` when case is ignored.
    fn like(&self, path: &str) -> &[(String, Node)] {
        self.tree.get(&path.to_lowercase()).map_or(&[], Vec::as_slice)
    }
    fn insert(&mut self, path: &str, node: Node) {
        self.tree.entry(path.to_lowercase()).or_default().push((path.to_owned(), node));
    }
}
