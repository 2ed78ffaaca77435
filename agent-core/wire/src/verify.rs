//! Verify: nothing is believed, stored, served or installed before its hash has been compared with the manifest's.
//!
//! The types of this module are the wall: each can only be made by hashing.

use crate::positioned;
use banyan_proto::{Artifact, Digest};
use std::fs::File;

/// The bytes of a chunk whose hash is the manifest's.
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

/// The bytes are not the publisher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {0} is not the publisher's: its hash is not the one in the manifest")]
pub struct BadChunk(pub u32);

impl VerifiedChunk {
    /// Compares the bytes with the manifest's hash for chunk `index` (rule C3).
    ///
    /// # Errors
    /// When length or hash differ, or there is no such chunk.
    pub fn check(artifact: &Artifact, index: u32, bytes: Vec<u8>) -> Result<Self, BadChunk> {
        let expected = artifact.chunks.0.get(index as usize).ok_or(BadChunk(index))?;
        if bytes.len() != artifact.chunk_len(index) as usize || Digest::of(&bytes) != *expected {
            return Err(BadChunk(index));
        }
        Ok(Self { index, bytes })
    }
    /// Position in the file, in chunks.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a file is not the artifact.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The disk.
    #[error("the artifact's file cannot be read: {0}")]
    Disk(#[from] std::io::Error),
    /// Its length or its hash are others.
    #[error("the file on this disk is not the artifact")]
    Other,
}

/// An artifact that lies whole on this disk and has the manifest's hash. The open file it was hashed through goes with
/// it, so that what was checked is what is handed on.
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
    /// Hashes the file from its start (rule C5).
    ///
    /// # Errors
    /// When the disk fails, or length or hash are not the artifact's.
    pub fn check(artifact: &Artifact, file: File) -> Result<Self, VerifyError> {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = vec![0; 1 << 20];
        let mut at = 0;
        while at < artifact.size {
            let step = (artifact.size - at).min(bytes.len() as u64) as usize;
            positioned::read_exact_at(&file, &mut bytes[..step], at)?;
            hasher.update(&bytes[..step]);
            at += step as u64;
        }
        let digest = Digest(*hasher.finalize().as_bytes());
        if digest != artifact.digest || file.metadata()?.len() != artifact.size {
            return Err(VerifyError::Other);
        }
        Ok(Self { digest, file })
    }
    /// BLAKE3 of the whole file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
    /// The same artifact through another handle to the same open file.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { digest: self.digest, file: self.file.try_clone()? })
    }
    /// The open file.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}
