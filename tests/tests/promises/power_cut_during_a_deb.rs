//! Verifies that a Debian package whose probe fails is removed again when agent and install helper die at any moment of
//! its installation, alone or with everything that they started, and that no end is reported before that. Needs root.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, DeploymentStatus, Stage},
    platform::platform,
};
use banyan_tests::TestNetwork;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The scripts of the package and its probe, in the order in which they run.
const MOMENTS: [&str; 5] = ["preinst", "postinst", "probe", "prerm", "postrm"];

/// Runs a program that is there to prepare the test.
fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output().expect("the program can be started");
    assert!(out.status.success(), "{program} {arguments:?}: {out:?}");
    String::from_utf8(out.stdout).expect("the output is UTF-8")
}

/// Puts a shell for the package's scripts below the root.
fn give_shell(root: &Path) {
    let libraries = run("ldd", &["/bin/sh"]);
    for path in libraries.split_whitespace().filter(|word| word.starts_with('/')).chain(["/bin/sh"]) {
        let to = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("the path has a folder")).expect("the folder can be created");
        fs::copy(path, to).expect("the file can be copied");
    }
}

/// Returns a script that says when it runs for the first time, and then waits. It ends with this code.
fn script(root: &str, moment: &str, code: u8) -> String {
    format!("test -e {root}/was-{moment} && exit {code}; : > {root}/was-{moment}; read go < {root}/hold; exit {code}")
}

/// Publishes a package that holds at this moment, and whose probe fails.
fn publish(network: &TestNetwork, version: &str, moment: &str) {
    let folder = PathBuf::from(network.path(&format!("deb-{version}")));
    let control = folder.join("tree/DEBIAN");
    fs::create_dir_all(&control).expect("the folder can be created");
    fs::create_dir_all(folder.join("tree/usr/share/tool")).expect("the folder can be created");
    fs::write(folder.join("tree/usr/share/tool/version"), version).expect("the file can be written");
    let fields = format!(
        "Package: tool\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: for tests\n"
    );
    fs::write(control.join("control"), fields).expect("the file can be written");
    if moment != "probe" {
        fs::write(control.join(moment), format!("#!/bin/sh\n{}\n", script("", moment, 0)))
            .expect("the file can be written");
        fs::set_permissions(control.join(moment), fs::Permissions::from_mode(0o755)).expect("the mode can be set");
    }
    let deb = folder.join("tool.deb");
    let path = |path: &Path| path.to_str().expect("the path is valid UTF-8").to_owned();
    run("dpkg-deb", &["--root-owner-group", "-Zgzip", "-b", &path(&folder.join("tree")), &path(&deb)]);
    let root = path(&network.agents[0].root);
    let probe = if moment == "probe" { script(&root, moment, 1) } else { "exit 1".to_owned() };
    let release = format!(
        "name = \"tool\"\nversion = \"{version}\"\n[platform.{}]\nfile = \"tool.deb\"\nprobe = [\"/bin/sh\", \"-c\", \
         \"{probe}\"]\n",
        platform()
    );
    fs::write(folder.join("release.toml"), release).expect("the file can be written");
    network.banyan(&["publish", &path(&folder.join("release.toml")), "--key", &network.path("keys")]);
}

/// Returns a process and everything that it started.
fn family(of: i32) -> Vec<i32> {
    let parent = |id: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all = fs::read_dir("/proc").expect("the processes can be listed");
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let all: Vec<(i32, i32)> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found
}

/// Kills the agent and its install helper, and with `power` everything that they started.
fn cut(network: &mut TestNetwork, power: bool) {
    let agent = network.service(0).expect("the agent runs").id();
    let family = family(i32::try_from(agent).expect("a process id"));
    let killed = if power { family.len() } else { 2 };
    for (id, signal) in [Signal::SIGSTOP, Signal::SIGKILL]
        .iter()
        .flat_map(|signal| family.iter().take(killed).map(move |id| (*id, *signal)))
    {
        // A process may have ended meanwhile.
        let _ = kill(Pid::from_raw(id), signal);
    }
    network.kill_agent(0);
}

fn is_over(status: &DeploymentStatus) -> bool {
    status.state == DeploymentState::Finished
}

#[test]
fn a_failing_deb_is_removed_whenever_agent_and_helper_die() {
    if !geteuid().is_root() || !Path::new("/usr/bin/dpkg-deb").exists() {
        println!("skipped: installing debs needs root and dpkg");
        return;
    }
    let mut network = TestNetwork::start(1);
    let root = network.agents[0].root.clone();
    give_shell(&root);
    run("mkfifo", &[root.join("hold").to_str().expect("the path is valid UTF-8")]);
    for (number, (moment, power)) in MOMENTS.iter().flat_map(|moment| [(moment, false), (moment, true)]).enumerate() {
        let case = format!("{moment}, {}", if power { "power cut" } else { "agent and helper killed" });
        let version = (number + 1).to_string();
        publish(&network, &version, moment);
        let deployment = network.deploy(&format!("tool@{version}"), "all", 1);
        network.wait_until(&case, |_| root.join(format!("was-{moment}")).exists());
        cut(&mut network, power);
        network.start_agent(0);
        if !power && *moment != "probe" {
            let waits = |status: &DeploymentStatus| {
                is_over(status) || status.addressees[0].reason == Some(Reason::PackageManagerBusy)
            };
            let status = network.wait_for_status(&deployment, &format!("{case}: it waits for dpkg"), waits);
            assert!(!is_over(&status), "{case}: an end was reported while dpkg was at work: {status:#?}");
        }
        if !power {
            fs::write(root.join("hold"), "go\n").expect("the script reads");
        }
        let status = network.wait_for_status(&deployment, &format!("{case}: it has ended"), is_over);
        let one = &status.addressees[0];
        assert_eq!((one.stage, one.reason), (Stage::Failed, Some(Reason::ProbeFailed)), "{case}: {one:#?}");
        let dpkg = format!("--root={}", root.display());
        assert_eq!(run("dpkg", &[&dpkg, "--audit"]), "", "{case}");
        assert!(!root.join("usr/share/tool").exists(), "{case}: files were left behind");
        fs::remove_file(root.join(format!("was-{moment}"))).expect("the script ran");
    }
}
