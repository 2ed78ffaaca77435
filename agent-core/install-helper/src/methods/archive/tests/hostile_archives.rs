//! Tests one attack each. The first pass must refuse it before anything is written. The second pass, run alone into a
//! folder, must write nothing outside that folder.

use crate::{
    error::InstallError,
    methods::archive::unpack::{Source, inspect, unpack},
};
use banyan_archive::{
    ArchiveRefusal, NameRules,
    budget::{MAX_ENTRIES, usual_unpacked_bytes},
    fixture::{Tar, gz, pax_records, zip},
};
use std::{fs, path::Path};
use tar::EntryType;

/// The rules for the platform `linux-x86_64`.
const LINUX: NameRules = NameRules::LINUX;
/// The rules where case is ignored.
const IGNORES_CASE: NameRules = NameRules { ignores_case: true, ..LINUX };
/// The rules of Windows.
const WINDOWS: NameRules = NameRules::WINDOWS;

/// Returns how to read the archive, without any size stated by its publisher.
fn source(archive: &Path, rules: NameRules) -> Source<'_> {
    let limit = usual_unpacked_bytes(fs::metadata(archive).unwrap().len());
    Source { archive, file_name: "package.bin", rules, limit }
}

/// Returns why the archive is refused, after verifying that nothing outside the folder was touched.
fn refusal_under(rules: NameRules, archive: &[u8]) -> ArchiveRefusal {
    let world = tempfile::tempdir().unwrap();
    let (file, into) = (world.path().join("archive"), world.path().join("in/side"));
    fs::write(&file, archive).unwrap();
    fs::create_dir_all(&into).unwrap();
    let refused = match inspect(source(&file, rules)) {
        Err(InstallError::Archive(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert!(unpack(source(&file, rules), &into).is_err(), "the second pass accepted the archive");
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(world.path()), ["archive", "in"]);
    assert_eq!(names(&world.path().join("in")), ["side"]);
    refused
}

fn refusal(archive: &[u8]) -> ArchiveRefusal {
    refusal_under(LINUX, archive)
}

fn refusal_of_first_pass(rules: NameRules, archive: &[u8]) -> Option<InstallError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), archive).unwrap();
    inspect(source(file.path(), rules)).err()
}

/// Marks all entries of a zip file as made on Windows.
fn made_on_windows(mut archive: Vec<u8>) -> Vec<u8> {
    for at in 0..archive.len() - 4 {
        if archive[at..].starts_with(b"PK\x01\x02") {
            archive[at + 5] = 0;
        }
    }
    archive
}

#[test]
fn traversal() {
    for name in ["../x", "a/../../x", "..", "a/.."] {
        let refused = refusal(&Tar::new().file(name, b"evil").gz());
        assert!(matches!(refused, ArchiveRefusal::ParentFolder(_)), "{name}: {refused}");
        assert!(refused.is_attack());
    }
}

#[test]
fn absolute_path() {
    assert!(matches!(refusal(&Tar::new().file("/tmp/x", b"evil").gz()), ArchiveRefusal::Absolute(_)));
}

#[test]
fn zip_slip() {
    for name in ["../../x", "a/../../x"] {
        assert!(matches!(refusal(&zip(&[(name, 0o100_644, b"evil")])), ArchiveRefusal::ParentFolder(_)));
    }
    assert!(matches!(refusal(&zip(&[("/x", 0o100_644, b"evil")])), ArchiveRefusal::Absolute(_)));
    let backslashes = zip(&[("..\\..\\x", 0o100_644, b"evil")]);
    assert!(matches!(refusal_under(WINDOWS, &backslashes), ArchiveRefusal::Name { .. }));
    let from_windows = made_on_windows(backslashes);
    assert!(matches!(refusal_under(WINDOWS, &from_windows), ArchiveRefusal::ParentFolder(_)));
    assert!(matches!(refusal(&from_windows), ArchiveRefusal::ParentFolder(_)));
}

#[test]
fn symlink_out() {
    for target in ["..", "../x", "a/../../x", "./../x"] {
        let refused = refusal(&Tar::new().file("a/f", b"").symlink("out", target).gz());
        assert!(matches!(refused, ArchiveRefusal::LinkEscapes { .. }), "{target}: {refused}");
    }
    let refused = refusal(&Tar::new().file("f", b"").symlink("out", "/etc/passwd").gz());
    assert!(matches!(refused, ArchiveRefusal::LinkAbsolute { .. }), "{refused}");
    let refused = refusal(&Tar::new().file("f", b"").symlink("out", "").gz());
    assert!(matches!(refused, ArchiveRefusal::LinkEmpty { .. }), "{refused}");
    let refused = refusal(&zip(&[("f", 0o100_644, b""), ("out", 0o120_777, b"../x")]));
    assert!(matches!(refused, ArchiveRefusal::LinkEscapes { .. }), "{refused}");
    // The target is content here. A long one is not read into memory.
    let refused = refusal(&zip(&[("long", 0o120_777, &[b'x'; 4097])]));
    assert!(matches!(refused, ArchiveRefusal::Special { .. }), "{refused}");
}

#[test]
fn symlink_out_through_another_link() {
    // `a/b/up` leads to the top, so `a/b/up/..` leads out, although counting names gives `a/b`.
    let archive = Tar::new().file("a/b/f", b"").symlink("a/b/up", "../..").symlink("a/b/out", "up/..").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::LinkEscapes { .. }));
    // The other link comes later, or replaces a folder that was only named by the first.
    let archive = Tar::new().file("a/b/f", b"").symlink("a/b/out", "up/..").symlink("a/b/up", "../..").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::LinkEscapes { .. }));
}

#[test]
fn links_that_lead_in_a_circle_end() {
    let archive = Tar::new().symlink("a", "b/x").symlink("b", "a/x").symlink("c", "a/../../x").gz();
    let refused = refusal_of_first_pass(LINUX, &archive);
    assert!(refused.is_none(), "a link that leads nowhere is harmless: {refused:?}");
}

#[test]
fn write_through_a_symlink() {
    let archive = Tar::new().folder("real").symlink("link", "real").file("link/x", b"evil").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::ThroughLink { .. }));
    let archive = Tar::new().folder("real").symlink("Link", "real").file("lINK/x", b"evil").gz();
    assert!(matches!(refusal_under(IGNORES_CASE, &archive), ArchiveRefusal::ThroughLink { .. }));
    let archive = Tar::new().file("plain", b"").file("plain/x", b"evil").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::ThroughLink { .. }));
}

#[test]
fn link_in_place_of_a_folder() {
    for first in [Tar::new().folder("x"), Tar::new().file("x/y", b"1")] {
        assert!(matches!(refusal(&first.symlink("x", "y").gz()), ArchiveRefusal::Collision { .. }));
    }
    for first in [Tar::new().symlink("x", "y"), Tar::new().file("x", b"1")] {
        assert!(matches!(refusal(&first.folder("x").gz()), ArchiveRefusal::Collision { .. }));
    }
    let archive = Tar::new().symlink("X", "y").file("x", b"through the link, where case is ignored").gz();
    assert!(matches!(refusal_under(IGNORES_CASE, &archive), ArchiveRefusal::Collision { .. }));
}

#[test]
fn file_in_place_of_a_link_is_not_written_through_it() {
    let archive = Tar::new().file("y", b"1").symlink("x", "y").file("x", b"2").gz();
    let world = tempfile::tempdir().unwrap();
    let (file, into) = (world.path().join("archive"), world.path().join("in"));
    fs::write(&file, archive).unwrap();
    fs::create_dir(&into).unwrap();
    unpack(source(&file, LINUX), &into).unwrap();
    assert_eq!((fs::read(into.join("y")).unwrap(), fs::read(into.join("x")).unwrap()), (b"1".into(), b"2".into()));
}

#[test]
fn hard_link_out() {
    for (target, expected) in [("/etc/passwd", "absolute"), ("../x", "climbs")] {
        let refused = refusal(&Tar::new().hard_link("x", target).gz());
        assert!(
            matches!(refused, ArchiveRefusal::Absolute(_) | ArchiveRefusal::ParentFolder(_)),
            "{expected}: {refused}"
        );
    }
    let archive = Tar::new().hard_link("x", "nothing-before-it").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::HardLink { .. }));
    let archive = Tar::new().folder("folder").hard_link("y", "folder").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::HardLink { .. }));
    // A hard link to a symbolic link is another symbolic link: from another folder, it can leave the tree.
    let archive = Tar::new().file("f", b"").symlink("a/b/link", "../../f").hard_link("c", "a/b/link").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::LinkEscapes { .. }));
}

#[test]
fn device_and_pipe() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::new(b'Z'), EntryType::new(b'M')] {
        let refused = refusal(&Tar::new().raw("dev", kind, 0o644, "", b"").gz());
        assert!(matches!(refused, ArchiveRefusal::Special { .. }), "{kind:?}: {refused}");
    }
    for mode in [0o020_644, 0o060_644, 0o010_644, 0o140_644] {
        assert!(matches!(refusal(&zip(&[("dev", mode, b"")])), ArchiveRefusal::Special { .. }), "{mode:o}");
    }
}

#[test]
fn case_collision() {
    let archive = Tar::new().file("Read.me", b"1").file("READ.ME", b"2").gz();
    assert!(matches!(refusal_under(IGNORES_CASE, &archive), ArchiveRefusal::Collision { .. }));
    let archive = Tar::new().file("lib/a", b"1").file("Lib/b", b"2").gz();
    assert!(matches!(refusal_under(IGNORES_CASE, &archive), ArchiveRefusal::Collision { .. }));
}

#[test]
fn pax_path_override() {
    let archive = Tar::new().pax(&[("path", "../x")]).file("harmless", b"evil").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::ParentFolder(_)));
    let archive = Tar::new().file("f", b"").pax(&[("linkpath", "../x")]).symlink("harmless", "inside").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::LinkEscapes { .. }));
    let archive = Tar::new().pax(&[("comment", "two\nlines"), ("path", "../x")]).file("harmless", b"evil").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::ParentFolder(_)));
}

#[test]
fn global_pax_header_that_renames_everything() {
    let records = pax_records(&[("path", "x")]);
    let archive = Tar::new().raw("g", EntryType::XGlobalHeader, 0o644, "", &records).file("y", b"").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::Unsupported(_)));
}

#[test]
fn gnu_long_name_override() {
    let archive = Tar::new().raw("l", EntryType::GNULongName, 0o644, "", b"../x\0").file("harmless", b"evil").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::ParentFolder(_)));
    let archive = Tar::new().raw("k", EntryType::GNULongLink, 0o644, "", b"/etc\0").symlink("harmless", "in").gz();
    assert!(matches!(refusal(&archive), ArchiveRefusal::LinkAbsolute { .. }));
}

#[test]
fn long_names() {
    let name = |text: &str| text.as_bytes().to_vec();
    // A single name, the number of names, and the whole path.
    for long in [name(&"x".repeat(256)), name(&"a/".repeat(65)), name(&format!("{}/", "x".repeat(250)).repeat(17))] {
        let refused = refusal(&Tar::new().raw("l", EntryType::GNULongName, 0o644, "", &long).file("x", b"").gz());
        assert!(matches!(refused, ArchiveRefusal::Name { .. }), "{refused}");
    }
}

#[test]
fn header_that_fills_the_memory() {
    let name = "x".repeat((1 << 20) + 1);
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader] {
        let is_pax = kind.is_pax_local_extensions() || kind.is_pax_global_extensions();
        let header = if is_pax { pax_records(&[("path", &name)]) } else { name.clone().into_bytes() };
        let refused = refusal(&Tar::new().raw("l", kind, 0o644, "", &header).file("x", b"").gz());
        assert!(matches!(refused, ArchiveRefusal::HeaderTooLarge(_)), "{kind:?}: {refused}");
    }
}

#[test]
fn tar_bomb() {
    let bomb = gz(&Tar::new().file("zeros", &vec![0; 160 << 20]).tar());
    assert!(160 << 20 > usual_unpacked_bytes(bomb.len() as u64), "the fixture is not a bomb");
    assert!(matches!(refusal(&bomb), ArchiveRefusal::TooLarge(_)));
    // The same amount of zeros after the end of the tar file, which no entry claims.
    let mut hidden = Tar::new().file("x", b"").tar();
    hidden.resize(160 << 20, 0);
    assert!(matches!(refusal(&gz(&hidden)), ArchiveRefusal::TooLarge(_)));
}

#[test]
fn zip_bomb() {
    let bomb = zip(&[("zeros", 0o100_644, &vec![0; 160 << 20])]);
    assert!(matches!(refusal(&bomb), ArchiveRefusal::TooLarge(_)));
}

#[test]
fn zip_with_wrong_sizes() {
    let mut archive = zip(&[("x", 0o100_644, &[7; 4096])]);
    // Changes the size in the central directory, 24 bytes from its start, and leaves the content as it is.
    let at = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[at + 24..at + 28].copy_from_slice(&16_u32.to_le_bytes());
    assert!(matches!(refusal(&archive), ArchiveRefusal::WrongSize { said: 16, .. }));
}

#[test]
fn too_many_entries() {
    let many = (0..=MAX_ENTRIES).fold(Tar::new(), |tar, _| tar.folder("x"));
    assert!(matches!(refusal(&many.gz()), ArchiveRefusal::TooManyEntries(_)));
    // In a zip file each entry has a name of its own; the second pass would write 200,000 folders first.
    let names: Vec<String> = (0..=MAX_ENTRIES).map(|number| format!("{number}/")).collect();
    let many = zip(&names.iter().map(|name| (name.as_str(), 0o040_755, &b""[..])).collect::<Vec<_>>());
    let world = tempfile::tempdir().unwrap();
    let file = world.path().join("archive");
    fs::write(&file, many).unwrap();
    let refused = inspect(source(&file, LINUX));
    assert!(matches!(refused, Err(InstallError::Archive(ArchiveRefusal::TooManyEntries(_)))), "{refused:?}");
}

#[test]
fn truncated_gzip() {
    let whole = Tar::new().file("x", &(0..=255).cycle().take(9000).collect::<Vec<u8>>()).gz();
    // Truncated in the middle, and within the check sum after the last byte of the tar file.
    for length in [whole.len() / 2, whole.len() - 4] {
        let refused = refusal(&whole[..length]);
        assert!(matches!(refused, ArchiveRefusal::Damaged(_)), "{length}: {refused}");
        assert!(!refused.is_attack());
    }
}

#[test]
fn damaged_content() {
    let mut archive = zip(&[("x", 0o100_644, b"some content")]);
    let at = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[at + 16] ^= 1; // the check sum
    assert!(matches!(refusal(&archive), ArchiveRefusal::Damaged(_)));
}

#[test]
fn file_that_is_not_an_archive() {
    assert!(matches!(refusal(b"#!/bin/sh\necho hello\n"), ArchiveRefusal::Unsupported(_)));
}
