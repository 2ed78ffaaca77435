//! Windows.

use banyan_schedule::DiskSpace;
use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

/// Returns size and free space of the disk that contains a folder; `None` when the system does not report them.
pub(crate) fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let folder = folder.canonicalize().ok()?;
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let holding = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let disk = holding.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(DiskSpace { free: disk.available_space(), size: disk.total_space() })
}

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
