//! The publishers' list of releases, for those who add to it: signatures are checked, freshness is not.

use crate::{TrustError, release::seconds};
use banyan_proto::UnixSeconds;
use sigstore_tuf::{Metadata, Root, Targets};
use std::collections::BTreeMap;

/// What a targets.json lists, after its signatures were verified. The default is the list before the first release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Version of the list; 0 when nothing was ever published.
    pub version: u64,
    /// When it expires.
    pub expires: UnixSeconds,
    /// Releases by target name (`PACKAGE/SEQUENCE.json`).
    pub targets: BTreeMap<String, Target>,
}

/// A manifest as the list pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Bytes.
    pub length: u64,
    /// SHA-256, lower-case hexadecimal; empty when the list gives none.
    pub sha256: String,
}

impl Published {
    pub(crate) fn verify(root: &Root, text: &str) -> Result<Self, TrustError> {
        let forged = |source| TrustError::Forged { role: "targets", source };
        let metadata = Metadata::<Targets>::from_slice(text.as_bytes()).map_err(forged)?;
        let keys =
            root.role("targets").ok_or_else(|| forged(sigstore_tuf::Error::UnknownRole("targets".to_owned())))?;
        metadata.verify_threshold(&root.keys, keys, "targets").map_err(forged)?;
        let targets = metadata.into_signed();
        let target = |(name, file): (String, sigstore_tuf::TargetFile)| {
            let sha256 = file.hashes.get("sha256").map(|hash| hash.to_lowercase()).unwrap_or_default();
            (name, Target { length: file.length, sha256 })
        };
        Ok(Self {
            version: targets.version,
            expires: seconds(targets.expires),
            targets: targets.targets.into_iter().map(target).collect(),
        })
    }
    /// Whether the list has a target of this name with exactly this text.
    #[must_use]
    pub fn lists(&self, name: &str, text: &str) -> bool {
        self.targets
            .get(name)
            .is_some_and(|target| target.length == text.len() as u64 && target.sha256 == sha256_hex(text.as_bytes()))
    }
    /// The highest sequence that was published of a package; 0 when none was.
    #[must_use]
    pub fn highest_sequence(&self, package: &str) -> u64 {
        let sequence = |name: &str| name.strip_prefix(package)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok();
        self.targets.keys().filter_map(|name| sequence(name)).max().unwrap_or(0)
    }
}

/// SHA-256 in lower-case hexadecimal, as TUF writes it.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}
