//! Verifies the unpacked tree of valid archives.

use crate::{
    error::InstallError,
    methods::archive::unpack::{Source, inspect, unpack},
};
use banyan_archive::{
    NameRules,
    budget::usual_unpacked_bytes,
    fixture::{Tar, zip},
};
use std::{fs, path::Path};
use tar::EntryType;

const RULES: NameRules = NameRules::LINUX;

fn source<'a>(archive: &'a Path, file_name: &'a str, rules: NameRules) -> Source<'a> {
    let limit = usual_unpacked_bytes(fs::metadata(archive).unwrap().len());
    Source { archive, file_name, rules, limit }
}

pub(super) fn inspected(archive: &[u8], rules: NameRules) -> Result<u64, InstallError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), archive).unwrap();
    inspect(source(file.path(), "a", rules)).map(|(bytes, _)| bytes)
}

pub(super) fn unpacked(archive: &[u8], name: &str) -> tempfile::TempDir {
    let world = tempfile::tempdir().unwrap();
    let (file, into) = (world.path().join("archive"), world.path().join("in"));
    fs::write(&file, archive).unwrap();
    fs::create_dir(&into).unwrap();
    let (room, _) = inspect(source(&file, name, RULES)).unwrap();
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0, "the first pass wrote something");
    assert!(room >= 4);
    unpack(source(&file, name, RULES), &into).unwrap();
    world
}

pub(super) fn read(world: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(world.path().join("in").join(path)).unwrap()
}

fn sample() -> Tar {
    Tar::new().folder("./").folder("bin/").program("bin/tool", "tool").file("share/doc/read.me", b"text")
}

#[test]
fn every_format_gives_the_same_tree() {
    let tar = sample().tar();
    let zst = zstd::encode_all(&tar[..], 3).unwrap();
    let zip = zip(&[("bin/", 0o040_755, b""), ("bin/tool", 0o100_755, b"tool"), ("share/doc/read.me", 0, b"text")]);
    for (archive, name) in [(sample().gz(), "a.tgz"), (zst, "a.tar.zst"), (tar, "a.tar"), (zip, "a.zip")] {
        let world = unpacked(&archive, name);
        assert_eq!(
            (read(&world, "bin/tool"), read(&world, "share/doc/read.me")),
            ("tool".into(), "text".into()),
            "{name}"
        );
        #[cfg(unix)]
        assert_eq!(
            ["bin", "bin/tool", "share", "share/doc/read.me"].map(|path| mode(&world, path)),
            [0o755, 0o755, 0o755, 0o644]
        );
    }
}

#[cfg(unix)]
pub(super) fn mode(world: &tempfile::TempDir, path: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(world.path().join("in").join(path)).unwrap().permissions().mode() & 0o7777
}

#[cfg(unix)]
#[test]
fn modes_are_reduced_to_two() {
    let archive = Tar::new()
        .raw("all", EntryType::Regular, 0o1777, "", b"")
        .raw("none", EntryType::Regular, 0, "", b"")
        .raw("secret", EntryType::Directory, 0o700, "", b"")
        .gz();
    let world = unpacked(&archive, "a");
    assert_eq!(["all", "none", "secret"].map(|path| mode(&world, path)), [0o755, 0o644, 0o755]);
}

#[cfg(unix)]
#[test]
fn links_inside_the_tree_are_kept() {
    let archive = Tar::new()
        .file("lib/libx.so.1.2", b"code")
        .symlink("lib/libx.so", "libx.so.1.2")
        .symlink("bin/lib", "../lib")
        .hard_link("lib/libx.a", "lib/libx.so.1.2")
        .gz();
    let world = unpacked(&archive, "a");
    for path in ["lib/libx.so", "bin/lib/libx.so", "lib/libx.a"] {
        assert_eq!(read(&world, path), "code");
    }
    assert_eq!(fs::read_link(world.path().join("in/bin/lib")).unwrap(), Path::new("../lib"));
    let world = unpacked(&zip(&[("x", 0o100_644, b"code"), ("y", 0o120_777, b"x")]), "a");
    assert_eq!(read(&world, "y"), "code");
}

#[test]
fn long_names_in_both_dialects() {
    let long = format!("{}/{}", "folder".repeat(20), "file".repeat(30));
    let gnu = Tar::new().raw("l", EntryType::GNULongName, 0o644, "", format!("{long}\0").as_bytes()).file("x", b"gnu");
    assert_eq!(read(&unpacked(&gnu.gz(), "a"), &long), "gnu");
    let pax = Tar::new().pax(&[("mtime", "1.5"), ("path", &long), ("size", "3")]).file("x", b"pax");
    assert_eq!(read(&unpacked(&pax.gz(), "a"), &long), "pax");
}

#[test]
fn a_tree_for_linux_may_contain_names_that_windows_cannot_store() {
    let tree = Tar::new().file("xt_MARK.c", b"").file("xt_mark.c", b"").file("aux.c", b"").file("a\\x2db", b"").gz();
    assert!(inspected(&tree, NameRules::LINUX).is_ok());
    assert!(inspected(&tree, NameRules::WINDOWS).is_err());
}

#[test]
fn many_files_are_all_there() {
    let many = (0..1100).fold(Tar::new(), |tar, number| tar.file(&format!("{}/{number}", number % 7), b"x"));
    let world = unpacked(&many.gz(), "a");
    let count = |folder: usize| fs::read_dir(world.path().join(format!("in/{folder}"))).unwrap().count();
    assert_eq!((0..7).map(count).sum::<usize>(), 1100);
}
