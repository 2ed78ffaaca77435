//! Secure directories: paths that no other user can change, for the agent's files and sockets.
//!
//! [`ensure_private`] resolves the path from the root of the file system, one link and one folder at a time. Every
//! component must belong to root or to this user and must not be writable by others. Anyone who fails this check could
//! replace a folder, now or later; nobody can swap a component that passes. Missing folders are created on the way,
//! inside folders that passed. If another user creates one first, that folder is refused like any other.

pub use crate::sys::GroupAccess;

use crate::sys;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Returns the real path of a folder that no other user can change. Creates missing folders, the last one with `mode`.
///
/// # Errors
/// When others can change the folder or one above it, when it is not a folder, or when the disk fails.
pub fn ensure_private(path: &Path, mode: u32, group: GroupAccess) -> io::Result<PathBuf> {
    sys::ensure_private(path, mode, group)
}
