//! Tests the real installer process: starts it through the real client, and kills it.

use crate::tests::{
    deb_installs::{Recipe, await_lock, can_install, deb, give_shell, state},
    test_machine::{ALREADY, NEW, Release, World, failed_and_restored, waits},
};
use crate::{
    client::{ClientError, Launcher, run},
    process,
    protocol::{Call, Finished},
};
use banyan_proto::Reason;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{ffi::OsString, fs, path::Path, process::Command, time::Duration};
use tokio::time::timeout;

/// The argument before the installer's arguments when this test program acts as the installer.
const VERB: &str = "--installer";

/// Not a test: the program that the client starts.
#[test]
#[ignore = "started by the other tests"]
fn as_installer() {
    let arguments = std::env::args_os().skip_while(|argument| argument != VERB).skip(1);
    let _ = process::run(arguments);
}

pub(crate) fn launcher(world: &World) -> Launcher {
    let mut launcher = bare_launcher(world);
    launcher.arguments.extend(["--data".into(), world.data().into(), "--root".into(), world.root.clone().into()]);
    launcher
}

/// Returns a launcher without the folder arguments.
pub(crate) fn bare_launcher(world: &World) -> Launcher {
    let test = module_path!().split_once("::").unwrap().1.to_owned() + "::as_installer";
    let arguments = ["--ignored", "--exact", &test, "--nocapture", "--test-threads=2", "--", VERB].map(OsString::from);
    Launcher { program: std::env::current_exe().unwrap(), arguments: arguments.into(), jobs: world.path("") }
}

async fn install(world: &World, release: &Release) -> Result<Finished, ClientError> {
    run(&launcher(world), release.order, world.job(release), world.artifact(release)).await
}

/// Creates a named pipe, with which the test and programs started by the installer wait for each other.
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Reads a pipe until its other end is closed.
async fn told(pipe: &Path) -> String {
    let text = timeout(Duration::from_secs(60), tokio::fs::read_to_string(pipe)).await;
    text.expect("the other side did not write to the pipe").unwrap()
}

/// Releases the reader of a pipe.
async fn let_go(pipe: &Path) {
    let open = timeout(Duration::from_secs(60), tokio::fs::write(pipe, "go\n")).await;
    open.expect("no reader opened the pipe").unwrap();
}

#[tokio::test]
async fn a_job_goes_through_the_process_and_back() {
    let world = World::new();
    let release = Release::archive("1.0", 1).probe(&["/bin/sh", "-c", "./bin/tool; echo \"{dir}\""]);
    let finished = install(&world, &release).await.unwrap();
    assert_eq!(finished.outcome, NEW);
    assert!(finished.output.contains("\n1.0\n"), "{}", finished.output);
    assert!(world.package("tool").join("current/bin/tool").is_file());
    assert_eq!(install(&world, &release).await.unwrap().outcome, ALREADY);
    let bad = Release::archive("2.0", 2).probe(&["/bin/false"]);
    assert_eq!(failed_and_restored(&install(&world, &bad).await.unwrap().outcome).0, Reason::ProbeFailed);
    let left: Vec<_> = World::names(&world.path("")).into_iter().filter(|name| name.ends_with(".json")).collect();
    assert_eq!(left, [""; 0], "the call's file was left behind");
}

#[tokio::test]
async fn a_handle_whose_position_is_shared_is_read_from_the_start_and_left_alone() {
    use std::io::{Seek, SeekFrom};
    let world = World::new();
    let release = Release::archive("1.0", 1);
    let mut artifact = world.artifact(&release);
    artifact.seek(SeekFrom::Start(7)).unwrap();
    let shared = artifact.try_clone().unwrap();
    let finished = run(&launcher(&world), release.order, world.job(&release), shared).await.unwrap();
    assert_eq!(finished.outcome, NEW);
    assert_eq!(artifact.stream_position().unwrap(), 7);
}

#[tokio::test]
async fn an_installer_that_says_nothing_is_an_error_with_its_last_words() {
    let world = World::new();
    let release = Release::archive("1.0", 1);
    let shell = |script: &str| Launcher {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        jobs: world.path(""),
    };
    let ask =
        async |launcher: &Launcher| run(launcher, release.order, world.job(&release), world.artifact(&release)).await;
    let said = ask(&shell("echo not allowed >&2; exit 3")).await;
    assert!(matches!(&said, Err(ClientError::NoAnswer { said, .. }) if said == "not allowed"), "{said:?}");
    let said = ask(&shell("i=0; while [ $i -lt 50000 ]; do echo flood; i=$((i+1)); done")).await;
    assert!(matches!(said, Err(ClientError::NoAnswer { .. })), "{said:?}");
    let said = ask(&Launcher { program: "/nowhere/installer".into(), ..shell("") }).await;
    assert!(matches!(said, Err(ClientError::Start { .. })), "{said:?}");
}

#[tokio::test]
async fn giving_up_waiting_does_not_end_the_install() {
    let world = World::new();
    let (ready, gate) = (world.root.join("ready"), world.root.join("gate"));
    pipe(&ready);
    pipe(&gate);
    let script = format!("echo x > {}; read x < {}", ready.display(), gate.display());
    let release = Release::archive("1.0", 1).probe(&["/bin/sh", "-c", &script]);
    let (launcher, job, artifact, order) =
        (launcher(&world), world.job(&release), world.artifact(&release), release.order);
    let waiting = tokio::spawn(async move { run(&launcher, order, job, artifact).await });
    told(&ready).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // Still running: a second install must wait.
    assert_eq!(waits(&install(&world, &release).await.unwrap().outcome), Reason::PackageManagerBusy);
    let_go(&gate).await;
    // The installer has exited once the lock is free.
    let lock = fs::File::open(world.data().join("lock")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock()).await.unwrap().unwrap();
    world.assert_tidy();
    assert_eq!(world.current("tool").unwrap(), "1.0-1");
}

/// Starts the installer without the client, so that the test knows its process id.
fn start(world: &World, release: &Release) -> tokio::process::Child {
    let job = world.path("job.json");
    fs::write(&job, serde_json::to_vec(&Call::Install(Box::new(world.job(release)))).unwrap()).unwrap();
    let launcher = launcher(world);
    let mut command = tokio::process::Command::new(launcher.program);
    command.args(launcher.arguments).arg(job).stdin(world.artifact(release)).stdout(std::process::Stdio::piped());
    command.spawn().unwrap()
}

#[tokio::test]
async fn kill_9_while_the_probe_runs() {
    let world = World::new();
    let ready = world.root.join("ready");
    pipe(&ready);
    // The first probe writes its process id and hangs; later ones pass.
    let once = world.root.join("once");
    let script =
        format!("test -e {0} && exit 0; : > {0}; echo $$ > {1}; exec sleep 1000", once.display(), ready.display());
    let release = Release::archive("1.0", 1).probe(&["/bin/sh", "-c", &script]);
    let mut installer = start(&world, &release);
    let probe = told(&ready).await;
    installer.kill().await.unwrap();
    kill(Pid::from_raw(probe.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert!(world.data().join("journal.json").exists());
    assert_eq!(install(&world, &release).await.unwrap().outcome, NEW);
    assert_eq!(world.versions("tool"), ["1.0-1"]);
    world.assert_tidy();
}

#[tokio::test]
async fn kill_9_while_dpkg_works_on() {
    if !can_install("installing debs") {
        return;
    }
    let world = World::new();
    give_shell(&world);
    let (ready, gate) = (world.root.join("ready"), world.root.join("gate"));
    pipe(&ready);
    pipe(&gate);
    let script = "echo x >> /configured; echo x > /ready; read x < /gate";
    let release = deb("1.0", 1, &Recipe { postinst: Some(script), ..Recipe::default() });
    let mut installer = start(&world, &release);
    told(&ready).await;
    installer.kill().await.unwrap();
    // dpkg outlives the installer and holds its lock: nothing else begins meanwhile.
    let outcome = install(&world, &release).await.unwrap().outcome;
    assert_eq!(waits(&outcome), Reason::PackageManagerBusy);
    assert_eq!(state(&world), "half-configured 1.0");
    assert!(world.data().join("journal.json").exists(), "the journal of the unfinished install was removed");
    let_go(&gate).await;
    await_lock(&world);
    assert_eq!(install(&world, &release).await.unwrap().outcome, NEW);
    assert_eq!(state(&world), "installed 1.0");
    assert_eq!(fs::read_to_string(world.root.join("configured")).unwrap(), "x\n", "the package was installed twice");
    world.assert_tidy();
}

#[tokio::test]
async fn kill_9_of_installer_and_dpkg() {
    if !can_install("installing debs") {
        return;
    }
    let world = World::new();
    give_shell(&world);
    let ready = world.root.join("ready");
    pipe(&ready);
    let script = "test -e /once && exit 0; : > /once; echo $$ > /ready; read x < /ready";
    let release = deb("1.0", 1, &Recipe { postinst: Some(script), ..Recipe::default() });
    let mut installer = start(&world, &release);
    let script = told(&ready).await;
    installer.kill().await.unwrap();
    let group = nix::unistd::getpgid(Some(Pid::from_raw(script.trim().parse().unwrap()))).unwrap();
    nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    await_lock(&world);
    assert_eq!(state(&world), "half-configured 1.0");
    assert_eq!(install(&world, &release).await.unwrap().outcome, NEW);
    assert_eq!(state(&world), "installed 1.0");
    world.assert_tidy();
}
