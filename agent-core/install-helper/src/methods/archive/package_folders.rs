//! The folders of one package: one for each version, and a record of what is in it.

use crate::{
    error::{InstallError, IoContext},
    release::VerifiedRelease,
    sys,
};
use banyan_proto::{Digest, Reason, UnixSeconds};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder},
    io,
    path::{Path, PathBuf},
};

/// Identifies the release in a version folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VersionRecord {
    pub(super) version: String,
    pub(super) sequence: u64,
    /// The BLAKE3 hash of the manifest.
    pub(super) manifest: Digest,
    /// The BLAKE3 hash of the artifact.
    pub(super) artifact: Digest,
    /// When the release was installed.
    pub(super) placed: UnixSeconds,
}

/// The folders of one package.
pub(super) struct PackageFolders {
    pub(super) package: PathBuf,
}

impl PackageFolders {
    pub(super) fn versions(&self) -> PathBuf {
        self.package.join("versions")
    }
    pub(super) fn version(&self, folder: &str) -> PathBuf {
        self.versions().join(folder)
    }
    /// Returns the temporary folder in which a version is unpacked. It cannot clash with a version's folder: those
    /// names end in digits.
    pub(super) fn unpacking(&self, folder: &str) -> PathBuf {
        self.versions().join(format!("{folder}.tmp"))
    }
    pub(super) fn record(&self, folder: &str) -> PathBuf {
        self.package.join("records").join(format!("{folder}.json"))
    }
    pub(super) fn current(&self) -> Result<Option<String>, InstallError> {
        let current = self.package.join("current");
        match sys::read_current(&self.package) {
            // What is there is not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let detail =
                    format!("{} is not Banyan's link to the installed version; move it away", current.display());
                Err(InstallError::new(Reason::PlaceTaken, detail))
            }
            read => read.context(|| format!("reading {}", current.display())),
        }
    }
    pub(super) fn switch(&self, folder: Option<&str>) -> Result<(), InstallError> {
        sys::switch_current(&self.package, folder)
            .context(|| format!("switching {}", self.package.join("current").display()))
    }
    pub(super) fn read_record(&self, folder: &str) -> Option<VersionRecord> {
        serde_json::from_slice(&fs::read(self.record(folder)).ok()?).ok()
    }
    /// Returns an unused folder name for the release: a folder that was kept is never written to again.
    pub(super) fn unused_folder_name(&self, release: &VerifiedRelease) -> String {
        // Some systems forbid colons in folder names. The sequence keeps the names distinct.
        let name = format!("{}-{}", release.version.replace(':', "_"), release.sequence);
        let numbered = (2..).map(|number| format!("{name}.{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|name| !self.version(name).exists()).unwrap_or(name)
    }
}

/// Creates folders that all users can read: they use the programs installed there.
pub(super) fn create_folders(path: &Path) -> Result<(), InstallError> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    let context = |path: &Path| format!("creating the folder {}", path.display());
    for folder in missing.into_iter().rev() {
        let made = DirBuilder::new().create(folder);
        let made =
            made.and_then(|()| sys::unpacked_mode(true).map_or(Ok(()), |mode| fs::set_permissions(folder, mode)));
        made.context(|| context(folder))?;
    }
    Ok(())
}
