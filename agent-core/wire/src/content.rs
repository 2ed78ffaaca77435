//! The artifact's file on disk. Chunks are verified before they are written and again when they are read from it.
//!
//! Each stripe arrives in order, from one source at a time, so the chunks held of a stripe are a prefix and one number
//! describes them. That number is not stored on disk. After a restart the file is hashed again (rule C6), which is safe
//! after kill -9 at any moment and after a power cut.

use crate::{
    lock::lock,
    positional_io,
    recent_chunks::RecentChunks,
    verify::{BadChunk, VerifiedArtifact, VerifiedChunk, VerifyError},
};
use banyan_proto::{
    Artifact,
    frame::{Heartbeat, Upstream},
};
use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How much received content a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// The reason why a chunk could not be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Reading or writing the file failed.
    #[error("cannot read or write the artifact's file: {0}")]
    Disk(#[from] io::Error),
    /// The bytes do not match the publisher's hash.
    #[error(transparent)]
    Bad(#[from] BadChunk),
    /// The chunk is not the next one of its stripe.
    #[error("chunk {got} arrived where chunk {wanted} was expected")]
    OutOfOrder {
        /// The index of the chunk that arrived.
        got: u32,
        /// The index of the chunk that was expected.
        wanted: u32,
    },
}

impl From<VerifyError> for ContentError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Disk(error) => Self::Disk(error),
            VerifyError::Mismatch => Self::Bad(BadChunk(u32::MAX)),
        }
    }
}

/// The file of one artifact, complete or partial.
pub struct ArtifactFile {
    artifact: Artifact,
    stripes: u8,
    file: File,
    /// For each stripe, how many chunks are held, counted from the first without a gap.
    held: Vec<watch::Sender<u32>>,
    /// For each stripe, how many chunks other machines may have: all that are held, unless [`ArtifactFile::hold_back`]
    /// was called.
    visible: Vec<watch::Sender<u32>>,
    is_held_back: AtomicBool,
    /// One lock for each stripe, so that chunks are stored one at a time, even while the last chunk of a dropped source
    /// is still being written.
    storing: Vec<Mutex<()>>,
    /// What is sent from memory.
    recent: RecentChunks,
    last_sync: Mutex<Instant>,
    served: AtomicU64,
    /// For each stripe, where its chunks come from, as heartbeats state it.
    upstream: Vec<Mutex<Upstream>>,
}

impl ArtifactFile {
    /// Opens or creates the file of an artifact that is being received, and counts the chunks in it by hashing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn resume(path: &Path, artifact: Artifact, stripes: u8) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let this = Self::with_file(file, artifact, stripes);
        this.recount()?;
        Ok(this)
    }
    /// Opens the file of a complete artifact (the server's store). Each chunk is still verified when it is read.
    ///
    /// # Errors
    /// When the file cannot be opened or has the wrong length.
    pub fn complete(path: &Path, artifact: Artifact, stripes: u8) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        if bytes != artifact.size {
            let wrong = format!("{} has {bytes} bytes instead of {}", path.display(), artifact.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        let this = Self::with_file(file, artifact, stripes);
        for stripe in 0..stripes {
            this.set_held(stripe, this.chunks(stripe));
        }
        Ok(this)
    }
    fn with_file(file: File, artifact: Artifact, stripes: u8) -> Self {
        let recent = RecentChunks::new(&artifact, stripes);
        Self {
            artifact,
            stripes,
            file,
            held: (0..stripes).map(|_| watch::Sender::new(0)).collect(),
            visible: (0..stripes).map(|_| watch::Sender::new(0)).collect(),
            is_held_back: AtomicBool::new(false),
            storing: (0..stripes).map(|_| Mutex::new(())).collect(),
            recent,
            last_sync: Mutex::new(Instant::now()),
            served: AtomicU64::new(0),
            upstream: (0..stripes).map(|_| Mutex::default()).collect(),
        }
    }
    /// Recounts the held chunks by hashing the file. Returns the count of each stripe.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn recount(&self) -> io::Result<Vec<u32>> {
        let mut counts = Vec::new();
        for stripe in 0..self.stripes {
            let mut count = 0;
            while count < self.chunks(stripe) {
                match self.read(self.index(stripe, count)) {
                    Ok(_) => count += 1,
                    Err(ContentError::Disk(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                        return Err(error);
                    }
                    Err(_) => break,
                }
            }
            self.set_held(stripe, count);
            counts.push(count);
        }
        Ok(counts)
    }
    /// Returns the artifact's description.
    #[must_use]
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }
    /// Returns the number of stripes in the order.
    #[must_use]
    pub fn stripes(&self) -> u8 {
        self.stripes
    }
    /// Returns the number of chunks in a stripe.
    #[must_use]
    pub fn chunks(&self, stripe: u8) -> u32 {
        self.artifact.stripe_len(self.stripes, stripe)
    }
    /// Returns the index in the file of a stripe's chunk.
    #[must_use]
    pub fn index(&self, stripe: u8, ordinal: u32) -> u32 {
        Artifact::chunk_index(self.stripes, stripe, ordinal)
    }
    /// Returns how many chunks of a stripe are held; `None` if the stripe does not exist.
    #[must_use]
    pub fn held(&self, stripe: u8) -> Option<u32> {
        self.held.get(usize::from(stripe)).map(|held| *held.borrow())
    }
    /// Returns a watch on how many of a stripe's chunks other machines may have; `None` if the stripe does not exist.
    #[must_use]
    pub fn watch(&self, stripe: u8) -> Option<watch::Receiver<u32>> {
        self.visible.get(usize::from(stripe)).map(watch::Sender::subscribe)
    }
    /// Sets what heartbeats state about the origin of a stripe's chunks.
    pub fn set_upstream(&self, stripe: u8, upstream: Upstream) {
        if let Some(slot) = self.upstream.get(usize::from(stripe)) {
            *lock(slot) = upstream;
        }
    }
    /// Returns the heartbeat to send on a pull of this stripe.
    #[must_use]
    pub fn heartbeat(&self, stripe: u8) -> Heartbeat {
        let at = usize::from(stripe);
        Heartbeat {
            watermark: self.visible.get(at).map_or(0, |visible| *visible.borrow()),
            upstream: self.upstream.get(at).map(|upstream| lock(upstream).clone()).unwrap_or_default(),
        }
    }
    fn set_held(&self, stripe: u8, count: u32) {
        let at = usize::from(stripe);
        self.held[at].send_replace(count);
        if !self.is_held_back.load(Ordering::Acquire) {
            self.visible[at].send_replace(count);
        }
    }
    /// Withholds all chunks from other machines until [`Self::release`], because the order's spread is `verified` or
    /// `after-install` (rule C10).
    pub fn hold_back(&self) {
        self.is_held_back.store(true, Ordering::Release);
        for visible in &self.visible {
            visible.send_replace(0);
        }
    }
    /// Lets other machines have the held chunks from now on.
    pub fn release(&self) {
        self.is_held_back.store(false, Ordering::Release);
        for (visible, held) in self.visible.iter().zip(&self.held) {
            visible.send_replace(*held.borrow());
        }
    }
    /// Returns whether every chunk is held.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        (0..self.stripes).all(|stripe| self.held(stripe) == Some(self.chunks(stripe)))
    }
    /// Returns the number of content bytes read for other machines so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
    pub(crate) fn count_served(&self, bytes: usize) {
        self.served.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    /// Reads a chunk and verifies that it still matches its hash (rule C4: bad bytes are never forwarded).
    ///
    /// # Errors
    /// When the disk fails or has changed the bytes.
    pub fn read(&self, index: u32) -> Result<VerifiedChunk, ContentError> {
        let mut bytes = vec![0; self.artifact.chunk_len(index) as usize];
        positional_io::read_exact_at(&self.file, &mut bytes, u64::from(index) * u64::from(self.artifact.chunk_size))?;
        Ok(VerifiedChunk::check(&self.artifact, index, bytes)?)
    }
    /// Returns a reader of the chunks of a stripe that one stream sends, from this one on.
    pub(crate) fn chunk_reader(self: &Arc<Self>, stripe: u8, next: u32) -> ChunkReader {
        // A peer names the chunk, so it can be any number.
        let next = self.index(stripe, next.min(self.chunks(stripe)));
        ChunkReader { content: Arc::clone(self), stream: self.recent.add_stream(next) }
    }
    /// Stores the next chunk of a stripe. Returns how many chunks are held afterwards.
    ///
    /// # Errors
    /// When it is not the next chunk, or the disk fails.
    pub fn store(&self, stripe: u8, chunk: VerifiedChunk) -> Result<u32, ContentError> {
        let unknown_stripe = ContentError::OutOfOrder { got: chunk.index(), wanted: u32::MAX };
        let at = usize::from(stripe);
        let (Some(storing), Some(held)) = (self.storing.get(at), self.held.get(at)) else { return Err(unknown_stripe) };
        let _one_at_a_time = lock(storing);
        let count = *held.borrow();
        let wanted = self.index(stripe, count);
        if chunk.index() != wanted || count >= self.chunks(stripe) {
            return Err(ContentError::OutOfOrder { got: chunk.index(), wanted });
        }
        positional_io::write_all_at(
            &self.file,
            chunk.bytes(),
            u64::from(wanted) * u64::from(self.artifact.chunk_size),
        )?;
        // Before other machines may have it, so that they get it from memory.
        self.recent.keep(Arc::new(chunk));
        self.set_held(stripe, count + 1);
        self.sync_if_due();
        Ok(count + 1)
    }
    /// Syncs the file every few seconds during the transfer, never per chunk. A power cut therefore costs at most the
    /// last five seconds.
    fn sync_if_due(&self) {
        let Ok(mut last_sync) = self.last_sync.try_lock() else { return };
        if last_sync.elapsed() < SYNC_EVERY {
            return;
        }
        *last_sync = Instant::now();
        if let Ok(file) = self.file.try_clone() {
            // A failed sync is detected when the whole artifact is hashed and synced at the end.
            let sync = move || drop(file.sync_data());
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(sync)),
                Err(_) => sync(),
            }
        }
    }
    /// Verifies the whole file by hashing it from disk (rule C5).
    ///
    /// # Errors
    /// When the disk fails, or the content is not the artifact; [`Self::recount`] then returns what is left.
    pub fn verify_whole(&self) -> Result<VerifiedArtifact, ContentError> {
        self.file.sync_data()?;
        Ok(VerifiedArtifact::check(&self.artifact, self.file.try_clone()?)?)
    }
}

/// Reads the chunks that one stream sends. Dropping it says that the stream has ended.
pub(crate) struct ChunkReader {
    content: Arc<ArtifactFile>,
    stream: u64,
}

impl ChunkReader {
    /// Returns a chunk that was verified a moment ago from memory, or else reads it like [`ArtifactFile::read`].
    ///
    /// # Errors
    /// When the disk fails or has changed the bytes.
    pub(crate) fn read(&self, index: u32) -> Result<Arc<VerifiedChunk>, ContentError> {
        if let Some(chunk) = self.content.recent.take(self.stream, index) {
            return Ok(chunk);
        }
        let chunk = Arc::new(self.content.read(index)?);
        self.content.recent.keep(Arc::clone(&chunk));
        Ok(chunk)
    }
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        self.content.recent.remove_stream(self.stream);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use banyan_proto::{
        Digest,
        manifest::{ChunkHashes, InstallSpec, Kind},
    };

    pub(crate) fn sample(bytes: &[u8]) -> Artifact {
        let chunk_size = Artifact::chunk_size_for(bytes.len() as u64);
        Artifact {
            must_understand: vec![],
            platform: "any".into(),
            file_name: "sample.tar".into(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            chunk_size,
            chunks: ChunkHashes(bytes.chunks(chunk_size as usize).map(Digest::of).collect()),
            install: InstallSpec::new(Kind::Archive),
        }
    }

    #[test]
    fn a_restart_keeps_only_chunks_whose_hash_matches() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i * 31 % 251) as u8).collect();
        let artifact = sample(&bytes);
        let path = std::env::temp_dir().join(format!("banyan-content-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let file = ArtifactFile::resume(&path, artifact.clone(), 2).unwrap();
        let size = artifact.chunk_size as usize;
        let chunk = |index: u32| {
            let start = index as usize * size;
            VerifiedChunk::check(&artifact, index, bytes[start..(start + size).min(bytes.len())].to_vec()).unwrap()
        };
        assert!(matches!(file.store(0, chunk(2)), Err(ContentError::OutOfOrder { got: 2, wanted: 0 })));
        for index in [0, 1, 2, 3, 4, 6] {
            file.store((index % 2) as u8, chunk(index)).unwrap();
        }
        drop(file);
        let file = ArtifactFile::resume(&path, artifact.clone(), 2).unwrap();
        assert_eq!((file.held(0), file.held(1), file.held(2)), (Some(4), Some(2), None));
        positional_io::write_all_at(&file.file, &[0xff; 3], 4 * size as u64).unwrap();
        assert!(
            matches!(file.read(4), Err(ContentError::Bad(BadChunk(4)))),
            "bytes that changed on disk are not forwarded"
        );
        assert_eq!(file.recount().unwrap(), [2, 2]);
        for index in [4, 6, 8, 10, 12, 5, 7, 9, 11] {
            if index < artifact.chunk_count() {
                file.store((index % 2) as u8, chunk(index)).unwrap();
            }
        }
        assert!(file.is_whole());
        file.verify_whole().unwrap();
        positional_io::write_all_at(&file.file, &[0xff; 3], 0).unwrap();
        assert!(file.verify_whole().is_err());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn streams_close_behind_get_chunks_from_memory() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| (i * 31 % 251) as u8).collect();
        let artifact = sample(&bytes);
        let file = Arc::new(ArtifactFile::resume(&folder.path().join("file"), artifact.clone(), 1).unwrap());
        let chunks: Vec<&[u8]> = bytes.chunks(artifact.chunk_size as usize).collect();
        let store = |index: u32| {
            let chunk = VerifiedChunk::check(&artifact, index, chunks[index as usize].to_vec()).unwrap();
            file.store(0, chunk).unwrap();
        };
        let spoil = || positional_io::write_all_at(&file.file, &vec![0xff; bytes.len()], 0).unwrap();
        store(0);
        let (first, second) = (file.chunk_reader(0, 0), file.chunk_reader(0, 0));
        first.read(0).unwrap();
        store(1);
        spoil();
        for (reader, index) in [(&second, 0), (&second, 1), (&first, 1)] {
            assert_eq!(reader.read(index).unwrap().bytes(), chunks[index as usize]);
        }
        assert!(file.chunk_reader(0, 0).read(0).is_err(), "both streams have sent it");
        (2..artifact.chunk_count()).for_each(store);
        spoil();
        assert!(first.read(artifact.chunk_count() - 1).is_err(), "the streams were too far behind");
        drop((first, second));
    }

    #[test]
    fn few_recent_chunks_stay_in_memory() {
        let bytes = vec![7; 8 << 20];
        let artifact = Artifact { chunk_size: 256 << 10, ..sample(&bytes) };
        let digests = bytes.chunks(256 << 10).map(Digest::of).collect();
        let artifact = Artifact { chunks: ChunkHashes(digests), ..artifact };
        let chunk = |index| Arc::new(VerifiedChunk::check(&artifact, index, vec![7; 256 << 10]).unwrap());
        let recent = RecentChunks::new(&artifact, 2);
        let streams = [recent.add_stream(0), recent.add_stream(1)];
        for index in 0..32 {
            recent.keep(chunk(index));
        }
        let kept = (0..32).filter(|index| recent.take(streams[*index as usize % 2], *index).is_some());
        assert_eq!(kept.collect::<Vec<u32>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
