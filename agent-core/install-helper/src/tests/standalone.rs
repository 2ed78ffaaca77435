//! Verifies which jobs a personal install helper accepts without an order, and that no other install helper accepts
//! any. Whether the process has privileges is an argument here; the real process asks the system.

use crate::tests::{
    helper_process::launcher,
    test_machine::{
        ALREADY_INSTALLED, NEWLY_INSTALLED, TestMachine, TestRelease, UNLIMITED_SPACE, failed_and_restored, is_root_for,
    },
};
use crate::{
    client::{SetTrustError, forget_publisher, install_standalone, set_personal},
    error::InstallError,
    protocol::{EnrolledIdentity, InstallResult, Outcome, StandaloneJob},
    standalone,
    storage::layout::Layout,
    verification::trust_record,
};
use banyan_proto::{Digest, OrderId, Reason, UnixSeconds, manifest::Kind};
use banyan_trust::{fixture::Signers, package::Head};
use std::{fs, path::PathBuf};

/// Returns a personal machine.
fn machine() -> TestMachine {
    let machine = TestMachine::before_enrolment();
    standalone::set_personal(&layout(&machine), false).map_err(|error| error.to_string()).unwrap();
    machine
}
fn layout(machine: &TestMachine) -> Layout {
    Layout::open(&machine.folders()).map_err(|error| error.to_string()).unwrap()
}
/// Returns the job for a release signed by these publishers, with the user's consent to trust them.
fn job_of(publishers: &mut Signers, release: &TestRelease) -> StandaloneJob {
    let proof = publishers.publish(&release.manifest);
    let manifest = Digest::of(proof.manifest.as_bytes());
    let head = Head { roots: publishers.roots.clone(), targets: proof.metadata.targets, manifest: proof.manifest };
    StandaloneJob { id: OrderId::random(), head, manifest, consent: Some(publishers.root_digest()) }
}
fn job(machine: &TestMachine, release: &TestRelease) -> StandaloneJob {
    job_of(&mut machine.signers.publishers(), release)
}
fn send(
    machine: &TestMachine,
    job: &StandaloneJob,
    release: &TestRelease,
    privileged: bool,
) -> Result<InstallResult, InstallError> {
    loop {
        let (folders, artifact) = (machine.folders(), machine.artifact(release));
        match standalone::install(&folders, job, artifact, privileged, UnixSeconds::now(), &UNLIMITED_SPACE) {
            // Another test's child process may hold a copy of the lock's handle until it executes its program.
            Err(error) if error.reason() == Reason::PackageManagerBusy => {
                fs::File::open(machine.data().join("lock")).unwrap().lock().unwrap();
            }
            given => return given,
        }
    }
}
#[track_caller]
fn install(machine: &TestMachine, job: &StandaloneJob, release: &TestRelease) -> Outcome {
    send(machine, job, release, false).map_err(|error| error.to_string()).unwrap().outcome
}
#[track_caller]
fn refused(machine: &TestMachine, job: &StandaloneJob, release: &TestRelease) -> Reason {
    let record = || fs::read(machine.data().join("alone.json")).ok();
    let before = (record(), machine.versions("tool"));
    let reason = send(machine, job, release, false).expect_err("the job was accepted").reason();
    assert!((record(), machine.versions("tool")) == before, "a refused job changed something");
    reason
}
fn without_consent(job: StandaloneJob) -> StandaloneJob {
    StandaloneJob { consent: None, ..job }
}

#[test]
fn packages_from_publishers_whom_the_user_trusts_are_installed() {
    let machine = machine();
    let first = TestRelease::archive("1.0", 1).probe(&["{dir}/bin/tool"]);
    let asked = job(&machine, &first);
    assert_eq!(refused(&machine, &without_consent(asked.clone()), &first), Reason::NotConsented);
    assert_eq!(install(&machine, &asked, &first), NEWLY_INSTALLED);
    assert_eq!(machine.current("tool").as_deref(), Some("1.0-1"));
    // The same job again, as after a crash, then the next version without new consent.
    assert_eq!(install(&machine, &asked, &first), ALREADY_INSTALLED);
    let second = TestRelease::archive("2.0", 2);
    assert_eq!(install(&machine, &without_consent(job(&machine, &second)), &second), NEWLY_INSTALLED);
    // A version that does not work.
    let broken = TestRelease::archive("3.0", 3).probe(&["/bin/false"]);
    let outcome = install(&machine, &without_consent(job(&machine, &broken)), &broken);
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(machine.current("tool").as_deref(), Some("2.0-2"));
    machine.assert_tidy();
}

#[test]
fn a_helper_of_a_server_refuses_jobs_without_an_order() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1);
    let job = job(&machine, &release);
    let said = standalone::set_personal(&layout(&machine), false).unwrap_err();
    assert_eq!(said.reason(), Reason::NotAllowed);
    assert_eq!(refused(&machine, &job, &release), Reason::NotAllowed);
    // A record that grants it does not help.
    fs::write(machine.data().join("alone.json"), r#"{"trust":{"signers":{},"owners":{}}}"#).unwrap();
    assert_eq!(refused(&machine, &job, &release), Reason::NotAllowed);
    // An install helper whose administrator has set the root of a future server refuses, too.
    let named = self::machine();
    trust_record::pin_root(&layout(&named), named.signers.publishers().root_digest())
        .map_err(|t| t.to_string())
        .unwrap();
    let job = self::job(&named, &release);
    assert_eq!(refused(&named, &job, &release), Reason::NotAllowed);
    assert_eq!(standalone::set_personal(&layout(&named), false).unwrap_err().reason(), Reason::NotAllowed);
    // So does one whose trust record cannot be parsed: it may belong to a server.
    let damaged = self::machine();
    fs::write(damaged.data().join("trust.json"), "{").unwrap();
    let job = self::job(&damaged, &release);
    assert_eq!(refused(&damaged, &job, &release), Reason::InternalError);
}

#[test]
fn a_helper_with_privileges_refuses_jobs_without_an_order() {
    let fresh = TestMachine::before_enrolment();
    assert_eq!(standalone::set_personal(&layout(&fresh), true).unwrap_err().reason(), Reason::NotAllowed);
    assert!(!fresh.data().join("alone.json").exists());
    // Even when a record says that it belongs to a user.
    let machine = machine();
    let release = TestRelease::archive("1.0", 1);
    let error = send(&machine, &job(&machine, &release), &release, true).expect_err("the job was accepted");
    assert_eq!((error.reason(), machine.versions("tool")), (Reason::NotAllowed, vec![]));
    let root = machine.signers.publishers().root_digest();
    assert_eq!(standalone::forget_publisher(&layout(&machine), true, root).unwrap_err().reason(), Reason::NotAllowed);
}

#[tokio::test]
async fn the_process_asks_the_system_whether_it_has_privileges() {
    if !is_root_for("having privileges") {
        return;
    }
    let (fresh, machine) = (TestMachine::before_enrolment(), machine());
    let assert_refused = |said: Result<(), SetTrustError>| match said {
        Err(SetTrustError::Refused { reason, detail }) => assert_eq!(reason, Reason::NotAllowed, "{detail}"),
        other => panic!("not refused: {other:?}"),
    };
    assert_refused(set_personal(&launcher(&fresh)).await);
    assert_refused(forget_publisher(&launcher(&machine), Digest([1; 32])).await);
    let release = TestRelease::archive("1.0", 1);
    let finished =
        install_standalone(&launcher(&machine), job(&machine, &release), machine.artifact(&release)).await.unwrap();
    assert_eq!(failed_and_restored(&finished.outcome).0, Reason::NotAllowed);
    assert!(!fresh.data().join("alone.json").exists());
    assert_eq!(machine.versions("tool"), [""; 0]);
}

#[test]
fn a_helper_without_a_personal_record_refuses_jobs_without_an_order() {
    let machine = TestMachine::before_enrolment();
    let release = TestRelease::archive("1.0", 1);
    assert_eq!(refused(&machine, &job(&machine, &release), &release), Reason::NotAllowed);
    // A damaged record does not count as missing.
    let path: PathBuf = machine.data().join("alone.json");
    fs::write(&path, "{}").unwrap();
    assert_eq!(refused(&machine, &job(&machine, &release), &release), Reason::InternalError);
    assert_eq!(standalone::set_personal(&layout(&machine), false).unwrap_err().reason(), Reason::InternalError);
}

#[test]
fn a_bad_file_is_refused_even_from_a_trusted_publisher() {
    let machine = machine();
    let (first, second) = (TestRelease::archive("1.0", 1), TestRelease::archive("2.0", 2));
    assert_eq!(install(&machine, &job(&machine, &first), &first), NEWLY_INSTALLED);
    let good = job(&machine, &second);
    // A release other than the one shown, a manifest that is not signed, and a file that does not match the manifest.
    let shown = StandaloneJob { manifest: Digest([7; 32]), ..good.clone() };
    assert_eq!(refused(&machine, &shown, &second), Reason::NotAllowed);
    let mut altered = good.clone();
    altered.head.manifest = altered.head.manifest.replace("2.0", "6.6");
    altered.manifest = Digest::of(altered.head.manifest.as_bytes());
    assert_eq!(refused(&machine, &altered, &second), Reason::NotPublished);
    let evil = TestRelease { content: TestRelease::archive("6.6", 2).content, ..second.clone() };
    assert_eq!(failed_and_restored(&install(&machine, &good, &evil)).0, Reason::BadArtifact);
    // For another platform, and of a kind that needs privileges.
    let mut elsewhere = TestRelease::archive("2.1", 3);
    elsewhere.manifest.artifacts[0].platform = "plan9-mips".into();
    assert_eq!(refused(&machine, &job(&machine, &elsewhere), &elsewhere), Reason::WrongPlatform);
    let deb = TestRelease::new(Kind::Deb, "2.2", 4, b"a deb".to_vec());
    assert_eq!(refused(&machine, &job(&machine, &deb), &deb), Reason::NeedsAdministrator);
    // Below the minimum sequence set by an earlier install, and from other publishers with the same package name.
    let mut floor = TestRelease::archive("3.0", 5);
    floor.manifest.min_sequence = 5;
    assert_eq!(install(&machine, &job(&machine, &floor), &floor), NEWLY_INSTALLED);
    assert_eq!(refused(&machine, &good, &second), Reason::BelowFloor);
    let mut others = Signers::new(UnixSeconds::now());
    let theirs = TestRelease::archive("9.0", 90);
    assert_eq!(refused(&machine, &job_of(&mut others, &theirs), &theirs), Reason::OtherSigner);
    assert_eq!(machine.current("tool").as_deref(), Some("3.0-5"));
}

#[test]
fn a_package_name_is_free_after_a_failed_install_or_when_its_publisher_is_forgotten() {
    let machine = machine();
    let broken = TestRelease::archive("1.0", 1).probe(&["/bin/false"]);
    assert_eq!(failed_and_restored(&install(&machine, &job(&machine, &broken), &broken)).0, Reason::ProbeFailed);
    let mut others = Signers::new(UnixSeconds::now());
    let theirs = TestRelease::archive("9.0", 90);
    assert_eq!(install(&machine, &job_of(&mut others, &theirs), &theirs), NEWLY_INSTALLED);
    let ours = TestRelease::archive("2.0", 2);
    assert_eq!(refused(&machine, &job(&machine, &ours), &ours), Reason::OtherSigner);
    standalone::forget_publisher(&layout(&machine), false, others.root_digest())
        .map_err(|error| error.to_string())
        .unwrap();
    let again = TestRelease::archive("9.1", 91);
    assert_eq!(refused(&machine, &without_consent(job_of(&mut others, &again)), &again), Reason::NotConsented);
    assert_eq!(install(&machine, &job(&machine, &ours), &ours), NEWLY_INSTALLED);
}

#[test]
fn after_enrolment_minimum_sequences_stay_and_only_the_servers_orders_install() {
    let machine = machine();
    let mut floor = TestRelease::archive("3.0", 3);
    floor.manifest.min_sequence = 3;
    assert_eq!(install(&machine, &job(&machine, &floor), &floor), NEWLY_INSTALLED);
    let mut others = Signers::new(UnixSeconds::now());
    let mut other = TestRelease::archive("1.0", 1);
    other.manifest.package = "other".into();
    assert_eq!(install(&machine, &job_of(&mut others, &other), &other), NEWLY_INSTALLED);
    let set_trust =
        |said: &EnrolledIdentity| trust_record::set_trust(&layout(&machine), said).map_err(|error| error.to_string());
    set_trust(&machine.signers.identity()).unwrap();
    set_trust(&machine.signers.identity()).unwrap();
    // Below the minimum sequence set before there was a server. The user's consent no longer counts either.
    let old = TestRelease::archive("2.0", 2);
    assert_eq!(machine.refused(&machine.job(&old), &old).reason(), Reason::BelowFloor);
    let next = TestRelease::archive("4.0", 4);
    assert_eq!(refused(&machine, &job(&machine, &next), &next), Reason::NotAllowed);
    assert_eq!(machine.install(&next).outcome, NEWLY_INSTALLED);
    // Packages from other publishers stay unchanged.
    assert_eq!(TestMachine::names(&machine.package("other").join("versions")), ["1.0-1"]);
}
