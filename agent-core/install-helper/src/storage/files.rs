//! Writes and removes files so that a crash leaves no partial ones.

use crate::{
    error::{InstallError, IoContext},
    sys,
};
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
