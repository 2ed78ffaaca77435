//! Tests of key changes and withdrawn releases: what the publisher signs, the server accepts and machines follow.

use super::*;
use crate::roots::{self, RoleKeyIds, RootChange, keys_of_role};
use banyan_server::repository::RepositoryError;

/// Creates the next root and signs it with the keys of these folders. Signs the list again, too.
fn change(world: &World, changes: &[RootChange], folders: &[PathBuf]) -> Result<SigningRequest, PublisherError> {
    let state = verified_state::verify_state(&world.keys, &current(&world.repository))?;
    let root = roots::create_next_root(&state.root, changes, NOW)?;
    let list = state.list.as_ref().map(|_| release_list::renew_list(&state, NOW)).transpose()?;
    let mut request = SigningRequest::for_changes(&state, Some(root), list)?;
    request.sign(folders)?;
    Ok(request)
}

impl World {
    fn register(&mut self, request: &SigningRequest) -> Result<(), RepositoryError> {
        self.repository.register_root(request.root.as_ref().unwrap(), request.targets.as_deref(), NOW)
    }
    /// Returns the id of the only key of a role in the folder.
    fn id(&self, role: Role) -> String {
        keys::load_keys(role, &self.keys).unwrap()[0].id().unwrap()
    }
    /// Returns the trust store of a machine that has not installed anything yet.
    fn machine(&self) -> TrustStore {
        TrustStore::enrol(self.repository.first_root().unwrap(), self.root).unwrap()
    }
    fn update_trust(&self, machine: &TrustStore, sequence: u64) -> TrustStore {
        let proof = self.repository.proof("hello", sequence).unwrap();
        machine.check(&proof, Digest::of(proof.manifest.as_bytes()), NOW).unwrap().1
    }
}

#[test]
fn replaced_keys_sign_and_the_old_ones_do_not_any_more() {
    let mut world = World::new();
    let path = world.archive("hello-1.zip", b"one");
    world.publish(&path).unwrap();
    let machine = world.update_trust(&world.machine(), 1);
    let stolen = world.folder.path().join("stolen");
    std::fs::create_dir(&stolen).unwrap();
    for name in ["root-1.key", "targets-1.key", "root.json"] {
        std::fs::copy(world.keys.join(name), stolen.join(name)).unwrap();
    }
    let mut changes = vec![];
    for role in [Role::Root, Role::Targets] {
        changes.push(RootChange::Remove(world.id(role)));
        let key = keys::create_key(&world.keys, role).unwrap();
        assert!(key.path.ends_with(format!("{}-2.key", role.name())));
        changes.push(RootChange::Add(role, key.public_key()));
    }
    let folders = [world.keys.clone()];
    // The old root key alone cannot add keys, nor can the new keys add themselves.
    let by_thief = change(&world, &changes, std::slice::from_ref(&stolen)).unwrap();
    assert_eq!(by_thief.missing_signatures().unwrap().len(), 2, "{:?}", by_thief.missing_signatures());
    assert!(world.register(&by_thief).is_err());
    let request = change(&world, &changes, &folders).unwrap();
    request.verify_as_machine().unwrap();
    world.register(&request).unwrap();
    let retired = request.record_accepted(&folders).unwrap();
    assert_eq!(retired, ["root-1.key", "targets-1.key"].map(|name| world.keys.join(name)));
    assert!(world.keys.join("old/root-1.key").exists() && !world.keys.join("root-1.key").exists());

    let path = world.archive("hello-2.zip", b"two");
    let manifest = world.publish(&path).unwrap();
    let machine = world.update_trust(&machine, 2);
    assert_eq!(machine.versions().root, 2);
    world.update_trust(&world.machine(), 2);
    // The thief's signatures are not enough here, and the machine refuses them.
    let next = Manifest { sequence: 3, ..manifest };
    let forged = signed(&stolen, &current(&world.repository), &next, NOW).unwrap();
    assert_eq!(forged.missing_signatures().unwrap()[0].signed.len(), 0);
    let error = world.repository.publish(forged.targets.as_ref().unwrap(), forged.manifest.as_ref().unwrap(), NOW);
    assert_eq!(error.unwrap_err().reason(), Reason::MetadataForged);
    // The numbers of retired keys are not used again.
    assert!(keys::create_key(&world.keys, Role::Root).unwrap().path.ends_with("root-3.key"));
}

#[test]
fn a_role_is_never_left_without_enough_keys() {
    let world = World::new();
    let id = world.id(Role::Targets);
    let error = |changes: &[RootChange]| change(&world, changes, &[]).unwrap_err();
    assert!(matches!(error(&[RootChange::Remove(id.clone())]), PublisherError::NoKeysLeft { role: "targets" }));
    assert!(matches!(error(&[RootChange::Threshold(Role::Root, 2)]), PublisherError::TooFewKeys { keys: 1, .. }));
    assert!(matches!(error(&[RootChange::Threshold(Role::Root, 0)]), PublisherError::TooFewKeys { .. }));
    assert!(matches!(error(&[RootChange::Remove("zz".into())]), PublisherError::NoUniqueKey { found: 0, .. }));
    assert!(matches!(error(&[RootChange::Remove(String::new())]), PublisherError::NoUniqueKey { found: 2, .. }));
    let same = keys::load_keys(Role::Targets, &world.keys).unwrap()[0].public_key();
    assert!(matches!(error(&[RootChange::Add(Role::Root, same)]), PublisherError::KeyInUse(found) if found == id));
}

#[test]
fn a_request_is_passed_round_until_enough_have_signed() {
    let mut world = World::new();
    let path = world.archive("hello-1.zip", b"one");
    world.publish(&path).unwrap();
    let bob = world.folder.path().join("bob");
    keys::generate_keys(&bob, 1, 1).unwrap();
    let public = keys::PublicKeys::read(&bob.join("public.json")).unwrap();
    assert_eq!(public, keys::PublicKeys::read(&bob).unwrap());
    let changes: Vec<RootChange> = [Role::Root, Role::Targets]
        .into_iter()
        .flat_map(|role| [RootChange::Add(role, public.for_role(role)[0].clone()), RootChange::Threshold(role, 2)])
        .collect();
    let request = change(&world, &changes, &[world.keys.clone()]).unwrap();
    // The current root needs one signature; the new root and the list under it need two.
    assert_eq!(request.missing_signatures().unwrap().iter().map(|one| one.signed.len()).collect::<Vec<_>>(), [1, 1]);
    assert!(world.register(&request).is_err());
    let file = world.folder.path().join(request.file_name());
    assert!(file.ends_with("root-2.tosign"));
    request.write(&file).unwrap();

    let mut passed = SigningRequest::read(&file).unwrap();
    assert!(matches!(passed.review(&bob), Err(PublisherError::NoRoot(_))), "bob has no root to verify it against");
    std::fs::copy(world.keys.join("root.json"), bob.join("root.json")).unwrap();
    let review = passed.review(&bob).unwrap();
    assert_eq!(review.current_root.unwrap().version.get(), 1);
    let bobs = keys::key_id(&public.targets[0]).unwrap();
    let both = RoleKeyIds { ids: vec![world.id(Role::Targets), bobs], threshold: 2 };
    assert_eq!(keys_of_role(&review.next_root.unwrap(), Role::Targets.role_type()), both);
    assert_eq!(passed.sign(std::slice::from_ref(&bob)).unwrap(), 2);
    assert_eq!(passed.sign(std::slice::from_ref(&bob)).unwrap(), 0, "a key signs only once");
    assert!(passed.missing_signatures().unwrap().is_empty());
    world.register(&passed).unwrap();
    passed.record_accepted(&[world.keys.clone(), bob.clone()]).unwrap();
    // From now on both must sign a release.
    let manifest = draft_release(
        &world.archive("hello-2.zip", b"two"),
        &ReleaseOverrides::default(),
        &ReleaseList::default(),
        &mut |_, _| {},
    );
    let manifest = Manifest { sequence: 2, ..manifest.unwrap().manifest };
    let mut release = signed(&world.keys, &current(&world.repository), &manifest, NOW).unwrap();
    assert_eq!(release.missing_signatures().unwrap().len(), 1);
    assert_eq!(release.review(&bob).unwrap().manifest, Some(manifest));
    release.sign(&[bob]).unwrap();
    world.repository.publish(release.targets.as_ref().unwrap(), release.manifest.as_ref().unwrap(), NOW).unwrap();
    world.update_trust(&world.machine(), 2);
}

#[test]
fn a_request_that_does_something_else_than_it_says_is_not_signed() {
    let mut world = World::new();
    let path = world.archive("hello-1.zip", b"one");
    world.publish(&path).unwrap();
    let manifest = world.publish(&world.archive("hello-2.zip", b"two")).unwrap();
    let next = Manifest { sequence: 3, ..manifest };
    let honest = signed(&world.keys, &current(&world.repository), &next, NOW).unwrap();
    honest.review(&world.keys).unwrap();
    let inconsistent = |request: &SigningRequest| match request.review(&world.keys) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{request:?}"),
    };
    // A manifest that is missing, and one that differs from the list.
    assert!(inconsistent(&SigningRequest { manifest: None, ..honest.clone() }).contains("hello/3.json"));
    let other = honest.manifest.as_ref().map(|text| text.replace("hello-2.zip", "evil-2.zip"));
    assert!(inconsistent(&SigningRequest { manifest: other, ..honest.clone() }).contains("manifest"));
    // An old list presented as the current one, to make the difference look smaller.
    let older = SigningRequest { list: None, ..honest.clone() };
    assert!(matches!(older.review(&world.keys), Err(PublisherError::ServerListOutdated { .. })));
    // Another release that was changed as well.
    let mut changed: serde_json::Value = serde_json::from_str(honest.targets.as_ref().unwrap()).unwrap();
    changed["signed"]["targets"]["hello/1.json"]["length"] = 1.into();
    let changed = Some(changed.to_string());
    assert!(inconsistent(&SigningRequest { targets: changed, ..honest.clone() }).contains("hello/"));
    // Another publisher's roots, and a root that skips a version.
    let stranger = World::new();
    assert!(matches!(honest.review(&stranger.keys), Err(PublisherError::ServerUntrusted(_))));
    let mut root = change(&world, &[], &[]).unwrap();
    root.root = root.root.map(|text| text.replace("\"version\":2", "\"version\":3"));
    assert!(inconsistent(&root).contains("does not follow"));
}

#[test]
fn a_server_that_hides_newer_roots_is_noticed() {
    let mut world = World::new();
    let before = current(&world.repository);
    let request = change(&world, &[], &[world.keys.clone()]).unwrap();
    world.register(&request).unwrap();
    request.record_accepted(std::slice::from_ref(&world.keys)).unwrap();
    assert!(verified_state::verify_state(&world.keys, &current(&world.repository)).is_ok());
    let hidden = verified_state::verify_state(&world.keys, &before).unwrap_err();
    assert!(matches!(hidden, PublisherError::ServerRootOutdated { shown: 1, accepted: 2 }), "{hidden}");
    // A folder that was not used for a long time follows the whole chain. Without the chain it cannot.
    for _ in 0..2 {
        let request = change(&world, &[], &[world.keys.clone()]).unwrap();
        world.register(&request).unwrap();
    }
    assert_eq!(verified_state::verify_state(&world.keys, &current(&world.repository)).unwrap().root.version.get(), 4);
    let no_chain = CurrentTargets { roots: vec![], ..current(&world.repository) };
    assert!(matches!(verified_state::verify_state(&world.keys, &no_chain), Err(PublisherError::ServerUntrusted(_))));
}

#[test]
fn a_withdrawn_release_is_off_the_list_and_its_sequence_is_used_up() {
    let mut world = World::new();
    for version in 1..=2 {
        let path = world.archive(&format!("hello-{version}.zip"), format!("{version}").as_bytes());
        world.publish(&path).unwrap();
    }
    let state = verified_state::verify_state(&world.keys, &current(&world.repository)).unwrap();
    assert!(matches!(
        release_list::withdraw_releases(&state, &["hello/7.json".into()], NOW),
        Err(PublisherError::ReleaseNotListed(_))
    ));
    let list = release_list::withdraw_releases(&state, &["hello/2.json".into()], NOW).unwrap();
    let mut request = SigningRequest::for_changes(&state, None, Some(list)).unwrap();
    request.sign(std::slice::from_ref(&world.keys)).unwrap();
    let next_list = request.review(&world.keys).unwrap().next_list.unwrap();
    assert_eq!((next_list.targets.len(), next_list.withdrawn.get("hello/2.json")), (1, Some(&3)));
    let withdrawn = world.repository.replace_list(request.targets.as_ref().unwrap(), NOW).unwrap();
    assert_eq!(withdrawn, ["hello/2.json"]);
    request.record_accepted(std::slice::from_ref(&world.keys)).unwrap();
    let path = world.archive("hello-3.zip", b"3");
    assert_eq!(world.publish(&path).unwrap().sequence, 3, "the sequence of a withdrawn release was used again");
    // Later lists keep the record of the withdrawal.
    let state = verified_state::verify_state(&world.keys, &current(&world.repository)).unwrap();
    assert!(state.published.withdrawn.contains_key("hello/2.json"));
}
