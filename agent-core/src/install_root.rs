//! The folder below which packages are installed.

use crate::database::Database;
use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tracing::warn;

/// The record of the folder that was used last.
const RECORD: &str = "install root";

/// Returns the folder's absolute path. Creates the folder when it is used for the first time, and never again: one that
/// is missing later is on a disk that is not mounted. The agent then runs without it, and the install helper says so.
///
/// # Errors
/// When the folder cannot be created, or the database fails.
pub(crate) fn prepare(database: &Database, root: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(root).context("cannot resolve the --install-root folder")?;
    let is_known = database.load::<PathBuf>(RECORD)?.is_some_and(|known| known == path);
    if !is_known {
        fs::create_dir_all(&path)
            .with_context(|| format!("cannot create the folder {} (--install-root)", path.display()))?;
        if let Err(error) = database.store(RECORD, &path) {
            warn!(%error, "the install root was not recorded: if it is missing later, it will be created again");
        }
    }
    match path.canonicalize() {
        Err(error) if is_known => {
            warn!("cannot reach the install root {}: {error}; nothing is installed until it is back", path.display());
            Ok(path)
        }
        found => found.context("cannot resolve the --install-root folder"),
    }
}
