//! The folder below which packages are installed.

use crate::{database::Database, sys};
use anyhow::Context;
use banyan_proto::arguments;
use std::{
    io,
    path::{Path, PathBuf},
};
use tracing::warn;

/// The record of the folder that was used last.
const RECORD: &str = "install root";

/// Creates the folders that are missing, for all users: they run what is installed there, whatever this service's umask.
fn create_open(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    missing.into_iter().rev().try_for_each(|folder| sys::create_folder(folder, 0o755))
}

/// Returns the folder's absolute path. Creates the folder when it is used for the first time, and never again: one that
/// is missing later is on a disk that is not mounted. The agent then runs without it, and the install helper says so.
///
/// # Errors
/// When the folder cannot be created, or the database fails.
pub(crate) fn prepare(database: &Database, root: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(root).context("cannot resolve the --install-root folder")?;
    arguments::check_path("--install-root", &path)?;
    let is_known = database.load::<PathBuf>(RECORD)?.is_some_and(|known| known == path);
    if !is_known {
        create_open(&path).with_context(|| format!("cannot create the folder {} (--install-root)", path.display()))?;
        if let Err(error) = database.store(RECORD, &path) {
            warn!(%error, "the install root was not recorded: if it is missing later, it will be created again");
        }
    }
    match path.canonicalize() {
        Ok(found) => {
            arguments::check_path("the folder that --install-root leads to", &found)?;
            Ok(found)
        }
        Err(error) if is_known => {
            warn!("cannot reach the install root {}: {error}; nothing is installed until it is back", path.display());
            Ok(path)
        }
        Err(error) => Err(error).context("cannot resolve the --install-root folder"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Each test is a process of its own only under nextest, so the umask is set back.
    #[test]
    fn all_users_can_run_what_is_installed_whatever_the_umask() {
        use nix::sys::stat::{Mode, umask};
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("agent.redb")).unwrap();
        let root = folder.path().join("above/root");
        let before = umask(Mode::from_bits_truncate(0o077));
        let prepared = prepare(&database, &root);
        umask(before);
        assert_eq!(prepared.unwrap(), root.canonicalize().unwrap());
        for folder in [&root, root.parent().unwrap()] {
            let mode = folder.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755, "{}", folder.display());
        }
    }
}
