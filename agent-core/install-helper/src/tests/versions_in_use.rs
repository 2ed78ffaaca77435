//! Verifies which version folders stay while programs run from them, and how many old ones stay.

use crate::tests::test_machine::{
    ALREADY_INSTALLED, NEWLY_INSTALLED, TestMachine, TestRelease, UNLIMITED_SPACE, is_root_for,
};
use banyan_archive::fixture::Tar;
use banyan_proto::manifest::Kind;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A process that is killed at the end of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a shell script and waits until it says that it is ready.
fn run(script: &str, arguments: &[&Path], folder: &Path) -> Running {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{script}\necho ready; read forever"), "sh"]).args(arguments).current_dir(folder);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    running
}

fn release(sequence: u64) -> TestRelease {
    let tar = Tar::new().program("bin/tool", "#!/bin/sh\n").file("share/data", format!("{sequence}").as_bytes());
    TestRelease::new(Kind::Archive, &format!("{sequence}.0"), sequence, tar.gz())
}

/// Installs releases until the first one would have been removed. Returns whether it was.
fn is_removed_after_more_releases(machine: &TestMachine) -> bool {
    for sequence in 2..=4 {
        assert_eq!(machine.install(&release(sequence)).outcome, NEWLY_INSTALLED);
    }
    !machine.versions("tool").contains(&"1.0-1".to_owned())
}

fn with_first_version() -> TestMachine {
    let machine = TestMachine::new();
    assert_eq!(machine.install(&release(1)).outcome, NEWLY_INSTALLED);
    machine
}

#[test]
fn the_folder_in_which_a_process_works_stays_until_the_process_ends() {
    let machine = with_first_version();
    let current = machine.package("tool").join("current");
    let process = run("", &[], &current.join("share"));
    assert!(!is_removed_after_more_releases(&machine), "the folder was removed below a process");
    assert_eq!(fs::read_to_string(machine.package("tool").join("versions/1.0-1/share/data")).unwrap(), "1");
    assert!(!machine.versions("tool").contains(&"2.0-2".to_owned()) || machine.versions("tool").len() == 4);
    drop(process);
    assert_eq!(machine.install(&release(5)).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.versions("tool"), ["3.0-3", "4.0-4", "5.0-5"]);
    assert_eq!(TestMachine::names(&machine.package("tool").join("records")).len(), 3);
}

#[test]
fn what_is_mounted_in_a_version_is_not_removed_with_it() {
    if !is_root_for("mounting") {
        return;
    }
    let machine = with_first_version();
    let (data, place) = (machine.path("mounted"), machine.package("tool").join("versions/1.0-1/share"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "mine").unwrap();
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).args([&data, &place]).status();
    if !mount(&["--bind"]).is_ok_and(|status| status.success()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let is_removed = is_removed_after_more_releases(&machine);
    assert!(Command::new("umount").arg("-l").arg(&place).status().unwrap().success());
    assert_eq!((fs::read_to_string(data.join("file")).unwrap_or_default().as_str(), is_removed), ("mine", false));
    assert_eq!(machine.install(&release(5)).outcome, NEWLY_INSTALLED);
    assert!(!machine.versions("tool").contains(&"1.0-1".to_owned()));
}

#[test]
fn an_open_file_keeps_its_version() {
    let machine = with_first_version();
    let open = File::open(machine.package("tool").join("current/share/data")).unwrap();
    assert!(!is_removed_after_more_releases(&machine));
    drop(open);
}

#[test]
fn a_running_program_keeps_its_version() {
    let machine = TestMachine::new();
    let sleep = fs::read("/bin/sleep").unwrap();
    let tar = Tar::new().raw("bin/sleep", tar::EntryType::Regular, 0o755, "", &sleep);
    let first = TestRelease::new(Kind::Archive, "1.0", 1, tar.gz());
    assert_eq!(machine.install(&first).outcome, NEWLY_INSTALLED);
    let program = machine.package("tool").join("current/bin/sleep");
    let process = Running(Command::new(program).arg("600").current_dir("/").spawn().unwrap());
    assert!(!is_removed_after_more_releases(&machine));
    drop(process);
}

#[test]
fn a_mapped_library_keeps_its_version() {
    let machine = TestMachine::new();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let library =
        maps.lines().filter_map(|line| line.split(' ').next_back()).find(|path| path.contains(".so")).unwrap();
    let tar = Tar::new().raw("lib/x.so", tar::EntryType::Regular, 0o755, "", &fs::read(library).unwrap());
    let first = TestRelease::new(Kind::Archive, "1.0", 1, tar.gz());
    assert_eq!(machine.install(&first).outcome, NEWLY_INSTALLED);
    let library = machine.package("tool").join("current/lib/x.so");
    let mut command = Command::new("/bin/cat");
    command.env("LD_PRELOAD", &library).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Running(command.spawn().unwrap());
    // Once it copies a byte, it has loaded all libraries.
    process.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    process.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert!(!is_removed_after_more_releases(&machine));
    drop(process);
}

#[test]
fn a_script_whose_interpreter_closed_it_keeps_the_version_that_was_current_when_it_started() {
    let machine = with_first_version();
    let script = machine.package("tool").join("current/bin/tool");
    // The script is only an argument here, as for an interpreter that has read it.
    let process = run("", &[&script], Path::new("/"));
    assert!(!is_removed_after_more_releases(&machine));
    drop(process);
    assert_eq!(machine.install(&release(5)).outcome, NEWLY_INSTALLED);
    assert!(!machine.versions("tool").contains(&"1.0-1".to_owned()));
}

#[test]
fn what_nobody_uses_is_removed() {
    let machine = with_first_version();
    let process = run("", &[], &machine.root);
    assert!(is_removed_after_more_releases(&machine));
    drop(process);
}

#[test]
fn the_release_says_how_many_old_versions_stay_and_the_policy_overrides_it() {
    let machine = TestMachine::new();
    let install = |sequence, by_policy| {
        let mut release = release(sequence);
        release.manifest.artifacts[0].install.keep_versions = Some(3);
        let mut job = machine.job(&release);
        job.keep_versions = by_policy;
        assert_eq!(machine.run(&job, &release, &UNLIMITED_SPACE).outcome, NEWLY_INSTALLED);
    };
    (1..=6).for_each(|sequence| install(sequence, None));
    assert_eq!(machine.versions("tool"), ["3.0-3", "4.0-4", "5.0-5", "6.0-6"]);
    install(7, Some(1));
    assert_eq!(machine.versions("tool"), ["6.0-6", "7.0-7"]);
    // No number removes the previous version, and none that is out of bounds counts.
    install(8, Some(0));
    assert_eq!(machine.versions("tool"), ["6.0-6", "7.0-7", "8.0-8"]);
}

#[test]
fn an_interrupted_removal_is_finished_and_counts_for_nothing() {
    let machine = with_first_version();
    let versions = machine.package("tool").join("versions");
    fs::create_dir_all(versions.join("0.9-0.removed/share")).unwrap();
    assert_eq!(machine.install(&release(2)).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.versions("tool"), ["1.0-1", "2.0-2"]);
}

#[test]
fn the_same_version_with_other_content_is_installed_whatever_the_detect_command_says() {
    let machine = TestMachine::new();
    let first = TestRelease::archive("1.0", 1).detect(&["/bin/sh", "-c", "test -x {dir}/bin/tool"]);
    assert_eq!(machine.install(&first).outcome, NEWLY_INSTALLED);
    assert_eq!(machine.install(&first).outcome, ALREADY_INSTALLED);
    let content = Tar::new().program("bin/tool", "#!/bin/sh\necho repaired\n").gz();
    let repaired =
        TestRelease::new(Kind::Archive, "1.0", 2, content).detect(&["/bin/sh", "-c", "test -x {dir}/bin/tool"]);
    assert_eq!(machine.install(&repaired).outcome, NEWLY_INSTALLED);
    let output = Command::new(machine.package("tool").join("current/bin/tool")).output().unwrap();
    assert_eq!(output.stdout, b"repaired\n");
}
