//! Removes version folders that are no longer needed. A folder that a process still uses stays until a later install
//! finds it unused: programs load more files while they run.

use super::package_folders::PackageFolders;
use crate::{
    error::{InstallError, IoContext},
    storage::files::remove_path,
    sys::{self, VersionFolder},
};
use banyan_proto::UnixSeconds;
use std::{fs, ops::Range};

/// What a folder is renamed to before it is removed, so that an interrupted removal leaves no partial version.
const REMOVED: &str = ".removed";

/// A version folder besides the new one.
struct OldVersion {
    /// When it was installed; `None` without a record.
    placed: Option<UnixSeconds>,
    folder: String,
}

/// A version that may be removed.
struct Candidate {
    folder: String,
    /// When `current` pointed to it, as far as known (seconds since 1970).
    current: Option<Range<u64>>,
}

/// Keeps the folder of the new version, the previous one, and the newest others, `keep` older ones in all. Removes the
/// rest unless it is in use.
pub(super) fn remove(
    folders: &PackageFolders,
    new: &str,
    previous: Option<&str>,
    keep: u32,
) -> Result<(), InstallError> {
    let versions = old_versions(folders, new)?;
    // `current` left a version when the next one was placed.
    let ends = versions.iter().skip(1).map(|version| version.placed).chain([new_placed(folders, new)]);
    let mut candidates: Vec<Candidate> = versions
        .iter()
        .zip(ends)
        .map(|(version, end)| Candidate {
            folder: version.folder.clone(),
            current: version.placed.zip(end).map(|(start, end)| start.0..end.0),
        })
        .filter(|candidate| Some(candidate.folder.as_str()) != previous)
        .collect();
    let kept = usize::try_from(keep).unwrap_or(usize::MAX).saturating_sub(usize::from(previous.is_some()));
    candidates.truncate(candidates.len().saturating_sub(kept));
    let doomed: Vec<VersionFolder> = candidates
        .iter()
        .map(|Candidate { folder, current }| VersionFolder { path: folders.version(folder), current: current.clone() })
        .collect();
    let used = sys::are_in_use(&doomed, &folders.package.join("current"));
    let mut result = Ok(());
    for (candidate, is_used) in candidates.iter().zip(used) {
        if !is_used {
            // One that cannot be removed does not keep the others.
            result = result.and(remove_version(folders, &candidate.folder));
        }
    }
    result
}

/// Returns all versions but the new one, the oldest first, and removes the rest of interrupted removals.
fn old_versions(folders: &PackageFolders, new: &str) -> Result<Vec<OldVersion>, InstallError> {
    let mut versions = vec![];
    let path = folders.versions();
    let context = || format!("reading {}", path.display());
    for entry in fs::read_dir(&path).context(context)? {
        let folder = entry.context(context)?.file_name().to_string_lossy().into_owned();
        if folder.ends_with(REMOVED) {
            remove_path(&folders.version(&folder))?;
        } else if folder != new {
            let placed = folders.read_record(&folder).map(|record| record.placed);
            versions.push(OldVersion { placed, folder });
        }
    }
    versions.sort_by(|a, b| (a.placed, &a.folder).cmp(&(b.placed, &b.folder)));
    Ok(versions)
}

fn new_placed(folders: &PackageFolders, new: &str) -> Option<UnixSeconds> {
    folders.read_record(new).map(|record| record.placed)
}

fn remove_version(folders: &PackageFolders, folder: &str) -> Result<(), InstallError> {
    let (path, removed) = (folders.version(folder), folders.version(&format!("{folder}{REMOVED}")));
    match fs::rename(&path, &removed) {
        // Windows does not rename a folder with open files.
        Err(_) if cfg!(windows) => return Ok(()),
        renamed => renamed.context(|| format!("renaming {}", path.display()))?,
    }
    remove_path(&removed)?;
    remove_path(&folders.record(folder))
}
