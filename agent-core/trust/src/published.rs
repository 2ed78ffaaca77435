//! The publishers' list of releases, for those who add to it: signatures are checked, freshness is not.

use crate::{TrustError, release::seconds};
use banyan_proto::UnixSeconds;
use sigstore_tuf::{Metadata, Root, Targets};
use std::collections::BTreeMap;

/// Under this name the signed list says which releases were withdrawn, and by which version of the list: an object of
/// target names and versions. It is the publishers' own memory, under their signature: a withdrawn name never comes back,
/// its sequence is not used again, and whoever has seen a list of the latest of these versions has missed no withdrawal.
pub const WITHDRAWN: &str = "withdrawn";

/// What a targets.json lists, after its signatures were verified. The default is the list before the first release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Version of the list; 0 when nothing was ever published.
    pub version: u64,
    /// When it expires.
    pub expires: UnixSeconds,
    /// Releases by target name (`PACKAGE/SEQUENCE.json`).
    pub targets: BTreeMap<String, Target>,
    /// Target names of releases that were taken off the list, with the version of the list that did it.
    pub withdrawn: BTreeMap<String, u64>,
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
        let withdrawn = withdrawn(&targets)?;
        let target = |(name, file): (String, sigstore_tuf::TargetFile)| {
            let sha256 = file.hashes.get("sha256").map(|hash| hash.to_lowercase()).unwrap_or_default();
            (name, Target { length: file.length, sha256 })
        };
        Ok(Self {
            version: targets.version,
            expires: seconds(targets.expires),
            targets: targets.targets.into_iter().map(target).collect(),
            withdrawn,
        })
    }
    /// Whether the list has a target of this name with exactly this text.
    #[must_use]
    pub fn lists(&self, name: &str, text: &str) -> bool {
        self.targets
            .get(name)
            .is_some_and(|target| target.length == text.len() as u64 && target.sha256 == sha256_hex(text.as_bytes()))
    }
    /// Version of the last list that withdrew something; 0 when none did.
    #[must_use]
    pub fn last_withdrawal(&self) -> u64 {
        self.withdrawn.values().copied().max().unwrap_or(0)
    }
    /// The highest sequence that was ever published of a package, withdrawn releases included; 0 when none was.
    #[must_use]
    pub fn highest_sequence(&self, package: &str) -> u64 {
        let sequence = |name: &str| name.strip_prefix(package)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok();
        self.targets.keys().chain(self.withdrawn.keys()).filter_map(|name| sequence(name)).max().unwrap_or(0)
    }
}

/// The names that a list says were withdrawn.
pub(crate) fn withdrawn(targets: &Targets) -> Result<BTreeMap<String, u64>, TrustError> {
    let Some(value) = targets.extra.get(WITHDRAWN) else { return Ok(BTreeMap::new()) };
    serde_json::from_value(value.clone()).map_err(|error| TrustError::Forged {
        role: "targets",
        source: sigstore_tuf::Error::Malformed(error.to_string()),
    })
}

/// Ids of the keys of a role (`root` or `targets`), as `root` names them, whose signatures on `signed` are right, without
/// asking whether they are enough. For showing who signed something, and who still has to.
///
/// # Errors
/// [`TrustError::Forged`] when one of the two is not of its form.
pub fn signers(root: &str, role: &'static str, signed: &str) -> Result<Vec<String>, TrustError> {
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

/// SHA-256 in lower-case hexadecimal, as TUF writes it.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}
