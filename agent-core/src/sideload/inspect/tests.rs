//! Tests that every file that must be refused is refused with a reason, and that everything shown is signed by the
//! keys shown with it.

use super::*;
use banyan_trust::fixture::{Signers, manifest};

const NOW: UnixSeconds = UnixSeconds(1_795_000_000);

/// A publisher with one release of `tool`, a machine that trusts it, and the release's package file.
fn world() -> (Signers, TrustStore, Head) {
    let mut signers = Signers::new(NOW);
    let release = signers.publish(&manifest("tool", 5, 3));
    let trust = TrustStore::enrol(&signers.roots[0], signers.root_digest()).unwrap();
    let head = Head { roots: signers.roots.clone(), targets: release.metadata.targets, manifest: release.manifest };
    (signers, trust, head)
}
fn inspected(trust: &TrustStore, head: &Head, cached: Option<&Metadata>) -> Result<Package, ApiError> {
    inspect(trust, head, cached, "linux-x86_64", NOW).map(|inspection| inspection.package)
}
fn refused(package: &Package) -> Option<Reason> {
    package.refused.as_ref().map(|refused| refused.reason)
}

#[test]
fn a_good_package_is_shown_with_who_signed_it() {
    let (signers, trust, head) = world();
    let package = inspected(&trust, &head, None).unwrap();
    assert_eq!((package.package.as_str(), package.sequence, refused(&package)), ("tool", 5, None));
    assert!(package.signer.trusted);
    assert_eq!(package.signer.keys, [signers.keys["targets"][0].id()]);
    assert!(package.file.unwrap().does().iter().any(|line| line.contains("Unpacks")));
}

#[test]
fn a_package_of_an_unknown_publisher_is_shown_as_theirs_and_refused() {
    let (_, trust, _) = world();
    let (strangers, _, theirs) = world();
    let package = inspected(&trust, &theirs, None).unwrap();
    assert_eq!((package.signer.trusted, refused(&package)), (false, Some(Reason::MetadataForged)));
    assert_eq!(
        (package.signer.root, package.signer.keys),
        (strangers.root_digest(), vec![strangers.keys["targets"][0].id()])
    );
    // With genuine roots around it, the stranger's list is signed by no known publisher.
    let (_, _, ours) = world();
    let mixed = Head { roots: ours.roots, ..theirs };
    assert_eq!(inspected(&trust, &mixed, None).unwrap_err().reason, Reason::MetadataForged);
}

#[test]
fn nothing_unsigned_is_shown() {
    let (_, trust, head) = world();
    let altered = Head { manifest: head.manifest.replace("tool", "evil"), ..head.clone() };
    assert_eq!(inspected(&trust, &altered, None).unwrap_err().reason, Reason::NotPublished);
    let altered = Head { targets: head.targets.replace("tool/5", "tool/6"), ..head.clone() };
    assert_eq!(inspected(&trust, &altered, None).unwrap_err().reason, Reason::MetadataForged);
    assert_eq!(inspected(&trust, &Head { roots: vec![], ..head }, None).unwrap_err().reason, Reason::NotAPackage);
}

#[test]
fn newer_metadata_on_the_machine_takes_precedence_over_the_file() {
    let (mut signers, trust, head) = world();
    // A later list still contains the release: the file is merely old.
    let metadata = signers.publish(&manifest("other", 1, 1)).metadata;
    let (_, later) = trust.refresh(&metadata, NOW).unwrap();
    let package = inspected(&later, &head, Some(&metadata)).unwrap();
    assert_eq!(refused(&package), None);
    assert_eq!(
        refused(&inspected(&later, &head, None).unwrap()),
        Some(Reason::MetadataRolledBack),
        "nothing proves that the release is still listed"
    );
    // Withdrawn since, whether or not this machine has seen the list that says so as the newest.
    signers.targets.clear();
    signers.withdrawn.insert("tool/5.json".into(), 3);
    let metadata = signers.publish(&manifest("other", 2, 1)).metadata;
    let (_, later) = trust.refresh(&metadata, NOW).unwrap();
    for store in [&trust, &later] {
        assert_eq!(refused(&inspected(store, &head, Some(&metadata)).unwrap()), Some(Reason::Withdrawn));
    }
}

#[test]
fn a_package_below_the_floor_or_for_another_platform_is_refused() {
    let (mut signers, trust, head) = world();
    let newer = signers.publish(&manifest("tool", 9, 7));
    let digest = Digest::of(newer.manifest.as_bytes());
    let (_, floor) = trust.check(&newer, digest, NOW).unwrap();
    let package = inspected(&floor, &head, Some(&newer.metadata)).unwrap();
    assert_eq!((package.signer.trusted, refused(&package)), (true, Some(Reason::BelowFloor)));
    let mut elsewhere = manifest("elsewhere", 1, 1);
    elsewhere.artifacts[0].platform = "windows-x86_64".into();
    let release = signers.publish(&elsewhere);
    let head = Head { targets: release.metadata.targets, manifest: release.manifest, ..head };
    let package = inspected(&trust, &head, None).unwrap();
    assert_eq!((package.file.is_none(), refused(&package)), (true, Some(Reason::WrongPlatform)));
}

#[test]
fn inspecting_learns_nothing() {
    let (mut signers, trust, _) = world();
    let newer = signers.publish(&manifest("tool", 9, 7));
    let head = Head { roots: signers.roots.clone(), targets: newer.metadata.targets, manifest: newer.manifest };
    let before = trust.clone();
    assert_eq!(refused(&inspected(&trust, &head, None).unwrap()), None);
    assert_eq!(trust, before);
}

/// Inspects a package file without a server.
fn inspected_standalone(trust: &PersonalTrust, head: &Head) -> Result<Package, ApiError> {
    inspect_standalone(trust, head, "linux-x86_64", NOW).map(|inspection| inspection.package)
}

#[test]
fn without_a_server_the_user_is_asked_once() {
    let (mut signers, _, head) = world();
    let nobody = PersonalTrust::default();
    let package = inspected_standalone(&nobody, &head).unwrap();
    assert_eq!((package.signer.trusted, package.signer.asks, refused(&package)), (false, true, None));
    assert_eq!(package.signer.root, signers.root_digest());
    assert_eq!(nobody, PersonalTrust::default(), "inspecting changes no trust");
    let (_, trust) = nobody.check(&head, Some(signers.root_digest()), NOW).unwrap();
    // The name a publisher uses later is not the name the user trusted.
    let mut renamed = manifest("tool", 6, 3);
    renamed.publisher = "Your Bank".into();
    let release = signers.publish(&renamed);
    let head = Head { roots: signers.roots.clone(), targets: release.metadata.targets, manifest: release.manifest };
    let package = inspected_standalone(&trust, &head).unwrap();
    assert_eq!((package.signer.trusted, package.signer.asks, package.publisher.as_str()), (true, false, ""));
    assert_eq!(
        inspected_standalone(&nobody, &head).unwrap().publisher,
        "Your Bank",
        "the publisher's claimed name, while it is not trusted"
    );
}

#[test]
fn without_a_server_the_user_is_not_asked_about_what_cannot_be_installed() {
    let (mut signers, _, head) = world();
    let nobody = PersonalTrust::default();
    let altered = Head { manifest: head.manifest.replace("tool", "evil"), ..head.clone() };
    assert_eq!(inspected_standalone(&nobody, &altered).unwrap_err().reason, Reason::NotPublished);
    let altered = Head { targets: head.targets.replace("tool/5", "tool/6"), ..head.clone() };
    assert_eq!(inspected_standalone(&nobody, &altered).unwrap_err().reason, Reason::MetadataForged);
    assert_eq!(
        inspected_standalone(&nobody, &Head { roots: vec![], ..head.clone() }).unwrap_err().reason,
        Reason::NotAPackage
    );
    let mut other = Signers::new(NOW);
    let release = other.publish(&manifest("tool", 50, 0));
    let theirs = Head { roots: other.roots.clone(), targets: release.metadata.targets, manifest: release.manifest };
    let (_, trust) = nobody.check(&head, Some(signers.root_digest()), NOW).unwrap();
    assert_eq!(refused(&inspected_standalone(&trust, &theirs).unwrap()), Some(Reason::OtherSigner));
    let mut deb = manifest("system-tool", 1, 0);
    deb.artifacts[0].install.kind = Kind::Deb;
    let release = signers.publish(&deb);
    let head = Head { targets: release.metadata.targets, manifest: release.manifest, ..head };
    assert_eq!(refused(&inspected_standalone(&trust, &head).unwrap()), Some(Reason::NeedsAdministrator));
    // After its expiry.
    let late = inspect_standalone(&trust, &head, "linux-x86_64", NOW.plus(400 * 86_400)).unwrap().package;
    assert_eq!(refused(&late), Some(Reason::MetadataExpired));
}
