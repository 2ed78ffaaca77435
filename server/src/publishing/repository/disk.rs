//! The repository's folder.
//!
//! ```text
//! snapshot.pk8 timestamp.pk8      the online keys (mode 600)
//! roots/1.json …                  every root
//! targets/1.json …                every list of releases; the highest number is the current one
//! targets/next.json               a list that comes with a root, until both are written
//! manifests/PACKAGE/SEQUENCE.json
//! snapshot.json timestamp.json    over the current list; signed again when they do not match it
//! ```
//!
//! Each write is atomic. The order of writes leaves a usable repository whenever the power fails: the manifest before
//! the list that names it, the list before the snapshot that pins it.

use super::RepositoryError;
use crate::private_files;
use banyan_proto::Manifest;
use banyan_trust::Versions;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const NEXT: &str = "targets/next.json";

pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    pub(super) fn open(folder: &Path) -> Result<Self, RepositoryError> {
        for part in ["", "roots", "targets", "manifests"] {
            let path = folder.join(part);
            private_files::create_private_folder(&path).map_err(disk_error("write", &path))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }
    /// Returns the content of a key file. At the first start, writes what `create` returns.
    pub(super) fn key(
        &self,
        name: &str,
        create: impl FnOnce() -> Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, RepositoryError> {
        let path = self.folder.join(name);
        private_files::read_or_create(&path, create).map(Zeroizing::new).map_err(disk_error("read or write", &path))
    }
    /// Returns all roots, from version 1 up to the first missing number.
    pub(super) fn roots(&self) -> Result<Vec<String>, RepositoryError> {
        let mut roots = vec![];
        while let Some(root) = read(&self.folder.join(format!("roots/{}.json", roots.len() + 1)))? {
            roots.push(root);
        }
        Ok(roots)
    }
    pub(super) fn write_root(&self, version: u64, text: &str) -> Result<(), RepositoryError> {
        self.write(&format!("roots/{version}.json"), text)
    }
    /// Returns the list with the highest version.
    pub(super) fn newest_targets(&self) -> Result<Option<String>, RepositoryError> {
        let folder = self.folder.join("targets");
        let newest = numbered(&folder)?.into_iter().max();
        newest.map_or(Ok(None), |version| read(&folder.join(format!("{version}.json"))))
    }
    pub(super) fn write_targets(&self, version: u64, text: &str) -> Result<(), RepositoryError> {
        self.write(&format!("targets/{version}.json"), text)
    }
    /// Writes a root and the list that comes with it. [`Disk::finish_next`] repairs the effects of a power cut in
    /// between.
    pub(super) fn write_root_and_targets(
        &self,
        version: u64,
        root: &str,
        targets_version: u64,
        targets: &str,
    ) -> Result<(), RepositoryError> {
        self.write(NEXT, targets)?;
        if let Err(error) = self.write_root(version, root) {
            self.discard_next()?;
            return Err(error);
        }
        self.commit_next(targets_version)
    }
    /// Completes or discards a list that was to come with a root. `version` returns the list's version if its
    /// signatures are valid under the newest root on disk. If so, the root was written and the list takes effect;
    /// otherwise neither does.
    pub(super) fn finish_next(&self, version: impl FnOnce(&str) -> Option<u64>) -> Result<(), RepositoryError> {
        let Some(text) = read(&self.folder.join(NEXT))? else { return Ok(()) };
        let newest = numbered(&self.folder.join("targets"))?.into_iter().max().unwrap_or(0);
        match version(&text).filter(|version| *version > newest) {
            Some(version) => self.commit_next(version),
            None => self.discard_next(),
        }
    }
    fn commit_next(&self, version: u64) -> Result<(), RepositoryError> {
        let path = self.folder.join(format!("targets/{version}.json"));
        let named = fs::rename(self.folder.join(NEXT), &path).and_then(|()| private_files::sync_folder_of(&path));
        named.map_err(disk_error("write", &path))
    }
    fn discard_next(&self) -> Result<(), RepositoryError> {
        let path = self.folder.join(NEXT);
        fs::remove_file(&path).map_err(disk_error("remove", &path))
    }
    /// Returns the texts of all manifests.
    pub(super) fn manifests(&self) -> Result<Vec<String>, RepositoryError> {
        let folder = self.folder.join("manifests");
        let mut texts = vec![];
        for package in fs::read_dir(&folder).map_err(disk_error("read", &folder))? {
            let package = package.map_err(disk_error("read", &folder))?.path();
            for sequence in numbered(&package)? {
                texts.extend(read(&package.join(format!("{sequence}.json")))?);
            }
        }
        Ok(texts)
    }
    /// Returns the text of a manifest. The caller must have checked the package's name.
    pub(super) fn manifest(&self, package: &str, sequence: u64) -> Result<String, RepositoryError> {
        let path = self.folder.join(format!("manifests/{package}/{sequence}.json"));
        fs::read_to_string(&path).map_err(disk_error("read", &path))
    }
    pub(super) fn write_manifest(&self, manifest: &Manifest, text: &str) -> Result<(), RepositoryError> {
        let folder = self.folder.join("manifests").join(&manifest.package);
        private_files::create_private_folder(&folder).map_err(disk_error("write", &folder))?;
        private_files::sync_folder_of(&folder).map_err(disk_error("write", &folder))?;
        self.write(&format!("manifests/{}", manifest.target_name()), text)
    }
    /// Returns the versions of snapshot and timestamp on disk, 0 for an unreadable one. Used only to pick higher ones.
    pub(super) fn online_versions(&self) -> Versions {
        let version = |name: &str| {
            let text = fs::read_to_string(self.folder.join(name)).ok()?;
            serde_json::from_str::<serde_json::Value>(&text).ok()?["signed"]["version"].as_u64()
        };
        let (snapshot, timestamp) = (version("snapshot.json"), version("timestamp.json"));
        Versions { snapshot: snapshot.unwrap_or(0), timestamp: timestamp.unwrap_or(0), ..Versions::default() }
    }
    pub(super) fn write_online(&self, snapshot: &str, timestamp: &str) -> Result<(), RepositoryError> {
        self.write("snapshot.json", snapshot)?;
        self.write("timestamp.json", timestamp)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), RepositoryError> {
        let path = self.folder.join(name);
        private_files::write_private(&path, text.as_bytes()).map_err(disk_error("write", &path))
    }
}

fn disk_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepositoryError + use<> {
    let path = path.to_owned();
    move |source| RepositoryError::Disk { doing, path, source }
}

fn read(path: &Path) -> Result<Option<String>, RepositoryError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("read", path)(error)),
    }
}

/// Returns the numbers N of the files `N.json` in a folder. Ignores other files, such as those of an interrupted write.
fn numbered(folder: &Path) -> Result<Vec<u64>, RepositoryError> {
    let mut numbers = vec![];
    for entry in fs::read_dir(folder).map_err(disk_error("read", folder))? {
        let name = entry.map_err(disk_error("read", folder))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()));
    }
    Ok(numbers)
}
