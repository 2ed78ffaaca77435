//! Tests of the repository with mistaken publishers, forged metadata and a disk that loses files. Results are verified
//! with a machine's own checks.

use super::{Repository, RepositoryError};
use banyan_proto::{
    Digest, Manifest, Reason, SigningKey, UnixSeconds,
    manifest::Kind,
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{TrustError, TrustStore, fixture::manifest};
use banyan_tuf_signing as signing;
use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU64,
    path::Path,
};
use tempfile::TempDir;
use tough::{
    TargetName,
    schema::{Hashes, RoleKeys, RoleType, Root, Target, Targets, key::Key},
    sign::Sign as _,
};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: u64 = 24 * 3600;

fn pair() -> signing::Ed25519KeyPair {
    signing::Ed25519KeyPair::from_pkcs8(&SigningKey::generate().1).unwrap()
}

/// A publisher with one root key and one targets key.
struct Publisher {
    root_key: signing::Ed25519KeyPair,
    targets_key: signing::Ed25519KeyPair,
    root: Root,
    manifests: BTreeMap<String, String>,
    withdrawn: BTreeMap<String, u64>,
    version: u64,
    expires: UnixSeconds,
}

impl Publisher {
    fn new(online: &[serde_json::Value]) -> Self {
        let (root_key, targets_key) = (pair(), pair());
        let online: Vec<Key> = online.iter().map(|key| serde_json::from_value(key.clone()).unwrap()).collect();
        let mut root = Root {
            spec_version: signing::SPEC.into(),
            consistent_snapshot: false,
            version: NonZeroU64::MIN,
            expires: signing::time(NOW.plus(365 * DAY)).unwrap(),
            keys: HashMap::new(),
            roles: HashMap::new(),
            _extra: HashMap::new(),
        };
        for (role, key) in [
            (RoleType::Root, root_key.tuf_key()),
            (RoleType::Targets, targets_key.tuf_key()),
            (RoleType::Snapshot, online[0].clone()),
            (RoleType::Timestamp, online[1].clone()),
        ] {
            let id = key.key_id().unwrap();
            root.keys.insert(id.clone(), key);
            root.roles.insert(role, RoleKeys { keyids: vec![id], threshold: NonZeroU64::MIN, _extra: HashMap::new() });
        }
        let expires = NOW.plus(365 * DAY);
        Self {
            root_key,
            targets_key,
            root,
            manifests: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            version: 0,
            expires,
        }
    }
    fn root(&self) -> String {
        signing::sign(&self.root, self.root.clone(), &[&self.root_key]).unwrap()
    }
    /// Withdraws a release in the next list.
    fn withdraw(&mut self, name: &str) {
        self.manifests.remove(name);
        self.withdrawn.insert(name.into(), self.version + 1);
    }
    /// Signs the next targets.json with the current releases.
    fn again(&mut self) -> String {
        self.version += 1;
        self.targets()
    }
    /// Signs the next targets.json with this manifest added. Returns it and the manifest's text.
    fn release(&mut self, manifest: &Manifest) -> (String, String) {
        let text = serde_json::to_string(manifest).unwrap();
        self.manifests.insert(manifest.target_name(), text.clone());
        self.version += 1;
        (self.targets(), text)
    }
    /// Replaces the targets key in the next root.
    fn rotate_targets(&mut self) {
        self.targets_key = pair();
        let id = self.targets_key.tuf_key().key_id().unwrap();
        self.root.keys.insert(id.clone(), self.targets_key.tuf_key());
        self.root.roles.get_mut(&RoleType::Targets).unwrap().keyids = vec![id];
        self.root.version = self.root.version.checked_add(1).unwrap();
    }
    fn targets(&self) -> String {
        let version = NonZeroU64::new(self.version).unwrap();
        let mut targets = Targets::new(signing::SPEC.into(), version, signing::time(self.expires).unwrap());
        targets.delegations = None;
        if !self.withdrawn.is_empty() {
            targets._extra.insert(banyan_trust::WITHDRAWN.into(), serde_json::json!(self.withdrawn));
        }
        for (name, text) in &self.manifests {
            let hashes = Hashes { sha256: signing::sha256(text.as_bytes()).into(), _extra: HashMap::new() };
            let target = Target { length: text.len() as u64, hashes, custom: HashMap::new(), _extra: HashMap::new() };
            targets.add_target(TargetName::new(name.as_str()).unwrap(), target);
        }
        signing::sign(&self.root, targets, &[&self.targets_key]).unwrap()
    }
}

/// Creates a repository with a registered root, its publisher, and a machine that has enrolled.
fn world() -> (TempDir, Repository, Publisher, TrustStore) {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::open(folder.path(), NOW).unwrap();
    let publisher = Publisher::new(&repository.online_keys());
    repository.register_root(&publisher.root(), None, NOW).unwrap();
    let root = repository.first_root().unwrap();
    let machine = TrustStore::enrol(root, Digest::of(root.as_bytes())).unwrap();
    (folder, repository, publisher, machine)
}
fn publish(repository: &mut Repository, publisher: &mut Publisher, manifest: &Manifest) -> Result<(), RepositoryError> {
    let (targets, text) = publisher.release(manifest);
    repository.publish(&targets, &text, NOW).map(|published| assert_eq!(&published, manifest))
}
fn check_as_machine(machine: &TrustStore, proof: &ReleaseProof, now: UnixSeconds) -> Result<TrustStore, TrustError> {
    machine.check(proof, Digest::of(proof.manifest.as_bytes()), now).map(|(_, store)| store)
}

#[test]
fn machines_trust_what_was_published_and_nothing_older_afterwards() {
    let (_folder, mut repository, mut publisher, machine) = world();
    assert!(repository.current().is_none() && repository.versions().is_none() && repository.targets().is_none());
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    let first = repository.proof("hello", 1).unwrap();
    publish(&mut repository, &mut publisher, &manifest("hello", 2, 2)).unwrap();
    let second = repository.proof("hello", 2).unwrap();
    let machine = check_as_machine(&machine, &second, NOW).unwrap();
    assert_eq!(Some(machine.versions()), repository.versions());
    assert_eq!(check_as_machine(&machine, &first, NOW).unwrap_err().reason(), Reason::MetadataRolledBack);
    let first = repository.proof("hello", 1).unwrap();
    assert_eq!(check_as_machine(&machine, &first, NOW).unwrap_err().reason(), Reason::BelowFloor);
    let sequences: Vec<u64> = repository.releases().iter().map(|release| release.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    assert!(matches!(repository.proof("hello", 3), Err(RepositoryError::NoSuchRelease { .. })));
    assert!(matches!(repository.manifest("../roots", 1), Err(RepositoryError::NoSuchRelease { .. })));
}

#[test]
fn the_first_root_must_be_true_ours_and_fresh() {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::open(folder.path(), NOW).unwrap();
    let mut publisher = Publisher::new(&repository.online_keys());
    let (targets, text) = publisher.release(&manifest("hello", 1, 0));
    assert!(matches!(repository.publish(&targets, &text, NOW), Err(RepositoryError::NoRoot)));

    let foreign = Publisher::new(&[serde_json::json!(pair().tuf_key()), serde_json::json!(pair().tuf_key())]);
    let error = repository.register_root(&foreign.root(), None, NOW).unwrap_err();
    assert!(matches!(error, RepositoryError::NotOurKeys(_)), "{error}");
    let expired = repository.register_root(&publisher.root(), None, NOW.plus(365 * DAY)).unwrap_err();
    assert_eq!(expired.reason(), Reason::MetadataExpired);
    let mut mixed = Publisher::new(&repository.online_keys());
    mixed.root.roles.insert(RoleType::Targets, mixed.root.roles[&RoleType::Snapshot].clone());
    let error = repository.register_root(&mixed.root(), None, NOW).unwrap_err();
    assert!(matches!(error, RepositoryError::RootRefused(TrustError::UnsoundRoot { .. })), "{error}");
    let mut second = Publisher::new(&repository.online_keys());
    second.root.version = NonZeroU64::new(2).unwrap();
    let error = repository.register_root(&second.root(), None, NOW).unwrap_err();
    assert!(matches!(error, RepositoryError::RootVersion { wanted: 1, found: 2 }), "{error}");
    assert!(error.is_callers_fault() && !repository.has_root());

    repository.register_root(&publisher.root(), None, NOW).unwrap();
    let kept = repository.first_root().unwrap().to_owned();
    repository.register_root(&kept, None, NOW).unwrap();
    let thief = Publisher::new(&repository.online_keys());
    assert!(repository.register_root(&thief.root(), None, NOW).is_err(), "a second first root was accepted");
    assert_eq!(repository.newest_root(), Some(kept.as_str()));
}

#[test]
fn a_newer_root_follows_the_old_one_and_keeps_the_releases_trusted() {
    let (folder, mut repository, mut publisher, machine) = world();
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    let before = repository.versions().unwrap();
    // A root from an attacker, not signed by the old root's keys.
    let mut thief = Publisher::new(&repository.online_keys());
    thief.root.version = NonZeroU64::new(2).unwrap();
    let error = repository.register_root(&thief.root(), None, NOW).unwrap_err();
    assert_eq!(error.reason(), Reason::MetadataForged);
    // The publisher's own root, but the published list would not be trusted under it.
    let old = publisher.root.clone();
    publisher.root.version = NonZeroU64::new(2).unwrap();
    let stranger = pair().tuf_key();
    let id = stranger.key_id().unwrap();
    publisher.root.keys.insert(id.clone(), stranger);
    publisher.root.roles.get_mut(&RoleType::Targets).unwrap().keyids = vec![id];
    let error = repository.register_root(&publisher.root(), None, NOW).unwrap_err();
    assert!(matches!(error, RepositoryError::RootRefused(TrustError::Forged { .. })), "{error}");
    assert_eq!((repository.versions(), repository.roots.len()), (Some(before), 1), "the repository changed");

    publisher.root = Root { version: NonZeroU64::new(2).unwrap(), ..old };
    repository.register_root(&publisher.root(), None, NOW).unwrap();
    let machine = check_as_machine(&machine, &repository.proof("hello", 1).unwrap(), NOW).unwrap();
    assert_eq!(machine.versions().root, 2);
    let reopened = Repository::open(folder.path(), NOW).unwrap();
    assert_eq!(reopened.newest_root(), repository.newest_root());
    check_as_machine(&machine, &reopened.proof("hello", 1).unwrap(), NOW).unwrap();
}

#[test]
fn a_deb_does_not_follow_an_archive_of_its_name_while_that_is_published() {
    let (_folder, mut repository, mut publisher, _) = world();
    let deb = |package, sequence| {
        let mut release = manifest(package, sequence, 0);
        release.artifacts[0].install.kind = Kind::Deb;
        release
    };
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    publish(&mut repository, &mut publisher, &deb("other", 1)).unwrap();
    let (targets, text) = publisher.release(&deb("hello", 2));
    let error = repository.examine(&targets, &text, NOW).unwrap_err();
    assert!(matches!(&error, RepositoryError::OtherKind { sequence: 1, .. }), "{error}");
    assert!(error.reason() == Reason::OtherKind && error.is_callers_fault());
    assert!(error.to_string().contains("hello 1.1 (sequence 1) has kind archive for any"), "{error}");
    // The list that adds it can withdraw the archive.
    publisher.version -= 1;
    publisher.manifests.remove("hello/2.json");
    publisher.withdraw("hello/1.json");
    publish(&mut repository, &mut publisher, &deb("hello", 2)).unwrap();
    let error = publish(&mut repository, &mut publisher, &manifest("hello", 3, 0)).unwrap_err();
    assert!(matches!(error, RepositoryError::OtherKind { sequence: 2, .. }), "{error}");
}

#[test]
fn lists_that_publishers_did_not_sign_or_that_are_stale_are_refused() {
    let (_folder, mut repository, mut publisher, _) = world();
    let (targets, text) = publisher.release(&manifest("hello", 1, 0));
    let reason = |result: Result<Manifest, RepositoryError>| result.unwrap_err().reason();
    let forged = targets.replace("hello/1.json", "hello/9.json");
    assert_eq!(reason(repository.publish(&forged, &text, NOW)), Reason::MetadataForged);
    assert_eq!(reason(repository.publish(&targets, &text, publisher.expires)), Reason::MetadataExpired);
    let other = serde_json::to_string(&manifest("hello", 2, 0)).unwrap();
    assert_eq!(reason(repository.publish(&targets, &other, NOW)), Reason::NotPublished);
    let examined = repository.examine(&targets, &other, NOW);
    assert!(matches!(examined, Err(RepositoryError::Untrusted(TrustError::NotPublished { .. }))), "{examined:?}");
    assert!(repository.current().is_none());
    repository.publish(&targets, &text, NOW).unwrap();
    let first_versions = repository.versions();
    repository.publish(&targets, &text, NOW).unwrap();
    assert_ne!(repository.versions(), first_versions, "publishing the same release again must succeed and sign again");
    publisher.version = 0;
    let error = publish(&mut repository, &mut publisher, &manifest("hello", 2, 0)).unwrap_err();
    assert!(matches!(error, RepositoryError::OldTargets { current: 1, offered: 1 }), "{error}");
}

#[test]
fn releases_disappear_or_change_only_on_purpose() {
    let (folder, mut repository, mut publisher, _) = world();
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    publish(&mut repository, &mut publisher, &manifest("hello", 2, 2)).unwrap();
    // Different contents under an existing name.
    let old = publisher.manifests.clone();
    let mut changed = manifest("hello", 2, 2);
    changed.notes = "changed".into();
    let error = publish(&mut repository, &mut publisher, &changed).unwrap_err();
    assert!(matches!(error, RepositoryError::Changed(_)), "{error}");
    publisher.manifests = old.clone();
    // Below the package's minimum accepted sequence, which must survive a restart.
    let mut repository = Repository::open(folder.path(), NOW).unwrap();
    let error = publish(&mut repository, &mut publisher, &manifest("hello", 0, 0)).unwrap_err();
    assert_eq!(error.reason(), Reason::BelowFloor);
    publisher.manifests = old.clone();
    // The contents of another release change along the way.
    publisher.manifests.insert("hello/1.json".into(), "{}".into());
    let error = publish(&mut repository, &mut publisher, &manifest("hello", 3, 0)).unwrap_err();
    assert!(matches!(&error, RepositoryError::Changed(name) if name == "hello/1.json"), "{error}");
    publisher.manifests = old.clone();
    // A second new name, whose manifest is not here.
    publisher.manifests.insert("other/7.json".into(), "{}".into());
    let error = publish(&mut repository, &mut publisher, &manifest("hello", 3, 0)).unwrap_err();
    assert!(matches!(error, RepositoryError::UnknownTarget(_)), "{error}");
    publisher.manifests = old;
    // A release is missing.
    publisher.manifests.remove("hello/1.json");
    let (targets, text) = publisher.release(&manifest("hello", 3, 0));
    let error = repository.publish(&targets, &text, NOW).unwrap_err();
    assert!(matches!(&error, RepositoryError::Disappeared(names) if names == &["hello/1.json"]), "{error}");
    // Named as withdrawn, the release leaves the list; others may be added with it.
    publisher.withdraw("hello/1.json");
    publish(&mut repository, &mut publisher, &manifest("hello", 3, 0)).unwrap();
    assert!(matches!(repository.proof("hello", 1), Err(RepositoryError::NoSuchRelease { .. })));
    assert_eq!(repository.releases().len(), 2);
    publish(&mut repository, &mut publisher, &manifest("other", 1, 0)).unwrap();
    publisher.withdraw("other/1.json");
    let list = publisher.again();
    assert_eq!(repository.replace_list(&list, NOW).unwrap(), ["other/1.json"]);
    assert!(repository.replace_list(&list, NOW).unwrap().is_empty(), "sending the same list again must succeed");
    assert_eq!(repository.withdrawn().1, publisher.version);
    // The withdrawals survive a restart, and the artifacts that only withdrawn releases have are known.
    let mut repository = Repository::open(folder.path(), NOW).unwrap();
    assert_eq!(repository.withdrawn().0.into_iter().collect::<Vec<_>>(), ["hello/1.json", "other/1.json"]);
    let only: Vec<Digest> =
        [("hello", 1), ("other", 1)].iter().map(|(p, s)| manifest(p, *s, 0).artifacts[0].digest).collect();
    assert!(only.iter().all(|digest| repository.only_withdrawn().contains(digest)));
    // A withdrawn release never returns: neither unchanged, nor changed, nor by being left off the withdrawals.
    let kept = (publisher.manifests.clone(), publisher.withdrawn.clone());
    let error = publish(&mut repository, &mut publisher, &manifest("other", 1, 0)).unwrap_err();
    assert!(matches!(&error, RepositoryError::Returned(name) if name == "other/1.json"), "{error}");
    publisher.withdrawn.clear();
    let error = publish(&mut repository, &mut publisher, &manifest("other", 1, 0)).unwrap_err();
    assert!(matches!(&error, RepositoryError::Returned(_)), "{error}");
    // An unpublished release cannot be withdrawn, and a withdrawal must name the list's own version.
    (publisher.manifests, publisher.withdrawn) = kept;
    let good = publisher.withdrawn.clone();
    for (name, version) in [("nothing/1.json", publisher.version + 1), ("hello/2.json", 1)] {
        publisher.withdraw(name);
        publisher.withdrawn.insert(name.into(), version);
        let list = publisher.again();
        let error = repository.replace_list(&list, NOW).unwrap_err();
        assert!(matches!(error, RepositoryError::Withdrawal { .. }), "{error}");
        publisher.withdrawn.clone_from(&good);
    }
}

#[test]
fn new_targets_keys_come_with_a_list_that_they_have_signed() {
    let (folder, mut repository, mut publisher, machine) = world();
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    let machine = check_as_machine(&machine, &repository.proof("hello", 1).unwrap(), NOW).unwrap();
    let by_the_old_key = publisher.again();
    publisher.version -= 1;
    publisher.rotate_targets();
    let root = publisher.root();
    let list = publisher.again();
    // No list, or one that the old key signed.
    for wrong in [None, Some(by_the_old_key.as_str())] {
        let error = repository.register_root(&root, wrong, NOW).unwrap_err();
        assert!(matches!(error, RepositoryError::RootRefused(_)), "{error}");
    }
    let kept = publisher.manifests.clone();
    publisher.manifests.clear();
    let error = repository.register_root(&root, Some(&publisher.targets()), NOW).unwrap_err();
    assert!(matches!(error, RepositoryError::Disappeared(_)), "{error}");
    publisher.manifests = kept;
    assert_eq!(repository.roots().len(), 1, "the repository changed");

    // A power cut between list and root leaves the old state; one after the root leaves the new state.
    let next = folder.path().join("targets/next.json");
    std::fs::write(&next, &list).unwrap();
    let reopened = Repository::open(folder.path(), NOW).unwrap();
    assert!(!next.exists() && reopened.targets() == repository.targets());
    std::fs::write(&next, &list).unwrap();
    std::fs::write(folder.path().join("roots/2.json"), &root).unwrap();
    let cut = Repository::open(folder.path(), NOW).unwrap();
    assert_eq!((cut.targets(), next.exists()), (Some(list.as_str()), false));
    std::fs::remove_file(folder.path().join("roots/2.json")).unwrap();
    std::fs::remove_file(folder.path().join("targets/2.json")).unwrap();

    repository.register_root(&root, Some(&list), NOW).unwrap();
    assert_eq!((repository.roots().len(), repository.targets()), (2, Some(list.as_str())));
    let machine = check_as_machine(&machine, &repository.proof("hello", 1).unwrap(), NOW).unwrap();
    publish(&mut repository, &mut publisher, &manifest("hello", 2, 0)).unwrap();
    check_as_machine(&machine, &repository.proof("hello", 2).unwrap(), NOW).unwrap();
    let reopened = Repository::open(folder.path(), NOW).unwrap();
    check_as_machine(&machine, &reopened.proof("hello", 2).unwrap(), NOW).unwrap();
}

#[test]
fn keys_that_the_root_does_not_name_sign_nothing() {
    let (_folder, _, publisher, _) = world();
    for pairs in [vec![], vec![pair()]] {
        let error =
            signing::sign(&publisher.root, publisher.root.clone(), &pairs.iter().collect::<Vec<_>>()).unwrap_err();
        assert!(matches!(error, signing::SigningError::NotEnoughKeys { wanted: 1, found: 0, .. }), "{error}");
    }
}

#[test]
fn snapshot_and_timestamp_are_renewed_in_good_time() {
    let (folder, mut repository, mut publisher, machine) = world();
    assert!(!repository.refresh(NOW).unwrap());
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    let machine = check_as_machine(&machine, &repository.proof("hello", 1).unwrap(), NOW).unwrap();
    assert!(!repository.refresh(NOW.plus(DAY / 2 - 1)).unwrap());
    assert!(repository.refresh(NOW.plus(DAY / 2)).unwrap());
    assert!(repository.versions().unwrap().timestamp > machine.versions().timestamp);
    let proof = repository.proof("hello", 1).unwrap();
    assert!(check_as_machine(&machine, &proof, NOW.plus(DAY + DAY / 4)).is_ok());
    assert_eq!(check_as_machine(&machine, &proof, NOW.plus(2 * DAY)).unwrap_err().reason(), Reason::MetadataExpired);
    // A server that was off for a month signs again when it starts.
    let later = NOW.plus(30 * DAY);
    let reopened = Repository::open(folder.path(), later).unwrap();
    assert!(check_as_machine(&machine, &reopened.proof("hello", 1).unwrap(), later).is_ok());
    // Once the publishers' signature has expired, the server's signatures do not help.
    let mut expired = Repository::open(folder.path(), publisher.expires.plus(1)).unwrap();
    assert!(expired.current().is_none());
    assert_eq!(expired.publisher_expires(), Some(publisher.expires));
    assert_eq!(expired.refresh(publisher.expires.plus(1)).unwrap_err().reason(), Reason::MetadataExpired);
    // The list is still available for the publisher to sign again.
    assert_eq!(expired.targets(), repository.targets());
}

#[test]
fn power_cuts_leave_a_usable_repository() {
    let (folder, mut repository, mut publisher, machine) = world();
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    let machine = check_as_machine(&machine, &repository.proof("hello", 1).unwrap(), NOW).unwrap();
    let (targets, text) = publisher.release(&manifest("hello", 2, 0));
    // Interrupted after the manifest and the list were written, before snapshot and timestamp.
    std::fs::write(folder.path().join("manifests/hello/2.json"), &text).unwrap();
    std::fs::write(folder.path().join("targets/2.json"), &targets).unwrap();
    std::fs::write(folder.path().join("targets/3.json.new"), "half a fi").unwrap();
    let mut reopened = Repository::open(folder.path(), NOW).unwrap();
    let machine = check_as_machine(&machine, &reopened.proof("hello", 2).unwrap(), NOW).unwrap();
    reopened.publish(&targets, &text, NOW).unwrap();
    // The online files are lost: the next versions, taken from the clock, are above those that machines have seen.
    for name in ["snapshot.json", "timestamp.json"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let reopened = Repository::open(folder.path(), NOW.plus(60)).unwrap();
    check_as_machine(&machine, &reopened.proof("hello", 2).unwrap(), NOW).unwrap();
    // A damaged manifest is not returned.
    std::fs::write(folder.path().join("manifests/hello/2.json"), text.replace("1.2", "6.6")).unwrap();
    assert!(matches!(reopened.manifest("hello", 2), Err(RepositoryError::Damaged { .. })));
}

#[test]
fn a_server_restored_from_a_backup_is_believed_again() {
    let (folder, mut repository, mut publisher, machine) = world();
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy(folder.path(), backup.path());
    for day in 1..5 {
        repository.refresh(NOW.plus(day * DAY)).unwrap();
    }
    let later = NOW.plus(5 * DAY);
    let machine = check_as_machine(&machine, &repository.proof("hello", 1).unwrap(), NOW.plus(4 * DAY)).unwrap();
    let restored = Repository::open(backup.path(), later).unwrap();
    check_as_machine(&machine, &restored.proof("hello", 1).unwrap(), later).unwrap();
}

#[test]
fn the_online_keys_stay_and_are_the_owners_alone() {
    let (folder, repository, ..) = world();
    let again = Repository::open(folder.path(), NOW).unwrap();
    assert_eq!(again.online_keys(), repository.online_keys());
    assert_ne!(again.online_keys()[0], again.online_keys()[1]);
    #[cfg(unix)]
    for name in ["snapshot.pk8", "timestamp.pk8"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    std::fs::write(folder.path().join("snapshot.pk8"), "rust").unwrap();
    let error = Repository::open(folder.path(), NOW).err().unwrap();
    assert!(matches!(error, RepositoryError::Damaged { .. }) && !error.is_callers_fault(), "{error}");
}

#[test]
fn metadata_carries_the_newest_roots_a_machine_follows_in_one_step() {
    let (_folder, mut repository, mut publisher, machine) = world();
    publish(&mut repository, &mut publisher, &manifest("hello", 1, 0)).unwrap();
    for version in 2..=u64::try_from(banyan_proto::limits::ROOTS).unwrap() + 2 {
        publisher.root.version = NonZeroU64::new(version).unwrap();
        repository.register_root(&publisher.root(), None, NOW).unwrap();
    }
    let proof = repository.proof("hello", 1).unwrap();
    assert_eq!(proof.metadata.roots.len(), banyan_proto::limits::ROOTS);
    assert!(matches!(check_as_machine(&machine, &proof, NOW), Err(TrustError::RootGap { .. })));
    let behind = machine.update_roots(&repository.roots[..2]).unwrap();
    let Metadata { roots, .. } = &proof.metadata;
    assert_eq!(check_as_machine(&behind, &proof, NOW).unwrap().root(), roots.last().unwrap());
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
