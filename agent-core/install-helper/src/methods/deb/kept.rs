//! The debs to go back to: those that came through Banyan, and those in apt's cache.

use crate::{
    error::{InstallError, IoContext},
    methods::deb::{contents::Deb, database::Database, package::Package},
    storage::{
        files::{remove_path, write_synced},
        layout::Layout,
    },
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

    /// Whether a deb of this version came through Banyan.
    pub(crate) fn has_kept(&self, package: &Package) -> bool {
        self.kept.join(file_name(package)).is_file()
    }

    /// Whether any deb of this package came through Banyan.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn has_any(&self, package: &str) -> Result<bool, InstallError> {
        let context = || format!("reading {}", self.kept.display());
        let ours = format!("{package}_");
        for file in fs::read_dir(&self.kept).context(context)? {
            let name = file.context(context)?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(&ours)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the deb of exactly this version that came through Banyan, unless other content of the version was
    /// installed since.
    pub(crate) fn kept(&self, package: &Package, database: &Database) -> Option<PathBuf> {
        let path = self.kept.join(file_name(package));
        let recorded = fs::read_to_string(content_record(&path)).ok();
        let now = database.state_of(package).content.filter(|_| package.status.is_installed());
        let is_other = recorded.zip(now).is_some_and(|(recorded, now)| recorded != now.to_string());
        (path.is_file() && !is_other).then_some(path)
    }

    /// Finds a deb of exactly this version: a kept one, or else a copy of the one in apt's cache, which apt may delete
    /// at any time.
    ///
    /// # Errors
    /// When the copy fails.
    pub(crate) fn find(&self, package: &Package, database: &Database) -> Result<Option<PathBuf>, InstallError> {
        if let Some(kept) = self.kept(package, database) {
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
        // The same version can have been built twice.
        if package.status.is_installed() && found.has_sums() && !found.was_installed(database, package) {
            return Ok(None);
        }
        let copy = self.restore.join(file_name(package));
        fs::copy(&cached, &copy).context(|| format!("copying {}", cached.display()))?;
        Ok(Some(copy))
    }

    /// Keeps the deb of an installed package, and records what tells its content from another one of the version.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub(crate) fn keep(&self, staged: &Path, package: &Package, database: &Database) -> Result<(), InstallError> {
        let kept = self.kept.join(file_name(package));
        let record = content_record(&kept);
        match database.state_of(package).content {
            Some(content) => write_synced(&record, content.to_string().as_bytes())?,
            None => remove_path(&record)?,
        }
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
            remove_path(&content_record(previous))?;
            fs::rename(before, previous).context(|| format!("keeping {}", previous.display()))?;
        }
        let kept: Vec<PathBuf> = [Some(current), previous].into_iter().flatten().collect();
        let is_kept = |path: &Path| kept.iter().any(|deb| path == deb || path == content_record(deb));
        let ours = format!("{}_", installed.name);
        let context = || "tidying the kept debs".to_owned();
        for file in fs::read_dir(&self.kept).context(context)? {
            let path = file.context(context)?.path();
            let of_this = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&ours));
            if of_this && !is_kept(&path) {
                remove_path(&path)?;
            }
        }
        Ok(())
    }
}

/// Returns where the content of a kept deb is recorded, as dpkg's database knows it after its installation.
fn content_record(deb: &Path) -> PathBuf {
    deb.with_extension("content")
}

/// Returns the deb's file name in apt's style.
fn file_name(package: &Package) -> String {
    format!("{}_{}_{}.deb", package.name, package.version.replace(':', "%3a"), package.architecture)
}
