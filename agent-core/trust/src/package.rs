//! The package file format `NAME-VERSION.banyan`: one container of metadata, manifest and artifacts, for manual
//! transport.
//!
//! ```text
//! "banyan package 1\n"   17 bytes that identify the format
//! length                 u32, big endian: length of the head
//! head                   JSON: the publishers' roots and list, the manifest
//! artifacts              the manifest's files, in its order, each once, without gaps and with nothing after them
//! ```
//!
//! The head comes first and describes everything else. A reader verifies the publishers' signatures in it, and then
//! knows the size and hash of every artifact before reading the first byte of one. Only the length of the head is used
//! unverified, and that has a limit.

use banyan_proto::{Artifact, Digest, Manifest, limits};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, io::Read};

/// The bytes at the start of every package file of this format.
pub const MAGIC: &[u8; 17] = b"banyan package 1\n";

/// Length of the bytes before the head: the magic bytes and the length of the head.
pub const PREFIX_BYTES: usize = MAGIC.len() + 4;

/// File extension of a package file, without the dot.
pub const EXTENSION: &str = "banyan";

/// Everything in a package file except the artifacts. It is untrusted until [`crate::TrustStore::check_signed`] has
/// verified it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The publishers' roots, from the first one on.
    pub roots: Vec<String>,
    /// The publishers' release list, which contains this release.
    pub targets: String,
    /// The manifest's JSON text, exactly as hashed in the list.
    pub manifest: String,
}

/// The reason why a file is not a valid package file.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file could not be read, or it is incomplete.
    #[error("the file's head cannot be read completely: {0}")]
    Read(#[from] std::io::Error),
    /// The file has another format or a later version of this one.
    #[error("the file does not start like a package file of this version of Banyan")]
    NotOne,
    /// The stated length of the head is above the limit.
    #[error("the file's head has {found} bytes; the limit is {limit}", limit = limits::PACKAGE_HEAD_BYTES)]
    TooLarge {
        /// The length in bytes.
        found: usize,
    },
    /// The head is not JSON of the expected form.
    #[error("the file's head cannot be parsed: {0}")]
    Head(serde_json::Error),
}

impl Head {
    /// Reads the head. Afterwards the reader is positioned at the first artifact.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn read(from: &mut impl Read) -> Result<Self, PackageError> {
        let mut begin = [0; PREFIX_BYTES];
        from.read_exact(&mut begin)?;
        let Some((magic, length)) = begin.split_last_chunk::<4>() else { return Err(PackageError::NotOne) };
        if magic != MAGIC {
            return Err(PackageError::NotOne);
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > limits::PACKAGE_HEAD_BYTES {
            return Err(PackageError::TooLarge { found: length });
        }
        // Grow the buffer as bytes arrive, so that a false length costs no memory.
        let mut head = Vec::new();
        from.take(length as u64).read_to_end(&mut head)?;
        if head.len() < length {
            return Err(PackageError::Read(std::io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&head).map_err(PackageError::Head)
    }
    /// Encodes the bytes before the artifacts.
    ///
    /// # Errors
    /// [`PackageError::TooLarge`], [`PackageError::Head`].
    pub fn encode(&self) -> Result<Vec<u8>, PackageError> {
        let head = serde_json::to_vec(self).map_err(PackageError::Head)?;
        let length = u32::try_from(head.len()).ok().filter(|_| head.len() <= limits::PACKAGE_HEAD_BYTES);
        let length = length.ok_or(PackageError::TooLarge { found: head.len() })?;
        Ok([MAGIC.as_slice(), &length.to_be_bytes(), &head].concat())
    }
}

/// Returns the release's artifacts in the order of a package file: the manifest's order, each once even if several
/// platforms share it.
#[must_use]
pub fn artifacts(manifest: &Manifest) -> Vec<&Artifact> {
    let mut seen = BTreeSet::<Digest>::new();
    manifest.artifacts.iter().filter(|artifact| seen.insert(artifact.digest)).collect()
}

/// Returns the file name for this release's package file.
#[must_use]
pub fn file_name(manifest: &Manifest) -> String {
    // Some systems do not allow a colon (the epoch of a Debian version) in file names.
    format!("{}-{}.{EXTENSION}", manifest.package, manifest.version.replace(':', "_"))
}
