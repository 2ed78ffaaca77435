//! The free space on the server's disk.

use std::path::Path;

/// Returns the free space (bytes) on the disk that contains a folder; `None` when the system does not report it.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let about = nix::sys::statvfs::statvfs(folder).ok()?;
        Some(about.blocks_available().saturating_mul(about.fragment_size()))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}
