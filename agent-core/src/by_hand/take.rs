//! Receives a package file from a local program and stores only signed content in the content folder.

use super::Looked;
use crate::{for_one::refused, offer::free_bytes};
use banyan_local_api::RequestBody;
use banyan_proto::{Artifact, Digest, Manifest, OrderId, Reason, api::ApiError, limits};
use banyan_trust::package::{MAGIC, artifacts};
use banyan_wire::{content::ArtifactFile, verify::VerifiedChunk};
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
/// Free disk space that must remain (bytes).
const FLOOR: u64 = 64 << 20;
/// Slowest acceptable sender (bytes per second), since others wait for their turn.
const SLOWEST: u64 = 1 << 20;
/// Time limit for the part before the artifacts.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// One package is received at a time.
static TAKING: Semaphore = Semaphore::const_new(1);

fn cut_off(error: &io::Error) -> ApiError {
    refused(Reason::NotAPackage, format!("the file was not received completely: {error}"))
}
pub(super) fn disk(error: &io::Error) -> ApiError {
    refused(Reason::DiskFailed, format!("cannot store the package: {error}; nothing was installed"))
}

/// Takes the only permit for receiving a package, or fails at once.
pub(super) fn turn() -> Result<SemaphorePermit<'static>, ApiError> {
    let busy = || refused(Reason::Busy, "another package is being copied; try again when it has finished");
    TAKING.try_acquire().map_err(|_| busy())
}

/// Checks that the whole file has the signed size; `head` is the number of bytes before the artifacts.
pub(super) fn has_size(manifest: &Manifest, head: usize, size: u64) -> Result<(), ApiError> {
    let whole = artifacts(manifest).iter().fold(head as u64, |sum, artifact| sum.saturating_add(artifact.size));
    if whole == size {
        return Ok(());
    }
    let detail = format!("the file has {size} bytes, but its publisher signed {whole} bytes");
    Err(refused(Reason::NotAPackage, detail))
}

/// Checks that this machine's artifact fits on the disk.
pub(super) fn has_room(looked: &Looked, folder: &Path) -> Result<(), ApiError> {
    let file = looked.package.file.as_ref().map_or(0, |file| file.size);
    let free = free_bytes(folder).unwrap_or(u64::MAX);
    if free >= file.saturating_add(FLOOR) {
        return Ok(());
    }
    Err(refused(Reason::DiskFull, format!("{} bytes are needed, but only {free} are free", file.saturating_add(FLOOR))))
}

/// Returns this machine's artifact if the file contains the release that the user was shown.
pub(super) fn wanted(looked: &Looked, wanted: Digest) -> Result<Artifact, ApiError> {
    if let Some(refused) = &looked.package.refused {
        return Err(refused.clone());
    }
    if looked.package.manifest != wanted {
        let detail = "the file has changed since it was shown; open it again and check it";
        return Err(refused(Reason::BadRequest, detail));
    }
    looked.artifact.clone().ok_or_else(|| refused(Reason::WrongPlatform, Reason::WrongPlatform.for_user().what))
}

/// A received file; deleted on drop unless it was moved into place.
pub(super) struct Incoming(PathBuf);

impl Incoming {
    /// Receives this machine's artifact and skips the others.
    pub(super) async fn take(
        folder: &Path,
        body: &mut RequestBody<'_>,
        manifest: &Manifest,
        ours: Digest,
    ) -> Result<Self, ApiError> {
        let incoming = Self(folder.join(format!("{INCOMING}{}", OrderId::random())));
        let patience = Duration::from_secs(60 + body.remaining() / SLOWEST);
        let taking = async {
            for other in artifacts(manifest) {
                if other.digest == ours {
                    take(body, &incoming.0, other).await?;
                } else {
                    body.skip(other.size).await.map_err(|error| cut_off(&error))?;
                }
            }
            Ok(())
        };
        timeout(patience, taking).await.map_err(|_| cut_off(&io::ErrorKind::TimedOut.into()))??;
        Ok(incoming)
    }
    /// Moves the file into place.
    pub(super) fn put(&self, place: &Path) -> Result<(), ApiError> {
        std::fs::rename(&self.0, place).map_err(|error| disk(&error))
    }
}
impl Drop for Incoming {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Reads the part before the artifacts.
pub(super) async fn head_of(body: &mut RequestBody<'_>) -> Result<Vec<u8>, ApiError> {
    // Others wait for their turn meanwhile.
    let slow = || refused(Reason::NotAPackage, "the start of the file was not received in time; try again");
    timeout(HEAD_TIME, read_head(body)).await.unwrap_or_else(|_| Err(slow()))
}

async fn read_head(body: &mut RequestBody<'_>) -> Result<Vec<u8>, ApiError> {
    let mut bytes = vec![0; MAGIC.len() + 4];
    body.fill(&mut bytes).await.map_err(|error| cut_off(&error))?;
    let length = bytes.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    if !bytes.starts_with(MAGIC) || length > limits::PACKAGE_HEAD_BYTES || length as u64 > body.remaining() {
        return Err(refused(Reason::NotAPackage, Reason::NotAPackage.for_user().what));
    }
    while bytes.len() < MAGIC.len() + 4 + length {
        let (from, more) = (bytes.len(), (MAGIC.len() + 4 + length - bytes.len()).min(64 << 10));
        bytes.resize(from + more, 0);
        body.fill(&mut bytes[from..]).await.map_err(|error| cut_off(&error))?;
    }
    Ok(bytes)
}

/// Receives one artifact. Only verified chunks reach the disk (rule C3).
async fn take(body: &mut RequestBody<'_>, path: &Path, artifact: &Artifact) -> Result<(), ApiError> {
    let file = ArtifactFile::resume(path, artifact.clone(), 1).map_err(|error| disk(&error))?;
    let altered = || {
        let detail = format!("the content of {} does not match the publisher's signature", artifact.file_name);
        refused(Reason::BadArtifact, detail)
    };
    let file = Arc::new(file);
    for index in 0..artifact.chunk_count() {
        let mut bytes = vec![0; artifact.chunk_len(index) as usize];
        body.fill(&mut bytes).await.map_err(|error| cut_off(&error))?;
        let chunk = VerifiedChunk::check(artifact, index, bytes).map_err(|_| altered())?;
        let file = Arc::clone(&file);
        let stored = tokio::task::spawn_blocking(move || file.store(0, &chunk)).await;
        let stored = stored.map_err(|error| refused(Reason::InternalError, error.to_string()))?;
        stored.map_err(|error| refused(Reason::DiskFailed, error.to_string()))?;
    }
    let whole = tokio::task::spawn_blocking(move || file.verify_whole().map(drop)).await;
    let whole = whole.map_err(|error| refused(Reason::InternalError, error.to_string()))?;
    whole.map_err(|_| altered())
}
