//! Verifies a release in a package file: signed by its publishers, but without a server that confirms it is current.
//!
//! A package file has no fresh timestamp. So nothing here proves that the release is the newest or was not withdrawn
//! since. The remaining checks are the chain of roots, the signatures and expiry of root and list, and the machine's
//! floors. The type differs from [`crate::TrustedRelease`], so that code that requires both signers (rule T3) cannot
//! accept this one by accident.

use crate::{ReleaseList, TrustError, TrustStore, Versions, package::Head};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};

/// A release that publishers signed. Only [`TrustStore::check_signed`] creates one.
#[derive(Debug, Clone)]
pub struct SignedRelease {
    manifest: Manifest,
    digest: Digest,
    versions: Versions,
    expires: UnixSeconds,
}

impl SignedRelease {
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
    /// Returns the versions of the root and list that prove the release; the others are 0.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }
    /// Returns when the publishers' signature on the list expires.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.expires
    }
}

impl TrustStore {
    /// Verifies a release by the publishers' signatures alone: a chain of roots, their list, a manifest. Also returns
    /// the store to keep from then on, as [`TrustStore::check`] does.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn check_signed(
        &self,
        roots: &[String],
        targets: &str,
        manifest: &str,
        now: UnixSeconds,
    ) -> Result<(SignedRelease, Self), TrustError> {
        let mut store = self.clone();
        for some in roots.chunks(limits::ROOTS) {
            store = store.update_roots(some)?;
        }
        let now = store.time(now);
        store.root_is_fresh(now)?;
        let list = store.published(targets)?;
        if list.expires < now {
            return Err(TrustError::Expired { role: "targets".into(), ago: now.0 - list.expires.0 });
        }
        // Rule T4, for the only role that a package file contains.
        store.record_targets_version(list.version)?;
        let manifest = listed(&list, manifest)?;
        store.check_floor(&manifest.0)?;
        let versions = Versions { root: store.versions().root, targets: list.version, ..Versions::default() };
        let release = SignedRelease { manifest: manifest.0, digest: manifest.1, versions, expires: list.expires };
        Ok((release, store))
    }

    /// Verifies a package file on a machine that may have newer metadata than the file. If the file's own metadata is
    /// older, the machine's newest metadata may prove the release. That metadata comes from a cache and gets the same
    /// checks. The machine records nothing from the file: a list that the server does not have must not make the
    /// machine refuse the server's lists.
    ///
    /// # Errors
    /// Of two errors, the more specific one: the error about the release if either check got that far.
    pub fn check_package_file(
        &self,
        head: &Head,
        cached: Option<&Metadata>,
        now: UnixSeconds,
    ) -> Result<SignedRelease, TrustError> {
        let refused = match self.check_signed(&head.roots, &head.targets, &head.manifest, now) {
            Err(error) if error.is_about_metadata() => error,
            verdict => {
                // The machine's metadata may show a later withdrawal or a higher floor.
                let (release, _) = verdict?;
                return match self.check_with_cached(head, cached, now) {
                    Some(Err(error @ (TrustError::Withdrawn { .. } | TrustError::BelowFloor { .. }))) => Err(error),
                    _ => Ok(release),
                };
            }
        };
        match self.check_with_cached(head, cached, now) {
            None => Err(refused),
            Some(Err(error)) if error.is_about_metadata() => Err(refused),
            // If the file is only old, report the error from the newer list. If it is forged, report that.
            Some(Err(TrustError::NotPublished { .. }))
                if !matches!(refused, TrustError::RolledBack { .. } | TrustError::Expired { .. }) =>
            {
                Err(refused)
            }
            Some(verdict) => verdict,
        }
    }

    fn check_with_cached(
        &self,
        head: &Head,
        cached: Option<&Metadata>,
        now: UnixSeconds,
    ) -> Option<Result<SignedRelease, TrustError>> {
        let release = ReleaseProof { metadata: cached?.clone(), manifest: head.manifest.clone() };
        let digest = Digest::of(head.manifest.as_bytes());
        Some(self.check(&release, digest, now).map(|(release, _)| SignedRelease {
            manifest: release.manifest().clone(),
            digest,
            versions: release.versions(),
            expires: release.expires(),
        }))
    }
}

/// Returns the manifest if its text is a target of the list (rule T2).
fn listed(list: &ReleaseList, text: &str) -> Result<(Manifest, Digest), TrustError> {
    if text.len() > limits::MANIFEST_BYTES {
        let (found, limit) = (text.len(), limits::MANIFEST_BYTES);
        return Err(TrustError::TooLarge { what: "the manifest", found, limit });
    }
    let manifest = Manifest::parse(text.as_bytes())?;
    let (target, targets) = (manifest.target_name(), list.version);
    if list.withdrawn.contains_key(&target) {
        return Err(TrustError::Withdrawn { targets, target });
    }
    if !list.lists(&target, text) {
        let what = "does not contain, or has different contents for,";
        return Err(TrustError::NotPublished { targets, what, target });
    }
    Ok((manifest, Digest::of(text.as_bytes())))
}
