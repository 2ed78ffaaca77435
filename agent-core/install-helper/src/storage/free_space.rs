//! Checks free disk space before anything is written.

use crate::{
    error::{InstallError, IoContext},
    protocol::Outcome,
    sys,
};
use banyan_proto::{Reason, size::format_size};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// Reports the free space of a disk. A trait, so that tests can simulate disks of any size.
pub(crate) trait FreeSpace {
    /// Returns the bytes free for this process on the disk with `at` (an existing folder).
    fn free_bytes(&self, at: &Path) -> io::Result<u64>;
    /// Returns how many more files can be created on that disk; `None` for as many as there is room for.
    fn free_files(&self, _at: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// The real disks.
pub(crate) struct RealDisks;

impl FreeSpace for RealDisks {
    fn free_bytes(&self, at: &Path) -> io::Result<u64> {
        fs4::available_space(at)
    }
    fn free_files(&self, at: &Path) -> io::Result<Option<u64>> {
        sys::free_files(at)
    }
}

/// Room that files need on the disk where `folder` is or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomNeed {
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
    /// The number of files and folders, which some disks limit, too.
    pub(crate) files: u64,
}

/// The files that a job creates in the install helper's own folder: the copy of the artifact, the journal and records.
pub(crate) const OWN_FILES: u64 = 8;

/// Adds to an outcome that the disk of one of these folders has no free inodes, if a full disk is its reason.
pub(crate) fn explain_full_disk(disks: &dyn FreeSpace, folders: [&Path; 2], outcome: Outcome) -> Outcome {
    let (reason, detail) = match outcome {
        Outcome::Waits { reason: reason @ Reason::DiskFull, detail } if !detail.contains(INODES) => (reason, detail),
        other => return other,
    };
    let existing = |folder: &&Path| folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(*folder).to_owned();
    let is_out = |folder: &PathBuf| matches!(disks.free_files(folder), Ok(Some(..OWN_FILES)));
    let detail = match folders.iter().map(existing).find(is_out) {
        None => detail,
        Some(folder) => format!("{detail}; the disk of {} has no {INODES}: delete files there", folder.display()),
    };
    Outcome::Waits { reason, detail }
}

/// What a disk lacks that can hold no more files.
const INODES: &str = "free inodes";

/// Verifies that everything fits on its disk. What goes to the same disk is counted together.
pub(crate) fn require_all(disks: &dyn FreeSpace, needs: &[RoomNeed], what_for: &str) -> Result<(), InstallError> {
    let mut by_disk: BTreeMap<u64, RoomNeed> = BTreeMap::new();
    for need in needs {
        let existing = need.folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(&need.folder);
        let disk = sys::disk_of(existing).context(|| format!("checking the disk of {}", existing.display()))?;
        let sum = by_disk.entry(disk).or_insert_with(|| RoomNeed { folder: existing.to_owned(), bytes: 0, files: 0 });
        sum.bytes = sum.bytes.saturating_add(need.bytes);
        sum.files = sum.files.saturating_add(need.files);
        if existing.components().count() < sum.folder.components().count() {
            existing.clone_into(&mut sum.folder);
        }
    }
    for need in by_disk.values() {
        let place = need.folder.display();
        let free = disks.free_bytes(&need.folder).context(|| format!("checking the free space at {place}"))?;
        if free < need.bytes {
            let (wanted, is_free) = (format_size(need.bytes), format_size(free));
            let detail = format!(
                "{what_for} needs {wanted} ({} bytes) on the disk of {place}, but only {is_free} ({free} bytes) are free \
                 there",
                need.bytes
            );
            return Err(InstallError::new(Reason::DiskFull, detail));
        }
        let free = disks.free_files(&need.folder).context(|| format!("checking the free space at {place}"))?;
        if let Some(free) = free.filter(|free| *free < need.files) {
            let detail = format!(
                "{what_for} needs {} files and folders on the disk of {place}, but only {free} more can be created there \
                 ({INODES}), however much space is free; delete files that are not needed",
                need.files
            );
            return Err(InstallError::new(Reason::DiskFull, detail));
        }
    }
    Ok(())
}
