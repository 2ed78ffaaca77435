//! Verifies that a release whose programs end the install helper holds up no other one: it is undone after three times.

use crate::{
    client::HelperError,
    engine::InstallState,
    protocol::Outcome,
    storage::{journal, layout::Layout},
    tests::{
        deb_builder::{DebSpec, dpkg_deb, spec},
        deb_installs::{await_lock, can_install, give_shell, state},
        helper_process::{install, start},
        test_machine::{
            NEWLY_INSTALLED, TestMachine, TestRelease, UNLIMITED_SPACE, failed_and_restored, reason_to_wait,
        },
    },
};
use banyan_proto::Reason;
use std::{fs, process::Command, time::Duration};
use tokio::time::timeout;

/// How often a step may begin.
const TIMES: usize = 3;

/// A probe that counts its runs and ends the process that started it.
fn ending(machine: &TestMachine, release: TestRelease) -> TestRelease {
    let script = format!("echo x >> {}/probed; kill -9 $PPID", machine.root.display());
    release.probe(&["/bin/sh", "-c", &script])
}

fn probed(machine: &TestMachine) -> usize {
    fs::read_to_string(machine.root.join("probed")).map_or(0, |text| text.lines().count())
}

async fn assert_ends_helper(machine: &TestMachine, release: &TestRelease) {
    let ended = install(machine, release).await;
    assert!(matches!(ended, Err(HelperError::NoAnswer { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_release_whose_probe_ends_the_helper_is_undone_after_three_times() {
    let machine = TestMachine::new();
    machine.install(&TestRelease::archive("1.0", 1));
    let release = ending(&machine, TestRelease::archive("2.0", 2));
    for _ in 0..TIMES {
        assert_ends_helper(&machine, &release).await;
    }
    let outcome = install(&machine, &release).await.unwrap().outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::ProbeFailed);
    assert!(detail.starts_with("the install helper was ended 3 times while the probe ran"), "{detail}");
    assert_eq!((probed(&machine), machine.current("tool").as_deref()), (TIMES, Some("1.0-1")));
    machine.assert_tidy();
    // The same order has the same answer, and its probe does not run again.
    assert_eq!((install(&machine, &release).await.unwrap().outcome, probed(&machine)), (outcome, TIMES));
}

#[tokio::test]
async fn the_next_order_gets_past_a_release_whose_probe_ends_the_helper() {
    let machine = TestMachine::new();
    machine.install(&TestRelease::archive("1.0", 1));
    let bad = ending(&machine, TestRelease::archive("2.0", 2));
    let next = TestRelease::archive("3.0", 3).probe(&["bin/tool"]);
    assert_ends_helper(&machine, &bad).await;
    // The next order finishes what the last one began, and meets the same probe.
    for _ in 1..TIMES {
        assert_ends_helper(&machine, &next).await;
    }
    assert_eq!(install(&machine, &next).await.unwrap().outcome, NEWLY_INSTALLED);
    assert_eq!(machine.versions("tool"), ["1.0-1", "3.0-3"]);
    machine.assert_tidy();
    // The order that failed meanwhile is answered, too.
    let outcome = install(&machine, &bad).await.unwrap().outcome;
    assert_eq!((failed_and_restored(&outcome).0, probed(&machine)), (Reason::ProbeFailed, TIMES));
}

/// A release that is installed already has no journal.
#[tokio::test]
async fn an_installed_release_whose_probe_ends_the_helper_is_a_failure() {
    let machine = TestMachine::new();
    let script = format!("test -e {0}/once || exit 0; kill -9 $PPID", machine.root.display());
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", &script]);
    assert_eq!(install(&machine, &release).await.unwrap().outcome, NEWLY_INSTALLED);
    fs::write(machine.root.join("once"), "").unwrap();
    // The files that are installed, and then the same files unpacked again.
    for _ in 0..2 * TIMES {
        assert_ends_helper(&machine, &release).await;
    }
    let outcome = install(&machine, &release).await.unwrap().outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(machine.versions("tool"), ["1.0-1"]);
    machine.assert_tidy();
}

#[tokio::test]
async fn a_deb_whose_probe_ends_the_helper_is_undone_after_three_times() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let before = spec("tool", "1").release(1);
    assert_eq!(install(&machine, &before).await.unwrap().outcome, NEWLY_INSTALLED);
    let release = ending(&machine, spec("tool", "2").release(2));
    for _ in 0..TIMES {
        assert_ends_helper(&machine, &release).await;
    }
    assert_eq!(state(&machine), "installed 2");
    let outcome = install(&machine, &release).await.unwrap().outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!((state(&machine).as_str(), probed(&machine)), ("installed 1", TIMES));
    machine.assert_tidy();
}

/// A script of a deb can end dpkg as well, so that the package stays half-configured.
#[tokio::test]
async fn a_deb_whose_script_ends_the_helper_is_undone_after_three_times() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let before = spec("tool", "1").release(1);
    assert_eq!(install(&machine, &before).await.unwrap().outcome, NEWLY_INSTALLED);
    let pipe = machine.root.join("helper");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // The script reads which process the install helper is.
    let scripts = [("postinst", "read helper < /helper; kill -9 $helper $PPID")];
    let release = DebSpec { scripts: &scripts, ..spec("tool", "2") }.release(2);
    for _ in 0..TIMES {
        let mut helper = start(&machine, &release);
        let id = format!("{}\n", helper.id().unwrap());
        let told = timeout(Duration::from_secs(60), tokio::fs::write(&pipe, id)).await;
        told.expect("the script did not run").unwrap();
        assert!(!helper.wait().await.unwrap().success());
        await_lock(&machine);
        assert_eq!(state(&machine), "half-configured 2");
    }
    let outcome = install(&machine, &release).await.unwrap().outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!((reason, state(&machine).as_str()), (Reason::InstallFailed, "installed 1"), "{detail}");
    assert!(detail.contains("was ended 3 times while it installed the release"), "{detail}");
    machine.assert_tidy();
}

/// The undo runs programs of the publisher, too.
#[tokio::test]
async fn an_undo_that_ends_the_helper_is_given_up_after_three_times() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    assert!(dpkg_deb(&machine, "--install", &spec("tool", "1")));
    let undo = ["/bin/sh", "-c", "kill -9 $PPID"];
    let release = spec("tool", "2").release(2).probe(&["/bin/false"]).undo(&undo);
    for _ in 0..TIMES {
        assert_ends_helper(&machine, &release).await;
    }
    // Another package gets through at once.
    let other = spec("other", "1").release(1);
    assert_eq!(install(&machine, &other).await.unwrap().outcome, NEWLY_INSTALLED);
    machine.assert_tidy();
    let outcome = install(&machine, &release).await.unwrap().outcome;
    let Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(detail.contains("the install helper was ended 3 times while it restored the machine"), "{detail}");
    // The plan is not lost.
    assert!(machine.data().join("journal-deb.aside").is_file());
    assert_eq!(state(&machine), "installed 2");
}

#[test]
fn a_step_that_is_put_off_does_not_count_and_forgets_no_end() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1);
    let layout = Layout::open(&machine.folders()).map_err(|error| error.to_string()).unwrap();
    let applied = || journal::read(&layout).ok().flatten().map(|(_, _, begun)| begun.apply);
    let is_missing = |outcome: &Outcome| reason_to_wait(outcome) == Reason::PlaceMissing;
    // The disk of the packages goes while they are unpacked.
    let away = || fs::rename(&machine.root, machine.path("gone")).unwrap();
    let back = || fs::rename(machine.path("gone"), &machine.root).unwrap();
    let unpack = || {
        let mut engine = machine.engine(&machine.job(&release), &release, &UNLIMITED_SPACE);
        let mut state = InstallState::Recover;
        while !matches!(state, InstallState::Apply(_, 1)) {
            state = engine.step(state);
        }
        (engine, state)
    };
    for ended in 0..2 {
        let (mut engine, state) = unpack();
        assert_eq!(applied(), Some(ended + 1));
        away();
        let InstallState::Finished(outcome) = engine.step(state) else { panic!("it went on without the disk") };
        assert!(is_missing(&outcome), "{outcome:?}");
        assert_eq!(applied(), Some(ended), "an attempt that was put off counts");
        drop(engine);
        back();
        // One that is ended counts, and stays counted while the disk is away.
        drop(unpack());
        away();
        let outcome = machine.install(&release).outcome;
        assert!(is_missing(&outcome), "{outcome:?}");
        assert_eq!(applied(), Some(ended + 1), "an end was forgotten");
        back();
    }
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
}

/// Versions of Banyan before this one wrote no counts, and ignore them.
#[test]
fn a_journal_without_counts_is_read() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1).probe(&["bin/tool"]);
    let journal = machine.data().join("journal.json");
    assert!((0..20).any(|steps| machine.stop_after(steps, &release).is_none() && journal.exists()));
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&journal).unwrap()).unwrap();
    assert!(entry.as_object_mut().unwrap().remove("begun").is_some());
    fs::write(&journal, entry.to_string()).unwrap();
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    assert!(!machine.data().join("journal.damaged").exists());
}
