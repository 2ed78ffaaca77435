//! Linux and macOS.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};

/// Returns how many bytes of the disk a file takes. Its holes take none.
pub(crate) fn stored_bytes(found: &fs::Metadata) -> u64 {
    found.blocks().saturating_mul(512).min(found.len())
}

/// Makes a file that is created with these options readable by this user only.
pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Creates a folder and sets its mode.
pub(crate) fn create_folder(folder: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(mode))
}

/// Waits until the system asks this process to stop.
pub(crate) async fn termination_request() {
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}
