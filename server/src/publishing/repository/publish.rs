//! Changes to the repository: registers roots, publishes and withdraws releases, renews signatures.

use super::{ReleaseSummary, Repository, RepositoryError, SignedSet, TargetsList};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    manifest::KindHistory,
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{ReleaseList, TrustError, TrustStore};
use banyan_tuf_signing as signing;
use std::sync::Arc;

impl Repository {
    /// Registers the first root, or the one that follows the newest. A new root whose targets keys differ comes with
    /// the list of releases that they have signed: both take effect, or neither. Registering the same root again
    /// succeeds.
    ///
    /// # Errors
    /// Returns an error if the root is not signed correctly, does not follow, has expired, mixes roles, or does not
    /// assign snapshot and timestamp to this server. Also if what is published would not be trusted under it, or if the
    /// list changes releases: see [`Repository::replace_list`].
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
        if found.version.get() < wanted {
            return Err(RepositoryError::RootTaken(found.version.get()));
        }
        if found.version.get() != wanted {
            return Err(RepositoryError::RootVersion { wanted, found: found.version.get() });
        }
        let expires = u64::try_from(found.expires.as_second()).unwrap_or(0);
        if expires <= now.0 {
            let ago = now.0 - expires;
            return Err(RepositoryError::RootRefused(TrustError::Expired { role: "root".into(), ago }));
        }
        self.keys.check_roles(&found)?;
        // The set that machines would see under this root is created and verified before the root is kept.
        self.roots.push(root.to_owned());
        let before = self.trust.replace(trust);
        match self.store_root(wanted, root, targets, now) {
            Ok(None) => Ok(()),
            Ok(Some((list, set))) => {
                self.list = Some(list);
                self.activate(set)
            }
            Err(error) => {
                self.roots.pop();
                self.trust = before;
                Err(error)
            }
        }
    }
    /// Makes every check of [`Repository::publish`] that needs no signing. Changes nothing.
    ///
    /// # Errors
    /// Returns the same errors as [`Repository::publish`].
    pub fn examine(&self, targets: &str, manifest: &str, now: UnixSeconds) -> Result<Manifest, RepositoryError> {
        let refused = RepositoryError::Untrusted;
        let offered = self.parse_offered(targets, now)?;
        let parsed = Manifest::parse(manifest.as_bytes()).map_err(|error| refused(error.into()))?;
        let name = parsed.target_name();
        if !offered.lists(&name, manifest) {
            let (targets, what) = (offered.version, "does not contain, or has different contents for,");
            return Err(refused(TrustError::NotPublished { targets, what, target: name }));
        }
        let same_package = self.releases.values().filter(|release| release.package == parsed.package);
        let floor = same_package.map(|release| release.min_sequence).max().unwrap_or(0);
        if parsed.sequence < floor {
            let (package, sequence) = (parsed.package, parsed.sequence);
            return Err(refused(TrustError::BelowFloor { package, sequence, floor }));
        }
        self.check_successor(&offered, targets, Some(&name))?;
        self.check_kinds(&parsed, &offered)?;
        // Also compared with withdrawn releases: machines may have seen them.
        match self.releases.get(&name) {
            Some(known) if known.manifest != Digest::of(manifest.as_bytes()) => Err(RepositoryError::Changed(name)),
            None | Some(_) => Ok(parsed),
        }
    }
    /// Publishes a release: the publishers' new targets.json and the manifest that it adds. Publishing the same release
    /// again succeeds.
    ///
    /// # Errors
    /// Returns an error if machines would not trust the result, or if the list is not newer than the current one, lacks
    /// or changes published releases, or names others whose manifests are not here.
    pub fn publish(&mut self, targets: &str, manifest: &str, now: UnixSeconds) -> Result<Manifest, RepositoryError> {
        let parsed = self.examine(targets, manifest, now)?;
        let list = self.parse_list(targets.to_owned())?;
        let set = self.signed_set(&list, now)?;
        let proof = ReleaseProof { metadata: Metadata::clone(&set.metadata), manifest: manifest.to_owned() };
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let wanted = Digest::of(manifest.as_bytes());
        let (_, trust) = trust.check(&proof, wanted, now).map_err(RepositoryError::Untrusted)?;
        // Writing the list commits the release. The manifest is written before it; snapshot and timestamp follow from
        // it.
        self.disk.write_manifest(&parsed, manifest)?;
        self.disk.write_targets(list.published.version, targets)?;
        self.index(&parsed, manifest);
        self.trust = Some(trust);
        self.list = Some(list);
        self.activate(set)?;
        Ok(parsed)
    }
    /// Replaces the publishers' list: signed again with a later expiry, or with releases withdrawn. Returns the names
    /// of the newly withdrawn releases. Sending the same list again succeeds.
    ///
    /// # Errors
    /// Returns the same errors as [`Repository::publish`]. This call cannot add a release.
    pub fn replace_list(&mut self, targets: &str, now: UnixSeconds) -> Result<Vec<String>, RepositoryError> {
        let offered = self.parse_offered(targets, now)?;
        self.check_successor(&offered, targets, None)?;
        let before = self.list.as_ref().map(|list| &list.published.withdrawn);
        let is_new = |name: &&String| before.is_none_or(|before| !before.contains_key(*name));
        let withdrawn = offered.withdrawn.keys().filter(is_new).cloned().collect();
        let list = self.parse_list(targets.to_owned())?;
        let set = self.signed_set(&list, now)?;
        self.disk.write_targets(list.published.version, targets)?;
        self.list = Some(list);
        self.activate(set)?;
        Ok(withdrawn)
    }
    /// Signs snapshot and timestamp again when half of the timestamp's lifetime is over, or when the clock was ahead at
    /// the last time. Returns whether it signed.
    ///
    /// # Errors
    /// Returns an error if the disk fails, or if machines would not trust the result because the publishers' metadata
    /// has expired.
    pub fn refresh(&mut self, now: UnixSeconds) -> Result<bool, RepositoryError> {
        let Some(list) = &self.list else { return Ok(false) };
        if self.current_set.is_some() && !self.is_renewal_due(now) {
            return Ok(false);
        }
        let set = self.signed_set(list, now)?;
        self.activate(set)?;
        Ok(true)
    }

    /// Writes a root and the list that comes with it, if what is published stays trusted under the root. Returns the
    /// list and the set that go live with it.
    fn store_root(
        &self,
        version: u64,
        root: &str,
        targets: Option<&str>,
        now: UnixSeconds,
    ) -> Result<Option<(TargetsList, SignedSet)>, RepositoryError> {
        let text = targets.or_else(|| self.targets()).map(str::to_owned);
        let Some(text) = text else {
            self.disk.write_root(version, root)?;
            return Ok(None);
        };
        let verify_set = || {
            // Verifies the list's signatures under the new root.
            let list = self.parse_list(text)?;
            self.check_successor(&list.published, &list.text, None)?;
            let set = self.signed_set(&list, now)?;
            Ok((list, set))
        };
        let (list, set) = verify_set().map_err(|error| match error {
            RepositoryError::Untrusted(error) => RepositoryError::RootRefused(error),
            other => other,
        })?;
        match targets {
            None => self.disk.write_root(version, root)?,
            Some(text) => self.disk.write_root_and_targets(version, root, list.published.version, text)?,
        }
        Ok(Some((list, set)))
    }
    /// Parses an offered list and verifies its signatures and expiry.
    fn parse_offered(&self, targets: &str, now: UnixSeconds) -> Result<ReleaseList, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let offered = trust.published(targets).map_err(RepositoryError::Untrusted)?;
        if offered.expires <= now {
            let ago = now.0 - offered.expires.0;
            return Err(RepositoryError::Untrusted(TrustError::Expired { role: "targets".into(), ago }));
        }
        Ok(offered)
    }
    fn parse_list(&self, text: String) -> Result<TargetsList, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let published = trust.published(&text).map_err(RepositoryError::Untrusted)?;
        Ok(TargetsList { text, published })
    }

    /// Compares an offered list with the current one. Releases disappear only if named as withdrawn, withdrawn ones
    /// never return, none change, and only `added` is new.
    fn check_successor(
        &self,
        offered: &ReleaseList,
        targets: &str,
        added: Option<&str>,
    ) -> Result<(), RepositoryError> {
        let nothing = ReleaseList::default();
        let current = match &self.list {
            Some(list) if list.text == targets => return Ok(()),
            Some(list) => &list.published,
            None => &nothing,
        };
        if offered.version <= current.version {
            return Err(RepositoryError::OldTargets { current: current.version, offered: offered.version });
        }
        check_withdrawals(current, offered)?;
        let mut gone = vec![];
        for (name, target) in &current.targets {
            match offered.targets.get(name) {
                None if !offered.withdrawn.contains_key(name) => gone.push(name.clone()),
                Some(other) if other != target => return Err(RepositoryError::Changed(name.clone())),
                None | Some(_) => {}
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
    /// Compares the kinds of a new release with those of the releases that stay listed: machines do not replace an archive
    /// by a deb, or the reverse.
    fn check_kinds(&self, new: &Manifest, offered: &ReleaseList) -> Result<(), RepositoryError> {
        let is_listed =
            |name: &String| self.list.as_ref().is_some_and(|list| list.published.targets.contains_key(name));
        // It may have been published before this was checked.
        if is_listed(&new.target_name()) {
            return Ok(());
        }
        let stays = |name: &String| is_listed(name) && offered.targets.contains_key(name);
        let mut earlier: Vec<&ReleaseSummary> = self
            .releases
            .iter()
            .filter(|(name, release)| release.package == new.package && stays(name))
            .map(|(_, release)| release)
            .collect();
        earlier.sort_by_key(|release| std::cmp::Reverse(release.sequence));
        let mut history = KindHistory::new(new);
        for release in earlier {
            let kinds = release.artifacts.iter().map(|artifact| (artifact.platform.clone(), artifact.kind)).collect();
            history.compare(&kinds).map_err(|change| RepositoryError::OtherKind {
                package: release.package.clone(),
                version: release.version.clone(),
                sequence: release.sequence,
                change,
            })?;
        }
        Ok(())
    }
    /// Signs snapshot and timestamp over a list, with versions above the last ones, and verifies the set as a machine
    /// would.
    fn signed_set(&self, list: &TargetsList, now: UnixSeconds) -> Result<SignedSet, RepositoryError> {
        let trust = self.trust.as_ref().ok_or(RepositoryError::NoRoot)?;
        let root = signing::parse_root(trust.root())?;
        let last = self.versions().unwrap_or_else(|| self.disk.online_versions());
        let (snapshot, timestamp) = self.keys.sign(&root, &list.text, list.published.version, last, now)?;
        let roots = self.roots[self.roots.len().saturating_sub(limits::ROOTS)..].to_vec();
        let metadata = Metadata { roots, timestamp, snapshot, targets: list.text.clone() };
        let (trusted, _) = trust.refresh(&metadata, now).map_err(RepositoryError::Untrusted)?;
        Ok(SignedSet { metadata: Arc::new(metadata), versions: trusted.versions(), signed: now })
    }
    /// Writes a verified set to disk and makes it current.
    fn activate(&mut self, set: SignedSet) -> Result<(), RepositoryError> {
        self.disk.write_online(&set.metadata.snapshot, &set.metadata.timestamp)?;
        self.current_set = Some(set);
        Ok(())
    }
}

/// Verifies that an offered list's withdrawals follow from the current list.
fn check_withdrawals(current: &ReleaseList, offered: &ReleaseList) -> Result<(), RepositoryError> {
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
            "the list still contains it"
        } else if *since != offered.version {
            "the list must name its own version for the withdrawal"
        } else {
            continue;
        };
        return Err(RepositoryError::Withdrawal { name: name.clone(), why });
    }
    Ok(())
}
