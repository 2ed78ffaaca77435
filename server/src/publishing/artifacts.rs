//! The artifact store: a folder of files named after their BLAKE3 hash.
//!
//! A file gets its name only once it is complete, correct and synced to disk.

use crate::{private_files, work_progress::WorkProgress};
use banyan_proto::{Artifact, Digest};
use banyan_wire::content::ArtifactFile;
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// The artifact folder.
pub(crate) struct ArtifactStore {
    folder: PathBuf,
    /// Files that do not match their name any more. They count as missing, so that publishing uploads them again.
    distrusted: Mutex<HashSet<Digest>>,
}

impl ArtifactStore {
    /// Opens the folder; creates it at the first start.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        private_files::create_private_folder(&folder)?;
        Ok(Self { folder, distrusted: Mutex::default() })
    }
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }
    /// Returns the artifact's size in bytes, or `None` if it is not stored.
    pub(crate) fn size(&self, digest: Digest) -> Option<u64> {
        if self.distrusted().contains(&digest) {
            return None;
        }
        fs::metadata(self.path(digest)).ok().map(|found| found.len())
    }
    fn distrusted(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Records that a file was found damaged.
    pub(crate) fn distrust(&self, digest: Digest) {
        self.distrusted().insert(digest);
    }
    /// Takes this complete and correct file over, under its hash. An artifact that is already there is replaced by
    /// identical content.
    pub(crate) fn adopt(&self, file: &Path, digest: Digest) -> io::Result<()> {
        let path = self.path(digest);
        fs::rename(file, &path)?;
        private_files::sync_folder_of(&path)?;
        self.distrusted().remove(&digest);
        Ok(())
    }
    /// Removes an artifact. Returns the number of bytes freed, 0 if it was not stored.
    pub(crate) fn remove(&self, digest: Digest) -> io::Result<u64> {
        let path = self.path(digest);
        match fs::metadata(&path).and_then(|found| fs::remove_file(&path).map(|()| found.len())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            removed => removed,
        }
    }
    /// Verifies the file against the publisher's description, chunk by chunk. Blocks, until `stop` fires.
    pub(crate) fn verify(
        &self,
        artifact: &Artifact,
        progress: &WorkProgress,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let name = &artifact.file_name;
        let file = match ArtifactFile::complete(&self.path(artifact.digest), artifact.clone(), 1) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("{name} has not been uploaded yet"));
            }
            opened => opened.map_err(|error| format!("{name}: {error}"))?,
        };
        for index in 0..artifact.chunk_count() {
            if stop.is_cancelled() {
                return Err(format!("the server was stopped while it checked {name}; publish again"));
            }
            file.read(index).map_err(|error| format!("{name}: {error}"))?;
            progress.advance(u64::from(artifact.chunk_len(index)));
        }
        Ok(())
    }
}
