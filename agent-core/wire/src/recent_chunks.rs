//! The chunks of an artifact that were verified a moment ago and that machines are about to receive from here.
//!
//! They are sent from memory. Otherwise each of these machines would cost a read from the disk and a hash (rule C4). A
//! chunk is kept only while a stream is close behind it.

use crate::{lock::lock, verify::VerifiedChunk};
use banyan_proto::Artifact;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

/// The most memory for the chunks of one stripe (bytes): four of the largest. A stream that is further behind reads from
/// the disk.
const MOST_BYTES: u32 = 1 << 20;

pub(crate) struct RecentChunks {
    /// The most chunks of one stripe.
    most_chunks: u32,
    stripes: u32,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The oldest is first.
    chunks: VecDeque<Arc<VerifiedChunk>>,
    /// The chunk that each stream sends next.
    next: HashMap<u64, u32>,
    last_stream: u64,
}

impl RecentChunks {
    pub(crate) fn new(artifact: &Artifact, stripes: u8) -> Self {
        let most_chunks = MOST_BYTES / artifact.chunk_size.max(1);
        Self { most_chunks, stripes: stripes.into(), kept: Mutex::default() }
    }
    /// Adds a stream, which first sends this chunk. Returns its number.
    pub(crate) fn add_stream(&self, next: u32) -> u64 {
        let mut kept = lock(&self.kept);
        kept.last_stream += 1;
        let stream = kept.last_stream;
        kept.next.insert(stream, next);
        stream
    }
    pub(crate) fn remove_stream(&self, stream: u64) {
        let mut kept = lock(&self.kept);
        kept.next.remove(&stream);
        self.forget_passed(&mut kept);
    }
    /// Notes that a stream sends this chunk now. Returns the chunk if it is kept.
    pub(crate) fn take(&self, stream: u64, index: u32) -> Option<Arc<VerifiedChunk>> {
        let mut kept = lock(&self.kept);
        let chunk = kept.chunks.iter().find(|chunk| chunk.index() == index).cloned();
        kept.next.insert(stream, index.saturating_add(self.stripes));
        self.forget_passed(&mut kept);
        chunk
    }
    /// Keeps a chunk if a stream is close behind it. The oldest one makes room for it.
    pub(crate) fn keep(&self, chunk: Arc<VerifiedChunk>) {
        let mut kept = lock(&self.kept);
        if !self.is_close_behind(&kept, chunk.index()) {
            return;
        }
        if kept.chunks.len() as u32 >= self.most_chunks * self.stripes {
            kept.chunks.pop_front();
        }
        kept.chunks.push_back(chunk);
    }
    /// Forgets the chunks that no stream will send soon.
    fn forget_passed(&self, kept: &mut Kept) {
        let mut chunks = std::mem::take(&mut kept.chunks);
        chunks.retain(|chunk| self.is_close_behind(kept, chunk.index()));
        kept.chunks = chunks;
    }
    /// Returns whether a stream will send this chunk soon.
    fn is_close_behind(&self, kept: &Kept, index: u32) -> bool {
        kept.next.values().any(|next| {
            let distance = index.checked_sub(*next);
            distance.is_some_and(|chunks| chunks % self.stripes == 0 && chunks / self.stripes < self.most_chunks)
        })
    }
}
