//! The server's data folder: its lock and the administrator's profile.

use crate::{
    identity::{ca::Authority, secrets::Secrets},
    private_files,
    start::StartError,
    store::{DatabaseAge, MachineStore as _, Sqlite},
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
    let old = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(StartError::Folder { path, source }),
    };
    let root = match &old {
        Some(text) => toml::from_str::<Profile>(text).map_err(|error| wrong(error.to_string()))?.root,
        None => None,
    };
    let profile = Profile { servers, ca: authority.fingerprint(), token: secrets.admin_token().into(), root };
    let text = toml::to_string(&profile).map_err(|error| wrong(error.to_string()))?;
    // Written only when it changes, so that a server can start on a full disk.
    if old.as_deref() != Some(&text) {
        private_files::write_private(&path, text.as_bytes())
            .map_err(|source| StartError::Folder { path: path.clone(), source })?;
    }
    Ok(path)
}

/// The keys that the first start creates.
const KEYS: [&str; 4] = ["orders.pk8", "master.key", "ca.key", "ca.pem"];

/// Checks that database and keys are both there, or both still to be created.
pub(crate) fn check_complete(database: &Path, keys: &Path, age: DatabaseAge) -> Result<(), StartError> {
    let missing: Vec<&str> = KEYS.into_iter().filter(|name| !keys.join(name).exists()).collect();
    let (database, keys) = (database.to_owned(), keys.to_owned());
    match (age, missing.len()) {
        // The database is created before the keys, so an interrupted first start leaves no keys without it.
        (DatabaseAge::Empty, left) if left < KEYS.len() => Err(StartError::DatabaseGone { database, keys }),
        (DatabaseAge::InUse, 1..) => Err(StartError::KeysGone { database, keys, missing: missing.join(", ") }),
        (DatabaseAge::Empty | DatabaseAge::Begun | DatabaseAge::InUse, _) => Ok(()),
    }
}

/// Opens and locks the database of a server that is not running.
///
/// # Errors
/// Returns an error if the folder has no server's data, the server is running, or the database fails.
pub(crate) async fn open_stopped(data: &Path) -> Result<(Sqlite, File), StartError> {
    let database = data.join("server.sqlite");
    // Opening the database would create it.
    if std::fs::metadata(&database).map_or(0, |found| found.len()) == 0 {
        return Err(StartError::NoServer(data.to_owned()));
    }
    let lock = lock(data)?;
    let store = Sqlite::open(&database).await?;
    check_complete(&database, &data.join("keys"), store.age().await?)?;
    store.identity().await?;
    Ok((store, lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_with_all_of_its_data_or_as_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (database, keys) = (folder.path().join("server.sqlite"), folder.path().join("keys"));
        std::fs::create_dir(&keys).unwrap();
        let check = |age| check_complete(&database, &keys, age);
        assert!(check(DatabaseAge::Empty).is_ok(), "the first start");
        assert!(matches!(check(DatabaseAge::InUse), Err(StartError::KeysGone { .. })));
        for name in &KEYS {
            std::fs::write(keys.join(name), "key").unwrap();
            assert!(matches!(check(DatabaseAge::Empty), Err(StartError::DatabaseGone { .. })), "{name}");
            assert!(check(DatabaseAge::Begun).is_ok(), "an interrupted first start goes on");
        }
        assert!(check(DatabaseAge::InUse).is_ok());
        std::fs::remove_file(keys.join("ca.key")).unwrap();
        assert!(matches!(check(DatabaseAge::InUse), Err(StartError::KeysGone { missing, .. }) if missing == "ca.key"));
    }
}
