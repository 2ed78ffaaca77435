//! Receives a package file from a local program and stores only signed content in the content folder.

use super::inspect::Inspection;
use crate::{platform, refusal::refusal};
use banyan_local_api::RequestBody;
use banyan_proto::{Artifact, Digest, Manifest, OrderId, Reason, api::ApiError, limits};
use banyan_trust::package::{MAGIC, artifacts};
use banyan_wire::{
    content::{ArtifactFile, ContentError},
    verify::VerifiedChunk,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Prefix of the names of files that are being received.
const INCOMING: &str = "incoming-";
/// Slowest acceptable sender (bytes per second), since others wait for their turn.
const MIN_SPEED: u64 = 1 << 20;
/// Time limit for the part before the artifacts.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// One package is received at a time.
static RECEIVE_PERMIT: Semaphore = Semaphore::const_new(1);

fn incomplete_file(error: &io::Error) -> ApiError {
    refusal(Reason::NotAPackage, format!("the file was not received completely: {error}"))
}
fn disk_failed(error: &io::Error) -> ApiError {
    refusal(Reason::of_disk_error(error), format!("cannot store the package: {error}; nothing was installed"))
}

/// Takes the only permit for receiving a package, or fails at once.
pub(super) fn acquire_permit() -> Result<SemaphorePermit<'static>, ApiError> {
    let busy = || refusal(Reason::Busy, "another package is being copied; try again when it has finished");
    RECEIVE_PERMIT.try_acquire().map_err(|_| busy())
}

/// Checks that the whole file has the signed size; `head` is the number of bytes before the artifacts.
pub(super) fn check_size(manifest: &Manifest, head: usize, size: u64) -> Result<(), ApiError> {
    let whole = artifacts(manifest).iter().fold(head as u64, |sum, artifact| sum.saturating_add(artifact.size));
    if whole == size {
        return Ok(());
    }
    let detail = format!("the file has {size} bytes, but its publisher signed {whole} bytes");
    Err(refusal(Reason::NotAPackage, detail))
}

/// Checks that this machine's artifact fits on the disk.
pub(super) fn check_free_space(inspection: &Inspection, folder: &Path) -> Result<(), ApiError> {
    let bytes = inspection.package.file.as_ref().map_or(0, |file| file.size);
    platform::check_free_space(folder, bytes).map_err(|detail| refusal(Reason::DiskFull, detail))
}

/// Returns this machine's artifact if the file contains the release that the user was shown.
pub(super) fn wanted_artifact(inspection: &Inspection, wanted: Digest) -> Result<Artifact, ApiError> {
    if let Some(refused) = &inspection.package.refused {
        return Err(refused.clone());
    }
    if inspection.package.manifest != wanted {
        let detail = "the file has changed since it was shown; open it again and check it";
        return Err(refusal(Reason::BadRequest, detail));
    }
    inspection.artifact.clone().ok_or_else(|| refusal(Reason::WrongPlatform, Reason::WrongPlatform.for_user().what))
}

/// A received file; deleted on drop unless it was moved into place.
pub(super) struct IncomingFile(PathBuf);

impl IncomingFile {
    /// Receives this machine's artifact and skips the others.
    pub(super) async fn receive(
        folder: &Path,
        body: &mut RequestBody<'_>,
        manifest: &Manifest,
        ours: Digest,
    ) -> Result<Self, ApiError> {
        let incoming = Self(folder.join(format!("{INCOMING}{}", OrderId::random())));
        let patience = Duration::from_secs(60 + body.remaining() / MIN_SPEED);
        let receiving = async {
            for other in artifacts(manifest) {
                if other.digest == ours {
                    receive_artifact(body, &incoming.0, other).await?;
                } else {
                    body.skip(other.size).await.map_err(|error| incomplete_file(&error))?;
                }
            }
            Ok(())
        };
        timeout(patience, receiving).await.map_err(|_| incomplete_file(&io::ErrorKind::TimedOut.into()))??;
        Ok(incoming)
    }
    /// Moves the file into place.
    pub(super) fn move_to(&self, place: &Path) -> Result<(), ApiError> {
        std::fs::rename(&self.0, place).map_err(|error| disk_failed(&error))
    }
}
impl Drop for IncomingFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Reads the part before the artifacts.
pub(super) async fn read_head(body: &mut RequestBody<'_>) -> Result<Vec<u8>, ApiError> {
    // Others wait for their turn meanwhile.
    let slow = || refusal(Reason::NotAPackage, "the start of the file was not received in time; try again");
    timeout(HEAD_TIMEOUT, read_whole_head(body)).await.unwrap_or_else(|_| Err(slow()))
}

async fn read_whole_head(body: &mut RequestBody<'_>) -> Result<Vec<u8>, ApiError> {
    let mut bytes = vec![0; MAGIC.len() + 4];
    body.fill(&mut bytes).await.map_err(|error| incomplete_file(&error))?;
    let length = bytes.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    if !bytes.starts_with(MAGIC) || length > limits::PACKAGE_HEAD_BYTES || length as u64 > body.remaining() {
        return Err(refusal(Reason::NotAPackage, Reason::NotAPackage.for_user().what));
    }
    while bytes.len() < MAGIC.len() + 4 + length {
        let (from, more) = (bytes.len(), (MAGIC.len() + 4 + length - bytes.len()).min(64 << 10));
        bytes.resize(from + more, 0);
        body.fill(&mut bytes[from..]).await.map_err(|error| incomplete_file(&error))?;
    }
    Ok(bytes)
}

/// Receives one artifact. Only verified chunks reach the disk (rule C3).
async fn receive_artifact(body: &mut RequestBody<'_>, path: &Path, artifact: &Artifact) -> Result<(), ApiError> {
    let file = ArtifactFile::resume(path, artifact.clone(), 1).map_err(|error| disk_failed(&error))?;
    let altered = || {
        let detail = format!("the content of {} does not match the publisher's signature", artifact.file_name);
        refusal(Reason::BadArtifact, detail)
    };
    let file = Arc::new(file);
    for index in 0..artifact.chunk_count() {
        let mut bytes = vec![0; artifact.chunk_len(index) as usize];
        body.fill(&mut bytes).await.map_err(|error| incomplete_file(&error))?;
        let chunk = VerifiedChunk::check(artifact, index, bytes).map_err(|_| altered())?;
        let file = Arc::clone(&file);
        let stored = tokio::task::spawn_blocking(move || file.store(0, chunk)).await;
        let stored = stored.map_err(|error| refusal(Reason::InternalError, error.to_string()))?;
        stored.map_err(|error| match error {
            ContentError::Disk(error) => disk_failed(&error),
            error => refusal(Reason::DiskFailed, error.to_string()),
        })?;
    }
    let whole = tokio::task::spawn_blocking(move || file.verify_whole().map(drop)).await;
    let whole = whole.map_err(|error| refusal(Reason::InternalError, error.to_string()))?;
    whole.map_err(|_| altered())
}
