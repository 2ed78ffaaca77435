//! Uploads: artifacts on their way into the store.
//!
//! An upload writes to a file named after the artifact. When the client goes away, the file stays, and a later upload
//! sends only the rest. One upload of an artifact runs at a time. Interrupted ones are bounded in bytes and age.

use crate::{
    private_files,
    publishing::artifacts::ArtifactStore,
    refusal::Refusal,
    work_progress::{self, WorkProgress},
};
use axum::{body::Body, http::StatusCode};
use banyan_proto::{
    Digest, Reason, UnixSeconds,
    admin::{Upload, UploadState},
    limits,
    size::FileRoom,
};
use banyan_wire::file_room;
use http_body_util::BodyExt as _;
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tracing::{info, warn};

/// How long the rest of a refused upload is read.
const DRAIN: Duration = Duration::from_secs(30);
/// An upload of which nothing arrives for this long is interrupted. Its client can continue it over another connection.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// How long an interrupted upload is kept (seconds).
const KEEP_SECONDS: u64 = 7 * 24 * 3600;
/// All interrupted uploads together (bytes). The largest artifact fits.
const KEEP_BYTES: u64 = limits::ARTIFACT_BYTES;
/// What is read at once of a file that is being checked (bytes).
const READ_BYTES: usize = 1 << 20;
/// The extension of an upload's file.
const EXTENSION: &str = "part";

/// The uploads into one artifact folder.
pub(crate) struct Uploads {
    artifacts: Arc<ArtifactStore>,
    /// How many bytes of each upload under way have arrived.
    active: Mutex<HashMap<Digest, Arc<AtomicU64>>>,
}

/// The only upload of its artifact. The next can begin when this is dropped.
struct ActiveUpload {
    uploads: Arc<Uploads>,
    digest: Digest,
    received: Arc<AtomicU64>,
}

impl Drop for ActiveUpload {
    fn drop(&mut self) {
        self.uploads.lock().remove(&self.digest);
    }
}

impl ActiveUpload {
    fn path(&self) -> PathBuf {
        self.uploads.part(self.digest)
    }
    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
    /// Deletes what has arrived.
    fn discard(&self) {
        if let Err(error) = fs::remove_file(self.path()) {
            warn!(artifact = %self.digest, "failed to remove an upload: {error}");
        }
    }
    /// Turns a failure of the disk into the answer. On a full disk, makes room first.
    fn fail(&self, error: &io::Error) -> Refusal {
        if private_files::is_disk_full(error) {
            self.discard();
            self.uploads.keep_interrupted(0);
            return Refusal::disk_full(Some(self.uploads.artifacts.folder()));
        }
        if error.kind() == io::ErrorKind::FileTooLarge {
            let detail = "the server may not write a file of this size";
            return Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Reason::FileTooLarge, detail);
        }
        Refusal::internal(&format!("artifact store: {error}"))
    }
}

/// An upload of which every byte has arrived. Its content is neither checked nor safely on the disk yet.
pub(crate) struct ReceivedUpload {
    upload: ActiveUpload,
    file: fs::File,
    hasher: blake3::Hasher,
    /// How many bytes the hasher has seen, from the first on.
    hashed: u64,
}

/// The file of an interrupted upload.
struct InterruptedUpload {
    path: PathBuf,
    size: u64,
    changed: UnixSeconds,
}

impl Uploads {
    /// Takes over the interrupted uploads in the store's folder.
    pub(crate) fn new(artifacts: Arc<ArtifactStore>) -> Self {
        let this = Self { artifacts, active: Mutex::default() };
        this.keep_interrupted(KEEP_BYTES);
        this
    }
    /// Returns the free space (bytes) on the disk that uploads go to; `None` when it is unknown.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        fs4::available_space(self.artifacts.folder()).ok()
    }
    /// Returns how many files that disk can hold; `None` when that has no limit or is unknown.
    pub(crate) fn file_room(&self) -> Option<FileRoom> {
        file_room::file_room(self.artifacts.folder())
    }
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Arc<AtomicU64>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn part(&self, digest: Digest) -> PathBuf {
        self.artifacts.path(digest).with_extension(EXTENSION)
    }
    /// Returns how far the upload of an artifact is.
    pub(crate) fn state(&self, digest: Digest) -> Upload {
        if let Some(received) = self.lock().get(&digest) {
            return Upload { state: UploadState::Receiving, received: received.load(Ordering::Relaxed) };
        }
        if let Some(received) = self.artifacts.size(digest) {
            return Upload { state: UploadState::Stored, received };
        }
        let received = fs::metadata(self.part(digest)).map_or(0, |found| found.len());
        Upload { state: UploadState::Interrupted, received }
    }

    /// Receives an upload from this byte on. [`ReceivedUpload::finish`] checks and stores it.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        digest: Digest,
        offset: u64,
        mut body: Body,
    ) -> Result<ReceivedUpload, Refusal> {
        let received = match self.begin(digest, offset) {
            Ok(upload) => append(upload, offset, &mut body).await,
            Err(refusal) => Err(refusal),
        };
        if received.is_err() {
            self.keep_interrupted(KEEP_BYTES);
            // The client reads the answer only after it has sent everything.
            let rest = async { while let Some(Ok(_)) = body.frame().await {} };
            drop(timeout(DRAIN, rest).await);
        }
        received
    }
    /// Begins an upload, unless another one is under way or has brought other bytes meanwhile.
    fn begin(self: &Arc<Self>, digest: Digest, offset: u64) -> Result<ActiveUpload, Refusal> {
        let mut active = self.lock();
        if active.contains_key(&digest) {
            return Err(Refusal::conflict(Reason::UnderWay, "another client is uploading this file"));
        }
        let present = fs::metadata(self.part(digest)).map_or(0, |found| found.len());
        if offset > 0 && offset != present {
            let detail = format!("the upload goes on at byte {offset}, but {present} bytes have arrived");
            return Err(Refusal::conflict(Reason::UnderWay, detail));
        }
        let received = Arc::new(AtomicU64::new(offset));
        active.insert(digest, Arc::clone(&received));
        Ok(ActiveUpload { uploads: Arc::clone(self), digest, received })
    }

    /// Deletes interrupted uploads that nobody has continued for a week.
    pub(crate) fn remove_old(&self, now: UnixSeconds) {
        self.remove_interrupted(|upload| upload.changed.plus(KEEP_SECONDS) <= now);
    }
    /// Deletes the oldest interrupted uploads, until the others have no more than `most` bytes.
    fn keep_interrupted(&self, most: u64) {
        let mut left: u64 = 0;
        self.remove_interrupted(|upload| {
            left = left.saturating_add(upload.size);
            left > most
        });
    }
    /// Deletes the interrupted uploads that `is_meant` selects, newest first.
    fn remove_interrupted(&self, mut is_meant: impl FnMut(&InterruptedUpload) -> bool) {
        // Held meanwhile, so that none of them begins again.
        let active = self.lock();
        let parts: HashSet<PathBuf> = active.keys().map(|digest| self.part(*digest)).collect();
        let entries = fs::read_dir(self.artifacts.folder()).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries.filter_map(|entry| InterruptedUpload::read(entry.path())).collect();
        found.retain(|upload| !parts.contains(&upload.path));
        found.sort_by_key(|upload| std::cmp::Reverse(upload.changed));
        found.iter().filter(|upload| is_meant(upload)).for_each(InterruptedUpload::remove);
    }
}

impl InterruptedUpload {
    fn read(path: PathBuf) -> Option<Self> {
        path.extension().filter(|ending| *ending == EXTENSION)?;
        let found = fs::metadata(&path).ok()?;
        let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Self { path, size: found.len(), changed: UnixSeconds(changed.as_secs()) })
    }
    fn remove(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => info!(bytes = self.size, "interrupted upload removed: {}", self.path.display()),
            Err(error) => warn!("failed to remove the interrupted upload {}: {error}", self.path.display()),
        }
    }
}

/// Appends the body to the upload's file.
async fn append(upload: ActiveUpload, offset: u64, body: &mut Body) -> Result<ReceivedUpload, Refusal> {
    let mut file = open(&upload.path(), offset).await.map_err(|error| upload.fail(&error))?;
    let mut hasher = blake3::Hasher::new();
    let arrived = copy(&upload, &mut file, body, &mut hasher, offset == 0).await;
    // A write may still be under way, and the next upload begins at the end of the file.
    let written = file.flush().await;
    arrived?;
    written.map_err(|error| upload.fail(&error))?;
    let hashed = if offset == 0 { upload.received() } else { 0 };
    Ok(ReceivedUpload { file: file.into_std().await, hasher, hashed, upload })
}

async fn open(path: &Path, offset: u64) -> io::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(offset == 0);
    let mut file = options.open(path).await?;
    file.seek(io::SeekFrom::Start(offset)).await?;
    Ok(file)
}

async fn copy(
    upload: &ActiveUpload,
    file: &mut tokio::fs::File,
    body: &mut Body,
    hasher: &mut blake3::Hasher,
    is_whole: bool,
) -> Result<(), Refusal> {
    loop {
        let frame = match timeout(STALLED_AFTER, body.frame()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(Refusal::bad(format!("the upload was interrupted: {error}"))),
            Err(_) => {
                let detail = format!("nothing of the upload arrived for {} seconds", STALLED_AFTER.as_secs());
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, Reason::BadRequest, detail));
            }
        };
        let Ok(bytes) = frame.into_data() else { continue };
        let received = upload.received() + bytes.len() as u64;
        if received > limits::ARTIFACT_BYTES {
            upload.discard();
            return Err(Refusal::bad(format!("the artifact exceeds the limit of {} bytes", limits::ARTIFACT_BYTES)));
        }
        if is_whole {
            hasher.update(&bytes);
        }
        file.write_all(&bytes).await.map_err(|error| upload.fail(&error))?;
        upload.received.store(received, Ordering::Relaxed);
    }
}

impl ReceivedUpload {
    /// Checks the upload's hash and writes it to the disk, under its hash. An artifact that is already there is replaced
    /// by identical content.
    pub(crate) async fn finish(self) -> Result<(), Refusal> {
        let size = self.upload.received();
        let progress = work_progress::begin("writing the upload to the disk", 2 * size - self.hashed);
        let store = move || self.store(&progress);
        tokio::task::spawn_blocking(store).await.map_err(|error| Refusal::internal(&error))?
    }
    fn store(mut self, progress: &WorkProgress) -> Result<(), Refusal> {
        self.hash_rest(progress).map_err(|error| self.upload.fail(&error))?;
        let (found, digest) = (Digest(*self.hasher.finalize().as_bytes()), self.upload.digest);
        if found != digest {
            self.upload.discard();
            let detail = format!("the upload's hash is {found}, not {digest}; upload it again");
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, detail));
        }
        let artifacts = &self.upload.uploads.artifacts;
        self.file.sync_all().map_err(|error| self.upload.fail(&error))?;
        progress.advance(self.upload.received());
        drop(self.file);
        artifacts.adopt(&self.upload.path(), digest).map_err(|error| self.upload.fail(&error))
    }
    /// Hashes what an earlier upload has brought, and what has arrived since.
    fn hash_rest(&mut self, progress: &WorkProgress) -> io::Result<()> {
        let size = self.upload.received();
        if self.hashed == size {
            return Ok(());
        }
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.hashed))?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                read => {
                    self.hasher.update(&buffer[..read]);
                    progress.advance(read as u64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const CONTENT: &[u8] = b"the content of a package";

    fn open() -> (TempDir, Arc<Uploads>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(ArtifactStore::open(folder.path().to_owned()).unwrap());
        (folder, Arc::new(Uploads::new(store)))
    }

    /// Leaves an interrupted upload of so many bytes, which was changed then.
    fn leave(uploads: &Uploads, digest: Digest, bytes: u64, changed: UnixSeconds) {
        let file = fs::File::create(uploads.part(digest)).unwrap();
        file.set_len(bytes).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(changed.0)).unwrap();
    }

    fn received(uploads: &Uploads, digest: Digest) -> u64 {
        uploads.state(digest).received
    }

    #[tokio::test]
    async fn the_rest_of_an_upload_completes_it() {
        let (_folder, uploads) = open();
        let digest = Digest::of(CONTENT);
        fs::write(uploads.part(digest), &CONTENT[..10]).unwrap();
        assert_eq!(uploads.state(digest), Upload { state: UploadState::Interrupted, received: 10 });
        let elsewhere = uploads.receive(digest, 9, Body::from(&CONTENT[9..])).await;
        assert_eq!(elsewhere.err().unwrap().status, StatusCode::CONFLICT);
        let rest = uploads.receive(digest, 10, Body::from(&CONTENT[10..])).await.unwrap();
        assert_eq!(uploads.state(digest), Upload { state: UploadState::Receiving, received: CONTENT.len() as u64 });
        let second = uploads.receive(digest, 0, Body::from(CONTENT)).await;
        assert_eq!(second.err().unwrap().status, StatusCode::CONFLICT, "one upload runs at a time");
        rest.finish().await.unwrap();
        assert_eq!(uploads.state(digest).state, UploadState::Stored);
        assert_eq!(fs::read(uploads.artifacts.path(digest)).unwrap(), CONTENT);
    }

    #[tokio::test]
    async fn a_rest_that_does_not_fit_to_the_first_part_is_sent_again_as_a_whole() {
        let (_folder, uploads) = open();
        let digest = Digest::of(CONTENT);
        fs::write(uploads.part(digest), [0; 10]).unwrap();
        let refused = uploads.receive(digest, 10, Body::from(&CONTENT[10..])).await.unwrap().finish().await;
        assert_eq!(refused.unwrap_err().error.reason, Reason::BadArtifact);
        assert_eq!(received(&uploads, digest), 0);
        uploads.receive(digest, 0, Body::from(CONTENT)).await.unwrap().finish().await.unwrap();
    }

    #[tokio::test]
    async fn interrupted_uploads_are_bounded_in_age_and_bytes() {
        let (_folder, uploads) = open();
        let (now, id) = (UnixSeconds(1_700_000_000), |n| Digest([n; 32]));
        leave(&uploads, id(1), 100, UnixSeconds(now.0 - KEEP_SECONDS));
        leave(&uploads, id(2), 100, UnixSeconds(now.0 - KEEP_SECONDS + 1));
        uploads.remove_old(now);
        assert_eq!((received(&uploads, id(1)), received(&uploads, id(2))), (0, 100));

        leave(&uploads, id(3), KEEP_BYTES - 50, now);
        let active = uploads.begin(id(3), KEEP_BYTES - 50).ok().unwrap();
        uploads.keep_interrupted(KEEP_BYTES);
        assert_eq!(received(&uploads, id(2)), 100, "an upload under way does not count");
        drop(active);
        // The next upload that fails counts what is there.
        assert!(uploads.receive(id(2), 99, Body::empty()).await.is_err());
        assert_eq!((received(&uploads, id(2)), received(&uploads, id(3))), (0, KEEP_BYTES - 50));
    }
}
