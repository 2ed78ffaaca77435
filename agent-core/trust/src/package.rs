//! The package file `NAME-VERSION.banyan`: one container of metadata, manifest and artifacts, for carrying by hand.
//!
//! ```text
//! "banyan package 1\n"   17 bytes that say what it is
//! length                 u32, big endian: of the head
//! head                   JSON: the publishers' roots and list, the manifest
//! artifacts              the manifest's files, in its order, each once, nothing between them and nothing behind
//! ```
//!
//! The head comes first and says everything about the rest, so that a reader checks the publishers' signatures, and then
//! knows the size and hash of every artifact before it reads the first byte of one. Only the head's own length has to be
//! believed unchecked, and that has a limit.

use banyan_proto::{Artifact, Digest, Manifest, limits};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, io::Read};

/// What every package file of this format begins with.
pub const MAGIC: &[u8; 17] = b"banyan package 1\n";

/// Ending of a package file's name, without the dot.
pub const ENDING: &str = "banyan";

/// Everything in a package file but the artifacts. Nothing in it is believed before [`crate::TrustStore::check_signed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The publishers' roots from the first one on.
    pub roots: Vec<String>,
    /// Their list of releases, with this one on it.
    pub targets: String,
    /// The manifest's JSON text, exactly as its hash stands in the list.
    pub manifest: String,
}

/// Why a file is no package file.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The disk, or a file that is cut off.
    #[error("it cannot be read to the end of its head: {0}")]
    Read(#[from] std::io::Error),
    /// Something else, or a later format.
    #[error("it does not begin as a package file of this version of Banyan does")]
    NotOne,
    /// The head's length is beyond any honest one.
    #[error("it says that its head has {found} bytes; {limit} are accepted", limit = limits::PACKAGE_HEAD_BYTES)]
    TooLarge {
        /// Bytes.
        found: usize,
    },
    /// The head is not of its form.
    #[error("its head cannot be read: {0}")]
    Head(serde_json::Error),
}

impl Head {
    /// Reads what comes before the artifacts; the reader then stands at the first of them.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn read(from: &mut impl Read) -> Result<Self, PackageError> {
        let mut begin = [0; MAGIC.len() + 4];
        from.read_exact(&mut begin)?;
        let Some((magic, length)) = begin.split_last_chunk::<4>() else { return Err(PackageError::NotOne) };
        if magic != MAGIC {
            return Err(PackageError::NotOne);
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > limits::PACKAGE_HEAD_BYTES {
            return Err(PackageError::TooLarge { found: length });
        }
        // Grows as bytes come: a length that is a lie costs nothing.
        let mut head = Vec::new();
        from.take(length as u64).read_to_end(&mut head)?;
        if head.len() < length {
            return Err(PackageError::Read(std::io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&head).map_err(PackageError::Head)
    }
    /// The bytes before the artifacts.
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

/// The artifacts of a release as they follow each other in a package file: in the manifest's order, each once, however
/// many platforms share it.
#[must_use]
pub fn artifacts(manifest: &Manifest) -> Vec<&Artifact> {
    let mut seen = BTreeSet::<Digest>::new();
    manifest.artifacts.iter().filter(|artifact| seen.insert(artifact.digest)).collect()
}

/// The name that a package file of this release has.
#[must_use]
pub fn file_name(manifest: &Manifest) -> String {
    // A colon (the epoch of a Debian version) is no part of a file's name everywhere.
    format!("{}-{}.{ENDING}", manifest.package, manifest.version.replace(':', "_"))
}
