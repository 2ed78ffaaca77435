//! A release as publishers signed it, without a server's word that it is current: what a package file proves by itself.
//!
//! A file that is carried by hand has no fresh timestamp, so nothing here says that the release is the newest, or that it
//! was not withdrawn since. What is left of the checks: the chain of roots, signatures and expiry of root and list, and
//! the machine's floors. The type is another one than [`crate::TrustedRelease`], so that what asks for both signers
//! (rule T3) cannot be given this by accident.

use crate::{Published, TrustError, TrustStore, Versions, package::Head};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};

/// A release that publishers signed; only [`TrustStore::check_signed`] makes one.
#[derive(Debug, Clone)]
pub struct SignedRelease {
    manifest: Manifest,
    digest: Digest,
    versions: Versions,
    expires: UnixSeconds,
}

impl SignedRelease {
    /// What the publishers say about it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    /// BLAKE3 of the manifest's text.
    #[must_use]
    pub fn manifest_digest(&self) -> Digest {
        self.digest
    }
    /// Versions of root and list that prove it; the others are 0.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }
    /// When the publishers' signature on the list ends.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.expires
    }
}

impl TrustStore {
    /// Checks a release by the publishers' signatures alone: a chain of roots, their list, a manifest. Gives the store
    /// that must be kept from then on, as [`TrustStore::check`] does.
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
        // T4, for the one role that is here.
        store.saw_targets(list.version)?;
        let manifest = listed(&list, manifest)?;
        store.take_floor(&manifest.0)?;
        let versions = Versions { root: store.versions().root, targets: list.version, ..Versions::default() };
        let release = SignedRelease { manifest: manifest.0, digest: manifest.1, versions, expires: list.expires };
        Ok((release, store))
    }

    /// Checks what a package file says by a machine that has heard more than the file: where the file's own metadata is
    /// older than what was seen here, the machine's newest metadata (from a cache, so it is checked like any other) may
    /// prove the release. Nothing is learnt: whoever shows a file to this machine must not be able to make it refuse what
    /// its server says, by a list that the server has not got.
    ///
    /// # Errors
    /// Of the two verdicts the one that says more: about the release when one of them got so far.
    pub fn look_at(
        &self,
        head: &Head,
        cached: Option<&Metadata>,
        now: UnixSeconds,
    ) -> Result<SignedRelease, TrustError> {
        let refused = match self.check_signed(&head.roots, &head.targets, &head.manifest, now) {
            Err(error) if error.is_about_metadata() => error,
            verdict => {
                // The machine may know better: that it was withdrawn since, or a higher floor.
                let (release, _) = verdict?;
                return match self.by_cache(head, cached, now) {
                    Some(Err(error @ (TrustError::Withdrawn { .. } | TrustError::BelowFloor { .. }))) => Err(error),
                    _ => Ok(release),
                };
            }
        };
        match self.by_cache(head, cached, now) {
            None => Err(refused),
            Some(Err(error)) if error.is_about_metadata() => Err(refused),
            // Of a file that is only old, the newer list says what is wrong; of a forged one, that it is forged.
            Some(Err(TrustError::NotPublished { .. }))
                if !matches!(refused, TrustError::RolledBack { .. } | TrustError::Expired { .. }) =>
            {
                Err(refused)
            }
            Some(verdict) => verdict,
        }
    }

    fn by_cache(
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

/// The manifest, if its text is a target of the list (rule T2).
fn listed(list: &Published, text: &str) -> Result<(Manifest, Digest), TrustError> {
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
        let what = "does not have, or has other contents for,";
        return Err(TrustError::NotPublished { targets, what, target });
    }
    Ok((manifest, Digest::of(text.as_bytes())))
}
