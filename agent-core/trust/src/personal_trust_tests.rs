//! Tests of a person's own trust: what it accepts, and what it always refuses.

use crate::{
    PersonalTrust, TrustError, TrustStore,
    fixture::{Signers, manifest},
    package::Head,
};
use banyan_proto::{Digest, Reason, UnixSeconds};

const NOW: UnixSeconds = UnixSeconds(1_795_000_000);
const DAY: u64 = 86_400;

fn head(signers: &mut Signers, package: &str, sequence: u64, floor: u64) -> Head {
    let release = signers.publish(&manifest(package, sequence, floor));
    Head { roots: signers.roots.clone(), targets: release.metadata.targets, manifest: release.manifest }
}
/// Returns a person's trust after installing `tool` 5 from publishers that the person trusts.
fn world() -> (Signers, PersonalTrust) {
    let mut signers = Signers::new(NOW);
    let first = head(&mut signers, "tool", 5, 3);
    let (_, trust) = PersonalTrust::default().check(&first, Some(signers.root_digest()), NOW).unwrap();
    (signers, trust)
}
fn reason(trust: &PersonalTrust, head: &Head, consent: Option<Digest>) -> Reason {
    trust.check(head, consent, NOW).unwrap_err().reason()
}

#[test]
fn no_publisher_is_trusted_without_the_users_consent() {
    let (mut signers, mut others) = (Signers::new(NOW), Signers::new(NOW));
    let (first, root) = (head(&mut signers, "tool", 1, 0), signers.root_digest());
    let trust = PersonalTrust::default();
    assert_eq!(reason(&trust, &first, None), Reason::NotConsented);
    assert_eq!(reason(&trust, &first, Some(others.root_digest())), Reason::NotConsented, "another consent");
    assert_eq!(trust.signer(&first).unwrap().trusted_as, None);
    let (_, trust) = trust.check(&first, Some(root), NOW).unwrap();
    assert_eq!(trust.signer(&first).unwrap().trusted_as.as_deref(), Some(""));
    assert_eq!(trust.trusted().map(|(root, _)| root).collect::<Vec<_>>(), [root]);
    // From then on no consent is needed, but only for these publishers.
    let (_, trust) = trust.check(&head(&mut signers, "tool", 2, 0), None, NOW).unwrap();
    assert_eq!(reason(&trust, &head(&mut others, "other", 1, 0), None), Reason::NotConsented);
    assert!(matches!(trust.check(&Head { roots: vec![], ..first }, Some(root), NOW), Err(TrustError::NoRoot)));
}

#[test]
fn consent_does_not_replace_a_valid_signature() {
    let (mut signers, trust) = world();
    let good = head(&mut signers, "tool", 6, 3);
    let mut strangers = Signers::new(NOW);
    let theirs = head(&mut strangers, "tool", 6, 3);
    // The strangers' list and manifest, under the root that is trusted here.
    let stolen = Head { roots: signers.roots.clone(), ..theirs };
    let altered = Head { manifest: good.manifest.replace("1.6", "6.6"), ..good.clone() };
    for (trust, consent) in [(&trust, None), (&PersonalTrust::default(), Some(signers.root_digest()))] {
        assert_eq!(reason(trust, &stolen, consent), Reason::MetadataForged);
        assert_eq!(reason(trust, &altered, consent), Reason::NotPublished);
        let late = trust.check(&good, consent, NOW.plus(366 * DAY)).unwrap_err();
        assert_eq!(late.reason(), Reason::MetadataExpired);
    }
}

#[test]
fn a_package_name_belongs_to_its_first_publisher() {
    let (signers, trust) = world();
    let mut others = Signers::new(NOW);
    let theirs = others.root_digest();
    let same_name = head(&mut others, "tool", 50, 0);
    let (_, trust) = trust.check(&head(&mut others, "other", 1, 0), Some(theirs), NOW).unwrap();
    for consent in [None, Some(theirs)] {
        assert_eq!(reason(&trust, &same_name, consent), Reason::OtherSigner);
    }
    // The name is free if the first install failed, or if its publishers are no longer trusted.
    let mut free = trust.clone();
    free.disown("tool");
    assert!(!free.is_owned("tool") && free.is_owned("other"));
    assert!(free.check(&same_name, None, NOW).is_ok());
    let mut forgotten = trust.clone();
    assert!(forgotten.forget(signers.root_digest()));
    assert!(forgotten.check(&same_name, None, NOW).is_ok());
}

#[test]
fn an_older_file_is_checked_against_the_newest_list_seen() {
    let (mut signers, trust) = world();
    let (old, still) = (head(&mut signers, "tool", 6, 3), head(&mut signers, "still-good", 1, 0));
    let gone = head(&mut signers, "gone", 1, 0);
    signers.targets.remove("gone/1.json");
    signers.withdrawn.insert("gone/1.json".into(), 5);
    let (_, trust) = trust.check(&head(&mut signers, "tool", 9, 7), None, NOW).unwrap();
    assert!(trust.check(&still, None, NOW).is_ok(), "the file is only old");
    assert_eq!(reason(&trust, &gone, None), Reason::Withdrawn);
    assert_eq!(reason(&trust, &old, None), Reason::BelowFloor);
    // Forgetting the publishers and trusting them again does not change that.
    let mut again = trust.clone();
    again.forget(signers.root_digest());
    assert_eq!(reason(&again, &still, None), Reason::NotConsented);
    assert_eq!(reason(&again, &old, Some(signers.root_digest())), Reason::BelowFloor);
}

#[test]
fn signatures_of_replaced_keys_are_refused() {
    let (mut signers, trust) = world();
    let with_old_keys = head(&mut signers, "tool", 6, 3);
    signers.next_root(|signers| drop(signers.keys.insert("targets", vec![crate::fixture::TestKey::generate()])));
    let (_, trust) = trust.check(&head(&mut signers, "tool", 7, 3), None, NOW).unwrap();
    assert_eq!(reason(&trust, &with_old_keys, None), Reason::MetadataForged);
    assert_eq!(trust.signer(&with_old_keys).unwrap().store.versions().root, 2);
}

#[test]
fn joining_a_server_keeps_root_and_minimum_sequences_but_not_a_files_list() {
    let (mut signers, trust) = world();
    let first = signers.roots[0].clone();
    // The server's list is older than the file's; the machine must accept it anyway.
    let servers = TrustStore::enrol(&first, signers.root_digest()).unwrap();
    let metadata = signers.metadata();
    let (_, trust) = trust.check(&head(&mut signers, "other", 1, 0), None, NOW).unwrap();
    let store = trust.for_server(&first).unwrap();
    assert_eq!((store.floor("tool"), servers.floor("tool")), (3, 0));
    assert!(store.refresh(&metadata, NOW).is_ok());
    assert_eq!(trust.for_server(&Signers::new(NOW).roots[0]), None);
    signers.next_root(|_| {});
    let next = signers.roots[1].clone();
    assert_eq!(trust.for_server(&next).unwrap().floor("tool"), 3, "the successor of the known root");
    let (_, trust) = trust.check(&head(&mut signers, "other", 2, 0), None, NOW).unwrap();
    for root in [&first, &next] {
        let store = trust.for_server(root).unwrap();
        assert_eq!((store.floor("tool"), store.versions().root), (3, 2), "the newest root is kept");
    }
}
