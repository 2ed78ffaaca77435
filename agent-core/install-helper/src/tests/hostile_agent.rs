//! Attacks by a compromised agent, which can write anything into a request and pass any file. Each test tries one way
//! to install something that publishers and server did not both sign for this machine, now. The install helper is the
//! real process.

use crate::client;
use crate::protocol::{InstallJob, Outcome};
use crate::tests::{
    helper_process::launcher,
    signed_documents::SignedDocuments,
    test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored, reason_to_wait},
};
use banyan_proto::{
    Digest, InstallPermit, MachineId, OrderId, Reason, Signed, SigningKey, UnixSeconds, peer::ReleaseProof,
};
use banyan_trust::fixture::{Signers, sign_with};
use serde_json::json;

/// Longer than an install permit is valid (seconds).
const LONG_AGO: u64 = InstallPermit::SECONDS + 60;

async fn send(machine: &TestMachine, job: InstallJob, release: &TestRelease) -> Outcome {
    client::install(&launcher(machine), release.order, job, machine.artifact(release)).await.unwrap().outcome
}

/// Returns a machine with the first of two releases installed, and the second one. The attacks try to install the
/// second.
async fn machine() -> (TestMachine, TestRelease) {
    let machine = TestMachine::new();
    let first = TestRelease::archive("1.0", 1);
    assert_eq!(send(&machine, machine.job(&first), &first).await, NEWLY_INSTALLED);
    (machine, TestRelease::archive("2.0", 2))
}

/// Sends the job, which must be refused for this reason and change nothing. Returns the error's detail.
async fn refused(machine: &TestMachine, job: InstallJob, release: &TestRelease, reason: Reason) -> String {
    let record = std::fs::read(machine.data().join("trust.json")).unwrap();
    let outcome = send(machine, job, release).await;
    let detail = match &outcome {
        Outcome::Waits { reason: found, detail } | Outcome::Failed { reason: found, detail, restored: true } => {
            assert_eq!(*found, reason, "{detail}");
            detail.clone()
        }
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(machine.current("tool").unwrap(), "1.0-1");
    assert_eq!(machine.versions("tool"), ["1.0-1"]);
    assert!(
        std::fs::read(machine.data().join("trust.json")).unwrap() == record,
        "a refused job changed the trust record"
    );
    machine.assert_tidy();
    detail
}

/// Does the same for a change to the signed documents.
async fn refused_when(reason: Reason, change: impl FnOnce(&TestMachine, &mut SignedDocuments)) -> String {
    let (machine, release) = machine().await;
    let mut documents = machine.documents(&release);
    change(&machine, &mut documents);
    let said = refused(&machine, documents.job(&machine.signers), &release, reason).await;
    // Without the change, the job is accepted.
    assert_eq!(send(&machine, machine.job(&release), &release).await, NEWLY_INSTALLED);
    said
}

/// Signs with a key that is not the server's.
fn forge<T: banyan_proto::signed::Document>(document: &T) -> Signed<T> {
    SigningKey::generate().0.sign(document)
}

#[tokio::test]
async fn an_order_that_the_server_did_not_sign() {
    let (machine, release) = machine().await;
    let documents = machine.documents(&release);
    let job = InstallJob { order: forge(&documents.order), ..documents.job(&machine.signers) };
    refused(&machine, job, &release, Reason::OrderForged).await;
}

#[tokio::test]
async fn an_order_from_another_server_with_the_same_key() {
    refused_when(Reason::OrderForged, |_, documents| documents.order.server = MachineId::random()).await;
}

#[tokio::test]
async fn an_order_from_before_the_server_was_restored() {
    refused_when(Reason::EpochBack, |_, documents| documents.order.epoch -= 1).await;
    // The machine has never seen this epoch; the install permit is the first to mention it.
    let (machine, release) = machine().await;
    let mut documents = machine.documents(&release);
    documents.install_permit.epoch += 1;
    refused(&machine, documents.job(&machine.signers), &release, Reason::EpochBack).await;
}

#[tokio::test]
async fn an_expired_order() {
    refused_when(Reason::OrderExpired, |_, documents| documents.order.expires = UnixSeconds::now()).await;
}

#[tokio::test]
async fn an_order_for_other_machines() {
    refused_when(Reason::NotAddressed, |machine, documents| {
        let (list, theirs) = machine.signers.list(MachineId::random());
        (documents.order.stripes, documents.membership) = (vec![list.subtree(0)], theirs);
    })
    .await;
    // Not even with this machine's place on another list.
    refused_when(Reason::NotAddressed, |machine, documents| {
        documents.order.stripes = vec![machine.signers.list(MachineId::random()).0.subtree(0)];
    })
    .await;
}

#[tokio::test]
async fn an_older_order_after_a_newer_one() {
    let (machine, release) = machine().await;
    let older = machine.documents(&TestRelease::archive("1.5", 1)).order;
    assert_eq!(send(&machine, machine.job(&release), &release).await, NEWLY_INSTALLED);
    // The server really issued the older order, with a permit for it.
    let first = TestRelease { order: older.id, ..TestRelease::archive("1.5", 1) };
    let mut documents = machine.documents(&first);
    documents.order.number = older.number;
    let outcome = send(&machine, documents.job(&machine.signers), &first).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::OrderSuperseded);
    assert_eq!(machine.current("tool").unwrap(), "2.0-2");
    // Another package has its own order numbers.
    let mut other = TestRelease { order: OrderId::random(), ..first };
    other.manifest.package = "other".into();
    let mut documents = machine.documents(&other);
    documents.order.number = older.number;
    assert_eq!(send(&machine, documents.job(&machine.signers), &other).await, NEWLY_INSTALLED);
}

#[tokio::test]
async fn an_install_permit_that_the_server_did_not_sign() {
    let (machine, release) = machine().await;
    let documents = machine.documents(&release);
    let job = InstallJob { install_permit: forge(&documents.install_permit), ..documents.job(&machine.signers) };
    refused(&machine, job, &release, Reason::OrderForged).await;
}

#[tokio::test]
async fn an_install_permit_for_another_order() {
    refused_when(Reason::WaitsForPermit, |_, documents| documents.install_permit.order = OrderId::random()).await;
}

#[tokio::test]
async fn an_install_permit_for_another_machine() {
    refused_when(Reason::WaitsForPermit, |_, documents| documents.install_permit.machine = MachineId::random()).await;
}

#[tokio::test]
async fn an_install_permit_from_before_the_server_was_restored() {
    refused_when(Reason::EpochBack, |_, documents| documents.install_permit.epoch -= 1).await;
}

#[tokio::test]
async fn an_epoch_never_falls() {
    let (machine, release) = machine().await;
    let mut documents = machine.documents(&release);
    let stale = documents.clone();
    // The server was restored: it now signs with a higher epoch.
    documents.order.epoch += 1;
    documents.install_permit.epoch += 1;
    documents.order.id = OrderId::random();
    documents.install_permit.order = documents.order.id;
    assert_eq!(send(&machine, documents.job(&machine.signers), &release).await, NEWLY_INSTALLED);
    let outcome = send(&machine, stale.job(&machine.signers), &release).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::EpochBack);
}

#[tokio::test]
async fn an_expired_install_permit() {
    let said = refused_when(Reason::ClockWrong, |_, documents| {
        documents.install_permit.issued = UnixSeconds(documents.install_permit.issued.0 - LONG_AGO);
    })
    .await;
    assert!(said.contains("this machine's clock is ahead"), "{said}");
}

#[tokio::test]
async fn an_expired_install_permit_with_the_clock_set_back() {
    let (machine, release) = machine().await;
    let mut other = TestRelease::archive("1.0", 1);
    other.manifest.package = "other".into();
    let old = machine.documents(&release);
    // A later signed time from the server is trusted over the machine's clock.
    let mut later = machine.documents(&other);
    later.install_permit.issued = later.install_permit.issued.plus(LONG_AGO);
    assert_eq!(send(&machine, later.job(&machine.signers), &other).await, NEWLY_INSTALLED);
    let said = reason_to_wait(&send(&machine, old.job(&machine.signers), &release).await);
    assert_eq!(said, Reason::ClockWrong);
    assert_eq!(machine.current("tool").unwrap(), "1.0-1");
}

#[tokio::test]
async fn a_release_that_no_publisher_signed() {
    // The attacker has the server's keys too: everything that they can sign is signed.
    refused_when(Reason::NotPublished, |_, documents| {
        documents.release.manifest = documents.release.manifest.replace("\"needs_bytes\":0", "\"needs_bytes\":1");
        documents.order.manifest = Digest::of(documents.release.manifest.as_bytes());
    })
    .await;
    refused_when(Reason::MetadataForged, |machine, documents| {
        let publishers = machine.signers.publishers();
        let targets = sign_with(&publishers.targets_body(), &[&publishers.keys["snapshot"][0]]);
        documents.release.metadata = publishers.metadata_with(targets);
    })
    .await;
}

#[tokio::test]
async fn commands_that_the_publishers_did_not_sign() {
    let (machine, release) = machine().await;
    let documents = machine.documents(&release);
    let mut evil = release.clone().detect(&["/bin/sh", "-c", "touch /tmp/evil"]);
    evil.order = release.order;
    let mut job = documents.job(&machine.signers);
    job.release.manifest = serde_json::to_string(&evil.manifest).unwrap();
    refused(&machine, job, &release, Reason::MetadataForged).await;
}

#[tokio::test]
async fn publishers_under_another_root() {
    refused_when(Reason::MetadataForged, |machine, documents| {
        let mut strangers = Signers::new(UnixSeconds::now());
        let manifest = serde_json::from_str(&documents.release.manifest).unwrap();
        let mut signed = strangers.publish(&manifest);
        (signed.metadata.roots, documents.release) = (machine.signers.publishers().roots.clone(), signed.clone());
        documents.release.metadata.roots = machine.signers.publishers().roots.clone();
        (documents.install_permit.timestamp_version, documents.install_permit.snapshot_version) = (1, 1);
    })
    .await;
}

#[tokio::test]
async fn a_root_not_signed_by_the_previous_root() {
    let (machine, release) = machine().await;
    let mut documents = machine.documents(&release);
    // The attacker assigned every role to keys of their own.
    let mut strangers = Signers::new(UnixSeconds::now());
    strangers.versions.root = 2;
    let root = strangers.sign("root", &strangers.root_body());
    let manifest = serde_json::from_str(&documents.release.manifest).unwrap();
    let ReleaseProof { metadata, manifest } = strangers.publish(&manifest);
    documents.release = ReleaseProof { metadata, manifest };
    documents.release.metadata.roots = vec![root];
    (documents.install_permit.timestamp_version, documents.install_permit.snapshot_version) = (1, 1);
    refused(&machine, documents.job(&machine.signers), &release, Reason::MetadataForged).await;
    // A root signed by the old root is accepted and kept.
    machine.signers.publishers().next_root(|_| {});
    assert_eq!(send(&machine, machine.job(&release), &release).await, NEWLY_INSTALLED);
    let kept = std::fs::read_to_string(machine.data().join("trust.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["trust"]["versions"]["root"], json!(2));
}

#[tokio::test]
async fn a_release_below_the_minimum_sequence() {
    let (machine, old) = machine().await;
    let mut floor = TestRelease::archive("3.0", 3);
    floor.manifest.min_sequence = 3;
    assert_eq!(send(&machine, machine.job(&floor), &floor).await, NEWLY_INSTALLED);
    // A genuine new order and permit for a release that the publishers signed and have since ruled out.
    let outcome = send(&machine, machine.job(&old), &old).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::BelowFloor);
    assert_eq!(machine.current("tool").unwrap(), "3.0-3");
    // The minimum sequence stays even if the release that set it fails to install.
    let mut higher = TestRelease::archive("5.0", 5).probe(&["/bin/false"]);
    higher.manifest.min_sequence = 5;
    assert_eq!(failed_and_restored(&send(&machine, machine.job(&higher), &higher).await).0, Reason::ProbeFailed);
    let between = TestRelease::archive("4.0", 4);
    assert_eq!(failed_and_restored(&send(&machine, machine.job(&between), &between).await).0, Reason::BelowFloor);
}

#[tokio::test]
async fn metadata_older_than_already_seen() {
    let (machine, release) = machine().await;
    let mut documents = machine.documents(&release);
    let other = TestRelease::archive("3.0", 3);
    assert_eq!(send(&machine, machine.job(&other), &other).await, NEWLY_INSTALLED);
    documents.order.number += 10;
    let outcome = send(&machine, documents.job(&machine.signers), &release).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::MetadataRolledBack);
}

#[tokio::test]
async fn metadata_older_than_the_install_permit_names() {
    // The release may have been withdrawn since.
    refused_when(Reason::MetadataRolledBack, |_, documents| documents.install_permit.timestamp_version += 1).await;
    refused_when(Reason::MetadataRolledBack, |_, documents| documents.install_permit.snapshot_version += 1).await;
}

#[tokio::test]
async fn a_published_release_that_the_order_does_not_name() {
    let (machine, release) = machine().await;
    let other = machine.documents(&TestRelease::archive("1.9", 3));
    let mut documents = machine.documents(&release);
    // The manifest alone, or with all related documents except its hash in the order.
    documents.release.manifest = other.release.manifest.clone();
    refused(&machine, documents.job(&machine.signers), &release, Reason::MetadataForged).await;
    documents.order.manifest = other.order.manifest;
    refused(&machine, documents.job(&machine.signers), &release, Reason::NotPublished).await;
}

#[tokio::test]
async fn a_file_for_another_platform() {
    let (machine, mut release) = machine().await;
    release.manifest.artifacts[0].platform = "plan9-mips".into();
    refused(&machine, machine.job(&release), &release, Reason::WrongPlatform).await;
}

#[tokio::test]
async fn a_file_that_does_not_match_the_manifest() {
    let (machine, release) = machine().await;
    let evil = TestRelease { content: TestRelease::archive("6.6", 2).content, ..release.clone() };
    let outcome = send(&machine, machine.job(&release), &evil).await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::BadArtifact);
    assert_eq!((machine.current("tool").unwrap(), machine.versions("tool").len()), ("1.0-1".into(), 1));
    machine.assert_tidy();
}
