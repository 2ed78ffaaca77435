//! Verifies archive jobs from the start to the switched `current`, and back.

use crate::tests::test_machine::{
    ALREADY, NEW, PLENTY, Release, Room, World, failed_and_restored, is_root_for, noise, waits,
};
use crate::{
    methods::archive::tests::archive_builder::Tar,
    protocol::Outcome,
    storage::{
        free_space::{Disks, FreeSpace},
        layout::Folders,
    },
};
use banyan_proto::{OrderId, Reason, manifest::Kind};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Returns a probe that passes when the program in the installed folder prints this version.
fn says(version: &str) -> [String; 3] {
    ["/bin/sh".into(), "-c".into(), format!("test \"$(./bin/tool)\" = {version} && test \"$PWD\" = \"{{dir}}\"")]
}

fn probed(version: &str, sequence: u64) -> Release {
    Release::archive(version, sequence).probe(&says(version).each_ref().map(String::as_str))
}

#[test]
fn an_archive_is_installed_and_current_names_it() {
    let world = World::new();
    let release = probed("1.0", 1);
    assert_eq!(world.install(&release).outcome, NEW);
    assert_eq!(world.current("tool").unwrap(), "1.0-1");
    let told = Command::new(world.package("tool").join("current/bin/tool")).output().unwrap();
    assert_eq!(told.stdout, b"1.0\n");
    world.assert_tidy();
}

#[test]
fn on_the_machine_itself_packages_are_in_the_data_folder() {
    let world = World::new();
    let release = probed("1.0", 1);
    let folders = Folders { root: "/".into(), ..world.folders() };
    assert_eq!(world.run_in(&folders, &world.job(&release), &release, &PLENTY).outcome, NEW);
    assert!(world.data().join("packages/tool/current/bin/tool").is_file());
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &str| fs::metadata(world.data().join(path)).unwrap().permissions().mode() & 0o777;
    for open in ["", "packages", "packages/tool", "packages/tool/versions", "packages/tool/versions/1.0-1"] {
        assert_eq!(mode(open), 0o755, "{open}: other users cannot use what is installed");
    }
    assert_eq!(["lock", "trust.json", "staging", "kept", "ended"].map(mode), [0o600, 0o600, 0o700, 0o700, 0o700]);
}

#[test]
fn installing_twice_changes_nothing() {
    let world = World::new();
    let release = probed("1.0", 1);
    assert_eq!(world.install(&release).outcome, NEW);
    let again = Release { order: OrderId::random(), ..release.clone() };
    for release in [&release, &again] {
        assert_eq!(world.install(release).outcome, ALREADY);
        assert_eq!(world.versions("tool"), ["1.0-1"]);
    }
    world.assert_tidy();
}

#[test]
fn what_is_there_but_does_not_run_is_no_success() {
    let world = World::new();
    let release = probed("1.0", 1);
    world.install(&release);
    fs::write(world.package("tool").join("current/bin/tool"), "#!/bin/sh\nexit 1\n").unwrap();
    let outcome = world.install(&release).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
}

#[test]
fn a_failing_probe_brings_the_old_version_back() {
    let world = World::new();
    assert_eq!(world.install(&probed("1.0", 1)).outcome, NEW);
    let bad = Release::archive("2.0", 2).probe(&["/bin/sh", "-c", "echo cannot find libfoo >&2; exit 3"]);
    let finished = world.install(&bad);
    let (reason, detail) = failed_and_restored(&finished.outcome);
    assert_eq!((reason, detail), (Reason::ProbeFailed, "the probe exited with code 3"));
    assert!(finished.output.contains("cannot find libfoo"), "{}", finished.output);
    assert_eq!(world.current("tool").unwrap(), "1.0-1");
    assert_eq!(world.versions("tool"), ["1.0-1"]);
    world.assert_tidy();
}

#[test]
fn a_failing_probe_of_the_first_version_leaves_nothing() {
    let world = World::new();
    let outcome = world.install(&Release::archive("1.0", 1).probe(&["/bin/false"])).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(world.current("tool"), None);
    assert_eq!(world.versions("tool"), [""; 0]);
}

#[test]
fn a_failed_order_is_tried_again_only_when_somebody_asks() {
    let world = World::new();
    let probe = format!("echo x >> {}/probed; test -e {}/repaired", world.root.display(), world.root.display());
    let release = Release::archive("1.0", 1).probe(&["/bin/sh", "-c", &probe]);
    let probed = || fs::read_to_string(world.root.join("probed")).unwrap().lines().count();
    let first = world.install(&release).outcome;
    assert_eq!((world.install(&release).outcome, probed()), (first, 1));
    fs::write(world.root.join("repaired"), "").unwrap();
    let mut job = world.job(&release);
    job.attempt = 1;
    assert_eq!(world.run(&job, &release, &PLENTY).outcome, NEW);
    assert_eq!(probed(), 2);
}

#[test]
fn old_versions_are_kept_but_not_all() {
    let world = World::new();
    for sequence in 1..=5 {
        assert_eq!(world.install(&probed(&format!("{sequence}.0"), sequence)).outcome, NEW);
    }
    assert_eq!(world.versions("tool"), ["3.0-3", "4.0-4", "5.0-5"]);
    assert_eq!(World::names(&world.package("tool").join("records")), ["3.0-3.json", "4.0-4.json", "5.0-5.json"]);
}

#[test]
fn a_kept_folder_is_not_written_to_when_its_release_comes_back() {
    let world = World::new();
    let first = probed("1.0", 1);
    world.install(&first);
    world.install(&probed("2.0", 2));
    assert_eq!(world.install(&first).outcome, NEW);
    assert_eq!(world.current("tool").unwrap(), "1.0-1.2");
}

#[test]
fn the_publishers_detect_command_decides() {
    let world = World::new();
    let there = Release::archive("1.0", 1).detect(&["/bin/sh", "-c", "exit 0"]);
    assert_eq!(world.install(&there).outcome, ALREADY);
    assert_eq!(world.versions("tool"), [""; 0]);
    let needs_folder = Release::archive("1.0", 1).detect(&["/bin/sh", "-c", "test -x {dir}/bin/tool"]);
    assert_eq!(world.install(&needs_folder).outcome, NEW);
    assert_eq!(world.install(&needs_folder).outcome, ALREADY);
}

#[test]
fn an_unsafe_archive_is_refused_before_anything_is_written() {
    let world = World::new();
    let content = Tar::new().file("good", b"1").file("../../../../evil", b"2").gz();
    let outcome = world.install(&Release::new(Kind::Archive, "1.0", 1, content)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::ArchiveUnsafe);
    assert!(detail.contains("../../../../evil"), "{detail}");
    assert_eq!(World::names(&world.root), [""; 0]);
    world.assert_tidy();
}

#[test]
fn a_damaged_archive_is_not_called_an_attack() {
    let world = World::new();
    let mut content = Release::archive("1.0", 1).content;
    content.truncate(content.len() - 5);
    let outcome = world.install(&Release::new(Kind::Archive, "1.0", 1, content)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::InstallFailed);
    assert_eq!(World::names(&world.root), [""; 0]);
}

#[test]
fn an_artifact_that_is_not_the_publishers_is_refused() {
    let world = World::new();
    let release = probed("1.0", 1);
    let mut longer = release.clone();
    longer.content.push(0);
    let mut shorter = release.clone();
    shorter.content.pop();
    let mut other = release.clone();
    other.content[20] ^= 1;
    for wrong in [longer, shorter, other] {
        let outcome = world.run(&world.job(&release), &wrong, &PLENTY).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::BadArtifact);
        world.assert_tidy();
    }
    // A publisher who signed the right hash with a size that does not match the file.
    let mut says_less = release;
    says_less.manifest.artifacts[0].size -= 1;
    assert_eq!(failed_and_restored(&world.install(&says_less).outcome).0, Reason::BadArtifact);
}

#[test]
fn changing_the_artifact_after_the_check_changes_nothing() {
    let world = World::new();
    let release = probed("1.0", 1);
    let mut engine = world.engine(&world.job(&release), &release, &PLENTY);
    let mut state = crate::engine::State::Recover;
    while !matches!(state, crate::engine::State::Inspect) {
        state = engine.step(state);
    }
    // The agent kept a handle and writes through it after the hash has been verified.
    let evil = Tar::new().program("bin/tool", "#!/bin/sh\necho evil\n").gz();
    fs::File::options().write(true).open(world.path("artifact")).unwrap().write_all(&evil).unwrap();
    while !matches!(state, crate::engine::State::Ended(_)) {
        state = engine.step(state);
    }
    assert_eq!(state, crate::engine::State::Ended(NEW));
    let told = Command::new(world.package("tool").join("current/bin/tool")).output().unwrap();
    assert_eq!(told.stdout, b"1.0\n");
}

#[test]
fn without_room_nothing_is_begun() {
    let world = World::new();
    let release = probed("1.0", 1).needs(1 << 20);
    for room in [0, 100, 1 << 20] {
        assert_eq!(waits(&world.run(&world.job(&release), &release, &Room(room)).outcome), Reason::DiskFull);
        assert_eq!(World::names(&world.root), [""; 0]);
        world.assert_tidy();
    }
    assert_eq!(world.run(&world.job(&release), &release, &Room((1 << 20) + (64 << 10))).outcome, NEW);
}

/// A disk that is full below one folder and has space elsewhere.
struct FullBelow(PathBuf);

impl FreeSpace for FullBelow {
    fn free_bytes(&self, at: &Path) -> io::Result<u64> {
        Ok(if at.starts_with(&self.0) { 0 } else { u64::MAX })
    }
}

#[test]
fn each_disk_is_looked_at_before_the_file_is_read() {
    let world = World::new();
    let release = probed("1.0", 1).needs(1);
    // The handle is of another file, so any read through it would show.
    let other = Release { content: b"other".to_vec(), ..release.clone() };
    for full in [world.data(), world.root.clone()] {
        assert_eq!(waits(&world.run(&world.job(&release), &other, &FullBelow(full)).outcome), Reason::DiskFull);
        world.assert_tidy();
    }
    let outcome = world.run(&world.job(&release), &other, &PLENTY).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::BadArtifact);
}

#[test]
fn what_is_gone_when_it_is_to_be_probed_is_no_success() {
    let world = World::new();
    assert_eq!(world.install(&probed("1.0", 1)).outcome, NEW);
    // Without a probe, the release only has to be in place.
    let release = Release::archive("2.0", 2);
    let mut engine = world.engine(&world.job(&release), &release, &PLENTY);
    let mut state = crate::engine::State::Recover;
    while !matches!(state, crate::engine::State::Probe(_)) {
        state = engine.step(state);
    }
    crate::sys::switch(&world.package("tool"), Some("1.0-1")).unwrap();
    while !matches!(state, crate::engine::State::Ended(_)) {
        state = engine.step(state);
    }
    let crate::engine::State::Ended(outcome) = state else { unreachable!() };
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(world.versions("tool"), ["1.0-1"]);
}

#[test]
fn a_disk_that_fills_up_in_the_middle_is_put_in_order_and_waited_for() {
    if !is_root_for("mounting a small disk") {
        return;
    }
    let world = World::new();
    let Some(disk) = world.small_disk() else { return };
    let noise = noise();
    let content = Tar::new().file("first", b"small").file("noise", &noise).gz();
    let release = Release::new(Kind::Archive, "1.0", 1, content);
    let free = Disks.free_bytes(&world.root).unwrap();
    let looked = world.run(&world.job(&release), &release, &Disks).outcome;
    let begun = World::names(&world.root);
    // Another program takes the space after the check.
    let filled = world.install(&release).outcome;
    let left = world.versions("tool");
    disk.grow();
    let then = world.install(&release).outcome;
    drop(disk);
    assert!((500_000..=1 << 20).contains(&free), "{free}");
    assert_eq!((waits(&looked), begun), (Reason::DiskFull, vec![]));
    assert_eq!((waits(&filled), left), (Reason::DiskFull, vec![]));
    assert_eq!(then, NEW);
    world.assert_tidy();
}

#[test]
fn only_one_installs_at_a_time() {
    let world = World::new();
    let (first, second) = (probed("1.0", 1), probed("2.0", 2));
    let working = world.engine(&world.job(&first), &first, &PLENTY);
    assert_eq!(world.refused(&world.job(&second), &second).reason(), Reason::PackageManagerBusy);
    drop(working);
    assert_eq!(world.install(&second).outcome, NEW);
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let release = probed("1.0", 1);
    for folder in ["", "staging", "kept", "ended"].map(|name| world.data().join(name)) {
        let mode = fs::metadata(&folder).unwrap().permissions();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let outcome = world.refused(&world.job(&release), &release).to_outcome(true);
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::DiskFailed, .. }), "{outcome:?}");
        fs::set_permissions(&folder, mode).unwrap();
    }
}
