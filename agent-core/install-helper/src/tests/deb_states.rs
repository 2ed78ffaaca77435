//! Verifies what becomes of packages that dpkg left in any of its states, and of everything else that a run touches.

use crate::{
    protocol::Outcome,
    tests::{
        deb_builder::{DebSpec, cache, dpkg, dpkg_deb, known, read, spec},
        deb_installs::{can_install, give_shell},
        test_machine::{ALREADY_INSTALLED, NEWLY_INSTALLED, TestMachine, failed_and_restored},
    },
};
use banyan_proto::{Reason, order::Allowance};
use std::{
    fs,
    time::{Duration, Instant},
};

const BAD: &[&str] = &["/bin/false"];

/// A package with one setting.
fn with_setting<'a>(version: &'a str) -> DebSpec<'a> {
    DebSpec { settings: &[("etc/tool.conf", "default\n")], ..spec("tool", version) }
}

#[test]
fn an_unfinished_package_is_completed_or_left_alone_and_never_purged() {
    if !can_install("installing debs") {
        return;
    }
    let stubborn = DebSpec { scripts: &[("postinst", "test ! -e /notready")], ..with_setting("1") };
    for state in ["unpacked", "half-configured", "half-installed"] {
        for is_cached in [true, false] {
            let machine = TestMachine::new();
            give_shell(&machine);
            assert!(dpkg_deb(&machine, "--install", &stubborn));
            fs::write(machine.root.join("etc/tool.conf"), "mine\n").unwrap();
            fs::write(machine.root.join("notready"), "").unwrap();
            dpkg_deb(&machine, if state == "unpacked" { "--unpack" } else { "--install" }, &stubborn);
            if state == "half-installed" {
                let status = read(&machine, "var/lib/dpkg/status");
                let status = status.replace("install ok half-configured", "install reinstreq half-installed");
                fs::write(machine.root.join("var/lib/dpkg/status"), status).unwrap();
            }
            fs::remove_file(machine.root.join("notready")).unwrap();
            let before = format!("install {state} 1");
            assert_eq!(known(&machine, "tool"), before);
            if is_cached {
                cache(&machine, &stubborn);
            }
            let outcome = machine.install(&with_setting("2").release(1).probe(BAD)).outcome;
            let (reason, detail) = failed_and_restored(&outcome);
            let expected = if is_cached {
                assert_eq!((reason, detail), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
                "install installed 1"
            } else {
                let is_half_installed = state == "half-installed";
                let refusal = if is_half_installed { Reason::CannotRestore } else { Reason::PackagesUnfinished };
                assert_eq!(reason, refusal, "{detail}");
                assert_eq!(detail.contains("apt-get install --reinstall tool"), is_half_installed, "{detail}");
                assert!(detail.contains(&format!("tool 1 is {state}")), "{detail}");
                &before
            };
            assert_eq!(
                (known(&machine, "tool").as_str(), read(&machine, "etc/tool.conf").as_str()),
                (expected, "mine\n")
            );
            let outcome = machine.install_allowing(&with_setting("3").release(2), &[Allowance::NoRestore]).outcome;
            assert_eq!(outcome, NEWLY_INSTALLED, "{state}");
            assert_eq!(read(&machine, "etc/tool.conf"), "mine\n");
        }
    }
}

#[test]
fn a_probe_may_use_dpkg() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let root = format!("--root={}", machine.root.display());
    let probe = ["dpkg", &root, "--configure", "-a"];
    assert!(dpkg_deb(&machine, "--install", &spec("other", "1")));
    assert_eq!(machine.install(&spec("tool", "1").release(1).probe(&probe)).outcome, NEWLY_INSTALLED);
}

#[test]
fn another_packages_failure_is_a_remark() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let script = "test \"$1\" = triggered && { echo disk is full >&2; exit 1; }; exit 0";
    let scripts = &[("postinst", script), ("triggers", "interest-noawait /usr/share/tool")];
    assert!(dpkg_deb(&machine, "--install", &DebSpec { scripts, ..spec("indexer", "1") }));
    let outcome = machine.install(&spec("tool", "1").release(1)).outcome;
    let Outcome::Installed { already: false, remark: Some(remark) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(remark, "dpkg left indexer 1 half-configured; run `dpkg --configure -a` on the machine");
    assert_eq!(known(&machine, "tool"), "install installed 1");
    // It was so before the next job, which therefore does not mention it.
    assert_eq!(machine.install(&spec("apart", "1").release(1)).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_package_that_is_removed_in_favour_of_the_new_one_is_restored() {
    if !can_install("installing debs") {
        return;
    }
    let old = DebSpec { settings: &[("etc/old.conf", "default\n")], ..spec("old", "1") };
    let needs_old = DebSpec { control: "Depends: api\n", ..spec("user", "1") };
    let old = DebSpec { control: "Provides: api\n", ..old };
    let new = DebSpec { control: "Conflicts: old\nReplaces: old\nProvides: api\n", ..spec("tool", "1") };
    let machine = TestMachine::new();
    [&old, &needs_old].into_iter().for_each(|deb| assert!(dpkg_deb(&machine, "--install", deb)));
    fs::write(machine.root.join("etc/old.conf"), "mine\n").unwrap();
    let outcome = machine.install(&new.release(1)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::CannotRestore);
    assert!(detail.starts_with("old 1 is installed, but its deb was not kept"), "{detail}");
    cache(&machine, &old);
    let outcome = machine.install(&new.release(2).probe(BAD)).outcome;
    let (_, detail) = failed_and_restored(&outcome);
    assert!(detail.ends_with("tool was removed again; it was not installed before; old 1 is back"), "{detail}");
    assert_eq!((known(&machine, "old").as_str(), known(&machine, "tool").as_str()), ("install installed 1", ""));
    assert_eq!(read(&machine, "etc/old.conf"), "mine\n");
    let outcome = machine.install(&new.release(3)).outcome;
    let Outcome::Installed { remark: Some(remark), .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(remark, "dpkg removed old 1 in favour of the package");
    assert!(dpkg(&machine, &["--audit"]).stdout.is_empty());
}

#[test]
fn the_same_version_with_other_content_is_installed_and_can_be_undone() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let content = |content| DebSpec { content, ..spec("tool", "1") };
    assert_eq!(machine.install(&content("broken").release(1)).outcome, NEWLY_INSTALLED);
    let outcome = machine.install(&content("worse").release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(read(&machine, "usr/share/tool/version"), "1 broken");
    // Whatever the publisher's own check says.
    let repaired = content("repaired").release(3).detect(&["/bin/true"]);
    assert_eq!(machine.install(&repaired).outcome, NEWLY_INSTALLED);
    assert_eq!(read(&machine, "usr/share/tool/version"), "1 repaired");
    assert_eq!(machine.install(&content("repaired").release(4)).outcome, ALREADY_INSTALLED);
}

#[test]
fn an_installed_version_that_is_deployed_is_kept_to_go_back_to() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--install", &with_setting("1")));
    fs::write(machine.root.join("etc/tool.conf"), "mine\n").unwrap();
    let outcome = machine.install(&with_setting("2").release(1)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::CannotRestore);
    assert_eq!(machine.install(&with_setting("1").release(2)).outcome, ALREADY_INSTALLED);
    let outcome = machine.install(&with_setting("2").release(3).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
    assert_eq!(machine.install(&with_setting("2").release(4)).outcome, NEWLY_INSTALLED);
    machine.assert_tidy();
}

#[test]
fn settings_that_belong_to_no_package_survive_a_failed_first_install() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    fs::create_dir_all(machine.root.join("etc")).unwrap();
    fs::write(machine.root.join("etc/tool.conf"), "written by hand\n").unwrap();
    let essential = DebSpec { control: "Essential: yes\n", ..with_setting("1") };
    let outcome = machine.install(&essential.release(1).probe(BAD)).outcome;
    let (_, detail) = failed_and_restored(&outcome);
    assert!(detail.ends_with("tool was removed again; it was not installed before"), "{detail}");
    assert_eq!((known(&machine, "tool").as_str(), read(&machine, "etc/tool.conf").as_str()), ("", "written by hand\n"));
    assert_eq!(TestMachine::names(&machine.root.join("etc")), ["tool.conf"]);
}

#[test]
fn a_script_that_hangs_is_named_and_ended_with_everything_it_started() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    assert_eq!(machine.install(&spec("tool", "1").release(1)).outcome, NEWLY_INSTALLED);
    // The shell's own `read` waits; a process in the background ignores the request to end.
    let script = "mkfifo /never 2>/dev/null; (trap '' TERM; echo $$ > /background; while :; do read x < /never; done) &\n\
                  read x < /never";
    let pipe = machine.root.join("never");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut release = DebSpec { scripts: &[("postinst", script)], ..spec("tool", "2") }.release(2);
    release.manifest.artifacts[0].install.script_timeout_seconds = Some(1);
    let began = Instant::now();
    let outcome = machine.install(&release).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::ScriptTimeout);
    assert_eq!(detail, "tool.postinst ran longer than 1 s and was stopped; tool 1 is back");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(known(&machine, "tool"), "install installed 1");
    // Nobody reads the pipe any more, so that it cannot be opened for writing.
    let open = nix::fcntl::open(
        &pipe,
        nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK,
        nix::sys::stat::Mode::empty(),
    );
    assert_eq!(open.err(), Some(nix::errno::Errno::ENXIO));
}

#[test]
fn a_daemon_that_keeps_the_output_open_does_not_delay_the_install() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let pipe = machine.root.join("never");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = "(read x < /never) &";
    let began = Instant::now();
    let release = DebSpec { scripts: &[("postinst", script)], ..spec("tool", "1") }.release(1);
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    assert!(began.elapsed() < Duration::from_secs(20));
    fs::write(&pipe, "end\n").unwrap();
}

#[test]
fn an_old_version_that_refuses_its_removal_stays() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let one = DebSpec { scripts: &[("prerm", "echo still in use; exit 3")], ..spec("tool", "1") };
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    let two = DebSpec { scripts: &[("prerm", "exit 4")], ..spec("tool", "2") };
    let outcome = machine.install(&two.release(2)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::InstallFailed);
    assert!(detail.contains("prerm") || detail.contains("pre-removal"), "{detail}");
    assert_eq!(known(&machine, "tool"), "install installed 1");
}
