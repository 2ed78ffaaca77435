//! Tests programs that hang, print for ever, or inspect their environment.

use crate::command::{ExitKind, ExternalCommand, OUTPUT_BYTES, OutputLog};
use crate::tests::test_machine::command;
use std::{
    fs::File,
    io::Read,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

fn shell_command(script: &str, folder: &Path) -> ExternalCommand {
    ExternalCommand::from_manifest(&command(&["/bin/sh", "-c", script]), folder)
}

#[test]
fn time_out_kills_the_whole_process_group() {
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    assert!(Command::new("mkfifo").arg(&held).status().unwrap().success());
    // Every living process of the group holds the pipe open; the reader sees its end when the last one has died.
    let (tell, output) = mpsc::channel();
    thread::spawn(move || {
        let end = File::open(held).and_then(|mut pipe| pipe.read_to_end(&mut Vec::new()));
        tell.send(end).unwrap();
    });
    let mut hangs =
        shell_command("exec 3>held; (trap '' TERM; sleep 1000) & (sleep 1000; true) & sleep 1000", folder.path());
    hangs.limit = Duration::from_millis(300);
    let begin = Instant::now();
    let finished = hangs.run(&mut OutputLog::default()).unwrap();
    assert_eq!(finished.exit, ExitKind::TimedOut);
    assert!(begin.elapsed() < Duration::from_secs(20));
    output.recv_timeout(Duration::from_secs(20)).expect("a process of the group is still alive").unwrap();
}

#[test]
fn output_is_bounded_and_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = OutputLog::default();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo the end >&2";
    let finished = shell_command(script, folder.path()).run(&mut log).unwrap();
    assert!(finished.is_success());
    assert_eq!(log.tail().len(), OUTPUT_BYTES);
    assert!(log.tail().contains("line 19999\n") && log.tail().contains("the end\n"));
    assert!(!log.tail().contains("line 1000\n"));
}

#[test]
fn a_background_program_does_not_block_the_helper() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let finished = shell_command("sleep 1000 & echo started $!", folder.path()).run(&mut OutputLog::default()).unwrap();
    assert!(finished.is_success());
    assert!(begin.elapsed() < Duration::from_secs(20));
    let id = finished.output.trim().strip_prefix("started ").unwrap().to_owned();
    Command::new("kill").args(["-9", &id]).status().unwrap();
}

#[test]
fn a_background_program_that_prints_later_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let (go_on, done) = (pipe("go-on"), pipe("done"));
    let script = "(read x < go-on; echo out; echo error >&2; echo alive > done) & true";
    let finished = shell_command(script, folder.path()).run(&mut OutputLog::default()).unwrap();
    assert!(finished.is_success());
    std::fs::write(go_on, "now\n").unwrap();
    let answer = Command::new("timeout").args(["20", "cat"]).arg(done).output().unwrap();
    assert_eq!(answer.stdout, b"alive\n");
}

#[test]
fn the_environment_and_the_folder_are_clean() {
    let folder = tempfile::tempdir().unwrap();
    let finished = shell_command("env; pwd; echo {dir}; cat", folder.path()).run(&mut OutputLog::default()).unwrap();
    let here = folder.path().canonicalize().unwrap().display().to_string();
    let mut lines: Vec<_> = finished.output.lines().collect();
    assert_eq!(lines.split_off(lines.len() - 2), [here.as_str(), folder.path().to_str().unwrap()]);
    let allowed = ["PATH=", "HOME=", "LC_ALL=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
    for line in lines {
        assert!(allowed.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[test]
fn the_signal_that_ended_a_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (script, says) in [
        ("kill -KILL $$", "was killed by SIGKILL"),
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("sh -c 'kill -SEGV $$'; exit $?", "exited with code 139 (as a shell does after SIGSEGV)"),
        ("exit 7", "exited with code 7"),
        ("exit 255", "exited with code 255"),
    ] {
        let finished = shell_command(script, folder.path()).run(&mut OutputLog::default()).unwrap();
        assert_eq!(finished.describe_exit(), says, "{script}");
    }
}

#[test]
fn commands_run_without_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let spec = command(&["/bin/echo", "$HOME; echo `id` > x", "*"]);
    let finished = ExternalCommand::from_manifest(&spec, folder.path()).run(&mut OutputLog::default()).unwrap();
    assert_eq!(finished.output, "$HOME; echo `id` > x *\n");
}

#[test]
fn a_missing_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = ExternalCommand::from_manifest(&command(&["bin/missing"]), folder.path())
        .run(&mut OutputLog::default())
        .unwrap_err();
    let expected = folder.path().join("bin/missing").display().to_string();
    assert!(missing.to_string().contains(&expected), "{missing}");
}
