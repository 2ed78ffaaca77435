//! The release of a verified job.

use banyan_proto::{Digest, manifest::InstallSpec};
use serde::{Deserialize, Serialize};

/// The release of a verified job: the manifest without the fields that only the transfer needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifiedRelease {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) sequence: u64,
    /// Whether the release deliberately restores older content.
    #[serde(default)]
    pub(crate) is_rollback: bool,
    /// The BLAKE3 hash of the manifest.
    pub(crate) manifest: Digest,
    /// The BLAKE3 hash of the artifact.
    pub(crate) artifact: Digest,
    /// The artifact's size (bytes).
    pub(crate) size: u64,
    pub(crate) file_name: String,
    /// The platform, as in the manifest.
    pub(crate) platform: String,
    pub(crate) spec: InstallSpec,
}
