//! Reads an archive from end to end, writes nothing, and returns what would be unpacked.

use crate::{
    names::{NameRules, SafePath},
    reader::{Entry, Metadata, is_program, read_entries},
    refusal::{ArchiveError, ArchiveRefusal},
    tree::{PlannedEntry, Tree},
};
use std::{
    io::{self, Read, Write},
    path::Path,
};

/// How much of the beginning of each file is kept while its content passes (bytes). Headers of programs fit.
pub const HEAD_BYTES: usize = 4096;

/// What an archive contains.
pub struct Contents {
    /// The tree.
    pub tree: Tree,
    /// The disk space that it takes (bytes).
    pub disk_bytes: u64,
    /// What the limit for unpacking counts: the bytes out of the decompressor, or of all files with their holes (bytes).
    pub unpacked_bytes: u64,
    /// What is unusual about it.
    pub remarks: Remarks,
    /// The first refusal under each of the other rules that were asked for.
    pub refused_elsewhere: Vec<(NameRules, ArchiveRefusal)>,
}

/// How often something was found, and where first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// How often.
    pub count: u64,
    /// The first entry.
    pub first: String,
}

impl Finding {
    fn add(&mut self, path: &str) {
        if self.count == 0 {
            path.clone_into(&mut self.first);
        }
        self.count += 1;
    }
}

/// What is unusual about an archive that can be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remarks {
    /// Files with a set-user-id or set-group-id bit, which is dropped.
    pub set_id: Finding,
    /// Entries that replace an earlier one of the same name.
    pub repeated: Finding,
    /// Programs of a zip without modes, recognised by their content.
    pub made_executable: Finding,
    /// Names of a zip in the old code page 437.
    pub old_names: Finding,
    /// macOS metadata (`._name`).
    pub apple_double: Finding,
    /// Whether data follow the end of the tar archive. They are ignored.
    pub has_data_after_end: bool,
}

/// Reads the archive from end to end and writes nothing. Calls `observe` with the path and the first [`HEAD_BYTES`] of
/// each file. `limit` is the number of bytes that it may unpack to. Whether other systems would unpack it too is tried by
/// the rules in `elsewhere`.
///
/// # Errors
/// Names the first entry that must not be unpacked.
pub fn inspect(
    archive: &Path,
    file_name: &str,
    rules: NameRules,
    limit: u64,
    elsewhere: &[NameRules],
    observe: &mut dyn FnMut(&str, &[u8]),
) -> Result<Contents, ArchiveError> {
    let mut tree = Tree::new(rules, limit);
    let mut others: Vec<OtherTree> = elsewhere.iter().map(|rules| OtherTree::new(*rules, limit)).collect();
    let mut remarks = Remarks::default();
    let metadata: Metadata = read_entries(archive, file_name, limit, &mut |entry: &Entry, content: &mut dyn Read| {
        let planned = tree.admit(entry)?;
        others.iter_mut().for_each(|other| other.admit(entry));
        let PlannedEntry::File { path, size, executable } = planned else { return Ok(()) };
        remark(&mut remarks, entry, &path);
        let head = copy_exactly(content, &mut io::sink(), &path, size, |error| ArchiveError::Io {
            context: format!("reading {:?}", path.shown()),
            source: error,
        })?;
        let is_program = is_program(&head);
        tree.set_program(&path, is_program);
        if executable.is_none() && is_program {
            remarks.made_executable.add(path.as_str());
        }
        observe(path.as_str(), &head);
        Ok::<(), ArchiveError>(())
    })?;
    tree.finish()?;
    let (count, first) = tree.repeated();
    remarks.repeated = Finding { count, first: first.unwrap_or_default().to_owned() };
    if remarks.repeated.count == 0
        && let Some(first) = metadata.repeated
    {
        remarks.repeated = Finding { count: 1, first };
    }
    remarks.has_data_after_end = metadata.has_data_after_end;
    let refused_elsewhere = others.into_iter().filter_map(OtherTree::finish).collect();
    let unpacked_bytes = metadata.read_bytes.max(tree.content_bytes());
    Ok(Contents { disk_bytes: tree.disk_bytes(), unpacked_bytes, tree, remarks, refused_elsewhere })
}

/// The tree under other rules, until they refuse something.
struct OtherTree {
    rules: NameRules,
    tree: Tree,
    refusal: Option<ArchiveRefusal>,
}

impl OtherTree {
    fn new(rules: NameRules, limit: u64) -> Self {
        Self { rules, tree: Tree::new(rules, limit), refusal: None }
    }
    fn admit(&mut self, entry: &Entry) {
        if self.refusal.is_none() {
            self.refusal = self.tree.admit(entry).err();
        }
    }
    fn finish(self) -> Option<(NameRules, ArchiveRefusal)> {
        let refusal = self.refusal.or_else(|| self.tree.finish().err())?;
        Some((self.rules, refusal))
    }
}

fn remark(remarks: &mut Remarks, entry: &Entry, path: &SafePath) {
    if entry.sets_id {
        remarks.set_id.add(path.as_str());
    }
    if entry.has_old_name {
        remarks.old_names.add(path.as_str());
    }
    if path.as_str().rsplit('/').next().is_some_and(|name| name.starts_with("._")) {
        remarks.apple_double.add(path.as_str());
    }
}

/// Copies exactly `size` bytes of an entry and returns the first [`HEAD_BYTES`]. `write_error` converts an error of the
/// target.
///
/// # Errors
/// When the archive has a different amount, which means that its headers are wrong, or when reading or writing fails.
pub fn copy_exactly<E: From<ArchiveError>>(
    content: &mut dyn Read,
    target: &mut dyn Write,
    path: &SafePath,
    size: u64,
    write_error: impl Fn(io::Error) -> E,
) -> Result<Vec<u8>, E> {
    let mut buffer = vec![0; 64 << 10];
    let mut head = Vec::new();
    let mut found = 0_u64;
    loop {
        let count = content.read(&mut buffer).map_err(|error| refused(damaged_entry(path, &error)))?;
        if count == 0 {
            break;
        }
        found += count as u64;
        if found > size {
            break;
        }
        head.extend_from_slice(&buffer[..count.min(HEAD_BYTES - head.len())]);
        target.write_all(&buffer[..count]).map_err(&write_error)?;
    }
    if found == size {
        return Ok(head);
    }
    Err(refused(ArchiveRefusal::WrongSize { path: path.shown().into(), said: size, found }))
}

fn refused<E: From<ArchiveError>>(refusal: ArchiveRefusal) -> E {
    ArchiveError::from(refusal).into()
}

fn damaged_entry(path: &SafePath, error: &io::Error) -> ArchiveRefusal {
    ArchiveRefusal::Damaged(format!("{:?}: {error}", path.shown()))
}
