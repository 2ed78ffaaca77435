//! Verifies that the machine's own configuration of dpkg is named when it prevents an installation or an undo. The package
//! is not blamed, and the same job is finished once the configuration is right.

use crate::{
    client::{self, Launcher},
    protocol::{InstallResult, Outcome},
    tests::{
        deb_builder::{DebSpec, known, spec},
        deb_installs::{can_install, give_shell},
        helper_process::launcher,
        test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored},
    },
};
use banyan_proto::Reason;
use std::fs;

/// Runs a job on a machine with this text as dpkg's configuration. The other programs of this computer see none of it.
async fn install(machine: &TestMachine, release: &TestRelease, configuration: &str) -> Outcome {
    let folder = machine.path("dpkg.cfg.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("local"), configuration).unwrap();
    let helper = launcher(machine);
    let script = "mount --bind \"$0\" /etc/dpkg/dpkg.cfg.d && exec \"$@\"";
    let mut arguments = vec!["--mount".into(), "sh".into(), "-c".into(), script.into(), folder.into()];
    arguments.push(helper.program.into());
    arguments.extend(helper.arguments);
    let helper = Launcher { program: "unshare".into(), arguments, requests: helper.requests };
    let result = client::install(&helper, release.order, machine.job(release), machine.artifact(release)).await;
    let InstallResult { outcome, output } = result.unwrap();
    println!("{output}");
    outcome
}

#[track_caller]
fn assert_blamed(outcome: &Outcome, texts: &[&str]) {
    let Outcome::Waits { reason, detail } = outcome else { panic!("not waiting: {outcome:?}") };
    assert_eq!(*reason, Reason::PackageManagerMisconfigured, "{detail}");
    for text in texts {
        assert!(detail.contains(text), "{detail} does not contain {text}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_named_and_not_held_against_the_package() {
    if !can_install("installing debs") {
        return;
    }
    assert!(!Reason::PackageManagerMisconfigured.tells_against_release());
    let machine = TestMachine::new();
    let first = spec("tool", "1").release(1);
    for (configuration, texts) in [
        ("no-debsig\nnonsense\n", ["line 2 of /etc/dpkg/dpkg.cfg.d/local", "unknown option 'nonsense'"]),
        ("force=nonsense\n", ["line 1 of /etc/dpkg/dpkg.cfg.d/local", "force/refuse option 'nonsense'"]),
        (
            "pre-invoke=\"exit 3\"\n",
            ["(pre-invoke in line 1 of /etc/dpkg/dpkg.cfg.d/local)", "`exit 3` exited with code 3"],
        ),
    ] {
        let outcome = install(&machine, &first, configuration).await;
        assert_blamed(&outcome, &texts);
        assert_eq!(known(&machine, "tool"), "");
        machine.assert_tidy();
    }
    // This one lets dpkg simulate the installation, and then prevents it.
    let once = machine.path("once");
    let outcome = install(&machine, &first, &format!("pre-invoke=\"mkdir {}\"\n", once.display())).await;
    assert_blamed(&outcome, &["pre-invoke in line 1 of /etc/dpkg/dpkg.cfg.d/local", "exited with code 1"]);
    assert_eq!(known(&machine, "tool"), "");
    machine.assert_tidy();
    // What runs after the installation does not prevent it.
    assert_eq!(install(&machine, &first, "post-invoke=\"exit 3\"\n").await, NEWLY_INSTALLED);
    assert_eq!(known(&machine, "tool"), "install installed 1");
}

#[tokio::test]
async fn an_undo_that_a_hook_prevents_is_done_once_the_hook_is_right() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    assert_eq!(install(&machine, &spec("tool", "1").release(1), "").await, NEWLY_INSTALLED);
    let two = spec("tool", "2").release(2).probe(&["/bin/false"]);
    // dpkg simulates and installs; going back is its third run.
    let runs = machine.path("runs");
    fs::create_dir(&runs).unwrap();
    let runs = runs.display();
    let hook = format!("pre-invoke=\"mkdir {runs}/1 || mkdir {runs}/2\"\n");
    assert_blamed(&install(&machine, &two, &hook).await, &["tool is now installed 2", "pre-invoke in line 1"]);
    let outcome = install(&machine, &two, "").await;
    assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
    assert_eq!(known(&machine, "tool"), "install installed 1");
    machine.assert_tidy();

    // A package that fails itself is still blamed.
    let broken = DebSpec { scripts: &[("postinst", "exit 7")], ..spec("tool", "3") };
    let outcome = install(&machine, &broken.release(3), "post-invoke=\"exit 3\"\n").await;
    assert_eq!(failed_and_restored(&outcome).0, Reason::InstallFailed);
}
