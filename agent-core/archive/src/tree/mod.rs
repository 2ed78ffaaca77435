//! Validates the entries of an archive in the archive's order, and tracks the tree built so far.
//!
//! The validation runs twice over the same bytes: once over the whole archive with nothing written, then again while
//! unpacking. Only the [`PlannedEntry`] values that it returns are written. A later entry replaces an earlier one of the
//! same name, as in tar: `tar -r` and `zip` append newer files.

mod links;

use crate::{
    budget::MAX_ENTRIES,
    names::{NameRules, SafePath, check_link_target},
    reader::{Entry, EntryKind},
    refusal::ArchiveRefusal,
};
use std::collections::HashMap;

/// Approximate disk space that each entry takes besides its content (bytes).
const ENTRY_OVERHEAD_BYTES: u64 = 4096;

/// What to write for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedEntry {
    /// The target folder itself, or nothing.
    Nothing,
    /// A folder.
    Folder(SafePath),
    /// A file. It replaces an earlier file or link.
    File {
        /// Where.
        path: SafePath,
        /// Its size (bytes).
        size: u64,
        /// Whether it is a program; `None` if only its content tells.
        executable: Option<bool>,
    },
    /// A symbolic link. It replaces an earlier file or link.
    Symlink {
        /// Where.
        path: SafePath,
        /// Where it points, as in the archive.
        target: String,
    },
    /// A second name for a file that was written before. It replaces an earlier file or link.
    HardLink {
        /// Where.
        path: SafePath,
        /// The file.
        to: SafePath,
    },
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Whether it may be executed; `None` until its content was read, if the archive has no modes.
        executable: Option<bool>,
        /// Whether its content is that of a program or script.
        is_program: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
}

/// The tree found so far.
pub struct Tree {
    rules: NameRules,
    limit: u64,
    entries: u64,
    bytes: u64,
    files: u64,
    /// All paths and their nodes, by the path in lower case.
    nodes: HashMap<String, Vec<(String, Node)>>,
    /// How often a later entry replaced an earlier one, and the first path where it did.
    repeated: (u64, Option<String>),
}

impl Tree {
    /// Starts an empty tree whose files may have at most `limit` bytes in all.
    #[must_use]
    pub fn new(rules: NameRules, limit: u64) -> Self {
        Self { rules, limit, entries: 0, bytes: 0, files: 0, nodes: HashMap::new(), repeated: (0, None) }
    }

    /// Returns the disk space that everything admitted so far takes (bytes).
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(ENTRY_OVERHEAD_BYTES))
    }

    /// Returns the bytes of all files admitted so far.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of files, links and folders, those included that are only named as a part of a path.
    #[must_use]
    pub fn path_count(&self) -> u64 {
        self.nodes.values().map(|nodes| nodes.len() as u64).sum()
    }

    /// Returns how often a later entry replaced an earlier one, and the first path where it did.
    #[must_use]
    pub fn repeated(&self) -> (u64, Option<&str>) {
        (self.repeated.0, self.repeated.1.as_deref())
    }

    /// Validates one entry.
    ///
    /// # Errors
    /// When the archive must not be unpacked.
    pub fn admit(&mut self, entry: &Entry) -> Result<PlannedEntry, ArchiveRefusal> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ArchiveRefusal::TooManyEntries(MAX_ENTRIES));
        }
        let path = SafePath::parse(&entry.path, self.rules)?;
        let shown = || path.shown().to_owned();
        match &entry.kind {
            EntryKind::Special(what) => Err(ArchiveRefusal::Special { path: shown(), what }),
            EntryKind::Folder if path.is_root() => Ok(PlannedEntry::Nothing),
            _ if path.is_root() => Err(ArchiveRefusal::Name { path: shown(), why: "it is the archive's own folder" }),
            EntryKind::Symlink(_) | EntryKind::HardLink(_) if !self.rules.links => {
                Err(ArchiveRefusal::NoLinks { path: shown() })
            }
            EntryKind::Folder => {
                self.add(&path, Node::Folder)?;
                Ok(PlannedEntry::Folder(path))
            }
            EntryKind::File { size, executable } => {
                self.bytes = self.bytes.saturating_add(*size);
                if self.bytes > self.limit {
                    return Err(ArchiveRefusal::TooLarge(self.limit));
                }
                self.add(&path, Node::File { executable: *executable, is_program: false })?;
                Ok(PlannedEntry::File { path, size: *size, executable: *executable })
            }
            EntryKind::Symlink(raw) => {
                let target = check_link_target(&path, raw, self.rules)?;
                self.add(&path, Node::Link { target: target.clone() })?;
                Ok(PlannedEntry::Symlink { path, target })
            }
            EntryKind::HardLink(raw) => {
                let to = SafePath::parse(raw, self.rules)?;
                self.admit_hard_link(path, to)
            }
        }
    }

    /// A hard link to a symbolic link is a second symbolic link with the same text. One to itself, which tar writes
    /// when it was given a file twice, is nothing new.
    fn admit_hard_link(&mut self, path: SafePath, to: SafePath) -> Result<PlannedEntry, ArchiveRefusal> {
        match self.node_at(to.as_str()).cloned() {
            Some(Node::File { .. } | Node::Link { .. }) if path == to => Ok(PlannedEntry::Nothing),
            Some(Node::Link { target }) => {
                self.add(&path, Node::Link { target: target.clone() })?;
                Ok(PlannedEntry::Symlink { path, target })
            }
            Some(file @ Node::File { .. }) => {
                self.add(&path, file)?;
                Ok(PlannedEntry::HardLink { path, to })
            }
            Some(Node::Folder) | None => {
                Err(ArchiveRefusal::HardLink { path: path.shown().into(), target: to.shown().into() })
            }
        }
    }

    /// Records what the content of a file tells: whether it is a program. Without modes it is executable then.
    pub fn set_program(&mut self, path: &SafePath, found: bool) {
        let nodes = self.nodes.get_mut(&path.as_str().to_lowercase());
        let node = nodes.and_then(|nodes| nodes.iter_mut().find(|(other, _)| other == path.as_str()));
        if let Some((_, Node::File { executable, is_program })) = node {
            executable.get_or_insert(found);
            *is_program = found;
        }
    }

    /// Validates the whole tree at the end of the archive: it has a file, and no link leaves it.
    ///
    /// # Errors
    /// Names the first link that leaves the tree.
    pub fn finish(&self) -> Result<(), ArchiveRefusal> {
        if self.files == 0 {
            return Err(ArchiveRefusal::Empty);
        }
        for (path, node) in self.nodes.values().flatten() {
            if let Node::Link { target } = node
                && !self.stays_inside(path, target)
            {
                return Err(ArchiveRefusal::LinkEscapes { path: path.clone(), target: target.clone() });
            }
        }
        Ok(())
    }

    /// Adds an entry and its parent folders to the tree.
    fn add(&mut self, path: &SafePath, node: Node) -> Result<(), ArchiveRefusal> {
        for parent in path.parents() {
            let through =
                |other: &str| ArchiveRefusal::ThroughLink { path: path.as_str().into(), through: other.into() };
            let mut known = false;
            for (other, node_there) in self.ignoring_case(parent) {
                let same = other == parent;
                known |= same;
                let is_followed = matches!(node_there, Node::Link { .. }) && self.rules.ignores_case;
                if (same && *node_there != Node::Folder) || is_followed {
                    return Err(through(other));
                }
                if !same && self.rules.ignores_case {
                    return Err(ArchiveRefusal::Collision { path: path.as_str().into(), other: other.clone() });
                }
            }
            if !known {
                self.insert(parent, Node::Folder);
            }
        }
        self.add_last(path.as_str(), node)
    }

    fn add_last(&mut self, path: &str, node: Node) -> Result<(), ArchiveRefusal> {
        let mut replaces = false;
        for (other, there) in self.ignoring_case(path) {
            let same = other == path;
            replaces |= same;
            let is_harmless =
                if same { (*there == Node::Folder) == (node == Node::Folder) } else { !self.rules.ignores_case };
            if !is_harmless {
                return Err(ArchiveRefusal::Collision { path: path.into(), other: other.clone() });
            }
        }
        let is_content = node != Node::Folder;
        self.files += u64::from(is_content && !replaces);
        if replaces && is_content {
            self.repeated.0 += 1;
            self.repeated.1.get_or_insert_with(|| path.to_owned());
        }
        let nodes = self.nodes.entry(path.to_lowercase()).or_default();
        match nodes.iter_mut().find(|(other, _)| other == path) {
            Some((_, there)) => *there = node,
            None => nodes.push((path.to_owned(), node)),
        }
        Ok(())
    }

    fn node_at(&self, path: &str) -> Option<&Node> {
        self.ignoring_case(path).iter().find(|(other, _)| other == path).map(|(_, node)| node)
    }
    /// Returns all paths that equal `path` when case is ignored.
    fn ignoring_case(&self, path: &str) -> &[(String, Node)] {
        self.nodes.get(&path.to_lowercase()).map_or(&[], Vec::as_slice)
    }
    fn insert(&mut self, path: &str, node: Node) {
        self.nodes.entry(path.to_lowercase()).or_default().push((path.to_owned(), node));
    }
}
