//! Verified metadata, and the verified releases that it proves.

use crate::{
    TrustError, Versions,
    release_list::{sha256_hex, withdrawn},
    time::to_unix_seconds,
};
use banyan_proto::{Artifact, Digest, Manifest, Order, UnixSeconds, limits, peer::ReleaseProof};
use sigstore_tuf::TrustedMetadataSet;
use std::collections::BTreeMap;

/// Metadata that passed every check of [`crate::TrustStore::refresh`].
#[derive(Debug, Clone)]
pub struct TrustedMetadata {
    set: TrustedMetadataSet,
    versions: Versions,
}

impl TrustedMetadata {
    pub(crate) fn new(set: TrustedMetadataSet, versions: Versions) -> Self {
        Self { set, versions }
    }
    /// Returns the metadata's versions.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }
    /// Returns the target names of withdrawn releases (rule T8), with the version of the list that withdrew them.
    ///
    /// # Errors
    /// [`TrustError::Forged`] when the list contains them in a form unknown to this version.
    pub fn withdrawn(&self) -> Result<BTreeMap<String, u64>, TrustError> {
        self.set.targets_role("targets").map_or(Ok(BTreeMap::new()), withdrawn)
    }
    /// Returns when the first of the four roles expires. The metadata must not be relied on afterwards.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        let online = [self.set.timestamp().map(|role| role.expires), self.set.snapshot().map(|role| role.expires)];
        online.into_iter().flatten().map(to_unix_seconds).fold(self.publisher_expires(), UnixSeconds::min)
    }
    /// Returns when the first of the publishers' roles (root, targets) expires. Only publishers can renew these, so
    /// warn early.
    #[must_use]
    pub fn publisher_expires(&self) -> UnixSeconds {
        let root = to_unix_seconds(self.set.root().expires);
        self.set.targets_role("targets").map_or(root, |targets| root.min(to_unix_seconds(targets.expires)))
    }
}

/// A release that publishers signed. Its metadata is fresh and not rolled back, and it is not below the package's
/// floor.
#[derive(Debug, Clone)]
pub struct TrustedRelease {
    manifest: Manifest,
    digest: Digest,
    versions: Versions,
    expires: UnixSeconds,
    from_cache: bool,
}

impl TrustedRelease {
    /// Returns the release if its manifest's text has the hash `wanted` and is a target of the metadata (rule T2).
    pub(crate) fn find(metadata: &TrustedMetadata, text: &str, wanted: Digest) -> Result<Self, TrustError> {
        if text.len() > limits::MANIFEST_BYTES {
            let (found, limit) = (text.len(), limits::MANIFEST_BYTES);
            return Err(TrustError::TooLarge { what: "the manifest", found, limit });
        }
        let found = Digest::of(text.as_bytes());
        if found != wanted {
            return Err(TrustError::ManifestSwapped { wanted, found });
        }
        let manifest = Manifest::parse(text.as_bytes())?;
        let name = manifest.target_name();
        let missing = |what| TrustError::NotPublished {
            targets: metadata.versions.targets,
            what,
            target: manifest.target_name(),
        };
        if metadata.withdrawn()?.contains_key(&name) {
            return Err(TrustError::Withdrawn { targets: metadata.versions.targets, target: name });
        }
        let target = metadata
            .set
            .targets_role("targets")
            .and_then(|targets| targets.target(&name))
            .ok_or_else(|| missing("does not contain"))?;
        let sha256 = target.hashes.get("sha256").ok_or_else(|| missing("has no SHA-256 hash for"))?;
        if target.length != text.len() as u64 || !sha256.eq_ignore_ascii_case(&sha256_hex(text.as_bytes())) {
            return Err(missing("has different contents for"));
        }
        let (versions, expires) = (metadata.versions(), metadata.expires());
        Ok(Self { manifest, digest: found, versions, expires, from_cache: false })
    }
    pub(crate) fn proved_by_cache(self) -> Self {
        Self { from_cache: true, ..self }
    }
    /// Returns the signed manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    /// Returns the BLAKE3 of the manifest's text.
    #[must_use]
    pub fn manifest_digest(&self) -> Digest {
        self.digest
    }
    /// Returns the versions of the metadata that proved the release.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }
    /// Returns when the metadata that proved the release expires. After that, check the release again with newer
    /// metadata.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.expires
    }
    /// Returns whether this machine's own metadata proved the release instead of the offered metadata. Forward the
    /// metadata that proved it.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }
    /// Returns the artifact that an order is about, if the order and the release agree. So every install needs two
    /// signers (rule T3).
    ///
    /// # Errors
    /// [`TrustError::NotOrdered`] or [`TrustError::WrongPlatform`]; [`TrustError::Manifest`] when installing the artifact
    /// needs a newer version of Banyan.
    pub fn artifact_for(&self, order: &Order) -> Result<&Artifact, TrustError> {
        let same = |what, same: bool| if same { Ok(()) } else { Err(TrustError::NotOrdered { what }) };
        same("manifest", order.manifest == self.digest)?;
        same("package", order.package == self.manifest.package)?;
        same("sequence", order.sequence == self.manifest.sequence)?;
        let artifact = self.manifest.artifacts.iter().find(|artifact| artifact.platform == order.platform);
        let artifact = artifact.ok_or_else(|| TrustError::WrongPlatform {
            package: self.manifest.package.clone(),
            version: self.manifest.version.clone(),
            platform: order.platform.clone(),
        })?;
        same("artifact", order.artifact == artifact.digest)?;
        artifact.check_understood()?;
        Ok(artifact)
    }
}

/// Returns a hash of all parts of a proof, so that a proof that arrives once for each stripe is verified only once. A
/// verdict can be reused for the same fingerprint and manifest hash until [`TrustedRelease::expires`], as long as the
/// store is the one that the check returned.
#[must_use]
pub fn fingerprint(release: &ReleaseProof) -> Digest {
    let metadata = &release.metadata;
    let fixed = [&metadata.timestamp, &metadata.snapshot, &metadata.targets, &release.manifest];
    let parts: Vec<&String> = fixed.into_iter().chain(&metadata.roots).collect();
    let mut summary = Vec::with_capacity(parts.len() * 32);
    for part in parts {
        summary.extend(Digest::of(part.as_bytes()).0);
    }
    Digest::of(&summary)
}
