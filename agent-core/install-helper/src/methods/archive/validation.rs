//! Validates the entries of an archive in the archive's order, and tracks the tree built so far.
//!
//! The validation runs twice over the same bytes: once over the whole archive with nothing written, then again while
//! unpacking. Only the [`PlannedEntry`] values that it returns are written.

use crate::{
    error::archive_refusal::ArchiveRefusal,
    methods::archive::{
        reader::{Entry, EntryKind},
        safe_path::{NameRules, SafePath, check_link_target},
    },
};
use std::collections::HashMap;

/// Maximum number of entries.
pub(super) const MAX_ENTRIES: u64 = 200_000;
/// Bytes that any archive may unpack to, however small it is.
const ALWAYS_ALLOWED_BYTES: u64 = 64 << 20;
/// The maximum ratio of unpacked to packed size, beyond [`ALWAYS_ALLOWED_BYTES`]. Programs reach 2 to 10, text 20;
/// deflate allows at most 1032, zstd a million.
const MAX_RATIO: u64 = 100;
/// Maximum bytes that an archive may unpack to, whatever its size.
const MAX_UNPACKED_BYTES: u64 = 256 << 30;
/// Approximate disk space that each entry takes besides its content (bytes).
const ENTRY_OVERHEAD_BYTES: u64 = 4096;

/// Returns how much an archive of `archive` bytes may unpack to (bytes, including the archive's own headers).
pub(super) fn max_unpacked_bytes(archive: u64) -> u64 {
    archive.saturating_mul(MAX_RATIO).saturating_add(ALWAYS_ALLOWED_BYTES).min(MAX_UNPACKED_BYTES)
}

/// EntryKind to write for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlannedEntry {
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
pub(super) struct Validator {
    rules: NameRules,
    entries: u64,
    bytes: u64,
    /// All paths and their nodes, by the path in lower case.
    tree: HashMap<String, Vec<(String, Node)>>,
}

impl Validator {
    pub(super) fn new(rules: NameRules) -> Self {
        Self { rules, entries: 0, bytes: 0, tree: HashMap::new() }
    }

    /// Returns the disk space that everything admitted so far takes (bytes).
    pub(super) fn disk_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(ENTRY_OVERHEAD_BYTES))
    }

    /// Validates one entry.
    ///
    /// # Errors
    /// When the archive must not be unpacked.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<PlannedEntry, ArchiveRefusal> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ArchiveRefusal::TooManyEntries(MAX_ENTRIES));
        }
        let path = SafePath::parse(&entry.path, self.rules)?;
        let shown = || path.as_str().to_owned();
        if entry.mode & 0o6000 != 0 {
            return Err(ArchiveRefusal::SetId(shown()));
        }
        let planned = match &entry.kind {
            EntryKind::Special(what) => return Err(ArchiveRefusal::Special { path: shown(), what }),
            EntryKind::Folder if path.is_root() => return Ok(PlannedEntry::Root),
            _ if path.is_root() => return Err(ArchiveRefusal::Name { path: shown(), why: "it is empty" }),
            EntryKind::Symlink(_) | EntryKind::HardLink(_) if !self.rules.links => {
                return Err(ArchiveRefusal::NoLinks { path: shown() });
            }
            EntryKind::Folder => PlannedEntry::Folder(path),
            EntryKind::File { size } => {
                self.bytes = self.bytes.saturating_add(*size);
                PlannedEntry::File { executable: entry.mode & 0o111 != 0, size: *size, path }
            }
            EntryKind::Symlink(raw) => {
                PlannedEntry::Symlink { target: check_link_target(&path, raw, self.rules)?, path }
            }
            EntryKind::HardLink(raw) => {
                let to = SafePath::parse(raw, self.rules)?;
                if self.node_at(to.as_str()) != Some(Node::File) {
                    return Err(ArchiveRefusal::HardLink { path: shown(), target: to.as_str().into() });
                }
                PlannedEntry::HardLink { path, to }
            }
        };
        match &planned {
            PlannedEntry::Root => {}
            PlannedEntry::Folder(path) => self.add_to_tree(path, Node::Folder)?,
            PlannedEntry::File { path, .. } | PlannedEntry::HardLink { path, .. } => {
                self.add_to_tree(path, Node::File)?;
            }
            PlannedEntry::Symlink { path, .. } => self.add_to_tree(path, Node::Link)?,
        }
        Ok(planned)
    }

    /// Adds an entry and its parent folders to the tree.
    fn add_to_tree(&mut self, path: &SafePath, node: Node) -> Result<(), ArchiveRefusal> {
        for parent in path.parents() {
            let through =
                |other: &str| ArchiveRefusal::ThroughLink { path: path.as_str().into(), through: other.into() };
            let mut known = false;
            for (other, node_there) in self.ignoring_case(parent) {
                let same = other == parent;
                known |= same;
                // A file system that ignores case would also follow a link spelled in different case.
                if (same && *node_there != Node::Folder) || *node_there == Node::Link {
                    return Err(through(other));
                }
                if !same && self.rules.portable {
                    return Err(ArchiveRefusal::Collision { path: path.as_str().into(), other: other.clone() });
                }
            }
            if !known {
                self.insert(parent, Node::Folder);
            }
        }
        let path = path.as_str();
        let mut known = false;
        for (other, node_there) in self.ignoring_case(path) {
            let same = other == path;
            known |= same;
            let harmless = if same {
                (*node_there, node) == (Node::Folder, Node::Folder)
            } else {
                !self.rules.portable && *node_there != Node::Link && node != Node::Link
            };
            if !harmless {
                return Err(ArchiveRefusal::Collision { path: path.into(), other: other.clone() });
            }
        }
        if !known {
            self.insert(path, node);
        }
        Ok(())
    }

    fn node_at(&self, path: &str) -> Option<Node> {
        self.ignoring_case(path).iter().find(|(other, _)| other == path).map(|(_, node)| *node)
    }
    /// Returns all paths that equal `path` when case is ignored.
    fn ignoring_case(&self, path: &str) -> &[(String, Node)] {
        self.tree.get(&path.to_lowercase()).map_or(&[], Vec::as_slice)
    }
    fn insert(&mut self, path: &str, node: Node) {
        self.tree.entry(path.to_lowercase()).or_default().push((path.to_owned(), node));
    }
}
