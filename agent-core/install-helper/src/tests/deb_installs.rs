//! Tests debs with the real dpkg in a root of their own. They need root and dpkg, and print a notice when they are
//! skipped.

use crate::methods::install_method_for;
use crate::protocol::Outcome;
use crate::tests::deb_builder::{DebSpec, spec};
use crate::tests::test_machine::{
    ALREADY_INSTALLED, FreeBytes, NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored, is_root_for, noise,
    reason_to_wait,
};
use banyan_proto::{Reason, manifest::Kind, order::Allowance};
use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

/// The contents of a test deb.
#[derive(Default)]
pub(crate) struct DebContents<'a> {
    /// Additional fields of the control file, each with its newline.
    pub(crate) control: &'a str,
    /// The script that runs after unpacking. The root must then have a shell ([`give_shell`]).
    pub(crate) postinst: Option<&'a str>,
    /// The content of an extra file, `/usr/share/bulk`.
    pub(crate) bulk: &'a [u8],
}

pub(crate) fn can_install(what: &str) -> bool {
    if !Path::new("/usr/bin/dpkg-deb").exists() {
        println!("skipped: {what} needs dpkg");
        return false;
    }
    is_root_for(what)
}

/// Returns a release of the package `tool`: one file, `/usr/share/tool/VERSION`, and one setting, `/etc/tool.conf`.
pub(crate) fn deb(version: &str, sequence: u64, recipe: &DebContents<'_>) -> TestRelease {
    let (file, settings) = (format!("usr/share/tool/{version}"), format!("written by {version}\n"));
    let control = format!("Installed-Size: 100\n{}", recipe.control);
    let script = recipe.postinst.map(|script| ("postinst", script));
    let spec = DebSpec {
        control: &control,
        files: &[(&file, version)],
        settings: &[("etc/tool.conf", &settings)],
        scripts: script.as_slice(),
        bulk: recipe.bulk,
        ..spec("tool", version)
    };
    spec.release(sequence)
}

fn plain(version: &str, sequence: u64) -> TestRelease {
    deb(version, sequence, &DebContents::default())
}

/// Returns status and version from dpkg's database.
pub(crate) fn state(machine: &TestMachine) -> String {
    let mut query = Command::new("dpkg-query");
    query.arg(format!("--admindir={}/var/lib/dpkg", machine.root.display()));
    let out = query.args(["-W", "-f=${db:Status-Status} ${Version}", "tool"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Returns the package's files that exist, besides the one that every deb of the builder has.
fn files(machine: &TestMachine) -> Vec<String> {
    let names = TestMachine::names(&machine.root.join("usr/share/tool"));
    names.into_iter().filter(|name| name != "version").collect()
}

/// Puts a shell into the root, for packages' scripts.
pub(crate) fn give_shell(machine: &TestMachine) {
    // A shell opens it for programs in the background.
    fs::create_dir_all(machine.root.join("dev")).unwrap();
    fs::write(machine.root.join("dev/null"), "").unwrap();
    give_program(machine, "/bin/sh");
}

/// Puts a program and its libraries into the root.
pub(crate) fn give_program(machine: &TestMachine, program: &str) {
    let libraries = Command::new("ldd").arg(program).output().unwrap().stdout;
    let libraries = String::from_utf8(libraries).unwrap();
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths.chain([program]) {
        let to = machine.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

/// Returns the debs that are kept. Beside each is a record of its content.
fn kept(machine: &TestMachine) -> Vec<String> {
    let all = TestMachine::names(&machine.data().join("kept"));
    let debs: Vec<String> = all.iter().filter(|name| name.ends_with(".deb")).cloned().collect();
    assert!(
        all.iter().all(|name| name.strip_suffix(".content").is_none_or(|deb| debs.contains(&format!("{deb}.deb"))))
    );
    debs
}

#[test]
fn a_deb_is_installed_upgraded_and_found() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let (one, two) = (plain("1.0", 1).probe(&["/bin/ls", "{dir}/usr/share/tool/1.0"]), plain("1:2.0-1", 2));
    assert_eq!(machine.install(&one).outcome, NEWLY_INSTALLED);
    assert_eq!((state(&machine), files(&machine)), ("installed 1.0".into(), vec!["1.0".into()]));
    assert_eq!(machine.install(&one).outcome, ALREADY_INSTALLED);
    assert_eq!(machine.install(&two).outcome, NEWLY_INSTALLED);
    assert_eq!((state(&machine), files(&machine)), ("installed 1:2.0-1".into(), vec!["1:2.0-1".into()]));
    assert_eq!(kept(&machine), ["tool_1%3a2.0-1_all.deb", "tool_1.0_all.deb"]);
    assert_eq!(machine.install(&two).outcome, ALREADY_INSTALLED);
    // A release that deliberately restores older content.
    assert_eq!(machine.install(&TestRelease { order: plain("1.0", 3).order, ..one.clone() }).outcome, NEWLY_INSTALLED);
    assert_eq!(state(&machine), "installed 1.0");
    machine.assert_tidy();
}

#[test]
fn a_failing_probe_restores_the_previous_deb() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
    let finished = machine.install(&plain("2.0", 2).probe(&["/bin/sh", "-c", "ls usr/share/tool; exit 1"]));
    assert_eq!(failed_and_restored(&finished.outcome).0, Reason::ProbeFailed);
    assert!(finished.output.contains("\n2.0\n"), "the probe did not see the new version: {}", finished.output);
    assert_eq!((state(&machine), files(&machine)), ("installed 1.0".into(), vec!["1.0".into()]));
    machine.assert_tidy();
    // The previous deb is still kept for rollback.
    assert_eq!(kept(&machine), ["tool_1.0_all.deb"]);
}

#[test]
fn a_failing_probe_of_the_first_deb_removes_it() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let outcome = machine.install(&plain("1.0", 1).probe(&["/bin/false"])).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!((state(&machine), files(&machine)), (String::new(), vec![]));
    assert!(!machine.root.join("etc/tool.conf").exists());
}

#[test]
fn existing_settings_are_kept() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
    let settings = machine.root.join("etc/tool.conf");
    fs::write(&settings, "mine\n").unwrap();
    assert_eq!(machine.install(&plain("1.1", 2)).outcome, NEWLY_INSTALLED);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "mine\n");
    let root = format!("--root={}", machine.root.display());
    assert!(Command::new("dpkg").args([&root, "--remove", "tool"]).output().unwrap().status.success());
    let outcome = machine.install(&plain("2.0", 3).probe(&["/bin/false"])).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert!(state(&machine).starts_with("config-files"), "{}", state(&machine));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "mine\n");
}

#[test]
fn unmet_dependencies_are_named_and_leave_dpkg_clean() {
    if !can_install("installing debs") {
        return;
    }
    for field in ["Depends", "Pre-Depends"] {
        let machine = TestMachine::new();
        let control = format!("{field}: libfrobnicate3 (>= 3.1), other-thing\n");
        let outcome =
            machine.install(&deb("1.0", 1, &DebContents { control: &control, ..DebContents::default() })).outcome;
        let (reason, detail) = failed_and_restored(&outcome);
        assert_eq!(reason, Reason::DependencyMissing);
        assert_eq!(detail, "tool 1.0 needs libfrobnicate3 (>= 3.1); other-thing", "{field}");
        assert_eq!(state(&machine), "", "{field}");
        let root = format!("--root={}", machine.root.display());
        let audit = Command::new("dpkg").args([&root, "--audit"]).output().unwrap();
        assert!(audit.status.success() && audit.stdout.is_empty(), "{audit:?}");
    }
}

#[test]
fn a_failing_script_is_undone() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
    let bad = deb("2.0", 2, &DebContents { postinst: Some("echo no licence found; exit 7"), ..DebContents::default() });
    let finished = machine.install(&bad);
    assert_eq!(failed_and_restored(&finished.outcome).0, Reason::InstallFailed);
    assert!(finished.output.contains("no licence found"), "{}", finished.output);
    assert_eq!(state(&machine), "installed 1.0");
}

#[test]
fn a_deb_that_does_not_match_the_manifest_is_refused() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let mut other = plain("1.0", 1);
    other.manifest.version = "9.0".into();
    let outcome = machine.install(&other).outcome;
    assert_eq!(
        failed_and_restored(&outcome),
        (Reason::InstallFailed, "the deb is tool 1.0, but the manifest says tool 9.0")
    );
    let outcome = machine.install(&TestRelease::new(Kind::Deb, "1.0", 1, b"no deb at all".to_vec())).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::InstallFailed);
    assert_eq!(state(&machine), "");
}

#[test]
fn a_version_that_cannot_be_restored_is_replaced_only_when_allowed() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
    fs::remove_file(machine.data().join("kept/tool_1.0_all.deb")).unwrap();
    let outcome = machine.install(&plain("2.0", 2)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::CannotRestore);
    assert_eq!(state(&machine), "installed 1.0");

    // A deb in apt's cache is as good as a kept one.
    let cache = machine.root.join("var/cache/apt/archives");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("tool_1.0_all.deb"), plain("1.0", 1).content).unwrap();
    let outcome = machine.install(&plain("2.0", 2).probe(&["/bin/false"])).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(state(&machine), "installed 1.0");
    fs::remove_dir_all(cache).unwrap();

    // The publisher supplies an undo command.
    let old = machine.path("old.deb");
    fs::write(&old, plain("1.0", 1).content).unwrap();
    let root = machine.root.display();
    let undo = format!("dpkg --root={root} --force-downgrade --install {} && touch {root}/undone", old.display());
    let outcome = machine.install(&plain("2.0", 2).probe(&["/bin/false"]).undo(&["/bin/sh", "-c", &undo])).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert!(machine.root.join("undone").exists());

    // An undo command that does nothing is not believed.
    let outcome = machine.install(&plain("2.0", 4).probe(&["/bin/false"]).undo(&["/bin/true"])).outcome;
    let Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(detail.contains("tool is now installed 2.0; before it was installed 1.0"), "{detail}");

    // The administrator decides to proceed.
    let last = plain("3.0", 5);
    assert_eq!(failed_and_restored(&machine.install(&last).outcome).0, Reason::CannotRestore);
    let allowed = last.clone().probe(&["/bin/false"]);
    let outcome = machine.install_allowing(&allowed, &[Allowance::NoRestore]).outcome;
    assert!(matches!(outcome, Outcome::Failed { reason: Reason::UndoFailed, restored: false, .. }), "{outcome:?}");
    assert_eq!(machine.install_allowing(&plain("4.0", 6), &[Allowance::NoRestore]).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_deb_waits_for_another_programs_dpkg_lock() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
    let two = plain("2.0", 2);
    // apt holds the first one, also between two runs of dpkg.
    for name in ["lock-frontend", "lock"] {
        let held = hold_lock(&machine, name);
        let outcome = machine.install(&two).outcome;
        let Outcome::Waits { reason: Reason::PackageManagerBusy, detail } = outcome else { panic!("{outcome:?}") };
        assert!(
            detail.contains(&format!("perl (process {}) holds", held.0.id())) && detail.ends_with(name),
            "{detail}"
        );
        assert_eq!(state(&machine), "installed 1.0");
        machine.assert_tidy();
    }
    assert_eq!(machine.install(&two).outcome, NEWLY_INSTALLED);
}

/// Another program that holds a lock of dpkg's, until it is dropped.
pub(crate) struct LockHolder(std::process::Child);

impl Drop for LockHolder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Takes one of dpkg's locks in another process.
pub(crate) fn hold_lock(machine: &TestMachine, name: &str) -> LockHolder {
    let script = "use Fcntl; open(my $f, '>>', $ARGV[0]) or die; \
                  my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl($f, F_SETLK, $l) or die; print \"held\\n\"; \
                  close(STDOUT); sleep 1000";
    let mut command = Command::new("perl");
    command.args(["-e", script]).arg(machine.root.join("var/lib/dpkg").join(name)).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert_eq!(said, "held\n");
    LockHolder(child)
}

/// Waits until no other process has dpkg's lock.
pub(crate) fn await_lock(machine: &TestMachine) {
    let file = File::options().write(true).open(machine.root.join("var/lib/dpkg/lock")).unwrap();
    use nix::{
        fcntl::{FcntlArg, fcntl},
        libc,
    };
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_SETLKW(&whole)).unwrap();
}

#[test]
fn the_room_for_a_debs_files_must_be_free() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    // The file takes 1 MiB, whatever the deb declares.
    let release = deb("1.0", 1, &DebContents { bulk: &[0; 1 << 20], ..DebContents::default() });
    let outcome = machine.run(&machine.job(&release), &release, &FreeBytes(900 << 10)).outcome;
    let Outcome::Waits { reason: Reason::DiskFull, detail } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("needs 1.1 MB (1") && detail.contains(" bytes) on the disk of "), "{detail}");
    assert!(detail.contains("only 922 kB (921600 bytes) are free"), "{detail}");
    assert_eq!(state(&machine), "");
    assert_eq!(machine.run(&machine.job(&release), &release, &FreeBytes(2 << 20)).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_disk_that_fills_up_during_dpkg_is_cleaned_up_and_waited_for() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let Some(disk) = machine.small_disk() else { return };
    assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
    // The deb declares 100 KiB but takes 3 MiB.
    let two = deb("2.0", 2, &DebContents { bulk: &noise(), ..DebContents::default() });
    let filled = machine.install(&two).outcome;
    let left = state(&machine);
    disk.grow();
    let then = machine.install(&two).outcome;
    drop(disk);
    assert_eq!((reason_to_wait(&filled), left), (Reason::DiskFull, "installed 1.0".into()));
    assert_eq!(then, NEWLY_INSTALLED);
}

#[test]
fn a_crash_at_any_step_of_a_deb_upgrade_does_not_change_its_end() {
    if !can_install("installing debs") {
        return;
    }
    for (probe, version) in [("exit 0", "2.0"), ("exit 1", "1.0")] {
        for steps in 0..12 {
            let machine = TestMachine::new();
            assert_eq!(machine.install(&plain("1.0", 1)).outcome, NEWLY_INSTALLED);
            let two = plain("2.0", 2).probe(&["/bin/sh", "-c", probe]);
            machine.stop_after(steps, &two);
            let last = machine.install(&two).outcome;
            match version {
                "2.0" => assert!([NEWLY_INSTALLED, ALREADY_INSTALLED].contains(&last), "died after {steps}: {last:?}"),
                _ => assert_eq!(failed_and_restored(&last).0, Reason::ProbeFailed, "died after {steps}"),
            }
            assert_eq!(state(&machine), format!("installed {version}"), "died after {steps}");
            machine.assert_tidy();
        }
    }
}

#[test]
fn a_half_configured_deb_is_finished_at_the_next_start() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let release = plain("1.0", 1);
    // As after a power cut in the middle of dpkg: unpacked, not configured, with the intent in the journal.
    let intended = (0..20).find(|steps| {
        machine.stop_after(*steps, &release);
        machine.data().join("journal-deb.json").exists()
    });
    assert!(intended.is_some());
    let layout = crate::storage::layout::Layout::open(&machine.folders()).unwrap().for_kind(Kind::Deb);
    let (intent, ..) = crate::storage::journal::read(&layout).unwrap().unwrap();
    assert!(!install_method_for(Kind::Deb, &layout).unwrap().is_installed(&intent.release).unwrap());
    crate::methods::deb::database::create(&machine.root).unwrap();
    let staged = layout.staged_artifact(release.order, Kind::Deb);
    let root = format!("--root={}", machine.root.display());
    assert!(Command::new("dpkg").args([&root, "--unpack"]).arg(&staged).output().unwrap().status.success());
    assert_eq!(state(&machine), "unpacked 1.0");
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    assert_eq!(state(&machine), "installed 1.0");

    // The same with a damaged copy: the package is removed and installed again from the artifact.
    let two = plain("2.0", 2);
    (0..20).find(|steps| {
        machine.stop_after(*steps, &two);
        machine.data().join("journal-deb.json").exists()
    });
    let staged = layout.staged_artifact(two.order, Kind::Deb);
    assert!(Command::new("dpkg").args([&root, "--unpack"]).arg(&staged).output().unwrap().status.success());
    fs::write(&staged, b"damaged").unwrap();
    let finished = machine.install(&two);
    assert_eq!(finished.outcome, NEWLY_INSTALLED);
    assert!(
        finished.output.contains("tool_1.0_all.deb"),
        "the previous version was not restored first: {}",
        finished.output
    );
    assert_eq!(state(&machine), "installed 2.0");
}
