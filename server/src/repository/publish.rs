//! How the repository changes: a root, a release, or a new signature on what is there.

use super::{List, Live, Repository, RepositoryError, online, signing};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{Published, TrustError, TrustStore};
use std::sync::Arc;

impl Repository {
    /// Registers the first root, or the one that follows the newest; with it, where the new root's targets keys must sign
    /// it, the list of releases: both take effect, or neither. The same again is no error.
    ///
    /// # Errors
    /// When it is not signed as it must be, does not follow, has expired, mixes up roles, or does not give the snapshot
    /// and timestamp roles to this server; when what is published would not be trusted under it; when the list changes
    /// releases, as [`Repository::replace_list`].
    pub fn register_root(
        &mut self,
        root: &str,
        targets: Option<&str>,
        now: UnixSeconds,
    ) -> Result<(), RepositoryError> {
        if self.roots.iter().any(|known| known == root) {
            return targets.map_or(Ok(()), |targets| self.replace_list(targets, now).map(drop));
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
        match self.keep_root(wanted, root, targets, now) {
            Ok(None) => Ok(()),
            Ok(Some((list, live))) => {
                self.list = Some(list);
                self.go_live(live)
            }
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
    pub fn examine(&self, targets: &str, manifest: &str, now: UnixSeconds) -> Result<Manifest, RepositoryError> {
        let refused = RepositoryError::Untrusted;
        let offered = self.offered(targets, now)?;
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
        self.compare(&offered, targets, Some(&name))?;
        // Also against releases that were withdrawn: machines may have seen them.
        match self.releases.get(&name) {
            Some(known) if known.manifest != Digest::of(manifest.as_bytes()) => Err(RepositoryError::Changed(name)),
            _ => Ok(parsed),
        }
    }
    /// Puts a release on the list: the publishers' new targets.json, and the manifest that it adds. The same again is no
    /// error.
    ///
    /// # Errors
    /// When machines would not trust the result, the list is not newer than the current one, lacks or changes published
    /// releases, or names others whose manifests are not here.
    pub fn publish(&mut self, targets: &str, manifest: &str, now: UnixSeconds) -> Result<Manifest, RepositoryError> {
        let parsed = self.examine(targets, manifest, now)?;
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
    /// Takes the publishers' list anew: signed again with a later expiry, or with releases withdrawn. Gives the names that
    /// are withdrawn by it. The same again is no error.
    ///
    /// # Errors
    /// As [`Repository::publish`]; nothing can be added in this way.
    pub fn replace_list(&mut self, targets: &str, now: UnixSeconds) -> Result<Vec<String>, RepositoryError> {
        let offered = self.offered(targets, now)?;
        self.compare(&offered, targets, None)?;
        let before = self.list.as_ref().map(|list| &list.published.withdrawn);
        let news = |name: &&String| before.is_none_or(|before| !before.contains_key(*name));
        let withdrawn = offered.withdrawn.keys().filter(news).cloned().collect();
        let list = self.list_of(targets.to_owned())?;
        let live = self.signed_set(&list, now)?;
        self.disk.write_targets(list.published.version, targets)?;
        self.list = Some(list);
        self.go_live(live)?;
        Ok(withdrawn)
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

    /// Writes a root (and the list that comes with it), if what is published stays trusted under it; gives the list and
    /// the set that go live with it.
    fn keep_root(
        &self,
        version: u64,
        root: &str,
        targets: Option<&str>,
        now: UnixSeconds,
    ) -> Result<Option<(List, Live)>, RepositoryError> {
        let text = targets.or_else(|| self.targets()).map(str::to_owned);
        let Some(text) = text else {
            self.disk.write_root(version, root)?;
            return Ok(None);
        };
        let judge = || {
            // Its signatures (again), under this root.
            let list = self.list_of(text)?;
            self.compare(&list.published, &list.text, None)?;
            let live = self.signed_set(&list, now)?;
            Ok((list, live))
        };
        let (list, live) = judge().map_err(|error| match error {
            RepositoryError::Untrusted(error) => RepositoryError::RootRefused(error),
            other => other,
        })?;
        match targets {
            None => self.disk.write_root(version, root)?,
            Some(text) => self.disk.write_root_and_targets(version, root, list.published.version, text)?,
        }
        Ok(Some((list, live)))
    }
    /// A list that is offered: signed, and not expired.
    fn offered(&self, targets: &str, now: UnixSeconds) -> Result<Published, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let offered = trust.published(targets).map_err(RepositoryError::Untrusted)?;
        if offered.expires <= now {
            let ago = now.0 - offered.expires.0;
            return Err(RepositoryError::Untrusted(TrustError::Expired { role: "targets".into(), ago }));
        }
        Ok(offered)
    }
    fn list_of(&self, text: String) -> Result<List, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let published = trust.published(&text).map_err(RepositoryError::Untrusted)?;
        Ok(List { text, published })
    }

    /// What an offered list does to what is published: nothing disappears without being named as withdrawn, nothing that
    /// was withdrawn comes back, nothing changes, and nothing but `added` is new.
    fn compare(&self, offered: &Published, targets: &str, added: Option<&str>) -> Result<(), RepositoryError> {
        let nothing = Published::default();
        let current = match &self.list {
            Some(list) if list.text == targets => return Ok(()),
            Some(list) => &list.published,
            None => &nothing,
        };
        if offered.version <= current.version {
            return Err(RepositoryError::OldTargets { current: current.version, offered: offered.version });
        }
        withdrawals(current, offered)?;
        let mut gone = vec![];
        for (name, target) in &current.targets {
            match offered.targets.get(name) {
                None if !offered.withdrawn.contains_key(name) => gone.push(name.clone()),
                Some(other) if other != target => return Err(RepositoryError::Changed(name.clone())),
                _ => {}
            }
        }
        if !gone.is_empty() {
            return Err(RepositoryError::Disappeared(gone));
        }
        let unknown = |name: &&String| added != Some(name.as_str()) && !current.targets.contains_key(*name);
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

/// Whether what a list says about withdrawn releases follows from the list before.
fn withdrawals(current: &Published, offered: &Published) -> Result<(), RepositoryError> {
    let returned = |(name, since): &(&String, &u64)| {
        offered.withdrawn.get(*name) != Some(since) || offered.targets.contains_key(*name)
    };
    if let Some((name, _)) = current.withdrawn.iter().find(returned) {
        return Err(RepositoryError::Returned(name.clone()));
    }
    for (name, since) in offered.withdrawn.iter().filter(|(name, _)| !current.withdrawn.contains_key(*name)) {
        let why = if !current.targets.contains_key(name) {
            "it is not on the current list"
        } else if offered.targets.contains_key(name) {
            "the list still has it"
        } else if *since != offered.version {
            "the list names another version than its own for that"
        } else {
            continue;
        };
        return Err(RepositoryError::Withdrawal { name: name.clone(), why });
    }
    Ok(())
}
