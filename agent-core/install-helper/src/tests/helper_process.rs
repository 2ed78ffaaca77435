//! Tests the real install helper process: starts it through the real client, and kills it.

use crate::tests::{
    deb_installs::{DebContents, await_lock, can_install, deb, give_shell, state},
    test_machine::{ALREADY_INSTALLED, NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored, reason_to_wait},
};
use crate::{
    client::{self, HelperError, Launcher},
    process,
    protocol::{HelperRequest, InstallResult},
};
use banyan_proto::Reason;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{ffi::OsString, fs, path::Path, process::Command, time::Duration};
use tokio::time::timeout;

/// The argument before the install helper's arguments when this test program acts as the helper.
const HELPER_FLAG: &str = "--install-helper";

/// Not a test: the program that the client starts.
#[test]
#[ignore = "started by the other tests"]
fn run_as_install_helper() {
    let arguments = std::env::args_os().skip_while(|argument| argument != HELPER_FLAG).skip(1);
    let _ = process::run(arguments);
}

pub(crate) fn launcher(machine: &TestMachine) -> Launcher {
    let mut launcher = bare_launcher(machine);
    launcher.arguments.extend(["--data".into(), machine.data().into(), "--root".into(), machine.root.clone().into()]);
    launcher
}

/// Returns a launcher without the folder arguments.
pub(crate) fn bare_launcher(machine: &TestMachine) -> Launcher {
    let test = module_path!().split_once("::").unwrap().1.to_owned() + "::run_as_install_helper";
    let arguments =
        ["--ignored", "--exact", &test, "--nocapture", "--test-threads=2", "--", HELPER_FLAG].map(OsString::from);
    Launcher { program: std::env::current_exe().unwrap(), arguments: arguments.into(), requests: machine.path("") }
}

pub(crate) async fn install(machine: &TestMachine, release: &TestRelease) -> Result<InstallResult, HelperError> {
    client::install(&launcher(machine), release.order, machine.job(release), machine.artifact(release)).await
}

/// Creates a named pipe, with which the test and programs started by the install helper wait for each other.
fn create_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Reads a pipe until its other end is closed.
async fn read_pipe(pipe: &Path) -> String {
    let text = timeout(Duration::from_secs(60), tokio::fs::read_to_string(pipe)).await;
    text.expect("the other side did not write to the pipe").unwrap()
}

/// Releases the reader of a pipe.
async fn release_reader(pipe: &Path) {
    let open = timeout(Duration::from_secs(60), tokio::fs::write(pipe, "go\n")).await;
    open.expect("no reader opened the pipe").unwrap();
}

#[tokio::test]
async fn a_job_goes_through_the_process_and_back() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", "./bin/tool; echo \"{dir}\""]);
    let finished = install(&machine, &release).await.unwrap();
    assert_eq!(finished.outcome, NEWLY_INSTALLED);
    assert!(finished.output.contains("\n1.0\n"), "{}", finished.output);
    assert!(machine.package("tool").join("current/bin/tool").is_file());
    assert_eq!(install(&machine, &release).await.unwrap().outcome, ALREADY_INSTALLED);
    let bad = TestRelease::archive("2.0", 2).probe(&["/bin/false"]);
    assert_eq!(failed_and_restored(&install(&machine, &bad).await.unwrap().outcome).0, Reason::ProbeFailed);
    let left: Vec<_> =
        TestMachine::names(&machine.path("")).into_iter().filter(|name| name.ends_with(".json")).collect();
    assert_eq!(left, [""; 0], "the request file was left behind");
}

#[tokio::test]
async fn a_shared_file_handle_is_read_from_the_start_without_moving_its_position() {
    use std::io::{Seek, SeekFrom};
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1);
    let mut artifact = machine.artifact(&release);
    artifact.seek(SeekFrom::Start(7)).unwrap();
    let shared = artifact.try_clone().unwrap();
    let finished = client::install(&launcher(&machine), release.order, machine.job(&release), shared).await.unwrap();
    assert_eq!(finished.outcome, NEWLY_INSTALLED);
    assert_eq!(artifact.stream_position().unwrap(), 7);
}

#[tokio::test]
async fn a_helper_without_an_answer_is_an_error_with_its_last_output() {
    let machine = TestMachine::new();
    let release = TestRelease::archive("1.0", 1);
    let shell = |script: &str| Launcher {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        requests: machine.path(""),
    };
    let send = async |launcher: &Launcher| {
        client::install(launcher, release.order, machine.job(&release), machine.artifact(&release)).await
    };
    let said = send(&shell("echo not allowed >&2; exit 3")).await;
    assert!(matches!(&said, Err(HelperError::NoAnswer { stderr, .. }) if stderr == "not allowed"), "{said:?}");
    let said = send(&shell("kill -9 $$")).await.unwrap_err().to_string();
    assert_eq!(said, "the install helper ended without an answer (signal: 9 (SIGKILL))");
    let said = send(&shell("i=0; while [ $i -lt 50000 ]; do echo flood; i=$((i+1)); done")).await;
    assert!(matches!(said, Err(HelperError::NoAnswer { .. })), "{said:?}");
    let said = send(&Launcher { program: "/nowhere/install-helper".into(), ..shell("") }).await;
    assert!(matches!(said, Err(HelperError::Start { .. })), "{said:?}");
}

#[tokio::test]
async fn a_request_that_finds_no_room_is_a_full_disk() {
    let machine = TestMachine::new();
    let requests = machine.path("requests");
    let Some(_disk) = TestMachine::mount_disk(&requests, "size=4k") else { return };
    // All of its room.
    fs::write(requests.join("other"), [1; 4096]).unwrap();
    let release = TestRelease::archive("1.0", 1);
    let launcher = Launcher { requests: requests.clone(), ..launcher(&machine) };
    let sent = client::install(&launcher, release.order, machine.job(&release), machine.artifact(&release)).await;
    let error = sent.unwrap_err();
    assert_eq!(error.reason(), Reason::DiskFull, "{error}");
    assert!(error.to_string().contains(&requests.display().to_string()), "{error}");
}

#[tokio::test]
async fn dropping_the_wait_does_not_stop_the_install() {
    let machine = TestMachine::new();
    let (ready, gate) = (machine.root.join("ready"), machine.root.join("gate"));
    create_pipe(&ready);
    create_pipe(&gate);
    let script = format!("echo x > {}; read x < {}", ready.display(), gate.display());
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", &script]);
    let (launcher, job, artifact, order) =
        (launcher(&machine), machine.job(&release), machine.artifact(&release), release.order);
    let waiting = tokio::spawn(async move { client::install(&launcher, order, job, artifact).await });
    read_pipe(&ready).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // Still running: a second install must wait.
    assert_eq!(reason_to_wait(&install(&machine, &release).await.unwrap().outcome), Reason::PackageManagerBusy);
    release_reader(&gate).await;
    // The install helper has exited once the lock is free.
    let lock = fs::File::open(machine.data().join("lock-archive")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock()).await.unwrap().unwrap();
    machine.assert_tidy();
    assert_eq!(machine.current("tool").unwrap(), "1.0-1");
}

/// Starts the install helper without the client, so that the test knows its process id.
pub(crate) fn start(machine: &TestMachine, release: &TestRelease) -> tokio::process::Child {
    let job = machine.path("job.json");
    fs::write(&job, serde_json::to_vec(&HelperRequest::Install(Box::new(machine.job(release)))).unwrap()).unwrap();
    let launcher = launcher(machine);
    let mut command = tokio::process::Command::new(launcher.program);
    command.args(launcher.arguments).arg(job).stdin(machine.artifact(release)).stdout(std::process::Stdio::piped());
    command.spawn().unwrap()
}

#[tokio::test]
async fn kill_9_while_the_probe_runs() {
    let machine = TestMachine::new();
    let ready = machine.root.join("ready");
    create_pipe(&ready);
    // The first probe writes its process id and hangs; later ones pass.
    let once = machine.root.join("once");
    let script =
        format!("test -e {0} && exit 0; : > {0}; echo $$ > {1}; exec sleep 1000", once.display(), ready.display());
    let release = TestRelease::archive("1.0", 1).probe(&["/bin/sh", "-c", &script]);
    let mut helper = start(&machine, &release);
    let probe = read_pipe(&ready).await;
    helper.kill().await.unwrap();
    kill(Pid::from_raw(probe.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert!(machine.data().join("journal.json").exists());
    assert_eq!(install(&machine, &release).await.unwrap().outcome, NEWLY_INSTALLED);
    assert_eq!(machine.versions("tool"), ["1.0-1"]);
    machine.assert_tidy();
}

#[tokio::test]
async fn kill_9_while_dpkg_continues() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let (ready, gate) = (machine.root.join("ready"), machine.root.join("gate"));
    create_pipe(&ready);
    create_pipe(&gate);
    let script = "echo x >> /configured; echo x > /ready; read x < /gate";
    let release = deb("1.0", 1, &DebContents { postinst: Some(script), ..DebContents::default() });
    let mut helper = start(&machine, &release);
    read_pipe(&ready).await;
    helper.kill().await.unwrap();
    // dpkg outlives the install helper and holds its lock: nothing else begins meanwhile.
    let outcome = install(&machine, &release).await.unwrap().outcome;
    assert_eq!(reason_to_wait(&outcome), Reason::PackageManagerBusy);
    assert_eq!(state(&machine), "half-configured 1.0");
    assert!(machine.data().join("journal-deb.json").exists(), "the journal of the unfinished install was removed");
    release_reader(&gate).await;
    await_lock(&machine);
    assert_eq!(install(&machine, &release).await.unwrap().outcome, NEWLY_INSTALLED);
    assert_eq!(state(&machine), "installed 1.0");
    assert_eq!(fs::read_to_string(machine.root.join("configured")).unwrap(), "x\n", "the package was installed twice");
    machine.assert_tidy();
}

#[tokio::test]
async fn kill_9_of_helper_and_dpkg() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    let ready = machine.root.join("ready");
    create_pipe(&ready);
    let script = "test -e /once && exit 0; : > /once; echo $$ > /ready; read x < /ready";
    let release = deb("1.0", 1, &DebContents { postinst: Some(script), ..DebContents::default() });
    let mut helper = start(&machine, &release);
    let script = read_pipe(&ready).await;
    helper.kill().await.unwrap();
    let group = nix::unistd::getpgid(Some(Pid::from_raw(script.trim().parse().unwrap()))).unwrap();
    nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    await_lock(&machine);
    assert_eq!(state(&machine), "half-configured 1.0");
    assert_eq!(install(&machine, &release).await.unwrap().outcome, NEWLY_INSTALLED);
    assert_eq!(state(&machine), "installed 1.0");
    machine.assert_tidy();
}
