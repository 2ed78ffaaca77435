//! Writes and removes files so that a crash leaves no partial ones.

use crate::{
    error::{InstallError, IoContext},
    sys,
};
use serde::de::DeserializeOwned;
use std::{fs, io::Write, path::Path};

/// Writes a small file atomically: after a crash it has the old content or the new, never a part.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), InstallError> {
    let context = || format!("writing {}", path.display());
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context(context),
        _ => {}
    }
    let mut file = sys::create_private_file(&new).context(context)?;
    file.write_all(content).and_then(|()| file.sync_all()).context(context)?;
    drop(file);
    fs::rename(&new, path).and_then(|()| sys::sync_folder(path.parent().unwrap_or(path))).context(context)
}

/// Reads a JSON file; `None` if it is missing. One that cannot be parsed is moved aside and counts as missing: only a
/// damaged disk produces one, because such files are renamed into place whole.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, InstallError> {
    let context = || format!("reading {}", path.display());
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(context),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(_) => fs::rename(path, path.with_extension("damaged")).context(context).map(|()| None),
        },
    }
}

/// Removes a file, or a folder with its content. A missing path counts as success.
pub(crate) fn remove_path(path: &Path) -> Result<(), InstallError> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context(|| format!("removing {}", path.display())),
    }
}
