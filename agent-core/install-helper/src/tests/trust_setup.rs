//! Verifies whom the install helper trusts: the first request decides, an administrator's setting overrides the
//! agent's, and no caller can redirect the install helper to another record. The install helper is the real process.

use crate::tests::{
    helper_process::{bare_launcher, launcher},
    signed_documents::TestSigners,
    test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored, is_root_for},
};
use crate::{
    client::{self, Launcher, SetTrustError, set_trust},
    protocol::{EnrolledIdentity, HelperRequest},
};
use banyan_proto::{Digest, MachineId, Reason, join::JoinCode};
use banyan_trust::fixture::Signers;
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn assert_refused(said: Result<(), SetTrustError>, expected: Reason) -> String {
    match said {
        Err(SetTrustError::Refused { reason, detail }) => {
            assert_eq!(reason, expected, "{detail}");
            detail
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn without_a_trust_record_every_job_is_refused() {
    let machine = TestMachine::before_enrolment();
    let release = TestRelease::archive("1.0", 1);
    let send = async || {
        client::install(&launcher(&machine), release.order, machine.job(&release), machine.artifact(&release)).await
    };
    assert_eq!(failed_and_restored(&send().await.unwrap().outcome).0, Reason::NotAllowed);
    set_trust(&launcher(&machine), machine.signers.identity()).await.unwrap();
    assert_eq!(send().await.unwrap().outcome, NEWLY_INSTALLED);
}

#[tokio::test]
async fn the_first_identity_is_kept_and_later_ones_are_refused() {
    let machine = TestMachine::new();
    let (identity, strangers) = (machine.signers.identity(), TestSigners::new().identity());
    let launcher = launcher(&machine);
    let record = || fs::read(machine.data().join("trust.json")).unwrap();
    let before = record();
    for other in [
        EnrolledIdentity { machine: MachineId::random(), ..identity.clone() },
        EnrolledIdentity { server: MachineId::random(), ..identity.clone() },
        EnrolledIdentity { keys: strangers.keys.clone(), ..identity.clone() },
        strangers.clone(),
    ] {
        let said = assert_refused(set_trust(&launcher, other).await, Reason::NotAllowed);
        assert!(said.contains("remove") && said.contains("trust.json"), "{said}");
    }
    // Repeating the same request changes nothing, and a different root with it is ignored.
    set_trust(&launcher, EnrolledIdentity { root: strangers.root, epoch: 0, ..identity }).await.unwrap();
    assert!(record() == before, "the record was changed");
}

#[tokio::test]
async fn the_agent_can_start_during_an_install() {
    let machine = TestMachine::new();
    let working = fs::File::open(machine.data().join("lock"))
        .unwrap_or_else(|_| fs::File::create(machine.data().join("lock")).unwrap());
    working.lock().unwrap();
    set_trust(&launcher(&machine), machine.signers.identity()).await.unwrap();
}

/// Returns a join code for these publishers.
fn code(publishers: &Signers) -> String {
    let root = publishers.root_digest();
    JoinCode { servers: vec!["192.0.2.1:7700".parse().unwrap()], ca: Digest([1; 32]), root, secret: [2; 16] }
        .to_string()
}

fn join(machine: &TestMachine, code: &str) -> (bool, String) {
    let file = machine.path("join-code");
    fs::write(&file, format!("{code}\n")).unwrap();
    let joined = join_with(machine, "--join-file", file.as_os_str());
    assert_eq!(join_with(machine, "--join", code.as_ref()).0, joined.0, "the option of earlier versions");
    joined
}

fn join_with(machine: &TestMachine, option: &str, value: &std::ffi::OsStr) -> (bool, String) {
    let launcher = bare_launcher(machine);
    let mut command = Command::new(launcher.program);
    command.args(launcher.arguments).arg("--data").arg(machine.data()).arg(option).arg(value);
    let output = command.output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    (output.contains("\"yes\""), output)
}

#[tokio::test]
async fn only_the_root_pinned_by_the_administrator_is_accepted() {
    let machine = TestMachine::before_enrolment();
    let named = code(&machine.signers.publishers());
    assert!(join(&machine, &named).0);
    let others = code(&Signers::new(banyan_proto::UnixSeconds::now()));
    let (taken, output) = join(&machine, &others);
    assert!(!taken && output.contains("not-allowed"), "{output}");
    // An agent that was compromised before its first start.
    let strangers = TestSigners::new();
    assert_refused(set_trust(&launcher(&machine), strangers.identity()).await, Reason::MetadataForged);
    assert!(!machine.data().join("trust.json").exists());
    set_trust(&launcher(&machine), machine.signers.identity()).await.unwrap();
    assert!(join(&machine, &named).0, "the same code again");
    assert!(!join(&machine, &others).0);
    assert!(!join(&machine, "banyan1-aaaa").0);
    assert!(!join_with(&machine, "--join-file", machine.path("nowhere").as_os_str()).0);
}

#[tokio::test]
async fn a_damaged_trust_record_does_not_count_as_missing() {
    let machine = TestMachine::new();
    let path = machine.data().join("trust.json");
    let whole = fs::read(&path).unwrap();
    let release = TestRelease::archive("1.0", 1);
    for damage in [&whole[..whole.len() / 2], b"", b"{}"] {
        fs::write(&path, damage).unwrap();
        let finished =
            client::install(&launcher(&machine), release.order, machine.job(&release), machine.artifact(&release))
                .await;
        assert_eq!(failed_and_restored(&finished.unwrap().outcome).0, Reason::InternalError);
        assert_refused(set_trust(&launcher(&machine), machine.signers.identity()).await, Reason::InternalError);
        assert_eq!(fs::read(&path).unwrap(), damage, "the damaged file was overwritten");
    }
}

/// Starts the install helper with these arguments before the request. Returns whether it installed, and its output.
fn start(machine: &TestMachine, arguments: &[OsString], request: &[u8]) -> (bool, String) {
    fs::write(machine.path("request.json"), request).unwrap();
    start_there(machine, arguments)
}

/// Does the same with the existing request.
fn start_there(machine: &TestMachine, arguments: &[OsString]) -> (bool, String) {
    let launcher = bare_launcher(machine);
    let mut command = Command::new(launcher.program);
    command.args(launcher.arguments).args(arguments).arg(machine.path("request.json")).current_dir(machine.path(""));
    let ran = command.stdin(machine.artifact(&TestRelease::archive("1.0", 1))).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(ran.stdout).contains("\"installed\""), text(ran.stderr))
}

#[test]
fn neither_request_nor_caller_chooses_the_folders() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1);
    let valid_request = serde_json::to_vec(&HelperRequest::Install(Box::new(machine.job(&release)))).unwrap();
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let (data, root) = (machine.data().display().to_string(), machine.root.display().to_string());
    // The arguments fixed by sudo's rule come first; the caller may append to them.
    for (added, said) in [
        (words(&["--data", &data, "--root", &root, "--data", "/tmp/mine"]), "given twice"),
        (words(&["--data", &data, "--root", &root, "--root", "/"]), "given twice"),
        (words(&["--data", "data", "--root", &root]), "absolute path"),
        (words(&["--data", &data, "--root", "root"]), "absolute path"),
        (words(&["--root", &root]), "usage"),
        (words(&["--data", &data, "--root", &root, "other.json"]), "usage"),
    ] {
        let (installed, text) = start(&machine, &added, &valid_request);
        assert!(!installed && text.contains(said), "{added:?}: {text}");
    }
    // A request that names folders of its own is invalid.
    let mut request: serde_json::Value = serde_json::from_slice(&valid_request).unwrap();
    request["with"]["data_dir"] = "/tmp/mine".into();
    let fixed = words(&["--data", &data, "--root", &root]);
    let (installed, text) = start(&machine, &fixed, request.to_string().as_bytes());
    assert!(!installed && text.contains("data_dir"), "{text}");
    // So is a request that is a symbolic link to a file only the install helper may read.
    let (secret, link) = (machine.path("secret"), machine.path("request.json"));
    fs::write(&secret, "{\"a secret\": true}").unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let (installed, text) = start_there(&machine, &fixed);
    assert!(!installed && text.contains("could not read the request") && !text.contains("a secret"), "{text}");
    fs::remove_file(&link).unwrap();
    // So is a pipe, which might never be written to.
    assert!(Command::new("mkfifo").arg(&link).status().unwrap().success());
    let (installed, text) = start_there(&machine, &fixed);
    assert!(!installed && text.contains("not a plain file"), "{text}");
    fs::remove_file(link).unwrap();
    assert!(start(&machine, &fixed, &valid_request).0);
}

/// Returns whether the install helper accepts a folder as its own.
async fn accepts_folder(machine: &TestMachine, folder: &Path) -> Result<(), SetTrustError> {
    let mut launcher: Launcher = bare_launcher(machine);
    launcher.arguments.extend(["--data".into(), folder.into()]);
    set_trust(&launcher, machine.signers.identity()).await
}

#[tokio::test]
async fn with_privileges_a_folder_that_others_could_replace_is_refused() {
    if !is_root_for("owning folders") {
        return;
    }
    let machine = TestMachine::before_enrolment();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (above, own) = (machine.path("above"), machine.path("above/own"));
    fs::create_dir_all(&own).unwrap();
    for (open, sticky) in [(0o777, 0o1777), (0o775, 0o1775)] {
        mode(&above, open);
        assert_refused(accepts_folder(&machine, &own).await, Reason::DiskFailed);
        mode(&above, sticky);
        accepts_folder(&machine, &own).await.unwrap();
        fs::remove_file(own.join("trust.json")).unwrap();
    }
    mode(&above, 0o755);
    // Another user's folder above it, a link in its place, and another user's folder itself.
    let nobody = Some(nix::unistd::Uid::from_raw(65534));
    nix::unistd::chown(&above, nobody, None).unwrap();
    assert_refused(accepts_folder(&machine, &own).await, Reason::DiskFailed);
    nix::unistd::chown(&above, Some(nix::unistd::Uid::from_raw(0)), None).unwrap();
    std::os::unix::fs::symlink(&own, machine.path("above/link")).unwrap();
    assert_refused(accepts_folder(&machine, &machine.path("above/link")).await, Reason::DiskFailed);
    nix::unistd::chown(&own, nobody, None).unwrap();
    assert_refused(accepts_folder(&machine, &own).await, Reason::DiskFailed);
    assert!(!own.join("trust.json").exists());
}

#[test]
fn the_callers_umask_does_not_affect_installed_files() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", "umask > {dir}/../../mask"]);
    let request = machine.path("request.json");
    fs::write(&request, serde_json::to_vec(&HelperRequest::Install(Box::new(machine.job(&release)))).unwrap()).unwrap();
    let launcher = launcher(&machine);
    let script = "umask 000; exec \"$0\" \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(launcher.program).args(launcher.arguments).arg(request);
    let ran = command.stdin(machine.artifact(&release)).output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("\"installed\""), "{ran:?}");
    assert_eq!(fs::read_to_string(machine.package("tool").join("mask")).unwrap().trim(), "0022");
}
