//! Verifies which jobs a personal installer accepts without an order, and that no other installer accepts any. Whether
//! the process has privileges is an argument here; the real process asks the system.

use crate::tests::{
    helper_process::launcher,
    test_machine::{ALREADY, NEW, PLENTY, Release, World, failed_and_restored, is_root_for},
};
use crate::{
    client::{BelieveError, forget, run_alone, stand_alone},
    error::Trouble,
    protocol::{AloneJob, Enrolled, Finished, Outcome},
    standalone,
    storage::layout::Layout,
    verification::trust_record,
};
use banyan_proto::{Digest, OrderId, Reason, UnixSeconds, manifest::Kind};
use banyan_trust::{fixture::Signers, package::Head};
use std::{fs, path::PathBuf};

/// Returns a personal machine.
fn world() -> World {
    let world = World::before_enrolment();
    standalone::stand_alone(&layout(&world), false).map_err(|trouble| trouble.to_string()).unwrap();
    world
}
fn layout(world: &World) -> Layout {
    Layout::open(&world.folders()).map_err(|trouble| trouble.to_string()).unwrap()
}
/// Returns the job for a release signed by these publishers, with the user's consent to trust them.
fn job_of(publishers: &mut Signers, release: &Release) -> AloneJob {
    let proof = publishers.publish(&release.manifest);
    let manifest = Digest::of(proof.manifest.as_bytes());
    let head = Head { roots: publishers.roots.clone(), targets: proof.metadata.targets, manifest: proof.manifest };
    AloneJob { id: OrderId::random(), head, manifest, consent: Some(publishers.root_digest()) }
}
fn job(world: &World, release: &Release) -> AloneJob {
    job_of(&mut world.signatories.publishers(), release)
}
fn give(world: &World, job: &AloneJob, release: &Release, privileged: bool) -> Result<Finished, Trouble> {
    loop {
        let (folders, artifact) = (world.folders(), world.artifact(release));
        match standalone::install(&folders, job, artifact, privileged, UnixSeconds::now(), &PLENTY) {
            // Another test's child process may hold a copy of the lock's handle until it executes its program.
            Err(trouble) if trouble.reason() == Reason::PackageManagerBusy => {
                fs::File::open(world.data().join("lock")).unwrap().lock().unwrap();
            }
            given => return given,
        }
    }
}
#[track_caller]
fn install(world: &World, job: &AloneJob, release: &Release) -> Outcome {
    give(world, job, release, false).map_err(|trouble| trouble.to_string()).unwrap().outcome
}
#[track_caller]
fn refused(world: &World, job: &AloneJob, release: &Release) -> Reason {
    let record = || fs::read(world.data().join("alone.json")).ok();
    let before = (record(), world.versions("tool"));
    let reason = give(world, job, release, false).expect_err("the job was accepted").reason();
    assert!((record(), world.versions("tool")) == before, "a refused job changed something");
    reason
}
fn no_longer(job: AloneJob) -> AloneJob {
    AloneJob { consent: None, ..job }
}

#[test]
fn what_a_person_wants_of_those_they_trust_is_installed() {
    let world = world();
    let first = Release::archive("1.0", 1).probe(&["{dir}/bin/tool"]);
    let asked = job(&world, &first);
    assert_eq!(refused(&world, &no_longer(asked.clone()), &first), Reason::NotConsented);
    assert_eq!(install(&world, &asked, &first), NEW);
    assert_eq!(world.current("tool").as_deref(), Some("1.0-1"));
    // The same job again, as after a crash, then the next version without new consent.
    assert_eq!(install(&world, &asked, &first), ALREADY);
    let second = Release::archive("2.0", 2);
    assert_eq!(install(&world, &no_longer(job(&world, &second)), &second), NEW);
    // A version that does not work.
    let broken = Release::archive("3.0", 3).probe(&["/bin/false"]);
    let outcome = install(&world, &no_longer(job(&world, &broken)), &broken);
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(world.current("tool").as_deref(), Some("2.0-2"));
    world.assert_tidy();
}

#[test]
fn an_installer_of_a_server_takes_nothing_without_an_order() {
    let world = World::new();
    let release = Release::archive("1.0", 1);
    let job = job(&world, &release);
    let said = standalone::stand_alone(&layout(&world), false).unwrap_err();
    assert_eq!(said.reason(), Reason::NotAllowed);
    assert_eq!(refused(&world, &job, &release), Reason::NotAllowed);
    // A record that grants it does not help.
    fs::write(world.data().join("alone.json"), r#"{"trust":{"signers":{},"owners":{}}}"#).unwrap();
    assert_eq!(refused(&world, &job, &release), Reason::NotAllowed);
    // An installer whose administrator has set the root of a future server refuses, too.
    let named = self::world();
    trust_record::name_root(&layout(&named), named.signatories.publishers().root_digest())
        .map_err(|t| t.to_string())
        .unwrap();
    let job = self::job(&named, &release);
    assert_eq!(refused(&named, &job, &release), Reason::NotAllowed);
    assert_eq!(standalone::stand_alone(&layout(&named), false).unwrap_err().reason(), Reason::NotAllowed);
    // So does one whose trust record cannot be parsed: it may belong to a server.
    let damaged = self::world();
    fs::write(damaged.data().join("trust.json"), "{").unwrap();
    let job = self::job(&damaged, &release);
    assert_eq!(refused(&damaged, &job, &release), Reason::InternalError);
}

#[test]
fn an_installer_with_privileges_takes_nothing_without_an_order() {
    let fresh = World::before_enrolment();
    assert_eq!(standalone::stand_alone(&layout(&fresh), true).unwrap_err().reason(), Reason::NotAllowed);
    assert!(!fresh.data().join("alone.json").exists());
    // Even when a record says that it belongs to a user.
    let world = world();
    let release = Release::archive("1.0", 1);
    let trouble = give(&world, &job(&world, &release), &release, true).expect_err("the job was accepted");
    assert_eq!((trouble.reason(), world.versions("tool")), (Reason::NotAllowed, vec![]));
    let root = world.signatories.publishers().root_digest();
    assert_eq!(standalone::forget(&layout(&world), true, root).unwrap_err().reason(), Reason::NotAllowed);
}

#[tokio::test]
async fn the_process_asks_the_system_whether_it_has_privileges() {
    if !is_root_for("having privileges") {
        return;
    }
    let (fresh, world) = (World::before_enrolment(), world());
    let no = |said: Result<(), BelieveError>| match said {
        Err(BelieveError::Refused { reason, detail }) => assert_eq!(reason, Reason::NotAllowed, "{detail}"),
        other => panic!("not refused: {other:?}"),
    };
    no(stand_alone(&launcher(&fresh)).await);
    no(forget(&launcher(&world), Digest([1; 32])).await);
    let release = Release::archive("1.0", 1);
    let finished = run_alone(&launcher(&world), job(&world, &release), world.artifact(&release)).await.unwrap();
    assert_eq!(failed_and_restored(&finished.outcome).0, Reason::NotAllowed);
    assert!(!fresh.data().join("alone.json").exists());
    assert_eq!(world.versions("tool"), [""; 0]);
}

#[test]
fn an_installer_that_was_not_told_whose_it_is_takes_nothing() {
    let world = World::before_enrolment();
    let release = Release::archive("1.0", 1);
    assert_eq!(refused(&world, &job(&world, &release), &release), Reason::NotAllowed);
    // A damaged record does not count as missing.
    let path: PathBuf = world.data().join("alone.json");
    fs::write(&path, "{}").unwrap();
    assert_eq!(refused(&world, &job(&world, &release), &release), Reason::InternalError);
    assert_eq!(standalone::stand_alone(&layout(&world), false).unwrap_err().reason(), Reason::InternalError);
}

#[test]
fn what_is_wrong_with_a_file_is_not_made_good_by_trust() {
    let world = world();
    let (first, second) = (Release::archive("1.0", 1), Release::archive("2.0", 2));
    assert_eq!(install(&world, &job(&world, &first), &first), NEW);
    let good = job(&world, &second);
    // A release other than the one shown, a manifest that is not signed, and a file that does not match the manifest.
    let shown = AloneJob { manifest: Digest([7; 32]), ..good.clone() };
    assert_eq!(refused(&world, &shown, &second), Reason::NotAllowed);
    let mut altered = good.clone();
    altered.head.manifest = altered.head.manifest.replace("2.0", "6.6");
    altered.manifest = Digest::of(altered.head.manifest.as_bytes());
    assert_eq!(refused(&world, &altered, &second), Reason::NotPublished);
    let evil = Release { content: Release::archive("6.6", 2).content, ..second.clone() };
    assert_eq!(failed_and_restored(&install(&world, &good, &evil)).0, Reason::BadArtifact);
    // For another platform, and of a kind that needs privileges.
    let mut elsewhere = Release::archive("2.1", 3);
    elsewhere.manifest.artifacts[0].platform = "plan9-mips".into();
    assert_eq!(refused(&world, &job(&world, &elsewhere), &elsewhere), Reason::WrongPlatform);
    let deb = Release::new(Kind::Deb, "2.2", 4, b"a deb".to_vec());
    assert_eq!(refused(&world, &job(&world, &deb), &deb), Reason::NeedsAdministrator);
    // Below the minimum sequence set by an earlier install, and from other publishers with the same package name.
    let mut floor = Release::archive("3.0", 5);
    floor.manifest.min_sequence = 5;
    assert_eq!(install(&world, &job(&world, &floor), &floor), NEW);
    assert_eq!(refused(&world, &good, &second), Reason::BelowFloor);
    let mut others = Signers::new(UnixSeconds::now());
    let theirs = Release::archive("9.0", 90);
    assert_eq!(refused(&world, &job_of(&mut others, &theirs), &theirs), Reason::OtherSigner);
    assert_eq!(world.current("tool").as_deref(), Some("3.0-5"));
}

#[test]
fn a_name_is_nobodys_when_nothing_came_of_it_and_free_when_its_publishers_are_forgotten() {
    let world = world();
    let broken = Release::archive("1.0", 1).probe(&["/bin/false"]);
    assert_eq!(failed_and_restored(&install(&world, &job(&world, &broken), &broken)).0, Reason::ProbeFailed);
    let mut others = Signers::new(UnixSeconds::now());
    let theirs = Release::archive("9.0", 90);
    assert_eq!(install(&world, &job_of(&mut others, &theirs), &theirs), NEW);
    let ours = Release::archive("2.0", 2);
    assert_eq!(refused(&world, &job(&world, &ours), &ours), Reason::OtherSigner);
    standalone::forget(&layout(&world), false, others.root_digest()).map_err(|trouble| trouble.to_string()).unwrap();
    let again = Release::archive("9.1", 91);
    assert_eq!(refused(&world, &no_longer(job_of(&mut others, &again)), &again), Reason::NotConsented);
    assert_eq!(install(&world, &job(&world, &ours), &ours), NEW);
}

#[test]
fn when_the_machine_enrols_floors_stay_and_the_servers_orders_are_the_only_way() {
    let world = world();
    let mut floor = Release::archive("3.0", 3);
    floor.manifest.min_sequence = 3;
    assert_eq!(install(&world, &job(&world, &floor), &floor), NEW);
    let mut others = Signers::new(UnixSeconds::now());
    let mut other = Release::archive("1.0", 1);
    other.manifest.package = "other".into();
    assert_eq!(install(&world, &job_of(&mut others, &other), &other), NEW);
    let believe = |said: &Enrolled| trust_record::believe(&layout(&world), said).map_err(|trouble| trouble.to_string());
    believe(&world.signatories.enrolled()).unwrap();
    believe(&world.signatories.enrolled()).unwrap();
    // Below the minimum sequence set before there was a server. The user's consent no longer counts either.
    let old = Release::archive("2.0", 2);
    assert_eq!(world.refused(&world.job(&old), &old).reason(), Reason::BelowFloor);
    let next = Release::archive("4.0", 4);
    assert_eq!(refused(&world, &job(&world, &next), &next), Reason::NotAllowed);
    assert_eq!(world.install(&next).outcome, NEW);
    // Packages from other publishers stay unchanged.
    assert_eq!(World::names(&world.package("other").join("versions")), ["1.0-1"]);
}
