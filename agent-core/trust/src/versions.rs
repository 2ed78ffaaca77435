//! The versions of the TUF metadata files.

use serde::{Deserialize, Serialize};

/// Versions of the four TUF metadata files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Versions {
    /// The version of root.json.
    pub root: u64,
    /// The version of timestamp.json.
    pub timestamp: u64,
    /// The version of snapshot.json.
    pub snapshot: u64,
    /// The version of targets.json.
    pub targets: u64,
}

impl Versions {
    /// Returns whether these versions are at least those in an install permit (rule A6). Apply it to the release that
    /// is about to be installed, not to the store: newer metadata than the metadata that proved the release may have
    /// withdrawn it.
    #[must_use]
    pub fn at_least(&self, timestamp_version: u64, snapshot_version: u64) -> bool {
        self.timestamp >= timestamp_version && self.snapshot >= snapshot_version
    }
}
