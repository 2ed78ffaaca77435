//! Attacks by a compromised agent, which can write anything into a call and pass any file. Each test tries one way to
//! install something that publishers and server did not both sign for this machine, now. The installer is the real
//! process.

use crate::client::run;
use crate::protocol::{Job, Outcome};
use crate::tests::{
    helper_process::launcher,
    signed_documents::Papers,
    test_machine::{NEW, Release, World, failed_and_restored, waits},
};
use banyan_proto::{
    Digest, InstallPermit, MachineId, OrderId, Reason, Signed, SigningKey, UnixSeconds, peer::ReleaseProof,
};
use banyan_trust::fixture::{Signers, sign_with};
use serde_json::json;

/// Longer than an install permit is valid (seconds).
const LONG_AGO: u64 = InstallPermit::SECONDS + 60;

async fn give(world: &World, job: Job, release: &Release) -> Outcome {
    run(&launcher(world), release.order, job, world.artifact(release)).await.unwrap().outcome
}

/// Returns a machine with the first of two releases installed, and the second one. The attacks try to install the
/// second.
async fn world() -> (World, Release) {
    let world = World::new();
    let first = Release::archive("1.0", 1);
    assert_eq!(give(&world, world.job(&first), &first).await, NEW);
    (world, Release::archive("2.0", 2))
}

/// Sends the job, which must be refused for this reason and change nothing. Returns the error's detail.
async fn refused(world: &World, job: Job, release: &Release, reason: Reason) -> String {
    let record = std::fs::read(world.data().join("trust.json")).unwrap();
    let outcome = give(world, job, release).await;
    let detail = match &outcome {
        Outcome::Waits { reason: found, detail } | Outcome::Failed { reason: found, detail, restored: true } => {
            assert_eq!(*found, reason, "{detail}");
            detail.clone()
        }
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(world.current("tool").unwrap(), "1.0-1");
    assert_eq!(world.versions("tool"), ["1.0-1"]);
    assert!(
        std::fs::read(world.data().join("trust.json")).unwrap() == record,
        "a refused job changed the trust record"
    );
    world.assert_tidy();
    detail
}

/// Does the same for a change to the signed documents.
async fn refused_when(reason: Reason, change: impl FnOnce(&World, &mut Papers)) -> String {
    let (world, release) = world().await;
    let mut papers = world.papers(&release);
    change(&world, &mut papers);
    let said = refused(&world, papers.job(&world.signatories), &release, reason).await;
    // Without the change, the job is accepted.
    assert_eq!(give(&world, world.job(&release), &release).await, NEW);
    said
}

/// Signs with a key that is not the server's.
fn forge<T: banyan_proto::signed::Document>(document: &T) -> Signed<T> {
    SigningKey::generate().0.sign(document)
}

#[tokio::test]
async fn an_order_that_the_server_did_not_sign() {
    let (world, release) = world().await;
    let papers = world.papers(&release);
    let job = Job { order: forge(&papers.order), ..papers.job(&world.signatories) };
    refused(&world, job, &release, Reason::OrderForged).await;
}

#[tokio::test]
async fn an_order_of_another_server_under_the_same_key() {
    refused_when(Reason::OrderForged, |_, papers| papers.order.server = MachineId::random()).await;
}

#[tokio::test]
async fn an_order_of_before_the_server_was_restored() {
    refused_when(Reason::EpochBack, |_, papers| papers.order.epoch -= 1).await;
    // The machine has never seen this epoch; the install permit is the first to mention it.
    let (world, release) = world().await;
    let mut papers = world.papers(&release);
    papers.install_permit.epoch += 1;
    refused(&world, papers.job(&world.signatories), &release, Reason::EpochBack).await;
}

#[tokio::test]
async fn an_order_whose_time_is_over() {
    refused_when(Reason::OrderExpired, |_, papers| papers.order.expires = UnixSeconds::now()).await;
}

#[tokio::test]
async fn an_order_for_other_machines() {
    refused_when(Reason::NotAddressed, |world, papers| {
        let (list, theirs) = world.signatories.list(MachineId::random());
        (papers.order.stripes, papers.membership) = (vec![list.subtree(0)], theirs);
    })
    .await;
    // Not even with this machine's place on another list.
    refused_when(Reason::NotAddressed, |world, papers| {
        papers.order.stripes = vec![world.signatories.list(MachineId::random()).0.subtree(0)];
    })
    .await;
}

#[tokio::test]
async fn an_older_order_after_a_newer_one() {
    let (world, release) = world().await;
    let older = world.papers(&Release::archive("1.5", 1)).order;
    assert_eq!(give(&world, world.job(&release), &release).await, NEW);
    // The server really issued the older order, with a permit for it.
    let first = Release { order: older.id, ..Release::archive("1.5", 1) };
    let mut papers = world.papers(&first);
    papers.order.number = older.number;
    let outcome = give(&world, papers.job(&world.signatories), &first).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::OrderSuperseded);
    assert_eq!(world.current("tool").unwrap(), "2.0-2");
    // Another package has its own order numbers.
    let mut other = Release { order: OrderId::random(), ..first };
    other.manifest.package = "other".into();
    let mut papers = world.papers(&other);
    papers.order.number = older.number;
    assert_eq!(give(&world, papers.job(&world.signatories), &other).await, NEW);
}

#[tokio::test]
async fn a_install_permit_that_the_server_did_not_sign() {
    let (world, release) = world().await;
    let papers = world.papers(&release);
    let job = Job { install_permit: forge(&papers.install_permit), ..papers.job(&world.signatories) };
    refused(&world, job, &release, Reason::OrderForged).await;
}

#[tokio::test]
async fn a_install_permit_for_another_order() {
    refused_when(Reason::WaitsForPermit, |_, papers| papers.install_permit.order = OrderId::random()).await;
}

#[tokio::test]
async fn a_install_permit_for_another_machine() {
    refused_when(Reason::WaitsForPermit, |_, papers| papers.install_permit.machine = MachineId::random()).await;
}

#[tokio::test]
async fn a_install_permit_of_before_the_server_was_restored() {
    refused_when(Reason::EpochBack, |_, papers| papers.install_permit.epoch -= 1).await;
}

#[tokio::test]
async fn an_epoch_that_was_seen_is_not_forgotten() {
    let (world, release) = world().await;
    let mut papers = world.papers(&release);
    let stale = papers.clone();
    // The server was restored: it now signs with a higher epoch.
    papers.order.epoch += 1;
    papers.install_permit.epoch += 1;
    papers.order.id = OrderId::random();
    papers.install_permit.order = papers.order.id;
    assert_eq!(give(&world, papers.job(&world.signatories), &release).await, NEW);
    let outcome = give(&world, stale.job(&world.signatories), &release).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::EpochBack);
}

#[tokio::test]
async fn an_old_install_permit() {
    let said = refused_when(Reason::WaitsForPermit, |_, papers| {
        papers.install_permit.issued = UnixSeconds(papers.install_permit.issued.0 - LONG_AGO);
    })
    .await;
    assert!(said.contains("set the clock"), "{said}");
}

#[tokio::test]
async fn an_old_install_permit_under_a_clock_that_was_set_back() {
    let (world, release) = world().await;
    let mut other = Release::archive("1.0", 1);
    other.manifest.package = "other".into();
    let old = world.papers(&release);
    // A later signed time from the server is trusted over the machine's clock.
    let mut later = world.papers(&other);
    later.install_permit.issued = later.install_permit.issued.plus(LONG_AGO);
    assert_eq!(give(&world, later.job(&world.signatories), &other).await, NEW);
    let said = waits(&give(&world, old.job(&world.signatories), &release).await);
    assert_eq!(said, Reason::WaitsForPermit);
    assert_eq!(world.current("tool").unwrap(), "1.0-1");
}

#[tokio::test]
async fn a_release_that_no_publisher_signed() {
    // The attacker has the server's keys too: everything that they can sign is signed.
    refused_when(Reason::NotPublished, |_, papers| {
        papers.release.manifest = papers.release.manifest.replace("\"needs_bytes\":0", "\"needs_bytes\":1");
        papers.order.manifest = Digest::of(papers.release.manifest.as_bytes());
    })
    .await;
    refused_when(Reason::MetadataForged, |world, papers| {
        let publishers = world.signatories.publishers();
        let targets = sign_with(&publishers.targets_body(), &[&publishers.keys["snapshot"][0]]);
        papers.release.metadata = publishers.metadata_with(targets);
    })
    .await;
}

#[tokio::test]
async fn other_commands_than_the_publishers() {
    let (world, release) = world().await;
    let papers = world.papers(&release);
    let mut evil = release.clone().detect(&["/bin/sh", "-c", "touch /tmp/evil"]);
    evil.order = release.order;
    let mut job = papers.job(&world.signatories);
    job.release.manifest = serde_json::to_string(&evil.manifest).unwrap();
    refused(&world, job, &release, Reason::MetadataForged).await;
}

#[tokio::test]
async fn publishers_of_another_root() {
    refused_when(Reason::MetadataForged, |world, papers| {
        let mut strangers = Signers::new(UnixSeconds::now());
        let manifest = serde_json::from_str(&papers.release.manifest).unwrap();
        let mut signed = strangers.publish(&manifest);
        (signed.metadata.roots, papers.release) = (world.signatories.publishers().roots.clone(), signed.clone());
        papers.release.metadata.roots = world.signatories.publishers().roots.clone();
        (papers.install_permit.timestamp_version, papers.install_permit.snapshot_version) = (1, 1);
    })
    .await;
}

#[tokio::test]
async fn a_root_that_the_last_one_did_not_sign() {
    let (world, release) = world().await;
    let mut papers = world.papers(&release);
    // The attacker assigned every role to keys of their own.
    let mut strangers = Signers::new(UnixSeconds::now());
    strangers.versions.root = 2;
    let root = strangers.sign("root", &strangers.root_body());
    let manifest = serde_json::from_str(&papers.release.manifest).unwrap();
    let ReleaseProof { metadata, manifest } = strangers.publish(&manifest);
    papers.release = ReleaseProof { metadata, manifest };
    papers.release.metadata.roots = vec![root];
    (papers.install_permit.timestamp_version, papers.install_permit.snapshot_version) = (1, 1);
    refused(&world, papers.job(&world.signatories), &release, Reason::MetadataForged).await;
    // A root signed by the old root is accepted and kept.
    world.signatories.publishers().next_root(|_| {});
    assert_eq!(give(&world, world.job(&release), &release).await, NEW);
    let kept = std::fs::read_to_string(world.data().join("trust.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["trust"]["versions"]["root"], json!(2));
}

#[tokio::test]
async fn a_release_below_the_floor() {
    let (world, old) = world().await;
    let mut floor = Release::archive("3.0", 3);
    floor.manifest.min_sequence = 3;
    assert_eq!(give(&world, world.job(&floor), &floor).await, NEW);
    // A genuine new order and permit for a release that the publishers signed and have since ruled out.
    let outcome = give(&world, world.job(&old), &old).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::BelowFloor);
    assert_eq!(world.current("tool").unwrap(), "3.0-3");
    // The minimum sequence stays even if the release that set it fails to install.
    let mut higher = Release::archive("5.0", 5).probe(&["/bin/false"]);
    higher.manifest.min_sequence = 5;
    assert_eq!(failed_and_restored(&give(&world, world.job(&higher), &higher).await).0, Reason::ProbeFailed);
    let between = Release::archive("4.0", 4);
    assert_eq!(failed_and_restored(&give(&world, world.job(&between), &between).await).0, Reason::BelowFloor);
}

#[tokio::test]
async fn metadata_older_than_was_seen() {
    let (world, release) = world().await;
    let mut papers = world.papers(&release);
    let other = Release::archive("3.0", 3);
    assert_eq!(give(&world, world.job(&other), &other).await, NEW);
    papers.order.number += 10;
    let outcome = give(&world, papers.job(&world.signatories), &release).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::MetadataRolledBack);
}

#[tokio::test]
async fn metadata_older_than_the_install_permit_says() {
    // The release may have been withdrawn since.
    refused_when(Reason::MetadataRolledBack, |_, papers| papers.install_permit.timestamp_version += 1).await;
    refused_when(Reason::MetadataRolledBack, |_, papers| papers.install_permit.snapshot_version += 1).await;
}

#[tokio::test]
async fn another_published_release_than_the_order_names() {
    let (world, release) = world().await;
    let other = world.papers(&Release::archive("1.9", 3));
    let mut papers = world.papers(&release);
    // The manifest alone, or with all related documents except its hash in the order.
    papers.release.manifest = other.release.manifest.clone();
    refused(&world, papers.job(&world.signatories), &release, Reason::MetadataForged).await;
    papers.order.manifest = other.order.manifest;
    refused(&world, papers.job(&world.signatories), &release, Reason::NotPublished).await;
}

#[tokio::test]
async fn a_file_for_another_platform() {
    let (world, mut release) = world().await;
    release.manifest.artifacts[0].platform = "plan9-mips".into();
    refused(&world, world.job(&release), &release, Reason::WrongPlatform).await;
}

#[tokio::test]
async fn a_file_that_is_not_the_manifests() {
    let (world, release) = world().await;
    let evil = Release { content: Release::archive("6.6", 2).content, ..release.clone() };
    let outcome = give(&world, world.job(&release), &evil).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::BadArtifact);
    assert_eq!((world.current("tool").unwrap(), world.versions("tool").len()), ("1.0-1".into(), 1));
    world.assert_tidy();
}
