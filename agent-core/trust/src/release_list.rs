//! The publishers' release list, for programs that extend it: signatures are verified, freshness is not.

use crate::{TrustError, time::to_unix_seconds};
use banyan_proto::UnixSeconds;
use sigstore_tuf::{Metadata, Root, Targets};
use std::collections::BTreeMap;

/// The key in the signed list that names withdrawn releases: an object from target name to the version of the list that
/// withdrew it. The publishers sign it with the list. A withdrawn name never returns, and its sequence is never used
/// again. A machine that has seen a list of the latest of these versions has missed no withdrawal.
pub const WITHDRAWN: &str = "withdrawn";

/// The contents of a targets.json whose signatures have been verified. The default is the list before the first
/// release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseList {
    /// The list's version; 0 before the first release.
    pub version: u64,
    /// When the list expires.
    pub expires: UnixSeconds,
    /// The releases by target name (`PACKAGE/SEQUENCE.json`).
    pub targets: BTreeMap<String, Target>,
    /// The target names of withdrawn releases, with the version of the list that withdrew them.
    pub withdrawn: BTreeMap<String, u64>,
}

/// The length and hash of a manifest, as pinned by the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The length in bytes.
    pub length: u64,
    /// SHA-256 in lower-case hexadecimal; empty if the list contains none.
    pub sha256: String,
}

impl ReleaseList {
    pub(crate) fn verify(root: &Root, text: &str) -> Result<Self, TrustError> {
        let forged = |source| TrustError::Forged { role: "targets", source };
        let metadata = Metadata::<Targets>::from_slice(text.as_bytes()).map_err(forged)?;
        let keys =
            root.role("targets").ok_or_else(|| forged(sigstore_tuf::Error::UnknownRole("targets".to_owned())))?;
        metadata.verify_threshold(&root.keys, keys, "targets").map_err(forged)?;
        let targets = metadata.into_signed();
        let withdrawn = withdrawn(&targets)?;
        let target = |(name, file): (String, sigstore_tuf::TargetFile)| {
            let sha256 = file.hashes.get("sha256").map(|hash| hash.to_lowercase()).unwrap_or_default();
            (name, Target { length: file.length, sha256 })
        };
        Ok(Self {
            version: targets.version,
            expires: to_unix_seconds(targets.expires),
            targets: targets.targets.into_iter().map(target).collect(),
            withdrawn,
        })
    }
    /// Returns whether the list has a target of this name with exactly this text.
    #[must_use]
    pub fn lists(&self, name: &str, text: &str) -> bool {
        self.targets
            .get(name)
            .is_some_and(|target| target.length == text.len() as u64 && target.sha256 == sha256_hex(text.as_bytes()))
    }
    /// Returns the version of the last list that withdrew a release; 0 if none did.
    #[must_use]
    pub fn last_withdrawal(&self) -> u64 {
        self.withdrawn.values().copied().max().unwrap_or(0)
    }
    /// Returns the highest sequence ever published of a package, including withdrawn releases; 0 if there is none.
    #[must_use]
    pub fn highest_sequence(&self, package: &str) -> u64 {
        let sequence = |name: &str| name.strip_prefix(package)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok();
        self.targets.keys().chain(self.withdrawn.keys()).filter_map(|name| sequence(name)).max().unwrap_or(0)
    }
}

/// Returns the withdrawn target names that a list contains.
pub(crate) fn withdrawn(targets: &Targets) -> Result<BTreeMap<String, u64>, TrustError> {
    let Some(value) = targets.extra.get(WITHDRAWN) else { return Ok(BTreeMap::new()) };
    serde_json::from_value(value.clone()).map_err(|error| TrustError::Forged {
        role: "targets",
        source: sigstore_tuf::Error::Malformed(error.to_string()),
    })
}

/// Returns the ids of a role's keys, as named by `root`, whose signatures on `signed` are valid. The role is `root` or
/// `targets`. It does not check whether they reach the threshold. Tools use it to show who has signed and who still has
/// to.
///
/// # Errors
/// [`TrustError::Forged`] when either text is malformed.
pub fn valid_signers(root: &str, role: &'static str, signed: &str) -> Result<Vec<String>, TrustError> {
    let forged = |source| TrustError::Forged { role, source };
    let root =
        Metadata::<Root>::from_slice(root.as_bytes()).map_err(|source| TrustError::Forged { role: "root", source })?;
    let keys = root.signed().role(role).ok_or_else(|| forged(sigstore_tuf::Error::UnknownRole(role.to_owned())))?;
    let alone = |id: &&String| {
        let mut one = keys.clone();
        (one.keyids, one.threshold) = (vec![(*id).clone()], 1);
        one
    };
    let mut found = Vec::new();
    for id in &keys.keyids {
        let verified = if role == "root" {
            let offered = Metadata::<Root>::from_slice(signed.as_bytes()).map_err(forged)?;
            offered.verify_threshold(&root.signed().keys, &alone(&id), role)
        } else {
            let offered = Metadata::<Targets>::from_slice(signed.as_bytes()).map_err(forged)?;
            offered.verify_threshold(&root.signed().keys, &alone(&id), role)
        };
        if verified.is_ok() {
            found.push(id.clone());
        }
    }
    Ok(found)
}

/// Calculates SHA-256 in lower-case hexadecimal, as TUF writes it.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}
