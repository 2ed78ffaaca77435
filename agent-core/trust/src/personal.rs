//! Whom somebody trusts who has no server: publishers, each by the hash of their first root, because the person said so.
//!
//! Without a server nobody says which release is the newest, and nobody else says which publishers are the right ones: the
//! publishers' signature and the person's word stand in for the order. What is remembered of each publisher is what a
//! machine with a server remembers of its own: root, versions, floors; and their newest list, so that an older file can be
//! judged by it. A package's name belongs to whoever was the first to bring it: others who are trusted, too, cannot take
//! its place by using its name.

use crate::{SignedRelease, TrustError, TrustStore, package::Head};
use banyan_proto::{Digest, UnixSeconds, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The publishers whom a person trusts.
///
/// Methods do not change it but give the one that must be kept from then on, as [`TrustStore`]'s do: persist and sync that
/// one **before** acting on the verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalTrust {
    /// By the hash of the first root. Who is not trusted any more stays, with the floors.
    signers: BTreeMap<Digest, Known>,
    /// Per package who brought it first.
    owners: BTreeMap<String, Digest>,
}

/// What is known of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    store: TrustStore,
    /// Their newest list that was seen (targets.json); empty before the first one.
    list: String,
    /// What they called themselves when the person said that they trust them.
    name: String,
    trusted: bool,
}

/// A file's publishers, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSigner {
    /// Hash of the first root.
    pub root: Digest,
    /// With the roots of the file.
    pub store: TrustStore,
    /// What they called themselves when the person said that they trust them; none: nobody has.
    pub trusted_as: Option<String>,
}

impl PersonalTrust {
    /// Who signed a file, by what it says of itself and what is known here.
    ///
    /// # Errors
    /// [`TrustError::NoRoot`], or what is wrong with its chain of roots.
    pub fn signer(&self, head: &Head) -> Result<FileSigner, TrustError> {
        let (root, known) = self.known(head)?;
        let store = follow(&known.store, &head.roots)?;
        Ok(FileSigner { root, store, trusted_as: known.trusted.then_some(known.name) })
    }

    /// Checks a release: the publishers' signatures as [`TrustStore::check_signed`] does, that the name is theirs, and that
    /// the person trusts them: since long, or by the `consent` that names their first root (rules T9, T10).
    ///
    /// # Errors
    /// See [`TrustError`]; what is wrong with the file comes before what the person has not said.
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
        // Whoever is trusted is called what they were called then, whatever they call themselves later.
        let name = if known.trusted { known.name } else { manifest.publisher.clone() };
        let mut learned = self.clone();
        learned.owners.insert(manifest.package.clone(), root);
        learned.signers.insert(root, Known { store, list, name, trusted: true });
        Ok((release, learned))
    }

    /// Whether a package of this name belongs to somebody.
    #[must_use]
    pub fn is_owned(&self, package: &str) -> bool {
        self.owners.contains_key(package)
    }
    /// Nothing came of the first package of this name: it is nobody's again.
    pub fn disown(&mut self, package: &str) {
        self.owners.remove(package);
    }
    /// The person does not trust this publisher any more. Their packages' names are free for others; what is known of them
    /// (root, floors) stays, should they be trusted again. Gives whether they were trusted.
    pub fn forget(&mut self, root: Digest) -> bool {
        let Some(known) = self.signers.get_mut(&root).filter(|known| known.trusted) else { return false };
        known.trusted = false;
        self.owners.retain(|_, owner| *owner != root);
        true
    }
    /// Who is trusted: hash of the first root, and name.
    pub fn trusted(&self) -> impl Iterator<Item = (Digest, &str)> {
        self.signers.iter().filter(|(_, known)| known.trusted).map(|(root, known)| (*root, known.name.as_str()))
    }
    /// The machine enrols with a server whose publishers' root this is: what is known of these very publishers goes with it,
    /// so that no floor falls. `root` may be their first one, the one that is known here, or the one after that.
    #[must_use]
    pub fn for_server(&self, root: &str) -> Option<TrustStore> {
        let first = self.signers.get(&Digest::of(root.as_bytes())).map(|known| known.store.clone());
        let later = || {
            let followed = self.signers.values().filter_map(|known| known.store.update_roots(&[root.to_owned()]).ok());
            followed.into_iter().find(|store| store.root() == root)
        };
        first.or_else(later).map(|store| store.for_server())
    }

    fn known(&self, head: &Head) -> Result<(Digest, Known), TrustError> {
        let first = head.roots.first().ok_or(TrustError::NoRoot)?;
        let root = Digest::of(first.as_bytes());
        if let Some(known) = self.signers.get(&root) {
            return Ok((root, known.clone()));
        }
        let store = TrustStore::enrol(first, root)?;
        Ok((root, Known { store, list: String::new(), name: String::new(), trusted: false }))
    }
}

impl Known {
    /// The release, the store to be kept, and the newest list. Where the file's own list is only older than the one that was
    /// seen, or has expired, that one may prove the release: it also knows of floors and of what was withdrawn (T9).
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

/// Follows a chain of any length.
fn follow(store: &TrustStore, roots: &[String]) -> Result<TrustStore, TrustError> {
    roots.chunks(limits::ROOTS).try_fold(store.clone(), |store, some| store.update_roots(some))
}
