//! Tests programs that hang, print for ever, or inspect their environment.

use crate::command::{Ended, Line, OUTPUT_BYTES, Talk};
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

fn line(script: &str, folder: &Path) -> Line {
    Line::publishers(&command(&["/bin/sh", "-c", script]), folder)
}

#[test]
fn time_out_kills_the_whole_process_group() {
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    assert!(Command::new("mkfifo").arg(&held).status().unwrap().success());
    // Every living process of the group holds the pipe open; the reader sees its end when the last one has died.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let end = File::open(held).and_then(|mut pipe| pipe.read_to_end(&mut Vec::new()));
        tell.send(end).unwrap();
    });
    let mut hangs = line("exec 3>held; (trap '' TERM; sleep 1000) & (sleep 1000; true) & sleep 1000", folder.path());
    hangs.limit = Duration::from_millis(300);
    let begin = Instant::now();
    let ran = hangs.run(&mut Talk::default()).unwrap();
    assert_eq!(ran.ended, Ended::TimedOut);
    assert!(begin.elapsed() < Duration::from_secs(20));
    told.recv_timeout(Duration::from_secs(20)).expect("a process of the group is still alive").unwrap();
}

#[test]
fn output_is_bounded_and_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut talk = Talk::default();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo the end >&2";
    let ran = line(script, folder.path()).run(&mut talk).unwrap();
    assert!(ran.succeeded());
    assert_eq!(talk.text().len(), OUTPUT_BYTES);
    assert!(talk.text().contains("line 19999\n") && talk.text().contains("the end\n"));
    assert!(!talk.text().contains("line 1000\n"));
}

#[test]
fn a_program_left_behind_does_not_hold_the_installer() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let ran = line("sleep 1000 & echo started $!", folder.path()).run(&mut Talk::default()).unwrap();
    assert!(ran.succeeded());
    assert!(begin.elapsed() < Duration::from_secs(20));
    let id = ran.output.trim().strip_prefix("started ").unwrap().to_owned();
    Command::new("kill").args(["-9", &id]).status().unwrap();
}

#[test]
fn the_environment_and_the_folder_are_clean() {
    let folder = tempfile::tempdir().unwrap();
    let ran = line("env; pwd; echo {dir}; cat", folder.path()).run(&mut Talk::default()).unwrap();
    let here = folder.path().canonicalize().unwrap().display().to_string();
    let mut lines: Vec<_> = ran.output.lines().collect();
    assert_eq!(lines.split_off(lines.len() - 2), [here.as_str(), folder.path().to_str().unwrap()]);
    let allowed = ["PATH=", "HOME=", "LC_ALL=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
    for line in lines {
        assert!(allowed.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[test]
fn there_is_no_shell_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let spec = command(&["/bin/echo", "$HOME; echo `id` > x", "*"]);
    let ran = Line::publishers(&spec, folder.path()).run(&mut Talk::default()).unwrap();
    assert_eq!(ran.output, "$HOME; echo `id` > x *\n");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Line::publishers(&command(&["bin/missing"]), folder.path()).run(&mut Talk::default()).unwrap_err();
    let expected = folder.path().join("bin/missing").display().to_string();
    assert!(missing.to_string().contains(&expected), "{missing}");
}
