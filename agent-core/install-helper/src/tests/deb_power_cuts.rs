//! Verifies that a deb whose probe fails is undone, whenever the install helper dies: alone, or with everything that it
//! has started, as when the power goes. No end is reported before dpkg's database is whole.

use crate::{
    protocol::Outcome,
    tests::{
        deb_attributes::{everything, mark, without_times},
        deb_builder::{DebSpec, dpkg, known, spec},
        deb_installs::{can_install, give_shell},
        helper_process::{install, start},
        test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored},
    },
};
use banyan_proto::Reason;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How many moments of an install are tried.
const MOMENTS: u32 = 24;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum KillScope {
    Helper,
    Everything,
}

/// Returns the processes that a process has started, and theirs.
fn descendants(of: i32) -> Vec<i32> {
    let parent = |id: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<(i32, i32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent(id)?)))
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found
}

/// Kills a process with everything that it has started, at one moment: nothing may notice the end of something else.
fn cut_power(helper: i32) {
    let mut stopped = Vec::new();
    loop {
        let all = descendants(helper);
        let new: Vec<i32> = all.into_iter().filter(|id| !stopped.contains(id)).collect();
        if new.is_empty() {
            break;
        }
        for id in new {
            let _ = kill(Pid::from_raw(id), Signal::SIGSTOP);
            stopped.push(id);
        }
    }
    for id in stopped {
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// A package with scripts and settings, whose installation takes many steps.
fn package<'a>(version: &'a str, files: &'a [(&'a str, &'a str)]) -> DebSpec<'a> {
    const SCRIPTS: [(&str, &str); 4] =
        [("preinst", "echo a"), ("postinst", "echo b"), ("prerm", "echo c"), ("postrm", "echo d")];
    DebSpec { settings: &[("etc/tool.conf", "1")], scripts: &SCRIPTS, files, ..spec("tool", version) }
}

/// Starts the job and kills after `moment`. Then the job is sent again, as a restarted agent sends it, until it ends.
async fn end_after_kill(machine: &TestMachine, release: &TestRelease, moment: Duration, scope: KillScope) -> Outcome {
    let mut helper = start(machine, release);
    tokio::time::sleep(moment).await;
    match scope {
        KillScope::Helper => drop(helper.start_kill()),
        KillScope::Everything => helper.id().into_iter().for_each(|id| cut_power(i32::try_from(id).unwrap())),
    }
    helper.wait().await.unwrap();
    loop {
        match install(machine, release).await.unwrap().outcome {
            Outcome::Waits { reason: Reason::PackageManagerBusy, .. } => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn machine_with(before: Option<&TestRelease>) -> TestMachine {
    let machine = TestMachine::new();
    give_shell(&machine);
    if let Some(before) = before {
        assert_eq!(install(&machine, before).await.unwrap().outcome, NEWLY_INSTALLED);
        mark(&machine.root.join("usr/share/tool/version"));
    }
    // Files of no package, which the release overwrites.
    let place = |name: &str| machine.root.join("usr/share/tool").join(name);
    fs::create_dir_all(place("")).unwrap();
    fs::write(place("0"), "by hand").unwrap();
    fs::hard_link(place("0"), place("1")).unwrap();
    mark(&place("0"));
    machine
}

/// Tries every moment of the installation of a release that is then undone.
async fn assert_undone_whenever_killed(before: Option<&TestRelease>, scope: KillScope) {
    let names: Vec<String> = (0..40).map(|number| format!("usr/share/tool/{number}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "2")).collect();
    let release = package("2", &files).release(2).probe(&["/bin/sh", "-c", "exit 1"]);
    let undisturbed = machine_with(before).await;
    let began = Instant::now();
    let outcome = install(&undisturbed, &release).await.unwrap().outcome;
    let took = began.elapsed();
    let detail = failed_and_restored(&outcome).1;
    for moment in 0..MOMENTS {
        let machine = machine_with(before).await;
        let files = everything(&machine, &["usr"]);
        let after = took * moment / MOMENTS;
        let outcome = end_after_kill(&machine, &release, after, scope).await;
        let audit = String::from_utf8(dpkg(&machine, &["--audit"]).stdout).unwrap();
        let case = format!("{scope:?} killed after {after:?} of {took:?}: {outcome:?}");
        // dpkg keeps the entry of a package that it has removed, or drops it.
        let state = |machine: &TestMachine| known(machine, "tool").replace("unknown not-installed ", "");
        assert_eq!((state(&machine), audit), (state(&undisturbed), String::new()), "{case}");
        assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, detail), "{case}");
        let is_by_dpkg = |path: &str| path.ends_with("version");
        let left = without_times(everything(&machine, &["usr"]), is_by_dpkg);
        assert_eq!(left, without_times(files, is_by_dpkg), "{case}");
        machine.assert_tidy();
    }
}

#[tokio::test]
async fn a_failing_update_is_undone_whenever_the_helper_is_killed() {
    if can_install("installing debs") {
        let before = package("1", &[]).release(1);
        assert_undone_whenever_killed(Some(&before), KillScope::Helper).await;
    }
}

#[tokio::test]
async fn a_failing_update_is_undone_whenever_the_power_goes() {
    if can_install("installing debs") {
        let before = package("1", &[]).release(1);
        assert_undone_whenever_killed(Some(&before), KillScope::Everything).await;
    }
}

#[tokio::test]
async fn a_failing_first_version_is_removed_whenever_the_helper_is_killed() {
    if can_install("installing debs") {
        assert_undone_whenever_killed(None, KillScope::Helper).await;
    }
}

#[tokio::test]
async fn a_failing_first_version_is_removed_whenever_the_power_goes() {
    if can_install("installing debs") {
        assert_undone_whenever_killed(None, KillScope::Everything).await;
    }
}

/// A dpkg whose install helper was killed may not have taken dpkg's lock yet. It must not work beside the next one.
#[test]
fn a_dpkg_that_a_dead_frontend_has_just_started_is_waited_for() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let release = package("1", &[]).release(1);
    dpkg(&machine, &["--audit"]);
    // A program of that name, which waits until its input ends.
    let program = machine.path("dpkg");
    fs::copy("/bin/sh", &program).unwrap();
    let start = |root: &str| {
        let mut command = Command::new(&program);
        command.args(["-c", "read end", root]).env("DPKG_FRONTEND_LOCKED", "true").stdin(Stdio::piped());
        command.spawn().unwrap()
    };
    let own = format!("--root={}", machine.root.display());
    let (mut orphan, mut of_other_root) = (start(&own), start("--root=/nowhere"));
    let outcome = machine.install(&release).outcome;
    let Outcome::Waits { reason: Reason::PackageManagerBusy, detail } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains(&format!("dpkg (process {})", orphan.id())), "{detail}");
    drop(orphan.stdin.take());
    orphan.wait().unwrap();
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    drop(of_other_root.stdin.take());
    of_other_root.wait().unwrap();
}
