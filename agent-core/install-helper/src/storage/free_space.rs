//! Checks free disk space before anything is written.

use crate::{
    error::{InstallError, IoContext},
    sys,
};
use banyan_proto::Reason;
use std::{io, path::Path};

/// Reports the free space of a disk. A trait, so that tests can simulate disks of any size.
pub(crate) trait FreeSpace {
    /// Returns the bytes free for this process on the disk with `at` (an existing folder).
    fn free_bytes(&self, at: &Path) -> io::Result<u64>;
}

/// The real disks.
pub(crate) struct RealDisks;

impl FreeSpace for RealDisks {
    fn free_bytes(&self, at: &Path) -> io::Result<u64> {
        sys::free_bytes(at)
    }
}

/// Verifies that `bytes` fit on the disk where `folder` is or will be.
pub(crate) fn require(disks: &dyn FreeSpace, folder: &Path, bytes: u64, what_for: &str) -> Result<(), InstallError> {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let free = disks.free_bytes(existing).context(|| format!("checking the free space at {}", existing.display()))?;
    if free >= bytes {
        return Ok(());
    }
    let place = existing.display();
    Err(InstallError::new(
        Reason::DiskFull,
        format!("{what_for} needs {bytes} bytes at {place}, but only {free} are free"),
    ))
}
