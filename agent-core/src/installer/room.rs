//! Free disk space, looked at before anything is written.

use super::{
    sys,
    trouble::{Doing, Trouble},
};
use banyan_proto::Reason;
use std::{io, path::Path};

/// Says how much room a disk has. A trait so that tests can have a disk of any size.
pub(super) trait FreeSpace {
    /// Bytes free for this process on the disk that holds `at` (an existing folder).
    fn free_bytes(&self, at: &Path) -> io::Result<u64>;
}

/// The real disks.
pub(super) struct Disks;

impl FreeSpace for Disks {
    fn free_bytes(&self, at: &Path) -> io::Result<u64> {
        sys::free_bytes(at)
    }
}

/// Whether `bytes` fit on the disk where `folder` is, or will be.
pub(super) fn check(disks: &dyn FreeSpace, folder: &Path, bytes: u64, what_for: &str) -> Result<(), Trouble> {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let free =
        disks.free_bytes(existing).doing(|| format!("finding out how much space is free at {}", existing.display()))?;
    if free >= bytes {
        return Ok(());
    }
    let place = existing.display();
    Err(Trouble::because(Reason::DiskFull, format!("{what_for} needs {bytes} bytes at {place}, {free} are free")))
}
