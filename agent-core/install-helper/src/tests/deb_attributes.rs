//! Verifies that an undo restores what files have beside their content: owner, mode, times, capabilities, access lists,
//! other extended attributes and hard links; and folders with theirs.

use crate::{
    file_attributes::FileAttributes,
    sys,
    tests::{
        deb_builder::{DebSpec, dpkg, dpkg_deb, spec},
        deb_installs::can_install,
        test_machine::{NEWLY_INSTALLED, TestMachine, failed_and_restored},
    },
};
use banyan_proto::Reason;
use rustix::fs::XattrFlags;
use std::{
    collections::BTreeMap,
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

const BAD: &[&str] = &["/bin/false"];
/// `cap_net_raw=p`, as `setcap` writes it.
const CAPABILITY: &[u8] = &[0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// An access list that also lets user 1000 read and execute.
const ACCESS_LIST: &[u8] = &[
    2, 0, 0, 0, // version
    1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, // the owner: rwx
    2, 0, 5, 0, 0xe8, 3, 0, 0, // user 1000: r-x
    4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, // the group: r-x
    0x10, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, // the mask: r-x
    0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, // others: ---
];

/// Gives a file or folder owner, mode, attributes and times that no deb gives.
pub(super) fn mark(place: &Path) {
    chown(place, Some(1234), Some(4321)).unwrap();
    let is_folder = place.is_dir();
    fs::set_permissions(place, Permissions::from_mode(if is_folder { 0o2750 } else { 0o4750 })).unwrap();
    let file = File::open(place).unwrap();
    let set = |name: &str, value: &[u8]| rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()).unwrap();
    set("user.note", b"\0\xff");
    set("trusted.note", b"");
    set("system.posix_acl_access", ACCESS_LIST);
    set(
        if is_folder { "system.posix_acl_default" } else { "security.capability" },
        match is_folder {
            true => ACCESS_LIST,
            false => CAPABILITY,
        },
    );
    let time = |seconds, nanos| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    file.set_times(FileTimes::new().set_accessed(time(99, 1)).set_modified(time(77, 2))).unwrap();
}

/// What a file or folder has beside its content.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    attributes: FileAttributes,
    /// The first path of the same file.
    first_name: String,
}

/// Returns everything below folders of the root, by path. Folders change their times with what is in them.
pub(super) fn everything(machine: &TestMachine, folders: &[&str]) -> BTreeMap<String, Found> {
    let (mut found, mut names) = (BTreeMap::new(), BTreeMap::new());
    let mut todo: Vec<_> = folders.iter().map(|folder| machine.root.join(folder)).collect();
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut attributes = sys::read_attributes(&path).unwrap();
        if metadata.is_dir() {
            let mut inside: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            inside.sort();
            todo.extend(inside);
            attributes = FileAttributes { times: None, links: 0, ..attributes };
        } else if let Some(times) = &mut attributes.times {
            // Reading the file to compare it changes this.
            times.accessed = times.modified;
        }
        let path = path.display().to_string();
        let first_name = names.entry((metadata.dev(), metadata.ino())).or_insert_with(|| path.clone()).clone();
        found.insert(path, Found { attributes, first_name });
    }
    found
}

/// Leaves out the times of files that dpkg itself puts back: they are the deb's.
pub(super) fn without_times(
    mut all: BTreeMap<String, Found>,
    is_by_dpkg: impl Fn(&str) -> bool,
) -> BTreeMap<String, Found> {
    all.iter_mut().filter(|(path, _)| is_by_dpkg(path)).for_each(|(_, found)| found.attributes.times = None);
    all
}

#[test]
fn files_that_were_taken_over_have_their_attributes_and_names_again() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let files = [("usr/lib/x/taken", "common"), ("usr/lib/x/other", "c"), ("usr/lib/x/single", "c")];
    let common = DebSpec {
        files: &[&files[..], &[("usr/lib/x/name", "common"), ("usr/lib/x/stays", "common")]].concat(),
        ..spec("common", "1")
    };
    assert!(dpkg_deb(&machine, "--install", &common));
    let place = |name: &str| machine.root.join("usr/lib/x").join(name);
    for name in ["name", "stays"] {
        fs::remove_file(place(name)).unwrap();
        fs::hard_link(place("taken"), place(name)).unwrap();
    }
    ["taken", "single"].iter().for_each(|name| mark(&place(name)));
    let before = everything(&machine, &["usr/lib/x"]);
    assert!(before.values().any(|found| found.attributes.links == 3 && found.attributes.extended.len() == 4));
    let taken = [("usr/lib/x/taken", "tool"), ("usr/lib/x/name", "tool"), ("usr/lib/x/single", "tool")];
    let tool = DebSpec { control: "Replaces: common\n", files: &taken, ..spec("tool", "1") };
    let outcome = machine.install(&tool.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    assert_eq!(everything(&machine, &["usr/lib/x"]), before);
    assert!(dpkg(&machine, &["--verify"]).stdout.is_empty());
    machine.assert_tidy();
}

#[test]
fn files_and_folders_of_no_package_have_their_attributes_again() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let place = |name: &str| machine.root.join("opt/tool").join(name);
    fs::create_dir_all(place("empty")).unwrap();
    fs::create_dir(place("folder")).unwrap();
    for name in ["run", "plain", "folder/inside"] {
        fs::write(place(name), "installed by hand").unwrap();
    }
    fs::hard_link(place("run"), place("same")).unwrap();
    symlink("run", place("link")).unwrap();
    lchown(place("link"), Some(1234), Some(4321)).unwrap();
    ["run", "folder", "empty", ""].iter().for_each(|name| mark(&place(name)));
    let before = everything(&machine, &["opt"]);
    let content = "package's";
    let files = ["run", "plain", "same", "link", "folder/inside", "empty/new"].map(|name| format!("opt/tool/{name}"));
    let files = files.each_ref().map(|path| (path.as_str(), content));
    let one = DebSpec { files: &files, ..spec("tool", "1") };
    let outcome = machine.install(&one.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    assert_eq!(everything(&machine, &["opt"]), before);
    machine.assert_tidy();
}

#[test]
fn an_earlier_version_has_the_attributes_again_that_its_files_were_given() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let files = [("usr/bin/ping", "1"), ("usr/lib/tool/data", "1"), ("usr/lib/tool/own/data", "1")];
    let one = DebSpec { files: &files, settings: &[("etc/tool.conf", "1")], ..spec("tool", "1") };
    let other = DebSpec { files: &[("usr/lib/tool/of-other", "1")], ..spec("other", "1") };
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    assert!(dpkg_deb(&machine, "--install", &other));
    for path in ["usr/bin/ping", "usr/lib/tool/data", "usr/lib/tool/own", "etc/tool.conf"] {
        mark(&machine.root.join(path));
    }
    let folders = ["usr/bin", "usr/lib", "etc"];
    let before = everything(&machine, &folders);
    let two = DebSpec { files: &[("usr/bin/ping", "2")], settings: &[("etc/tool.conf", "2")], ..spec("tool", "2") };
    let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::ProbeFailed, "the probe exited with code 1; tool 1 is back"));
    let is_by_dpkg = |path: &str| !path.contains("/etc/");
    assert_eq!(without_times(everything(&machine, &folders), is_by_dpkg), without_times(before, is_by_dpkg));
    machine.assert_tidy();
    // A version that works has its own.
    assert_eq!(machine.install(&two.release(3)).outcome, NEWLY_INSTALLED);
    assert!(sys::read_attributes(&machine.root.join("usr/bin/ping")).unwrap().extended.is_empty());
}

/// A disk without extended attributes, unmounted on drop.
struct PlainDisk<'a>(&'a Path);

impl Drop for PlainDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn an_undo_needs_no_disk_with_extended_attributes() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let mounted = Command::new("mount").args(["-t", "ramfs", "ramfs"]).arg(&machine.root).status().unwrap();
    if !mounted.success() {
        println!("skipped: a ramfs cannot be mounted here");
        return;
    }
    let _disk = PlainDisk(&machine.root);
    let place = machine.root.join("opt/run");
    fs::create_dir_all(machine.root.join("opt")).unwrap();
    fs::write(&place, "installed by hand").unwrap();
    chown(&place, Some(1234), None).unwrap();
    fs::set_permissions(&place, Permissions::from_mode(0o4750)).unwrap();
    let before = everything(&machine, &["opt"]);
    let deb = DebSpec { files: &[("opt/run", "package's")], ..spec("tool", "1") };
    let outcome = machine.install(&deb.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    assert_eq!(everything(&machine, &["opt"]), before);
}
