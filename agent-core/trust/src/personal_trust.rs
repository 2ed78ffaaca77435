//! The publishers that a person trusts on a machine without a server, each identified by the hash of its first root.
//!
//! Without a server, no one confirms which release is the newest or which publishers to trust. The publishers'
//! signature and the person's decision replace the order. For each publisher the machine keeps what it would keep with
//! a server: root, versions and floors. It also keeps the publisher's newest list, to judge older files by it. A
//! package's name belongs to the first publisher from whom it was installed: other trusted publishers cannot replace
//! the package by using its name.

use crate::{SignedRelease, TrustError, TrustStore, package::Head};
use banyan_proto::{Digest, UnixSeconds, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The publishers that a person trusts.
///
/// Methods do not modify the value; they return the value to keep from then on, as those of [`TrustStore`] do. Persist
/// and sync the returned value **before** acting on the verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalTrust {
    /// The known publishers, by the hash of their first root. A publisher that is no longer trusted stays here with its
    /// floors.
    signers: BTreeMap<Digest, KnownPublisher>,
    /// For each package, the publisher that installed it first.
    owners: BTreeMap<String, Digest>,
}

/// What is known about one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownPublisher {
    store: TrustStore,
    /// The publisher's newest list seen (targets.json); empty before the first one.
    list: String,
    /// The name that the publisher used when the person first trusted it.
    name: String,
    trusted: bool,
}

/// A file's publisher, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSigner {
    /// The hash of the first root.
    pub root: Digest,
    /// The trust store, updated with the file's roots.
    pub store: TrustStore,
    /// The name that the publisher used when the person first trusted it; `None` if it is not trusted.
    pub trusted_as: Option<String>,
}

impl PersonalTrust {
    /// Identifies a file's publisher from its roots and the stored records.
    ///
    /// # Errors
    /// [`TrustError::NoRoot`], or an error about the chain of roots.
    pub fn signer(&self, head: &Head) -> Result<FileSigner, TrustError> {
        let (root, known) = self.known(head)?;
        let store = follow(&known.store, &head.roots)?;
        Ok(FileSigner { root, store, trusted_as: known.trusted.then_some(known.name) })
    }

    /// Verifies a release: the publishers' signatures as [`TrustStore::check_signed`] does, that the package's name
    /// belongs to them, and that the person trusts them. The trust is either recorded or given now by `consent`, which
    /// contains the hash of their first root (rules T9, T10).
    ///
    /// # Errors
    /// See [`TrustError`]. Errors in the file are reported before missing consent.
    pub fn check(
        &self,
        head: &Head,
        consent: Option<Digest>,
        now: UnixSeconds,
    ) -> Result<(SignedRelease, Self), TrustError> {
        let (root, known) = self.known(head)?;
        let (release, store, list) = known.prove(head, now)?;
        let manifest = release.manifest();
        if let Some(owner) = self.owners.get(&manifest.package).filter(|owner| **owner != root) {
            return Err(TrustError::OtherSigner { package: manifest.package.clone(), root: *owner });
        }
        if !known.trusted && consent != Some(root) {
            return Err(TrustError::NotConsented { root });
        }
        // Keep the name from the first decision, even if a trusted publisher changes its name later.
        let name = if known.trusted { known.name } else { manifest.publisher.clone() };
        let mut learned = self.clone();
        learned.owners.insert(manifest.package.clone(), root);
        learned.signers.insert(root, KnownPublisher { store, list, name, trusted: true });
        Ok((release, learned))
    }

    /// Returns whether a package of this name belongs to a publisher.
    #[must_use]
    pub fn is_owned(&self, package: &str) -> bool {
        self.owners.contains_key(package)
    }
    /// Releases the name of a package whose first install did not succeed.
    pub fn disown(&mut self, package: &str) {
        self.owners.remove(package);
    }
    /// Stops trusting a publisher and releases its packages' names for others. Its root and floors stay, in case it is
    /// trusted again. Returns whether it was trusted.
    pub fn forget(&mut self, root: Digest) -> bool {
        let Some(known) = self.signers.get_mut(&root).filter(|known| known.trusted) else { return false };
        known.trusted = false;
        self.owners.retain(|_, owner| *owner != root);
        true
    }
    /// Returns the trusted publishers: the hash of the first root, and the name.
    pub fn trusted(&self) -> impl Iterator<Item = (Digest, &str)> {
        self.signers.iter().filter(|(_, known)| known.trusted).map(|(root, known)| (*root, known.name.as_str()))
    }
    /// Returns the trust store for a machine that enrols with a server of a known publisher, so that no floor falls.
    /// `root` is the server's root. It can be the publisher's first root, the newest one known here or its successor.
    #[must_use]
    pub fn for_server(&self, root: &str) -> Option<TrustStore> {
        let first = self.signers.get(&Digest::of(root.as_bytes())).map(|known| known.store.clone());
        let later = || {
            let followed = self.signers.values().filter_map(|known| known.store.update_roots(&[root.to_owned()]).ok());
            followed.into_iter().find(|store| store.root() == root)
        };
        first.or_else(later).map(|store| store.for_server())
    }

    fn known(&self, head: &Head) -> Result<(Digest, KnownPublisher), TrustError> {
        let first = head.roots.first().ok_or(TrustError::NoRoot)?;
        let root = Digest::of(first.as_bytes());
        if let Some(known) = self.signers.get(&root) {
            return Ok((root, known.clone()));
        }
        let store = TrustStore::enrol(first, root)?;
        Ok((root, KnownPublisher { store, list: String::new(), name: String::new(), trusted: false }))
    }
}

impl KnownPublisher {
    /// Verifies the release and returns it with the store to keep and the newest list. If the file's own list has
    /// expired or is older than the newest one seen, the newest one may prove the release. That list also contains
    /// later floors and withdrawals (T9).
    fn prove(&self, head: &Head, now: UnixSeconds) -> Result<(SignedRelease, TrustStore, String), TrustError> {
        let by = |list: &str| self.store.check_signed(&head.roots, list, &head.manifest, now);
        let refused = match by(&head.targets) {
            Ok((release, store)) => return Ok((release, store, head.targets.clone())),
            Err(error) => error,
        };
        let only_old = matches!(refused, TrustError::RolledBack { .. } | TrustError::Expired { .. });
        if !only_old || self.list.is_empty() {
            return Err(refused);
        }
        match by(&self.list) {
            Ok((release, store)) => Ok((release, store, self.list.clone())),
            Err(error) if error.is_about_metadata() => Err(refused),
            Err(error) => Err(error),
        }
    }
}

/// Follows a chain of roots of any length.
fn follow(store: &TrustStore, roots: &[String]) -> Result<TrustStore, TrustError> {
    roots.chunks(limits::ROOTS).try_fold(store.clone(), |store, some| store.update_roots(some))
}
