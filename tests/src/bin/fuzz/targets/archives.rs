//! Fuzz target: archives. Whatever is accepted stays inside its folder and within its limit (rule N3).

use super::{Verdict, ensure};
use banyan_archive::{ArchiveError, NameRules, PlannedEntry, Tree, read_entries};
use std::{
    io::{Read, Write as _},
    path::{Component, Path},
};

/// What an archive may unpack to (bytes).
const LIMIT: u64 = 1 << 20;

/// Reads one archive and validates its entries.
pub(super) fn check(input: &[u8]) -> Verdict {
    // Decompressors with windows of 128 MiB are not ours, and would hide what our own parsers ask for.
    if input.starts_with(b"\xfd7zXZ") || matches!(input, [_, _, 0x2f, 0xfd, ..] | [_, 0x2a, 0x4d, 0x18, ..]) {
        return Ok(false);
    }
    let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(input).map_err(|error| error.to_string())?;
    for rules in [NameRules::LINUX, NameRules::WINDOWS] {
        let mut tree = Tree::new(rules, LIMIT);
        let mut planned = vec![];
        let read = read_entries(file.path(), "a.zip", LIMIT, &mut |entry, content: &mut dyn Read| {
            planned.push(tree.admit(entry)?);
            std::io::copy(content, &mut std::io::sink())
                .map_err(|source| ArchiveError::Io { context: String::new(), source })?;
            Ok::<(), ArchiveError>(())
        });
        planned.iter().try_for_each(check_entry)?;
        if read.is_err() || tree.finish().is_err() {
            return Ok(false);
        }
        let overhead = 4096 * planned.len() as u64;
        ensure(tree.disk_bytes() <= LIMIT + overhead, "an archive unpacks to more than its limit")?;
    }
    Ok(true)
}

fn check_entry(planned: &PlannedEntry) -> Result<(), String> {
    let is_inside =
        |path: &str| !path.is_empty() && Path::new(path).components().all(|name| matches!(name, Component::Normal(_)));
    match planned {
        PlannedEntry::Nothing => Ok(()),
        PlannedEntry::Folder(path) | PlannedEntry::File { path, .. } => {
            ensure(is_inside(path.as_str()), "a path leaves")
        }
        PlannedEntry::HardLink { path, to } => {
            ensure(is_inside(path.as_str()) && is_inside(to.as_str()), "a hard link leaves its folder")
        }
        PlannedEntry::Symlink { path, target } => {
            ensure(is_inside(path.as_str()) && !target.starts_with('/'), "a link leaves its folder")
        }
    }
}
