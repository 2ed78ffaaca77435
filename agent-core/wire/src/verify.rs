//! Verification: nothing is trusted, stored, served or installed before its hash has been compared with the manifest's.
//!
//! The types of this module enforce that: each can only be made by hashing.

use crate::positional_io;
use banyan_proto::{Artifact, Digest};
use std::fs::File;

/// How much of a file is read and hashed at once (bytes). It stays in the processor's cache in between.
const READ_BYTES: usize = 128 << 10;

/// The bytes of a chunk whose hash matches the manifest's.
///
/// It cannot be made in another way:
///
/// ```compile_fail
/// let chunk = banyan_wire::verify::VerifiedChunk { index: 0, bytes: vec![] };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChunk {
    index: u32,
    bytes: Vec<u8>,
}

/// The bytes do not match the publisher's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {0} does not match the publisher's signature: its hash is not the one in the manifest")]
pub struct BadChunk(pub u32);

impl VerifiedChunk {
    /// Verifies the bytes against the manifest's hash of chunk `index` (rule C3).
    ///
    /// # Errors
    /// When length or hash differ, or the chunk does not exist.
    pub fn check(artifact: &Artifact, index: u32, bytes: Vec<u8>) -> Result<Self, BadChunk> {
        let expected = artifact.chunks.0.get(index as usize).ok_or(BadChunk(index))?;
        if bytes.len() != artifact.chunk_len(index) as usize || Digest::of(&bytes) != *expected {
            return Err(BadChunk(index));
        }
        Ok(Self { index, bytes })
    }
    /// Returns the chunk's index in the file.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }
    /// Returns the chunk's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The reason why a file is not the artifact.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Reading the file failed.
    #[error("cannot read the artifact's file: {0}")]
    Disk(#[from] std::io::Error),
    /// The length or the hash differs.
    #[error("the file on disk does not match the artifact's length and hash")]
    Mismatch,
}

/// An artifact that is complete on this disk and has the manifest's hash. It keeps the open file that was hashed, so
/// that what was checked is what is handed over.
///
/// ```compile_fail
/// use banyan_wire::verify::VerifiedArtifact;
/// fn forge(digest: banyan_proto::Digest, file: std::fs::File) -> VerifiedArtifact {
///     VerifiedArtifact { digest, file }
/// }
/// ```
#[derive(Debug)]
pub struct VerifiedArtifact {
    digest: Digest,
    file: File,
}

impl VerifiedArtifact {
    /// Verifies the file by hashing it from its start (rule C5).
    ///
    /// # Errors
    /// When the disk fails, or the length or hash is not the artifact's.
    pub fn check(artifact: &Artifact, file: File) -> Result<Self, VerifyError> {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = vec![0; READ_BYTES];
        let mut at = 0;
        while at < artifact.size {
            let step = (artifact.size - at).min(bytes.len() as u64) as usize;
            positional_io::read_exact_at(&file, &mut bytes[..step], at)?;
            hasher.update(&bytes[..step]);
            at += step as u64;
        }
        let digest = Digest(*hasher.finalize().as_bytes());
        if digest != artifact.digest || file.metadata()?.len() != artifact.size {
            return Err(VerifyError::Mismatch);
        }
        Ok(Self { digest, file })
    }
    /// Returns the BLAKE3 hash of the whole file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
    /// Returns the same artifact with another handle to the same open file.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { digest: self.digest, file: self.file.try_clone()? })
    }
    /// Returns the open file.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}
