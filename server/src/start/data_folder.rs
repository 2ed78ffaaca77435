//! The server's data folder: its lock and the administrator's profile.

use crate::{
    identity::{ca::Authority, secrets::Secrets},
    private_files,
    start::StartError,
};
use banyan_proto::{Address, admin::Profile};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Locks the folder against a second server. The lock is released when the file is dropped.
pub(crate) fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let file = File::create(&path).map_err(|source| StartError::Folder { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::Running(data.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(StartError::Folder { path, source }),
    }
}

/// Writes the administrator's profile. Keeps the root's hash, which the administrator's own tool writes into it.
pub(super) fn write_profile(
    data: &Path,
    servers: Vec<Address>,
    authority: &Authority,
    secrets: &Secrets,
) -> Result<PathBuf, StartError> {
    let path = data.join("admin.toml");
    let wrong = |why: String| StartError::Profile { path: path.clone(), why };
    let root = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str::<Profile>(&text).map_err(|error| wrong(error.to_string()))?.root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(StartError::Folder { path, source }),
    };
    let profile = Profile { servers, ca: authority.fingerprint(), token: secrets.admin_token().to_owned(), root };
    let text = toml::to_string(&profile).map_err(|error| wrong(error.to_string()))?;
    private_files::write_private(&path, text.as_bytes())
        .map_err(|source| StartError::Folder { path: path.clone(), source })?;
    Ok(path)
}
