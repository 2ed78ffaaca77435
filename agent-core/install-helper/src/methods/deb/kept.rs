//! The debs to go back to: those that came through Banyan, and those in apt's cache.

use crate::{
    error::{InstallError, IoContext},
    methods::deb::{contents::Deb, package::Package},
    storage::{files::remove_path, layout::Layout},
};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Finds and keeps debs.
pub(crate) struct KeptDebs {
    kept: PathBuf,
    restore: PathBuf,
    cache: PathBuf,
}

impl KeptDebs {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self {
            kept: layout.kept_debs(),
            restore: layout.restore_folder(),
            cache: layout.root().join("var/cache/apt/archives"),
        }
    }

    /// Returns the deb of exactly this version that came through Banyan.
    pub(crate) fn kept(&self, package: &Package) -> Option<PathBuf> {
        let path = self.kept.join(file_name(package));
        path.is_file().then_some(path)
    }

    /// Finds a deb of exactly this version: a kept one, or else a copy of the one in apt's cache, which apt may delete
    /// at any time.
    ///
    /// # Errors
    /// When the copy fails.
    pub(crate) fn find(&self, package: &Package) -> Result<Option<PathBuf>, InstallError> {
        if let Some(kept) = self.kept(package) {
            return Ok(Some(kept));
        }
        let cached = self.cache.join(file_name(package));
        if !cached.is_file() {
            return Ok(None);
        }
        // A damaged or other file in the cache is of no use, and no reason to fail.
        let Ok(found) = Deb::read(&cached) else { return Ok(None) };
        if (&found.package.name, &found.package.version) != (&package.name, &package.version) {
            return Ok(None);
        }
        let copy = self.restore.join(file_name(package));
        fs::copy(&cached, &copy).context(|| format!("copying {}", cached.display()))?;
        Ok(Some(copy))
    }

    /// Keeps the deb of an installed package.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub(crate) fn keep(&self, staged: &Path, package: &Package) -> Result<(), InstallError> {
        let kept = self.kept.join(file_name(package));
        fs::rename(staged, &kept).context(|| format!("keeping {}", kept.display()))
    }

    /// Removes the package's debs except the one of the installed version and the one before it, which moves here if it
    /// is elsewhere.
    ///
    /// # Errors
    /// When a file cannot be moved or removed.
    pub(crate) fn tidy(&self, installed: &Package, before: Option<&Path>) -> Result<(), InstallError> {
        let current = self.kept.join(file_name(installed));
        let previous = before.and_then(Path::file_name).map(|name| self.kept.join(name));
        if let (Some(before), Some(previous)) = (before, &previous)
            && before != previous
            && before.exists()
            && *previous != current
        {
            fs::rename(before, previous).context(|| format!("keeping {}", previous.display()))?;
        }
        let ours = format!("{}_", installed.name);
        let context = || "tidying the kept debs".to_owned();
        for file in fs::read_dir(&self.kept).context(context)? {
            let path = file.context(context)?.path();
            let of_this = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&ours));
            if of_this && path != current && Some(&path) != previous.as_ref() {
                remove_path(&path)?;
            }
        }
        Ok(())
    }
}

/// Returns the deb's file name in apt's style.
fn file_name(package: &Package) -> String {
    format!("{}_{}_{}.deb", package.name, package.version.replace(':', "%3a"), package.architecture)
}
