//! Verifies that an undo restores the machine, and not only the package: its settings, the files of no package, a
//! version for another architecture, and despite broken scripts.

use crate::{
    protocol::Outcome,
    storage::free_space::RealDisks,
    tests::{
        deb_builder::{DebSpec, cache, dpkg, dpkg_deb, known, read, spec},
        deb_installs::{can_install, give_program, give_shell},
        test_machine::{NEWLY_INSTALLED, TestMachine, failed_and_restored},
    },
};
use banyan_proto::Reason;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

const BAD: &[&str] = &["/bin/false"];

/// Returns all files below a folder of the root: path, content or target, and mode.
fn tree(machine: &TestMachine, folder: &str) -> BTreeMap<String, (String, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![machine.root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                folders.push(path);
                continue;
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(path.display().to_string(), (content, metadata.mode()));
        }
    }
    found
}

fn write(machine: &TestMachine, path: &str, text: &str, mode: u32) {
    let path = machine.root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn settings_are_as_before_after_an_undo() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    give_program(&machine, "/bin/rm");
    let old = [("etc/same", "1"), ("etc/mine", "1"), ("etc/gone", "1"), ("etc/deleted", "1"), ("etc/x y", "1")];
    let one = DebSpec { settings: &old, ..spec("tool", "1") };
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    write(&machine, "etc/mine", "mine", 0o600);
    write(&machine, "etc/gone", "mine too", 0o640);
    write(&machine, "etc/mine.dpkg-dist", "from an earlier upgrade", 0o644);
    fs::remove_file(machine.root.join("etc/deleted")).unwrap();
    let before = tree(&machine, "etc");
    // The new version brings a setting of its own, and drops one as `dpkg-maintscript-helper rm_conffile` does.
    let new = [("etc/same", "2"), ("etc/mine", "2"), ("etc/deleted", "2"), ("etc/cron.d/tool", "2"), ("etc/x y", "2")];
    let two = DebSpec { settings: &new, scripts: &[("postinst", "rm -f /etc/gone")], ..spec("tool", "2") };
    let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
    assert_eq!(tree(&machine, "etc"), before);
    machine.assert_tidy();
    // Nothing is put back when the new version works.
    assert_eq!(machine.install(&two.release(3)).outcome, NEWLY_INSTALLED);
    let now = tree(&machine, "etc");
    assert!(now.keys().any(|path| path.ends_with("cron.d/tool")) && !now.keys().any(|path| path.ends_with("gone")));
}

#[test]
fn settings_of_a_package_that_was_never_configured_are_put_in_place() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let one = DebSpec { settings: &[("etc/tool.conf", "1")], ..spec("tool", "1") };
    assert!(dpkg_deb(&machine, "--unpack", &one));
    cache(&machine, &one);
    let two = DebSpec { settings: &[("etc/tool.conf", "2")], ..spec("tool", "2") };
    let outcome = machine.install(&two.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
    assert_eq!(
        (known(&machine, "tool").as_str(), read(&machine, "etc/tool.conf").as_str()),
        ("install installed 1", "1")
    );
    assert!(!machine.root.join("etc/tool.conf.dpkg-new").exists());
}

#[test]
fn new_settings_are_in_place_once_a_later_version_works() {
    if !can_install("installing debs") {
        return;
    }
    for is_removed_before in [false, true] {
        let machine = TestMachine::new();
        let one = DebSpec { settings: &[("etc/tool.conf", "1")], ..spec("tool", "1") };
        assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
        write(&machine, "etc/tool.conf", "mine", 0o644);
        if is_removed_before {
            assert!(dpkg(&machine, &["--remove", "tool"]).status.success());
        }
        let state = |machine| known(machine, "tool").rsplit_once(' ').map(|(state, _)| state.to_owned());
        let before = state(&machine);
        let two = DebSpec { settings: &[("etc/tool.conf", "2"), ("etc/new.conf", "2")], ..spec("tool", "2") };
        let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
        assert_eq!(state(&machine), before);
        assert_eq!(machine.install(&two.release(3)).outcome, NEWLY_INSTALLED);
        assert_eq!((read(&machine, "etc/tool.conf").as_str(), read(&machine, "etc/new.conf").as_str()), ("mine", "2"));
    }
}

#[test]
fn files_of_no_package_that_dpkg_overwrites_are_put_back() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    write(&machine, "opt/tool/run", "installed by hand", 0o750);
    write(&machine, "opt/tool/place", "a file where the package has a folder", 0o644);
    write(&machine, "opt/tool/empty/of-other", "", 0o644);
    symlink("/somewhere/else", machine.root.join("opt/tool/link")).unwrap();
    let other = DebSpec { files: &[("opt/tool/of-other", "other's")], ..spec("other", "1") };
    assert!(dpkg_deb(&machine, "--install", &other));
    let before = tree(&machine, "opt");
    let files = [("opt/tool/run", "package's"), ("opt/tool/link", "package's"), ("opt/tool/place/x", "package's")];
    let one = DebSpec { files: &files, ..spec("tool", "1") };
    let outcome = machine.install(&one.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    assert_eq!(tree(&machine, "opt"), before);
    assert_eq!(known(&machine, "tool"), "");
    assert_eq!(machine.install(&one.release(2)).outcome, NEWLY_INSTALLED);
    assert_eq!(read(&machine, "opt/tool/run"), "package's");
}

#[test]
fn a_folder_that_dpkg_would_delete_is_refused() {
    if !can_install("planning debs") {
        return;
    }
    let machine = TestMachine::new();
    let old = DebSpec { files: &[("opt/tool/data/old", "1")], ..spec("tool", "1") };
    assert_eq!(machine.install(&old.release(1)).outcome, NEWLY_INSTALLED);
    write(&machine, "opt/tool/data/records/today", "precious", 0o644);
    let new = DebSpec { files: &[("opt/tool/data", "now a file")], ..spec("tool", "2") };
    let outcome = machine.install(&new.release(2)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::PackageConflict);
    assert!(detail.contains("/opt/tool/data, but") && detail.contains("records/today"), "{detail}");
    assert_eq!(read(&machine, "opt/tool/data/records/today"), "precious");
    assert_eq!(known(&machine, "tool"), "install installed 1");
    machine.assert_tidy();
    fs::remove_dir_all(machine.root.join("opt/tool/data/records")).unwrap();
    assert_eq!(machine.install(&new.release(3)).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_version_for_another_architecture_is_restored() {
    if !can_install("installing debs") {
        return;
    }
    let native = Command::new("dpkg").arg("--print-architecture").output().unwrap().stdout;
    let native = String::from_utf8(native).unwrap();
    let architecture = native.trim();
    let machine = TestMachine::new();
    let one = DebSpec { architecture, control: "Multi-Arch: same\n", ..spec("tool", "1") };
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    let two = DebSpec { control: "Multi-Arch: foreign\n", ..spec("tool", "2") };
    let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
    assert_eq!(known(&machine, "tool"), "install installed 1");
    assert_eq!(machine.install(&two.release(3)).outcome, NEWLY_INSTALLED);
    assert_eq!(known(&machine, "tool"), "install installed 2");
    let outcome = machine.install(&one.release(4).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    assert_eq!(known(&machine, "tool"), "install installed 2");
}

#[test]
fn scripts_of_the_failed_version_do_not_prevent_the_undo() {
    if !can_install("installing debs") {
        return;
    }
    let bad_scripts = &[("prerm", "exit 5"), ("postrm", "exit 6")];
    for has_previous in [true, false] {
        let machine = TestMachine::new();
        give_shell(&machine);
        if has_previous {
            assert_eq!(machine.install(&spec("tool", "1").release(1)).outcome, NEWLY_INSTALLED);
        }
        let two = DebSpec { scripts: bad_scripts, ..spec("tool", "2") };
        let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
        assert_eq!(known(&machine, "tool"), if has_previous { "install installed 1" } else { "" });
        assert!(dpkg(&machine, &["--audit"]).stdout.is_empty());
    }
}

#[test]
fn the_deb_of_a_version_whose_files_have_changed_since_restores_it() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let sums = [("md5sums", "00000000000000000000000000000000  usr/share/tool/version")];
    let one = DebSpec { scripts: &sums, ..spec("tool", "1") };
    assert!(dpkg_deb(&machine, "--install", &one));
    write(&machine, "usr/share/tool/version", "changed by a script", 0o644);
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    let outcome = machine.install(&spec("tool", "2").release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    assert_eq!(known(&machine, "tool"), "install installed 1");
    // Other content of this version still needs a deb to go back to.
    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--install", &one));
    let outcome = machine.install(&DebSpec { content: "other", ..spec("tool", "1") }.release(1)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::CannotRestore);
}

#[test]
fn a_file_of_another_package_below_another_name_of_its_folder_stays() {
    if !can_install("planning debs") {
        return;
    }
    let machine = TestMachine::new();
    fs::create_dir_all(machine.root.join("usr/bin")).unwrap();
    symlink("usr/bin", machine.root.join("bin")).unwrap();
    assert!(dpkg_deb(&machine, "--install", &DebSpec { files: &[("usr/bin/thing", "other's")], ..spec("other", "1") }));
    let tool = DebSpec { files: &[("bin/thing", "tool's")], ..spec("tool", "1") };
    let outcome = machine.install(&tool.release(1)).outcome;
    assert_eq!(
        failed_and_restored(&outcome),
        (Reason::PackageConflict, "tool 1 contains /bin/thing, which belongs to other 1")
    );
    assert_eq!(read(&machine, "usr/bin/thing"), "other's");
    let replacing = DebSpec { control: "Replaces: other\n", ..tool };
    assert_eq!(machine.install(&replacing.release(2)).outcome, NEWLY_INSTALLED);
}

#[test]
fn the_room_directly_in_a_disks_folder_is_asked_for_there() {
    if !can_install("planning debs") {
        return;
    }
    let machine = TestMachine::new();
    let boot = machine.root.join("boot");
    let Some(_disk) = TestMachine::mount_disk(&boot, "size=1m") else { return };
    let kernel = "k".repeat(3 << 20);
    let release = DebSpec { files: &[("boot/vmlinuz", &kernel)], ..spec("kernel", "1") }.release(1);
    let outcome = machine.run(&machine.job(&release), &release, &RealDisks).outcome;
    let Outcome::Waits { reason: Reason::DiskFull, detail } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains(&format!("on the disk of {}", boot.display())), "{detail}");
    assert_eq!(known(&machine, "kernel"), "");
}

#[test]
fn a_script_of_a_killed_dpkg_ends_before_the_undo() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    assert_eq!(machine.install(&spec("tool", "1").release(1)).outcome, NEWLY_INSTALLED);
    let pipe = machine.root.join("never");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // As the kernel does when memory runs out.
    let script = "(echo started > /started; read x < /never) & read x < /never & while ! test -e /started; do :; done; \
                  kill -9 $PPID; read x < /never";
    let release = DebSpec { scripts: &[("postinst", script)], ..spec("tool", "2") }.release(2);
    let outcome = machine.install(&release).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::InstallFailed);
    assert_eq!(known(&machine, "tool"), "install installed 1");
    let flags = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK;
    let open = nix::fcntl::open(Path::new(&pipe), flags, nix::sys::stat::Mode::empty());
    assert_eq!(open.err(), Some(nix::errno::Errno::ENXIO), "a process of the script still runs");
}
