//! How the repository changes: a root, a release, or a new signature on what is there.

use super::{List, Live, Repository, RepositoryError, online, signing};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{Published, TrustError, TrustStore};
use std::sync::Arc;

impl Repository {
    /// Registers the first root, or the one that follows the newest. The same root again is no error.
    ///
    /// # Errors
    /// When it is not signed as it must be, does not follow, has expired, mixes up roles, or does not give the snapshot
    /// and timestamp roles to this server. With releases published: when they would not be trusted under it. To replace
    /// targets keys, first publish a list signed by the old and the new ones.
    pub fn register_root(&mut self, root: &str, now: UnixSeconds) -> Result<(), RepositoryError> {
        if self.roots.iter().any(|known| known == root) {
            return Ok(());
        }
        let refused = RepositoryError::RootRefused;
        let trust = match &self.trust {
            None => TrustStore::enrol(root, Digest::of(root.as_bytes())).map_err(refused)?,
            Some(trust) => trust.update_roots(&[root.to_owned()]).map_err(refused)?,
        };
        let (wanted, found) = (self.roots.len() as u64 + 1, signing::parse_root(root)?);
        if found.version.get() != wanted {
            return Err(RepositoryError::RootVersion { wanted, found: found.version.get() });
        }
        let expires = u64::try_from(found.expires.as_second()).unwrap_or(0);
        if expires <= now.0 {
            let ago = now.0 - expires;
            return Err(RepositoryError::RootRefused(TrustError::Expired { role: "root".into(), ago }));
        }
        self.keys.may_sign_under(&found)?;
        // The set that machines would see under this root is made and checked before the root is kept.
        self.roots.push(root.to_owned());
        let before = self.trust.replace(trust);
        match self.keep_root(wanted, root, now) {
            Ok(Some(live)) => self.go_live(live),
            Ok(None) => Ok(()),
            Err(error) => {
                self.roots.pop();
                self.trust = before;
                Err(error)
            }
        }
    }
    /// Every check of [`Repository::publish`] that needs no signing: changes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn examine(
        &self,
        targets: &str,
        manifest: &str,
        withdrawn: &[String],
        now: UnixSeconds,
    ) -> Result<Manifest, RepositoryError> {
        let refused = RepositoryError::Untrusted;
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let offered = trust.published(targets).map_err(refused)?;
        if offered.expires <= now {
            let ago = now.0 - offered.expires.0;
            return Err(refused(TrustError::Expired { role: "targets".into(), ago }));
        }
        let parsed = Manifest::parse(manifest.as_bytes()).map_err(|error| refused(error.into()))?;
        let name = parsed.target_name();
        if !offered.lists(&name, manifest) {
            let (targets, what) = (offered.version, "does not have, or has other contents for,");
            return Err(refused(TrustError::NotPublished { targets, what, target: name }));
        }
        let same_package = self.releases.values().filter(|release| release.package == parsed.package);
        let floor = same_package.map(|release| release.min_sequence).max().unwrap_or(0);
        if parsed.sequence < floor {
            let (package, sequence) = (parsed.package, parsed.sequence);
            return Err(refused(TrustError::BelowFloor { package, sequence, floor }));
        }
        self.compare(&offered, targets, &name, withdrawn)?;
        // Also against releases that were withdrawn: machines may have seen them.
        match self.releases.get(&name) {
            Some(known) if known.manifest != Digest::of(manifest.as_bytes()) => Err(RepositoryError::Changed(name)),
            _ => Ok(parsed),
        }
    }
    /// Puts a release on the list: the publishers' new targets.json, and the manifest that it adds. The same again is no
    /// error. `withdrawn` names the targets that are meant to disappear.
    ///
    /// # Errors
    /// When machines would not trust the result, the list is not newer than the current one, lacks or changes published
    /// releases, or names others whose manifests are not here.
    pub fn publish(
        &mut self,
        targets: &str,
        manifest: &str,
        withdrawn: &[String],
        now: UnixSeconds,
    ) -> Result<Manifest, RepositoryError> {
        let parsed = self.examine(targets, manifest, withdrawn, now)?;
        let list = self.list_of(targets.to_owned())?;
        let live = self.signed_set(&list, now)?;
        let proof = ReleaseProof { metadata: Metadata::clone(&live.metadata), manifest: manifest.to_owned() };
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let wanted = Digest::of(manifest.as_bytes());
        let (_, trust) = trust.check(&proof, wanted, now).map_err(RepositoryError::Untrusted)?;
        // The list is what commits: the manifest stands before it, snapshot and timestamp are made anew from it.
        self.disk.write_manifest(&parsed, manifest)?;
        self.disk.write_targets(list.published.version, targets)?;
        self.note(&parsed, manifest);
        (self.trust, self.list) = (Some(trust), Some(list));
        self.go_live(live)?;
        Ok(parsed)
    }
    /// Signs snapshot and timestamp anew when half of their time is over. To be called about once an hour. Says whether
    /// it did.
    ///
    /// # Errors
    /// When the disk fails, or machines would not trust the result: the publishers' metadata has expired.
    pub fn refresh(&mut self, now: UnixSeconds) -> Result<bool, RepositoryError> {
        let Some(list) = &self.list else { return Ok(false) };
        if self.live.as_ref().is_some_and(|live| now < live.renew) {
            return Ok(false);
        }
        let live = self.signed_set(list, now)?;
        self.go_live(live)?;
        Ok(true)
    }

    /// Writes a root, if what is published stays trusted under it; gives the set that goes live with it.
    fn keep_root(&self, version: u64, root: &str, now: UnixSeconds) -> Result<Option<Live>, RepositoryError> {
        let live = match &self.list {
            None => None,
            Some(list) => {
                // Its signatures again, under this root.
                let list = self.list_of(list.text.clone()).and_then(|list| self.signed_set(&list, now));
                Some(list.map_err(|error| match error {
                    RepositoryError::Untrusted(error) => RepositoryError::RootRefused(error),
                    other => other,
                })?)
            }
        };
        self.disk.write_root(version, root)?;
        Ok(live)
    }
    fn list_of(&self, text: String) -> Result<List, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let published = trust.published(&text).map_err(RepositoryError::Untrusted)?;
        Ok(List { text, published })
    }

    /// What an offered list does to what is published.
    fn compare(
        &self,
        offered: &Published,
        targets: &str,
        added: &str,
        withdrawn: &[String],
    ) -> Result<(), RepositoryError> {
        let nothing = Published::default();
        let current = match &self.list {
            Some(list) if list.text == targets => return Ok(()),
            Some(list) => &list.published,
            None => &nothing,
        };
        if offered.version <= current.version {
            return Err(RepositoryError::OldTargets { current: current.version, offered: offered.version });
        }
        let mut gone = vec![];
        for (name, target) in &current.targets {
            match offered.targets.get(name) {
                None if !withdrawn.contains(name) => gone.push(name.clone()),
                Some(other) if other != target => return Err(RepositoryError::Changed(name.clone())),
                _ => {}
            }
        }
        if !gone.is_empty() {
            return Err(RepositoryError::Disappeared(gone));
        }
        let unknown = |name: &&String| *name != added && !self.releases.contains_key(*name);
        match offered.targets.keys().find(unknown) {
            Some(name) => Err(RepositoryError::UnknownTarget(name.clone())),
            None => Ok(()),
        }
    }
    /// Signs snapshot and timestamp over a list, above the last ones, and looks at the whole as a machine would.
    fn signed_set(&self, list: &List, now: UnixSeconds) -> Result<Live, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let root = signing::parse_root(trust.root())?;
        let last = self.versions().unwrap_or_else(|| self.disk.online_versions());
        let (snapshot, timestamp) = self.keys.sign(&root, &list.text, list.published.version, last, now)?;
        let roots = self.roots[self.roots.len().saturating_sub(limits::ROOTS)..].to_vec();
        let metadata = Metadata { roots, timestamp, snapshot, targets: list.text.clone() };
        let (trusted, _) = trust.refresh(&metadata, now).map_err(RepositoryError::Untrusted)?;
        let renew = now.plus(online::TIMESTAMP_SECONDS / 2);
        Ok(Live { metadata: Arc::new(metadata), versions: trusted.versions(), renew })
    }
    /// Keeps a checked set on the disk and gives it to everyone from now on.
    fn go_live(&mut self, live: Live) -> Result<(), RepositoryError> {
        self.disk.write_online(&live.metadata.snapshot, &live.metadata.timestamp)?;
        self.live = Some(live);
        Ok(())
    }
}
