//! Verifies whom the installer trusts: the first call decides, an administrator's setting overrides the agent's, and no
//! caller can redirect the installer to another record. The installer is the real process.

use crate::tests::{
    helper_process::{bare_launcher, launcher},
    signed_documents::Signatories,
    test_machine::{NEW, Release, World, failed_and_restored, is_root_for},
};
use crate::{
    client::{BelieveError, Launcher, believe, run},
    protocol::{Call, Enrolled},
};
use banyan_proto::{Digest, MachineId, Reason, join::JoinCode};
use banyan_trust::fixture::Signers;
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn assert_no(said: Result<(), BelieveError>, expected: Reason) -> String {
    match said {
        Err(BelieveError::Refused { reason, detail }) => {
            assert_eq!(reason, expected, "{detail}");
            detail
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn before_it_is_told_whom_to_believe_it_believes_nobody() {
    let world = World::before_enrolment();
    let release = Release::archive("1.0", 1);
    let ask = async || run(&launcher(&world), release.order, world.job(&release), world.artifact(&release)).await;
    assert_eq!(failed_and_restored(&ask().await.unwrap().outcome).0, Reason::NotAllowed);
    believe(&launcher(&world), world.signatories.enrolled()).await.unwrap();
    assert_eq!(ask().await.unwrap().outcome, NEW);
}

#[tokio::test]
async fn the_first_word_counts_and_no_later_one() {
    let world = World::new();
    let (true_word, strangers) = (world.signatories.enrolled(), Signatories::new().enrolled());
    let launcher = launcher(&world);
    let record = || fs::read(world.data().join("trust.json")).unwrap();
    let before = record();
    for other in [
        Enrolled { machine: MachineId::random(), ..true_word.clone() },
        Enrolled { server: MachineId::random(), ..true_word.clone() },
        Enrolled { keys: strangers.keys.clone(), ..true_word.clone() },
        strangers.clone(),
    ] {
        let said = assert_no(believe(&launcher, other).await, Reason::NotAllowed);
        assert!(said.contains("remove") && said.contains("trust.json"), "{said}");
    }
    // Repeating the same call changes nothing, and a different root with it is ignored.
    believe(&launcher, Enrolled { root: strangers.root, epoch: 0, ..true_word }).await.unwrap();
    assert!(record() == before, "the record was changed");
}

#[tokio::test]
async fn the_agent_may_start_while_an_install_is_under_way() {
    let world = World::new();
    let working = fs::File::open(world.data().join("lock"))
        .unwrap_or_else(|_| fs::File::create(world.data().join("lock")).unwrap());
    working.lock().unwrap();
    believe(&launcher(&world), world.signatories.enrolled()).await.unwrap();
}

/// Returns a join code for these publishers.
fn code(publishers: &Signers) -> String {
    let root = publishers.root_digest();
    JoinCode { server: ([192, 0, 2, 1], 7700).into(), ca: Digest([1; 32]), root, secret: [2; 16] }.to_string()
}

fn join(world: &World, code: &str) -> (bool, String) {
    let launcher = bare_launcher(world);
    let mut command = Command::new(launcher.program);
    command.args(launcher.arguments).arg("--data").arg(world.data()).arg("--join").arg(code);
    let told = command.output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    (told.contains("\"yes\""), told)
}

#[tokio::test]
async fn the_root_that_the_administrator_named_is_the_only_one() {
    let world = World::before_enrolment();
    let named = code(&world.signatories.publishers());
    assert!(join(&world, &named).0);
    let others = code(&Signers::new(banyan_proto::UnixSeconds::now()));
    let (taken, told) = join(&world, &others);
    assert!(!taken && told.contains("not-allowed"), "{told}");
    // An agent that was compromised before its first start.
    let strangers = Signatories::new();
    assert_no(believe(&launcher(&world), strangers.enrolled()).await, Reason::MetadataForged);
    assert!(!world.data().join("trust.json").exists());
    believe(&launcher(&world), world.signatories.enrolled()).await.unwrap();
    assert!(join(&world, &named).0, "the same code again");
    assert!(!join(&world, &others).0);
    assert!(!join(&world, "banyan1-aaaa").0);
}

#[tokio::test]
async fn a_damaged_record_is_not_a_missing_one() {
    let world = World::new();
    let path = world.data().join("trust.json");
    let whole = fs::read(&path).unwrap();
    let release = Release::archive("1.0", 1);
    for damage in [&whole[..whole.len() / 2], b"", b"{}"] {
        fs::write(&path, damage).unwrap();
        let finished = run(&launcher(&world), release.order, world.job(&release), world.artifact(&release)).await;
        assert_eq!(failed_and_restored(&finished.unwrap().outcome).0, Reason::InternalError);
        assert_no(believe(&launcher(&world), world.signatories.enrolled()).await, Reason::InternalError);
        assert_eq!(fs::read(&path).unwrap(), damage, "the damaged file was overwritten");
    }
}

/// Starts the installer with these arguments before the call. Returns whether it installed, and its output.
fn start(world: &World, arguments: &[OsString], call: &[u8]) -> (bool, String) {
    fs::write(world.path("call.json"), call).unwrap();
    start_there(world, arguments)
}

/// Does the same with the existing call.
fn start_there(world: &World, arguments: &[OsString]) -> (bool, String) {
    let launcher = bare_launcher(world);
    let mut command = Command::new(launcher.program);
    command.args(launcher.arguments).args(arguments).arg(world.path("call.json")).current_dir(world.path(""));
    let ran = command.stdin(world.artifact(&Release::archive("1.0", 1))).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(ran.stdout).contains("\"installed\""), text(ran.stderr))
}

#[test]
fn no_call_and_no_caller_chooses_the_folders() {
    let world = World::new();
    let release = Release::archive("1.0", 1);
    let true_call = serde_json::to_vec(&Call::Install(Box::new(world.job(&release)))).unwrap();
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let (data, root) = (world.data().display().to_string(), world.root.display().to_string());
    // The arguments fixed by sudo's rule come first; the caller may append to them.
    for (added, said) in [
        (words(&["--data", &data, "--root", &root, "--data", "/tmp/mine"]), "given twice"),
        (words(&["--data", &data, "--root", &root, "--root", "/"]), "given twice"),
        (words(&["--data", "data", "--root", &root]), "absolute path"),
        (words(&["--data", &data, "--root", "root"]), "absolute path"),
        (words(&["--root", &root]), "usage"),
        (words(&["--data", &data, "--root", &root, "other.json"]), "usage"),
    ] {
        let (installed, text) = start(&world, &added, &true_call);
        assert!(!installed && text.contains(said), "{added:?}: {text}");
    }
    // A call that names folders of its own is invalid.
    let mut call: serde_json::Value = serde_json::from_slice(&true_call).unwrap();
    call["install"]["data_dir"] = "/tmp/mine".into();
    let fixed = words(&["--data", &data, "--root", &root]);
    let (installed, text) = start(&world, &fixed, call.to_string().as_bytes());
    assert!(!installed && text.contains("data_dir"), "{text}");
    // So is a call that is a symbolic link to a file only the installer may read.
    let (secret, link) = (world.path("secret"), world.path("call.json"));
    fs::write(&secret, "{\"a secret\": true}").unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let (installed, text) = start_there(&world, &fixed);
    assert!(!installed && text.contains("could not read the call") && !text.contains("a secret"), "{text}");
    fs::remove_file(&link).unwrap();
    // So is a pipe, which might never be written to.
    assert!(Command::new("mkfifo").arg(&link).status().unwrap().success());
    let (installed, text) = start_there(&world, &fixed);
    assert!(!installed && text.contains("not a plain file"), "{text}");
    fs::remove_file(link).unwrap();
    assert!(start(&world, &fixed, &true_call).0);
}

/// Returns whether the installer accepts a folder as its own.
async fn takes(world: &World, folder: &Path) -> Result<(), BelieveError> {
    let mut launcher: Launcher = bare_launcher(world);
    launcher.arguments.extend(["--data".into(), folder.into()]);
    believe(&launcher, world.signatories.enrolled()).await
}

#[tokio::test]
async fn with_privileges_no_folder_is_used_that_others_could_swap() {
    if !is_root_for("owning folders") {
        return;
    }
    let world = World::before_enrolment();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (above, own) = (world.path("above"), world.path("above/own"));
    fs::create_dir_all(&own).unwrap();
    for (open, sticky) in [(0o777, 0o1777), (0o775, 0o1775)] {
        mode(&above, open);
        assert_no(takes(&world, &own).await, Reason::DiskFailed);
        mode(&above, sticky);
        takes(&world, &own).await.unwrap();
        fs::remove_file(own.join("trust.json")).unwrap();
    }
    mode(&above, 0o755);
    // Another user's folder above it, a link in its place, and another user's folder itself.
    let nobody = Some(nix::unistd::Uid::from_raw(65534));
    nix::unistd::chown(&above, nobody, None).unwrap();
    assert_no(takes(&world, &own).await, Reason::DiskFailed);
    nix::unistd::chown(&above, Some(nix::unistd::Uid::from_raw(0)), None).unwrap();
    std::os::unix::fs::symlink(&own, world.path("above/link")).unwrap();
    assert_no(takes(&world, &world.path("above/link")).await, Reason::DiskFailed);
    nix::unistd::chown(&own, nobody, None).unwrap();
    assert_no(takes(&world, &own).await, Reason::DiskFailed);
    assert!(!own.join("trust.json").exists());
}

#[test]
fn the_callers_mask_does_not_open_what_is_installed() {
    let world = World::new();
    let release = Release::archive("1.0", 1).probe(&["/bin/sh", "-c", "umask > {dir}/../../mask"]);
    let call = world.path("call.json");
    fs::write(&call, serde_json::to_vec(&Call::Install(Box::new(world.job(&release)))).unwrap()).unwrap();
    let launcher = launcher(&world);
    let script = "umask 000; exec \"$0\" \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(launcher.program).args(launcher.arguments).arg(call);
    let ran = command.stdin(world.artifact(&release)).output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("\"installed\""), "{ran:?}");
    assert_eq!(fs::read_to_string(world.package("tool").join("mask")).unwrap().trim(), "0022");
}
