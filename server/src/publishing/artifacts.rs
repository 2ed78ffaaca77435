//! The artifact store: a folder of files named after their BLAKE3 hash.
//!
//! Uploads are hashed as they arrive. A file gets its final name only once it is complete, correct and synced to disk.

use crate::{
    private_files,
    refusal::Refusal,
    work_progress::{self, WorkProgress},
};
use axum::body::Body;
use banyan_proto::{Artifact, Digest, Reason, limits};
use banyan_wire::content::ArtifactFile;
use http_body_util::BodyExt as _;
use std::{
    collections::HashSet,
    fs, io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long the rest of a refused upload is read.
const DRAIN: Duration = Duration::from_secs(30);

/// The artifact folder.
pub(crate) struct ArtifactStore {
    folder: PathBuf,
    /// Files that do not match their name any more. They count as missing, so that publishing uploads them again.
    distrusted: Mutex<HashSet<Digest>>,
}

fn disk_refusal(error: &io::Error) -> Refusal {
    if private_files::is_disk_full(error) {
        return Refusal::disk_full();
    }
    Refusal::internal(&format!("artifact store: {error}"))
}

/// A partial upload's file, removed when dropped.
struct PartialUpload(PathBuf);
impl Drop for PartialUpload {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// An upload whose content is correct, but not safely on the disk yet.
pub(crate) struct ReceivedUpload {
    digest: Digest,
    part: PartialUpload,
    file: fs::File,
    size: u64,
}

impl ArtifactStore {
    /// Opens the folder and removes interrupted uploads.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        private_files::create_private_folder(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "part") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder, distrusted: Mutex::default() })
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
    /// Receives an upload and checks its hash. [`Self::finish`] stores it.
    pub(crate) async fn receive(&self, digest: Digest, mut body: Body) -> Result<ReceivedUpload, Refusal> {
        let received = self.receive_part(digest, &mut body).await;
        if received.is_err() {
            // The client reads the answer only after it has sent everything.
            let rest = async { while let Some(Ok(_)) = body.frame().await {} };
            drop(timeout(DRAIN, rest).await);
        }
        received
    }
    async fn receive_part(&self, digest: Digest, body: &mut Body) -> Result<ReceivedUpload, Refusal> {
        let part = PartialUpload(self.folder.join(format!("{}.part", banyan_proto::MachineId::random())));
        let mut file = tokio::fs::File::create_new(&part.0).await.map_err(|error| disk_refusal(&error))?;
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::bad(format!("the upload was interrupted: {error}")))?;
            let Ok(bytes) = frame.into_data() else { continue };
            size += bytes.len() as u64;
            if size > limits::ARTIFACT_BYTES {
                return Err(Refusal::bad(format!(
                    "the artifact exceeds the limit of {} bytes",
                    limits::ARTIFACT_BYTES
                )));
            }
            hasher.update(&bytes);
            file.write_all(&bytes).await.map_err(|error| disk_refusal(&error))?;
        }
        let found = Digest(*hasher.finalize().as_bytes());
        if found != digest {
            let detail = format!("the upload's hash is {found}, not {digest}; upload it again");
            return Err(Refusal::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, detail));
        }
        Ok(ReceivedUpload { digest, part, file: file.into_std().await, size })
    }
    /// Writes a received upload to the disk, under its hash. An artifact that is already there is replaced by identical
    /// content.
    pub(crate) async fn finish(&self, upload: ReceivedUpload) -> Result<(), Refusal> {
        let (path, digest) = (self.path(upload.digest), upload.digest);
        let progress = work_progress::begin("writing the upload to the disk", upload.size);
        let store = move || {
            let ReceivedUpload { part, file, size, .. } = upload;
            file.sync_all()?;
            progress.advance(size);
            drop(file);
            fs::rename(&part.0, &path)?;
            private_files::sync_folder_of(&path)
        };
        tokio::task::spawn_blocking(store)
            .await
            .map_err(|error| Refusal::internal(&error))?
            .map_err(|error| disk_refusal(&error))?;
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
