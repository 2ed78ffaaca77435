//! Windows.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

/// Returns how many bytes of the disk a file takes: its length, because holes are not known.
pub(crate) fn stored_bytes(found: &fs::Metadata) -> u64 {
    found.len()
}

/// Returns the options unchanged: who may read a file follows from its folder.
pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Creates a folder. File modes exist on Unix only.
pub(crate) fn create_folder(folder: &Path, _mode: u32) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Never returns: Ctrl-C is the only request to stop.
pub(crate) async fn termination_request() {
    std::future::pending().await
}
