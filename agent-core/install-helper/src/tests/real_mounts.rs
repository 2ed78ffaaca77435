//! Places that are mounted wrongly, or not at all: what the machine says, that nothing is half-done, and that the same
//! job is finished once the mount is right. They need root, and print a notice when they are skipped.

use crate::{
    engine::InstallState,
    protocol::Outcome,
    tests::{
        deb_builder::{known, spec},
        deb_installs::{can_install, give_shell},
        test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, UNLIMITED_SPACE},
        test_mount::TestMount,
    },
};
use banyan_proto::Reason;
use std::{fs, path::Path};

/// Verifies that the job waits for this reason, and that the explanation names the place. Returns the explanation.
#[track_caller]
fn assert_waits(outcome: &Outcome, wanted: Reason, place: &Path) -> String {
    let Outcome::Waits { reason, detail } = outcome else { panic!("not waiting: {outcome:?}") };
    assert_eq!(*reason, wanted, "{detail}");
    assert!(detail.contains(place.to_str().unwrap()), "{detail} does not name {}", place.display());
    detail.clone()
}

/// An archive whose probe is its own program, started directly or by a shell.
fn archive(version: &str, sequence: u64, by_shell: bool) -> TestRelease {
    let release = TestRelease::archive(version, sequence);
    if by_shell { release.probe(&["/bin/sh", "-c", "./bin/tool"]) } else { release.probe(&["{dir}/bin/tool"]) }
}

#[test]
fn an_archive_waits_for_a_disk_that_allows_programs() {
    for by_shell in [false, true] {
        let machine = TestMachine::new();
        let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
        disk.remount("noexec");
        let first = archive("1.0", 1, by_shell);
        let detail = assert_waits(&machine.install(&first).outcome, Reason::NoExec, &machine.root);
        assert!(detail.contains("noexec"), "{detail}");
        assert_eq!((machine.versions("tool"), machine.current("tool")), (vec![], None));
        machine.assert_tidy();
        disk.remount("exec");
        assert_eq!(machine.install(&first).outcome, NEWLY_INSTALLED);
        disk.remount("noexec");
        assert_waits(&machine.install(&first).outcome, Reason::NoExec, &machine.root);
        // The version before stays in place.
        let second = archive("2.0", 2, by_shell);
        assert_waits(&machine.install(&second).outcome, Reason::NoExec, &machine.root);
        assert_eq!((machine.versions("tool"), machine.current("tool")), (vec!["1.0-1".into()], Some("1.0-1".into())));
        machine.assert_tidy();
        disk.remount("exec");
        assert_eq!(machine.install(&second).outcome, NEWLY_INSTALLED);
        assert_eq!(machine.current("tool").unwrap(), "2.0-2");
    }
}

#[test]
fn an_archive_without_programs_needs_no_disk_that_allows_them() {
    let machine = TestMachine::new();
    let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
    disk.remount("noexec");
    assert_eq!(machine.install(&TestRelease::archive("1.0", 1)).outcome, NEWLY_INSTALLED);
    let probed = TestRelease::archive("2.0", 2).probe(&["/bin/sh", "-c", "test -f bin/tool"]);
    assert_eq!(machine.install(&probed).outcome, NEWLY_INSTALLED);
}

#[test]
fn an_archive_waits_for_a_disk_that_can_be_written() {
    let machine = TestMachine::new();
    let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
    for (version, sequence) in [("1.0", 1), ("2.0", 2)] {
        let before = machine.current("tool");
        let release = archive(version, sequence, false);
        disk.remount("ro");
        let detail = assert_waits(&machine.install(&release).outcome, Reason::ReadOnly, &machine.root);
        assert!(detail.to_lowercase().contains("read-only"), "{detail}");
        assert_eq!(machine.current("tool"), before);
        machine.assert_tidy();
        disk.remount("rw");
        assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    }
}

#[test]
fn an_install_that_a_read_only_disk_interrupts_is_cleaned_up_when_the_disk_is_right() {
    let machine = TestMachine::new();
    let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
    let (first, second) = (archive("1.0", 1, false), archive("2.0", 2, false));
    assert_eq!(machine.install(&first).outcome, NEWLY_INSTALLED);
    let job = machine.job(&second);
    let mut engine = machine.engine(&job, &second, &UNLIMITED_SPACE);
    let mut state = InstallState::Recover;
    while !matches!(state, InstallState::Apply(_, 1)) {
        state = engine.step(state);
    }
    // Unpacked, but not in place: the disk has errors, and the kernel lets no one write to it.
    disk.remount("ro");
    while !matches!(state, InstallState::Finished(_)) {
        state = engine.step(state);
    }
    drop(engine);
    let InstallState::Finished(outcome) = state else { unreachable!() };
    assert_waits(&outcome, Reason::ReadOnly, &machine.root);
    assert_eq!(machine.current("tool").unwrap(), "1.0-1");
    assert_waits(&machine.install(&second).outcome, Reason::ReadOnly, &machine.root);
    disk.remount("rw");
    // What was begun is undone first, and then the release is installed.
    let outcomes = [machine.install(&second).outcome, machine.install(&second).outcome];
    assert!(outcomes.contains(&NEWLY_INSTALLED), "{outcomes:?}");
    assert_eq!(machine.current("tool").unwrap(), "2.0-2");
    assert_eq!(machine.versions("tool"), ["1.0-1", "2.0-2"]);
    machine.assert_tidy();
}

#[test]
fn a_helper_whose_own_folder_is_read_only_waits() {
    let machine = TestMachine::before_enrolment();
    let Some(disk) = TestMount::on(&machine, &machine.data()) else { return };
    let machine = machine.enrolled();
    let release = archive("1.0", 1, false);
    disk.remount("ro");
    let refused = machine.refused(&machine.job(&release), &release).to_outcome(true);
    assert_waits(&refused, Reason::ReadOnly, &machine.data());
    assert_eq!(TestMachine::names(&machine.root), [""; 0]);
    disk.remount("rw");
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
}

#[test]
fn nothing_is_installed_below_a_missing_root() {
    let machine = TestMachine::new();
    let release = archive("1.0", 1, false);
    let elsewhere = machine.path("elsewhere");
    fs::rename(&machine.root, &elsewhere).unwrap();
    assert_waits(&machine.install(&release).outcome, Reason::PlaceMissing, &machine.root);
    assert!(!machine.root.exists(), "a missing root was created");
    fs::rename(&elsewhere, &machine.root).unwrap();
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
}

#[test]
fn nothing_is_installed_where_the_disk_of_the_packages_is_not_mounted() {
    let machine = TestMachine::new();
    let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
    assert_eq!(machine.install(&archive("1.0", 1, false)).outcome, NEWLY_INSTALLED);
    disk.detach();
    let second = archive("2.0", 2, false);
    let packages = machine.root.join("opt/banyan/packages");
    assert_waits(&machine.install(&second).outcome, Reason::PlaceMissing, &packages);
    assert_eq!(TestMachine::names(&machine.root), [""; 0], "the folder below the mount was filled");
    disk.attach();
    assert_eq!(machine.install(&second).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.versions("tool"), ["1.0-1", "2.0-2"]);
    machine.assert_tidy();
}

#[test]
fn a_disk_that_is_lost_at_any_step_is_waited_for() {
    for steps in 1..14 {
        let machine = TestMachine::new();
        let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
        assert_eq!(machine.install(&archive("1.0", 1, false)).outcome, NEWLY_INSTALLED);
        let second = archive("2.0", 2, false);
        let job = machine.job(&second);
        let mut engine = machine.engine(&job, &second, &UNLIMITED_SPACE);
        let mut state = InstallState::Recover;
        for _ in 0..steps {
            state = engine.step(state);
        }
        if matches!(state, InstallState::Finished(_)) {
            assert!(steps > 8, "the install ended after {steps} steps");
            return;
        }
        let may_be_done = matches!(state, InstallState::CleanUp(_));
        disk.detach();
        while !matches!(state, InstallState::Finished(_)) {
            state = engine.step(state);
        }
        drop(engine);
        let InstallState::Finished(outcome) = state else { unreachable!() };
        if !(may_be_done && outcome == NEWLY_INSTALLED) {
            assert_waits(&outcome, Reason::PlaceMissing, &machine.root);
        }
        assert_eq!(TestMachine::names(&machine.root), [""; 0], "after {steps} steps");
        disk.attach();
        machine.install(&second);
        assert_eq!(machine.current("tool").unwrap(), "2.0-2", "after {steps} steps");
        machine.assert_tidy();
    }
}

#[test]
fn a_deb_waits_for_a_disk_that_allows_its_scripts() {
    if !can_install("installing debs") {
        return;
    }
    for place in ["", "var/lib/dpkg"] {
        let machine = TestMachine::new();
        let Some(disk) = TestMount::on(&machine, &machine.root.join(place)) else { return };
        give_shell(&machine);
        let one = crate::tests::deb_builder::DebSpec { scripts: &[("postinst", "echo set up")], ..spec("tool", "1.0") };
        let release = one.release(1);
        disk.remount("noexec");
        let detail = assert_waits(&machine.install(&release).outcome, Reason::NoExec, &machine.root);
        assert!(detail.contains("noexec"), "{detail}");
        assert_eq!(known(&machine, "tool"), "", "{place}");
        machine.assert_tidy();
        // Without scripts, nothing needs to be started there.
        assert_eq!(machine.install(&spec("data", "1.0").release(1)).outcome, NEWLY_INSTALLED);
        disk.remount("exec");
        assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
        assert_eq!(known(&machine, "tool"), "install installed 1.0");
    }
}

#[test]
fn a_deb_waits_for_disks_that_can_be_written() {
    if !can_install("installing debs") {
        return;
    }
    for place in ["", "usr"] {
        let machine = TestMachine::new();
        let Some(disk) = TestMount::on(&machine, &machine.root.join(place)) else { return };
        for (version, sequence, before) in [("1.0", 1, ""), ("2.0", 2, "install installed 1.0")] {
            let release = spec("tool", version).release(sequence);
            disk.remount("ro");
            let outcome = machine.install(&release).outcome;
            let detail = assert_waits(&outcome, Reason::ReadOnly, &machine.root);
            assert!(detail.to_lowercase().contains("read-only"), "{detail}");
            let now = known(&machine, "tool");
            assert!(now == before || before.is_empty() && now.contains("not-installed"), "{place:?}: {now}");
            machine.assert_tidy();
            disk.remount("rw");
            assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED, "{place:?} {version}");
        }
        assert_eq!(known(&machine, "tool"), "install installed 2.0");
    }
}

#[test]
fn no_deb_is_installed_where_the_disk_of_the_root_is_not_mounted() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let Some(disk) = TestMount::on(&machine, &machine.root) else { return };
    assert_eq!(machine.install(&spec("tool", "1.0").release(1)).outcome, NEWLY_INSTALLED);
    disk.detach();
    let second = spec("tool", "2.0").release(2);
    assert_waits(&machine.install(&second).outcome, Reason::PlaceMissing, &machine.root.join("var/lib/dpkg"));
    assert_eq!(TestMachine::names(&machine.root), [""; 0], "the folder below the mount was filled");
    disk.attach();
    assert_eq!(machine.install(&second).outcome, NEWLY_INSTALLED);
    assert_eq!(known(&machine, "tool"), "install installed 2.0");
}
