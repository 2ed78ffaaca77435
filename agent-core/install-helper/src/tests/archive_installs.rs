//! Verifies archive jobs from the start to the switched `current`, and back.

use crate::tests::test_machine::{
    ALREADY_INSTALLED, FreeBytes, NEWLY_INSTALLED, TestMachine, TestRelease, UNLIMITED_SPACE, failed_and_restored,
    is_root_for, noise, reason_to_wait,
};
use crate::{
    protocol::Outcome,
    storage::{
        free_space::{FreeSpace, RealDisks},
        layout::HelperFolders,
    },
};
use banyan_archive::fixture::Tar;
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

fn probed(version: &str, sequence: u64) -> TestRelease {
    TestRelease::archive(version, sequence).probe(&says(version).each_ref().map(String::as_str))
}

#[test]
fn an_archive_is_installed_and_current_names_it() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.current("tool").unwrap(), "1.0-1");
    let output = Command::new(machine.package("tool").join("current/bin/tool")).output().unwrap();
    assert_eq!(output.stdout, b"1.0\n");
    machine.assert_tidy();
}

#[test]
fn with_the_machines_own_root_packages_are_in_the_data_folder() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    let folders = HelperFolders { root: "/".into(), ..machine.folders() };
    assert_eq!(machine.run_in(&folders, &machine.job(&release), &release, &UNLIMITED_SPACE).outcome, NEWLY_INSTALLED);
    assert!(machine.data().join("packages/tool/current/bin/tool").is_file());
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &str| fs::metadata(machine.data().join(path)).unwrap().permissions().mode() & 0o777;
    for open in ["", "packages", "packages/tool", "packages/tool/versions", "packages/tool/versions/1.0-1"] {
        assert_eq!(mode(open), 0o755, "{open}: other users cannot use what is installed");
    }
    assert_eq!(["lock", "trust.json", "staging", "kept", "ended"].map(mode), [0o600, 0o600, 0o700, 0o700, 0o700]);
}

#[test]
fn installing_twice_changes_nothing() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    let again = TestRelease { order: OrderId::random(), ..release.clone() };
    for release in [&release, &again] {
        assert_eq!(machine.install(release).outcome, ALREADY_INSTALLED);
        assert_eq!(machine.versions("tool"), ["1.0-1"]);
    }
    machine.assert_tidy();
}

#[test]
fn damaged_files_of_an_installed_release_are_unpacked_again() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    machine.install(&release);
    let tool = machine.package("tool").join("current/bin/tool");
    let good = fs::read(&tool).unwrap();
    for content in [Some("#!/bin/sh\nexit 1\n"), None] {
        match content {
            Some(content) => fs::write(&tool, content).unwrap(),
            None => fs::remove_file(&tool).unwrap(),
        }
        let again = TestRelease { order: OrderId::random(), ..release.clone() };
        let outcome = machine.install(&again).outcome;
        let Outcome::Installed { already: false, remark: Some(remark) } = &outcome else { panic!("{outcome:?}") };
        assert!(remark.starts_with("the installed files did not work (the probe "), "{remark}");
        assert_eq!(fs::read(&tool).unwrap(), good);
        assert_eq!(machine.install(&again).outcome, ALREADY_INSTALLED);
        machine.assert_tidy();
    }
}

#[test]
fn an_installed_release_that_does_not_work_after_unpacking_it_again_is_a_failure() {
    let machine = TestMachine::new();
    let works = machine.root.join("works");
    fs::write(&works, "").unwrap();
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", &format!("test -e {}", works.display())]);
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    fs::remove_file(&works).unwrap();
    let outcome = machine.install(&release).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::ProbeFailed);
    assert!(detail.contains("also after the release was unpacked again"), "{detail}");
    assert_eq!((machine.current("tool").as_deref(), machine.versions("tool").len()), (Some("1.0-1"), 1));
    machine.assert_tidy();
}

#[test]
fn what_is_in_the_place_of_the_link_is_left_alone() {
    let machine = TestMachine::new();
    assert_eq!(machine.install(&probed("1.0", 1)).outcome, NEWLY_INSTALLED);
    let current = machine.package("tool").join("current");
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    fs::write(current.join("mine"), "precious").unwrap();
    let release = probed("2.0", 2);
    let outcome = machine.install(&release).outcome;
    let Outcome::Waits { reason: Reason::PlaceTaken, detail } = &outcome else { panic!("{outcome:?}") };
    assert!(detail.contains(&current.display().to_string()) && detail.contains("move it away"), "{detail}");
    assert_eq!(fs::read(current.join("mine")).unwrap(), b"precious");
    fs::rename(&current, machine.path("moved")).unwrap();
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_failing_probe_restores_the_previous_version() {
    let machine = TestMachine::new();
    assert_eq!(machine.install(&probed("1.0", 1)).outcome, NEWLY_INSTALLED);
    let bad = TestRelease::archive("2.0", 2).probe(&["/bin/sh", "-c", "echo cannot find libfoo >&2; exit 3"]);
    let finished = machine.install(&bad);
    let (reason, detail) = failed_and_restored(&finished.outcome);
    assert_eq!((reason, detail), (Reason::ProbeFailed, "the probe exited with code 3; tool 1.0 is back"));
    assert!(finished.output.contains("cannot find libfoo"), "{}", finished.output);
    assert_eq!(machine.current("tool").unwrap(), "1.0-1");
    assert_eq!(machine.versions("tool"), ["1.0-1"]);
    machine.assert_tidy();
}

#[test]
fn a_failing_probe_of_the_first_version_leaves_nothing() {
    let machine = TestMachine::new();
    let outcome = machine.install(&TestRelease::archive("1.0", 1).probe(&["/bin/false"])).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(machine.current("tool"), None);
    assert_eq!(machine.versions("tool"), [""; 0]);
}

#[test]
fn a_failed_order_is_tried_again_only_on_request() {
    let machine = TestMachine::new();
    let probe = format!("echo x >> {}/probed; test -e {}/repaired", machine.root.display(), machine.root.display());
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", &probe]);
    let probed = || fs::read_to_string(machine.root.join("probed")).unwrap().lines().count();
    let first = machine.install(&release).outcome;
    assert_eq!((machine.install(&release).outcome, probed()), (first, 1));
    fs::write(machine.root.join("repaired"), "").unwrap();
    let mut job = machine.job(&release);
    job.attempt = 1;
    assert_eq!(machine.run(&job, &release, &UNLIMITED_SPACE).outcome, NEWLY_INSTALLED);
    assert_eq!(probed(), 2);
}

#[test]
fn only_a_few_old_versions_are_kept() {
    let machine = TestMachine::new();
    for sequence in 1..=5 {
        assert_eq!(machine.install(&probed(&format!("{sequence}.0"), sequence)).outcome, NEWLY_INSTALLED);
    }
    assert_eq!(machine.versions("tool"), ["3.0-3", "4.0-4", "5.0-5"]);
    assert_eq!(
        TestMachine::names(&machine.package("tool").join("records")),
        ["3.0-3.json", "4.0-4.json", "5.0-5.json"]
    );
}

#[test]
fn reinstalling_an_old_release_does_not_write_to_its_kept_folder() {
    let machine = TestMachine::new();
    let first = probed("1.0", 1);
    machine.install(&first);
    machine.install(&probed("2.0", 2));
    assert_eq!(machine.install(&first).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.current("tool").unwrap(), "1.0-1.2");
}

#[test]
fn the_publishers_detect_command_decides() {
    let machine = TestMachine::new();
    let there = TestRelease::archive("1.0", 1).detect(&["/bin/sh", "-c", "exit 0"]);
    assert_eq!(machine.install(&there).outcome, ALREADY_INSTALLED);
    assert_eq!(machine.versions("tool"), [""; 0]);
    let needs_folder = TestRelease::archive("1.0", 1).detect(&["/bin/sh", "-c", "test -x {dir}/bin/tool"]);
    assert_eq!(machine.install(&needs_folder).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.install(&needs_folder).outcome, ALREADY_INSTALLED);
}

#[test]
fn an_unsafe_archive_is_refused_before_anything_is_written() {
    let machine = TestMachine::new();
    let content = Tar::new().file("good", b"1").file("../../../../evil", b"2").gz();
    let outcome = machine.install(&TestRelease::new(Kind::Archive, "1.0", 1, content)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::ArchiveUnsafe);
    assert!(detail.contains("../../../../evil"), "{detail}");
    assert_eq!(TestMachine::names(&machine.root), [""; 0]);
    machine.assert_tidy();
}

#[test]
fn a_damaged_archive_is_not_reported_as_an_attack() {
    let machine = TestMachine::new();
    let mut content = TestRelease::archive("1.0", 1).content;
    content.truncate(content.len() - 5);
    let outcome = machine.install(&TestRelease::new(Kind::Archive, "1.0", 1, content)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::InstallFailed);
    assert_eq!(TestMachine::names(&machine.root), [""; 0]);
}

#[test]
fn an_artifact_that_does_not_match_the_manifest_is_refused() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    let mut longer = release.clone();
    longer.content.push(0);
    let mut shorter = release.clone();
    shorter.content.pop();
    let mut other = release.clone();
    other.content[20] ^= 1;
    for wrong in [longer, shorter, other] {
        let outcome = machine.run(&machine.job(&release), &wrong, &UNLIMITED_SPACE).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::BadArtifact);
        machine.assert_tidy();
    }
    // A publisher who signed the right hash with a size that does not match the file.
    let mut says_less = release;
    says_less.manifest.artifacts[0].size -= 1;
    assert_eq!(failed_and_restored(&machine.install(&says_less).outcome).0, Reason::BadArtifact);
}

#[test]
fn changing_the_artifact_after_verification_has_no_effect() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    let mut engine = machine.engine(&machine.job(&release), &release, &UNLIMITED_SPACE);
    let mut state = crate::engine::InstallState::Recover;
    while !matches!(state, crate::engine::InstallState::Inspect) {
        state = engine.step(state);
    }
    // The agent kept a handle and writes through it after the hash has been verified.
    let evil = Tar::new().program("bin/tool", "#!/bin/sh\necho evil\n").gz();
    fs::File::options().write(true).open(machine.path("artifact")).unwrap().write_all(&evil).unwrap();
    while !matches!(state, crate::engine::InstallState::Finished(_)) {
        state = engine.step(state);
    }
    assert_eq!(state, crate::engine::InstallState::Finished(NEWLY_INSTALLED));
    let output = Command::new(machine.package("tool").join("current/bin/tool")).output().unwrap();
    assert_eq!(output.stdout, b"1.0\n");
}

#[test]
fn without_free_space_nothing_is_started() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1).needs(1 << 20);
    // What the publisher states includes the unpacked files.
    for room in [0, 100, (1 << 20) - 1] {
        assert_eq!(
            reason_to_wait(&machine.run(&machine.job(&release), &release, &FreeBytes(room)).outcome),
            Reason::DiskFull
        );
        assert_eq!(TestMachine::names(&machine.root), [""; 0]);
        machine.assert_tidy();
    }
    assert_eq!(machine.run(&machine.job(&release), &release, &FreeBytes(1 << 20)).outcome, NEWLY_INSTALLED);
}

/// A disk that is full below one folder and has space elsewhere.
struct FullBelow(PathBuf);

impl FreeSpace for FullBelow {
    fn free_bytes(&self, at: &Path) -> io::Result<u64> {
        Ok(if at.starts_with(&self.0) { 0 } else { u64::MAX })
    }
}

#[test]
fn free_space_is_checked_on_each_disk_before_the_file_is_read() {
    let machine = TestMachine::new();
    let release = probed("1.0", 1).needs(1);
    // The handle is of another file, so any read through it would show.
    let other = TestRelease { content: b"other".to_vec(), ..release.clone() };
    for full in [machine.data(), machine.root.clone()] {
        assert_eq!(
            reason_to_wait(&machine.run(&machine.job(&release), &other, &FullBelow(full)).outcome),
            Reason::DiskFull
        );
        machine.assert_tidy();
    }
    let outcome = machine.run(&machine.job(&release), &other, &UNLIMITED_SPACE).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::BadArtifact);
}

/// Disks with room for any number of bytes, but not of files.
struct FewFiles {
    data: PathBuf,
    /// On the disk of the install helper's own folder.
    own: u64,
    /// On the disk of the packages.
    packages: u64,
}

impl FreeSpace for FewFiles {
    fn free_bytes(&self, _at: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn free_files(&self, at: &Path) -> io::Result<Option<u64>> {
        Ok(Some(if at.starts_with(&self.data) { self.own } else { self.packages }))
    }
}

#[test]
fn a_disk_that_can_hold_no_more_files_is_full() {
    let machine = TestMachine::new();
    // A folder and a file.
    let release = probed("1.0", 1);
    let disks = |own, packages| FewFiles { data: machine.data(), own, packages };
    let waits = |own, packages| match machine.run(&machine.job(&release), &release, &disks(own, packages)).outcome {
        Outcome::Waits { reason: Reason::DiskFull, detail } => detail,
        other => panic!("{other:?}"),
    };
    let detail = waits(u64::MAX, 1);
    assert!(detail.contains("needs 2 files and folders") && detail.contains("only 1 more"), "{detail}");
    assert!(detail.contains("free inodes"), "{detail}");
    machine.assert_tidy();
    let detail = waits(0, u64::MAX);
    assert!(detail.contains("copy of the artifact") && detail.contains("free inodes"), "{detail}");
    assert!(detail.contains(machine.data().to_str().unwrap()), "{detail}");
    machine.assert_tidy();
    assert_eq!(machine.run(&machine.job(&release), &release, &disks(u64::MAX, 2)).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_release_that_is_gone_before_the_probe_is_a_failure() {
    let machine = TestMachine::new();
    assert_eq!(machine.install(&probed("1.0", 1)).outcome, NEWLY_INSTALLED);
    // Without a probe, the release only has to be in place.
    let release = TestRelease::archive("2.0", 2);
    let mut engine = machine.engine(&machine.job(&release), &release, &UNLIMITED_SPACE);
    let mut state = crate::engine::InstallState::Recover;
    while !matches!(state, crate::engine::InstallState::Probe(_)) {
        state = engine.step(state);
    }
    crate::sys::switch_current(&machine.package("tool"), Some("1.0-1")).unwrap();
    while !matches!(state, crate::engine::InstallState::Finished(_)) {
        state = engine.step(state);
    }
    let crate::engine::InstallState::Finished(outcome) = state else { unreachable!() };
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(machine.versions("tool"), ["1.0-1"]);
}

#[test]
fn a_disk_that_fills_up_while_unpacking_is_cleaned_up_and_waited_for() {
    if !is_root_for("mounting a small disk") {
        return;
    }
    let machine = TestMachine::new();
    let Some(disk) = machine.small_disk() else { return };
    let noise = noise();
    let content = Tar::new().file("first", b"small").file("noise", &noise).gz();
    let release = TestRelease::new(Kind::Archive, "1.0", 1, content);
    let free = RealDisks.free_bytes(&machine.root).unwrap();
    let looked = machine.run(&machine.job(&release), &release, &RealDisks).outcome;
    let begun = TestMachine::names(&machine.root);
    // Another program takes the space after the check.
    let filled = machine.install(&release).outcome;
    let left = machine.versions("tool");
    disk.grow();
    let then = machine.install(&release).outcome;
    drop(disk);
    assert!((500_000..=1 << 20).contains(&free), "{free}");
    assert_eq!((reason_to_wait(&looked), begun), (Reason::DiskFull, vec![]));
    assert_eq!((reason_to_wait(&filled), left), (Reason::DiskFull, vec![]));
    assert_eq!(then, NEWLY_INSTALLED);
    machine.assert_tidy();
}

#[test]
fn only_one_installs_at_a_time() {
    let machine = TestMachine::new();
    let (first, second) = (probed("1.0", 1), probed("2.0", 2));
    let working = machine.engine(&machine.job(&first), &first, &UNLIMITED_SPACE);
    assert_eq!(machine.refused(&machine.job(&second), &second).reason(), Reason::PackageManagerBusy);
    drop(working);
    assert_eq!(machine.install(&second).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let machine = TestMachine::new();
    let release = probed("1.0", 1);
    for folder in ["", "staging", "kept", "ended"].map(|name| machine.data().join(name)) {
        let mode = fs::metadata(&folder).unwrap().permissions();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let outcome = machine.refused(&machine.job(&release), &release).to_outcome(true);
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::DiskFailed, .. }), "{outcome:?}");
        fs::set_permissions(&folder, mode).unwrap();
    }
}
