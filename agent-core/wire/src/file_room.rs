//! How many more files the file system of a folder can hold. Without free inodes it is as full as without free space.

use banyan_proto::size::FileRoom;
use std::path::Path;

/// Returns how many files the file system of a path can hold; `None` where that has no limit or is unknown. The path need
/// not exist yet.
#[cfg(unix)]
#[must_use]
pub fn file_room(at: &Path) -> Option<FileRoom> {
    let existing = at.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    (found.f_files > 0).then_some(FileRoom { free: found.f_favail, all: found.f_files })
}

/// Returns `None`: file systems of this system have as many files as there is room for.
#[cfg(not(unix))]
#[must_use]
pub fn file_room(_at: &Path) -> Option<FileRoom> {
    None
}

/// Says that the file system of a path can hold no more files; `None` while it can.
#[must_use]
pub fn describe_missing(at: &Path) -> Option<String> {
    let room = file_room(at).filter(|room| room.is_used_up())?;
    Some(room.describe(&at.display().to_string()))
}
