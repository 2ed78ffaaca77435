//! Reads and writes the files of the key folder: private, atomic, and synced to disk before anything relies on them.

use crate::PublisherError;
use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

/// Creates a folder that only its owner can enter. An existing folder keeps its permissions.
pub(crate) fn create_private_folder(path: &Path) -> Result<(), PublisherError> {
    if path.is_dir() {
        return Ok(());
    }
    let make = || {
        fs::create_dir_all(path)?;
        #[cfg(unix)]
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(())
    };
    make().map_err(disk_error("write", path))
}

/// Writes a file (mode 600) atomically. Replaces an existing one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), PublisherError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        // `NamedTempFile` creates the file with mode 600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_folder(folder)
    };
    write().map_err(disk_error("write", path))
}

/// Writes a file (mode 600) that must not exist yet. When this fails, no part of it is left.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), PublisherError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        sync_folder(folder)
    };
    write().map_err(disk_error("write", path))
}

/// Reads a text file. Returns `None` if it does not exist.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, PublisherError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("read", path)(error)),
    }
}

/// Returns a closure for `map_err` that names the operation and the path.
pub(crate) fn disk_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublisherError + use<> {
    let path = path.to_owned();
    move |source| PublisherError::Disk { doing, path, source }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of a bare file name is the empty path. Windows cannot sync a folder.
    #[cfg(unix)]
    fs::File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
