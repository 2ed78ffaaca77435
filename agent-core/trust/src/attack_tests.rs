//! One test for each attack on what publishers signed. Each test fails if the check it covers is removed.

use crate::{
    SignedRelease, TrustError, TrustStore, fingerprint,
    fixture::{Signers, TestKey, manifest, sign_with},
};
use banyan_proto::{Digest, Reason, UnixSeconds, limits, peer::ReleaseProof};
use serde_json::json;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: u64 = 24 * 3600;

fn world() -> (Signers, TrustStore) {
    let signers = Signers::new(NOW);
    let store = TrustStore::enrol(&signers.roots[0], signers.root_digest()).unwrap();
    (signers, store)
}
fn check(store: &TrustStore, proof: &ReleaseProof, now: UnixSeconds) -> Result<TrustStore, TrustError> {
    store.check(proof, Digest::of(proof.manifest.as_bytes()), now).map(|(_, store)| store)
}
#[track_caller]
fn refused(verdict: Result<TrustStore, TrustError>, reason: Reason) -> TrustError {
    let error = verdict.expect_err("the forgery was accepted");
    assert_eq!(error.reason(), reason, "{error}");
    error
}

#[test]
fn an_honest_release_is_trusted_and_a_newer_one_after_it() {
    let (mut signers, store) = world();
    let proof = signers.publish(&manifest("hello", 1, 0));
    let (release, store) = store.check(&proof, Digest::of(proof.manifest.as_bytes()), NOW).unwrap();
    assert_eq!(release.manifest(), &manifest("hello", 1, 0));
    assert_eq!((release.expires(), release.from_cache()), (NOW.plus(DAY), false));
    assert!(
        release.versions().at_least(1, 1) && !release.versions().at_least(2, 1) && !release.versions().at_least(1, 2)
    );
    let store: TrustStore = serde_json::from_str(&serde_json::to_string(&store).unwrap()).unwrap();
    let proof = signers.publish(&manifest("hello", 2, 0));
    let store = check(&store, &proof, NOW).unwrap();
    assert_eq!((store.versions().timestamp, store.versions().targets), (2, 2));
    assert_eq!(check(&store, &proof, NOW).unwrap(), store, "a repeated check changes nothing");
}

#[test]
fn a_first_root_that_the_join_code_does_not_name() {
    let (honest, thief) = (Signers::new(NOW), Signers::new(NOW));
    let error = TrustStore::enrol(&thief.roots[0], honest.root_digest()).unwrap_err();
    assert!(matches!(error, TrustError::WrongFirstRoot { .. }));
}

#[test]
fn a_root_that_lets_the_servers_key_sign_targets() {
    let signers = Signers::new(NOW);
    for (online, offline) in [("snapshot", "targets"), ("timestamp", "root"), ("targets", "root")] {
        let key = TestKey::generate();
        let mut body = signers.root_body();
        body["keys"][key.id()] = body["keys"][signers.keys[online][0].id()].clone();
        body["roles"][offline]["keyids"].as_array_mut().unwrap().push(json!(key.id()));
        let root = signers.sign("root", &body);
        let same_key_twice = TrustStore::enrol(&root, Digest::of(root.as_bytes())).unwrap_err();
        assert!(
            matches!(&same_key_twice, TrustError::UnsoundRoot { why, .. } if why.contains("the same key")),
            "{same_key_twice}"
        );

        let mut body = signers.root_body();
        let id = json!(signers.keys[online][0].id());
        body["roles"][offline]["keyids"].as_array_mut().unwrap().push(id);
        let root = signers.sign("root", &body);
        let error = TrustStore::enrol(&root, Digest::of(root.as_bytes())).unwrap_err();
        assert!(matches!(&error, TrustError::UnsoundRoot { why, .. } if why.contains("signs both")), "{error}");
    }
}

#[test]
fn a_root_whose_threshold_cannot_be_reached() {
    let signers = Signers::new(NOW);
    let mut body = signers.root_body();
    body["roles"]["targets"]["threshold"] = json!(2);
    let root = signers.sign("root", &body);
    let error = TrustStore::enrol(&root, Digest::of(root.as_bytes())).unwrap_err();
    assert!(matches!(&error, TrustError::UnsoundRoot { why, .. } if why.contains("requires 2")), "{error}");
}

#[test]
fn expired_metadata() {
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let (mut signers, _) = world();
        signers.expires.insert(role, NOW);
        signers.roots = vec![signers.sign("root", &signers.root_body())];
        let store = TrustStore::enrol(&signers.roots[0], signers.root_digest()).unwrap();
        let proof = signers.publish(&manifest("hello", 1, 0));
        assert!(check(&store, &proof, NOW).is_ok());
        let error = refused(check(&store, &proof, NOW.plus(1)), Reason::MetadataExpired);
        assert!(error.to_string().contains(role), "{error} should name {role}");
    }
}

#[test]
fn freeze_attack_by_setting_the_clock_back() {
    let (mut signers, store) = world();
    let proof = signers.publish(&manifest("hello", 1, 0));
    let mut store = check(&store, &proof, NOW).unwrap();
    // The machine learned of a signed time two days later. Then its clock was set back.
    store.record_signed_time(NOW.plus(2 * DAY), NOW.plus(2 * DAY));
    store.record_signed_time(NOW, NOW);
    refused(check(&store, &proof, NOW), Reason::MetadataExpired);
    assert_eq!(store.time(UnixSeconds(0)), NOW.plus(2 * DAY));
    // The server states the true time: the clock here is wrong, not the recorded time.
    assert!(!store.correct_signed_time(NOW.plus(2 * DAY), NOW));
}

#[test]
fn a_wrong_clock_of_the_server_is_not_learnt() {
    let (_, mut store) = world();
    store.record_signed_time(NOW, NOW);
    store.record_signed_time(NOW.plus(20 * DAY), NOW);
    assert_eq!(store.time(NOW), NOW);
    store.record_signed_time(NOW.plus(1800), NOW);
    assert_eq!(store.time(NOW), NOW.plus(1800), "clocks differ a little");
}

#[test]
fn a_time_learnt_while_server_and_machine_were_both_ahead_is_given_up_once_both_are_right() {
    let (_, mut store) = world();
    let ahead = NOW.plus(20 * DAY);
    store.record_signed_time(ahead, ahead);
    assert!(!store.correct_signed_time(NOW, ahead) && !store.correct_signed_time(ahead, NOW), "only one is right yet");
    assert!(store.correct_signed_time(NOW, NOW.plus(60)));
    assert_eq!(store.time(NOW), NOW);
}

#[test]
fn rolled_back_metadata() {
    let (mut signers, store) = world();
    let first = signers.publish(&manifest("hello", 1, 0));
    let store = check(&store, &signers.publish(&manifest("hello", 2, 0)), NOW).unwrap();
    refused(check(&store, &first, NOW), Reason::MetadataRolledBack);
    // A server with the genuine keys signs each role again with a lower version.
    for (timestamp, snapshot, targets) in [(1, 2, 2), (9, 1, 2), (9, 9, 1)] {
        (signers.versions.timestamp, signers.versions.snapshot, signers.versions.targets) =
            (timestamp, snapshot, targets);
        let proof = ReleaseProof { metadata: signers.metadata(), manifest: first.manifest.clone() };
        refused(check(&store, &proof, NOW), Reason::MetadataRolledBack);
    }
}

#[test]
fn a_file_that_names_an_older_one_is_refused_before_that_one_is_read() {
    let (mut signers, store) = world();
    let first = signers.publish(&manifest("hello", 1, 0));
    let store = check(&store, &signers.publish(&manifest("hello", 2, 0)), NOW).unwrap();
    for (timestamp, snapshot, targets) in [(9, 1, 2), (9, 9, 1)] {
        (signers.versions.timestamp, signers.versions.snapshot, signers.versions.targets) =
            (timestamp, snapshot, targets);
        let mut metadata = signers.metadata();
        if snapshot == 1 {
            metadata.snapshot.clear();
        }
        metadata.targets.clear();
        let proof = ReleaseProof { metadata, manifest: first.manifest.clone() };
        refused(check(&store, &proof, NOW), Reason::MetadataRolledBack);
    }
}

#[test]
fn rolled_back_release_with_a_valid_signature() {
    let (mut signers, store) = world();
    let old = manifest("hello", 1, 0);
    let old_proof = signers.publish(&old);
    let store = check(&store, &old_proof, NOW).unwrap();
    let store = check(&store, &signers.publish(&manifest("hello", 3, 2)), NOW).unwrap();
    assert_eq!((store.floor("hello"), store.floor("other")), (2, 0));
    // New, genuine metadata still lists the old release.
    let proof = ReleaseProof { metadata: signers.metadata(), manifest: old_proof.manifest };
    let error = refused(check(&store, &proof, NOW), Reason::BelowFloor);
    assert!(error.to_string().contains("2 or higher is required"), "{error}");
    // A newer release with a lower min_sequence does not lower the floor.
    let store = check(&store, &signers.publish(&manifest("hello", 4, 0)), NOW).unwrap();
    assert_eq!(store.floor("hello"), 2);
    refused(check(&store, &ReleaseProof { metadata: signers.metadata(), ..proof }, NOW), Reason::BelowFloor);
}

#[test]
fn rollback_after_the_cache_was_damaged() {
    let (mut signers, store) = world();
    let older = signers.publish(&manifest("hello", 1, 0));
    let newer = signers.publish(&manifest("hello", 2, 2));
    let store = check(&store, &newer, NOW).unwrap();
    let mut damaged = newer.metadata.clone();
    damaged.timestamp.truncate(40);
    let wanted = Digest::of(older.manifest.as_bytes());
    for cached in [None, Some(&damaged), Some(&older.metadata)] {
        let error = store.check_or_cached(&older, cached, wanted, NOW).unwrap_err();
        assert_eq!(error.reason(), Reason::MetadataRolledBack);
    }
    // With an intact cache the verdict is about the release.
    let error = store.check_or_cached(&older, Some(&newer.metadata), wanted, NOW).unwrap_err();
    assert_eq!(error.reason(), Reason::BelowFloor);
    // A damaged store is not treated as an empty one.
    let text = serde_json::to_string(&store).unwrap();
    assert!(serde_json::from_str::<TrustStore>(&text[..text.len() / 2]).is_err());
    let torn: TrustStore = serde_json::from_str(&text.replace("\\\"_type\\\"", "\\\"_typ\\\"")).unwrap();
    refused(check(&torn, &newer, NOW), Reason::InternalError);
}

#[test]
fn an_honest_sender_with_older_metadata_is_accepted_from_the_cache() {
    let (mut signers, store) = world();
    let behind = signers.publish(&manifest("hello", 1, 0));
    let ahead = signers.publish(&manifest("other", 1, 0));
    let store = check(&store, &ahead, NOW).unwrap();
    let wanted = Digest::of(behind.manifest.as_bytes());
    let (release, after) = store.check_or_cached(&behind, Some(&ahead.metadata), wanted, NOW).unwrap();
    assert!(release.from_cache() && release.versions() == store.versions() && after == store);
    assert_eq!(release.manifest().package, "hello");
}

#[test]
fn forged_signature() {
    let (mut signers, store) = world();
    let proof = signers.publish(&manifest("hello", 1, 0));
    let altered = |text: &String| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["signed"]["x-note"] = json!("slipped in");
        value.to_string()
    };
    let mut by_role = [proof.clone(), proof.clone(), proof.clone()];
    by_role[0].metadata.timestamp = altered(&proof.metadata.timestamp);
    by_role[1].metadata.snapshot = altered(&proof.metadata.snapshot);
    by_role[2].metadata.targets = altered(&proof.metadata.targets);
    for forged in by_role {
        refused(check(&store, &forged, NOW), Reason::MetadataForged);
    }
    let stranger = Signers::new(NOW).publish(&manifest("hello", 1, 0));
    let stranger = ReleaseProof {
        metadata: banyan_proto::peer::Metadata { roots: signers.roots.clone(), ..stranger.metadata },
        ..stranger
    };
    refused(check(&store, &stranger, NOW), Reason::MetadataForged);
}

#[test]
fn a_server_with_all_its_keys_but_no_publisher_key() {
    let (mut signers, store) = world();
    let store = check(&store, &signers.publish(&manifest("hello", 1, 0)), NOW).unwrap();
    let evil = json!(manifest("hello", 2, 0)).to_string();
    signers.targets.insert("hello/2.json".into(), evil.clone());
    (signers.versions.targets, signers.versions.snapshot, signers.versions.timestamp) = (2, 2, 2);
    for role in ["snapshot", "timestamp"] {
        // Genuine snapshot and timestamp over targets that only an online key signed.
        let targets = sign_with(&signers.targets_body(), &[&signers.keys[role][0]]);
        let proof = ReleaseProof { metadata: signers.metadata_with(targets), manifest: evil.clone() };
        let error = refused(check(&store, &proof, NOW), Reason::MetadataForged);
        assert!(matches!(error, TrustError::Forged { role: "targets", .. }), "{error}");
        assert!(store.published(&proof.metadata.targets).is_err());
    }
}

#[test]
fn one_signature_where_two_publishers_must_agree() {
    let mut signers = Signers::new(NOW);
    signers.threshold = 2;
    signers.keys.get_mut("targets").unwrap().push(TestKey::generate());
    signers.roots = vec![signers.sign("root", &signers.root_body())];
    let store = TrustStore::enrol(&signers.roots[0], signers.root_digest()).unwrap();
    let proof = signers.publish(&manifest("hello", 1, 0));
    assert!(check(&store, &proof, NOW).is_ok());
    let alone = sign_with(&signers.targets_body(), &[&signers.keys["targets"][0]]);
    let proof = ReleaseProof { metadata: signers.metadata_with(alone), ..proof };
    refused(check(&store, &proof, NOW), Reason::MetadataForged);
}

#[test]
fn manifest_swapped() {
    let (mut signers, store) = world();
    let proof = signers.publish(&manifest("hello", 1, 0));
    let other = signers.publish(&manifest("hello", 2, 0));
    let wanted = Digest::of(proof.manifest.as_bytes());
    // A published manifest, but not the one in the order.
    let error = store.check(&other, wanted, NOW).unwrap_err();
    assert!(matches!(error, TrustError::ManifestSwapped { .. }) && error.reason() == Reason::MetadataForged);
    // Manifests that the order names but that were never published: a new one, and one with the name of a published
    // one.
    for (package, sequence) in [("hello", 9), ("hello", 1)] {
        let mut unsigned = manifest(package, sequence, 0);
        unsigned.notes = "these notes are not signed".into();
        let proof = ReleaseProof { manifest: json!(unsigned).to_string(), ..other.clone() };
        refused(check(&store, &proof, NOW), Reason::NotPublished);
    }
    // A manifest of the same length, and one whose length is wrong in the signed list.
    let same_length = other.manifest.replace("\"1.2\"", "\"6.6\"");
    assert_eq!(same_length.len(), other.manifest.len());
    refused(check(&store, &ReleaseProof { manifest: same_length, ..other.clone() }, NOW), Reason::NotPublished);
    let mut body = signers.targets_body();
    body["targets"]["hello/2.json"]["length"] = json!(1);
    let metadata = signers.metadata_with(signers.sign("targets", &body));
    refused(check(&store, &ReleaseProof { metadata, ..other }, NOW), Reason::NotPublished);
}

#[test]
fn withdrawn_release() {
    let (mut signers, store) = world();
    let withdrawn = signers.publish(&manifest("hello", 1, 0));
    signers.targets.clear();
    let after = signers.publish(&manifest("hello", 2, 0));
    let wanted = Digest::of(withdrawn.manifest.as_bytes());
    let proof = ReleaseProof { metadata: after.metadata.clone(), manifest: withdrawn.manifest.clone() };
    refused(check(&store, &proof, NOW), Reason::NotPublished);
    let store = check(&store, &after, NOW).unwrap();
    let error = store.check_or_cached(&withdrawn, Some(&after.metadata), wanted, NOW).unwrap_err();
    assert_eq!(error.reason(), Reason::NotPublished);
    // If the list names the release as withdrawn, that is the reason, even for a list that still contains it.
    signers.withdrawn.insert("hello/1.json".into(), 3);
    let told = signers.publish(&manifest("hello", 3, 0));
    let proof = ReleaseProof { metadata: told.metadata, manifest: withdrawn.manifest.clone() };
    refused(check(&store, &proof, NOW), Reason::Withdrawn);
    let listed_again = signers.publish(&manifest("hello", 1, 0));
    refused(check(&store, &listed_again, NOW), Reason::Withdrawn);
}

#[test]
fn package_file_by_others_expired_older_withdrawn_or_below_the_floor() {
    let (mut signers, store) = world();
    let old = signers.publish(&manifest("hello", 1, 0));
    let proof = signers.publish(&manifest("hello", 3, 2));
    let signed = |store: &TrustStore, proof: &ReleaseProof, now| {
        store.check_signed(&proof.metadata.roots, &proof.metadata.targets, &proof.manifest, now)
    };
    let reason = |result: Result<(SignedRelease, TrustStore), TrustError>| result.unwrap_err().reason();
    // Timestamp and snapshot expired days ago, but the publishers' signatures are still valid.
    let (release, learned) = signed(&store, &proof, NOW.plus(30 * DAY)).unwrap();
    assert_eq!((release.manifest().sequence, release.versions().targets), (3, 2));
    assert_eq!((learned.floor("hello"), learned.versions().targets), (2, 2));
    assert_eq!(reason(signed(&store, &proof, NOW.plus(366 * DAY))), Reason::MetadataExpired);
    assert_eq!(reason(signed(&learned, &old, NOW)), Reason::MetadataRolledBack);
    let below = ReleaseProof { manifest: old.manifest.clone(), ..proof.clone() };
    assert_eq!(reason(signed(&learned, &below, NOW)), Reason::BelowFloor);
    let thief = Signers::new(NOW).publish(&manifest("hello", 3, 2));
    assert_eq!(reason(signed(&store, &thief, NOW)), Reason::MetadataForged);
    let other = ReleaseProof { manifest: proof.manifest.replace("1.3", "6.6"), ..proof.clone() };
    assert_eq!(reason(signed(&store, &other, NOW)), Reason::NotPublished);
    signers.withdrawn.insert("hello/3.json".into(), 3);
    let proof = signers.publish(&manifest("hello", 3, 2));
    assert_eq!(reason(signed(&store, &proof, NOW)), Reason::Withdrawn);
    // The root has expired.
    signers.expires.insert("root", NOW);
    signers.next_root(|_| ());
    let proof = signers.publish(&manifest("hello", 4, 2));
    assert_eq!(reason(signed(&store, &proof, NOW.plus(1))), Reason::MetadataExpired);
}

#[test]
fn too_large() {
    let (mut signers, store) = world();
    let proof = signers.publish(&manifest("hello", 1, 0));
    let mut each = [proof.clone(), proof.clone(), proof.clone(), proof.clone(), proof.clone()];
    let blank = " ".repeat(limits::METADATA_BYTES);
    each[0].metadata.timestamp.push_str(&blank);
    each[1].metadata.snapshot.push_str(&blank);
    each[2].metadata.targets.push_str(&blank);
    each[3].metadata.roots[0].push_str(&blank);
    each[4].manifest.push_str(&" ".repeat(limits::MANIFEST_BYTES));
    for large in each {
        let error = refused(check(&store, &large, NOW), Reason::ProtocolBroken);
        assert!(matches!(error, TrustError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn endless_root_chain() {
    let (mut signers, store) = world();
    for _ in 0..limits::ROOTS {
        signers.next_root(|_| ());
    }
    let proof = signers.publish(&manifest("hello", 1, 0));
    refused(check(&store, &proof, NOW), Reason::ProtocolBroken);
    // Two steps are enough, if the chain is genuine.
    let store = store.update_roots(&signers.roots[..limits::ROOTS]).unwrap();
    let rest = signers.roots.split_off(2);
    let metadata = banyan_proto::peer::Metadata { roots: rest[..].to_vec(), ..proof.metadata };
    let store = check(&store, &ReleaseProof { metadata, ..proof }, NOW).unwrap();
    assert_eq!(store.versions().root, limits::ROOTS as u64 + 1);
    assert_eq!(store.root(), rest.last().unwrap());
}

#[test]
fn root_chain_with_a_gap_or_a_stolen_key() {
    let (mut signers, store) = world();
    signers.next_root(|_| ());
    signers.next_root(|_| ());
    let proof = signers.publish(&manifest("hello", 1, 0));
    let mut gap = proof.clone();
    gap.metadata.roots.remove(1);
    refused(check(&store, &gap, NOW), Reason::ProtocolBroken);

    let mut thief = Signers::new(NOW);
    thief.next_root(|_| ());
    let stolen = thief.publish(&manifest("hello", 1, 0));
    refused(check(&store, &stolen, NOW), Reason::MetadataForged);

    // A root that mixes roles is refused even when the publishers signed it.
    let (mut signers, store) = world();
    signers.next_root(|signers| {
        let online = signers.keys["snapshot"][0].clone();
        signers.keys.insert("targets", vec![online]);
    });
    let proof = signers.publish(&manifest("hello", 1, 0));
    refused(check(&store, &proof, NOW), Reason::MetadataForged);
}

#[test]
fn a_fast_forward_attack_is_undone_by_new_online_keys_only() {
    let (mut signers, store) = world();
    let first = signers.publish(&manifest("hello", 3, 2));
    (signers.versions.timestamp, signers.versions.snapshot) = (u64::MAX, u64::MAX);
    let store = check(&store, &ReleaseProof { metadata: signers.metadata(), ..first.clone() }, NOW).unwrap();
    // A new root with the same online keys changes nothing: the old state is still refused.
    (signers.versions.timestamp, signers.versions.snapshot) = (5, 5);
    signers.next_root(|_| ());
    let proof = ReleaseProof { metadata: signers.metadata(), ..first.clone() };
    refused(check(&store, &proof, NOW), Reason::MetadataRolledBack);
    signers.next_root(|signers| {
        for role in ["snapshot", "timestamp"] {
            signers.keys.insert(role, vec![TestKey::generate()]);
        }
    });
    let proof = ReleaseProof { metadata: signers.metadata(), ..first };
    let store = check(&store, &proof, NOW).unwrap();
    assert_eq!((store.versions().timestamp, store.floor("hello")), (5, 2), "package floors remain");
    // The targets floor remains too, because its keys are the same.
    signers.versions.targets = 0;
    let proof = ReleaseProof { metadata: signers.metadata(), ..proof };
    refused(check(&store, &proof, NOW), Reason::MetadataRolledBack);
}

#[test]
fn a_fingerprint_covers_every_part() {
    let (mut signers, _) = world();
    let proof = signers.publish(&manifest("hello", 1, 0));
    let mut others = vec![proof.clone(), proof.clone(), proof.clone(), proof.clone(), proof.clone(), proof.clone()];
    others[0].manifest.push(' ');
    others[1].metadata.timestamp.push(' ');
    others[2].metadata.snapshot.push(' ');
    others[3].metadata.targets.push(' ');
    others[4].metadata.roots.clear();
    // The same parts in different places.
    others[5].metadata.timestamp.clone_from(&proof.metadata.snapshot);
    others[5].metadata.snapshot.clone_from(&proof.metadata.timestamp);
    assert_eq!(fingerprint(&proof), fingerprint(&proof.clone()));
    for other in others {
        assert_ne!(fingerprint(&other), fingerprint(&proof));
    }
}
