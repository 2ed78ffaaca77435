//! Verifies what ordinary programs write: the dialects of tar and zip, their compressions, and odd ends.

use super::valid_archives::{inspected, mode, read, unpacked};
use crate::error::InstallError;
use banyan_archive::{
    ArchiveRefusal, NameRules,
    fixture::{Tar, archive_of, gz, pax_records, zip},
};
use std::io::Write;
use tar::{EntryType, Header};

fn refusal(archive: &[u8]) -> String {
    match inspected(archive, NameRules::LINUX) {
        Err(InstallError::Archive(refusal)) => refusal.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn zstd_with_window(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(1);
    options.lzma_options.dict_size = dictionary;
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_compression_is_read_with_several_members_and_zeros_at_the_end() {
    let tar = archive_of(b"text");
    let (first, second) = tar.split_at(700);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let skippable =
        [&b"\x5a\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(first), b"\x50\x2a\x4d\x18\0\0\0\0", &zstd(second)].concat();
    let xz = |bytes: &[u8]| xz(bytes, 1 << 20);
    for (what, mut archive) in [
        ("gzip", [gz(first), gz(second)].concat()),
        ("bzip2", [bzip2(first), bzip2(second)].concat()),
        ("xz", [xz(first), xz(second)].concat()),
        ("zstd", skippable),
        ("plain", tar.clone()),
    ] {
        assert_eq!(read(&unpacked(&archive, "a"), "content"), "text", "{what}");
        archive.extend([0; 1024]);
        assert_eq!(read(&unpacked(&archive, "a"), "content"), "text", "{what} with zeros at its end");
        archive.truncate(archive.len() - 1024 - 5);
        if what != "plain" {
            let damaged = refusal(&archive);
            assert!(damaged.contains("damaged or truncated"), "{what}: {damaged}");
        }
    }
    let mut followed = gz(&tar);
    followed.extend(b"a signature");
    assert!(refusal(&followed).contains("other data follow"), "{}", refusal(&followed));
}

#[test]
fn memory_for_decompression_is_bounded() {
    let tar = archive_of(b"text");
    assert_eq!(read(&unpacked(&zstd_with_window(&tar, 27), "a"), "content"), "text");
    assert!(refusal(&zstd_with_window(&tar, 28)).contains("--long=27"), "{}", refusal(&zstd_with_window(&tar, 28)));
    assert_eq!(read(&unpacked(&xz(&tar, 64 << 20), "a"), "content"), "text");
    // Only the header says how much memory is needed, so that the test needs little.
    let mut large = xz(&tar, 64 << 20);
    // The block header: size, flags, filter, size of properties, the dictionary's size, padding, check sum.
    assert_eq!(large[14..16], [0x21, 1]);
    large[16] = 36;
    let block = 12..12 + (usize::from(large[12]) + 1) * 4;
    let sum = crc32(&large[block.start..block.end - 4]);
    large[block.end - 4..block.end].copy_from_slice(&sum.to_le_bytes());
    assert!(refusal(&large).contains("128 MiB"), "{}", refusal(&large));
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn later_entries_replace_earlier_ones() {
    let twice = Tar::new()
        .file("f", b"old")
        .program("./f", "new")
        .symlink("l", "f")
        .file("l", b"no link")
        .file("x", b"file")
        .symlink("x", "f")
        .hard_link("h", "f")
        .hard_link("h", "l")
        .gz();
    let world = unpacked(&twice, "a");
    assert_eq!(["f", "l", "x", "h"].map(|path| read(&world, path)), ["new", "no link", "new", "no link"]);
    #[cfg(unix)]
    assert_eq!(mode(&world, "f"), 0o755);
    // A file packed twice with a second name: tar writes a hard link of the file to itself.
    let itself = Tar::new().file("f", b"text").hard_link("f", "f").gz();
    assert_eq!(read(&unpacked(&itself, "a"), "f"), "text");
}

#[cfg(unix)]
#[test]
fn special_bits_are_dropped() {
    let archive = Tar::new()
        .raw("./", EntryType::Directory, 0o2775, "", b"")
        .raw("shared", EntryType::Directory, 0o3777, "", b"")
        .raw("sandbox", EntryType::Regular, 0o6755, "", b"")
        .gz();
    let world = unpacked(&archive, "a");
    assert_eq!(["shared", "sandbox"].map(|path| mode(&world, path)), [0o755, 0o755]);
    let world = unpacked(&zip(&[("sandbox", 0o104_755, b"")]), "a");
    assert_eq!(mode(&world, "sandbox"), 0o755);
}

#[cfg(unix)]
#[test]
fn links_between_links_and_hard_links_to_links() {
    let archive = Tar::new()
        .file("opt/y", b"text")
        .folder("usr/lib")
        .symlink("usr/z", "lib/../../opt/y")
        .symlink("s", "opt")
        .hard_link("t", "s")
        .symlink("through", "t/../opt/y")
        .gz();
    let world = unpacked(&archive, "a");
    assert_eq!(["usr/z", "s/y", "t/y", "through"].map(|path| read(&world, path)), ["text"; 4]);
}

#[cfg(target_os = "linux")]
#[test]
fn links_that_differ_only_in_case_are_names_of_their_own() {
    let archive = Tar::new()
        .symlink("Windows.h", "windows.h")
        .file("windows.h", b"header")
        .symlink("Lib", "lib")
        .file("lib/Tool", b"tool")
        .symlink("lib/tool", "Tool")
        .gz();
    let world = unpacked(&archive, "a");
    assert_eq!(["Windows.h", "Lib/tool"].map(|path| read(&world, path)), ["header", "tool"]);
}

#[test]
fn extended_attributes_of_any_size_are_skipped() {
    let attribute = |bytes: usize| ("SCHILY.xattr.user.icon", "x=\n".repeat(bytes / 3));
    let (small, large) = (attribute(300), attribute(5 << 20));
    let records = [("mtime", "-1.5"), (small.0, &small.1), (large.0, &large.1), ("path", "named")];
    let archive = Tar::new().pax(&records).file("other", b"text").gz();
    assert_eq!(read(&unpacked(&archive, "a"), "named"), "text");
    let cut_off = pax_records(&[(large.0, &large.1)]);
    let archive = Tar::new().raw("pax", EntryType::XHeader, 0o644, "", &cut_off[..1 << 20]).file("f", b"").gz();
    assert!(refusal(&archive).contains("a pax header cannot be read"), "{}", refusal(&archive));
}

#[test]
fn pax_sizes_override_headers() {
    let large =
        Tar::new().pax(&[("size", "600")]).sized("f", EntryType::Regular, "", 0, &[b'x'; 600]).file("g", b"next");
    let world = unpacked(&large.gz(), "a");
    assert_eq!((read(&world, "f"), read(&world, "g")), ("x".repeat(600), "next".into()));
    // In a pax archive, a hard link may bring the content again. In others its size means nothing.
    let pax = Tar::new().pax(&[("mtime", "1")]).sized("f", EntryType::Link, "x", 4, b"text").file("g", b"next");
    assert_eq!(read(&unpacked(&pax.gz(), "a"), "f"), "text");
    let old = Tar::new().file("f", b"text").sized("h", EntryType::Link, "f", 4, b"").file("g", b"next");
    assert_eq!(read(&unpacked(&old.gz(), "a"), "h"), "text");
}

#[test]
fn sparse_files_of_all_formats_get_their_holes_back() {
    // "AA", a hole to 1000, "BBB", a hole to 2000.
    let expected = format!("AA{}BBB{}", "\0".repeat(998), "\0".repeat(997));
    let stored = b"AABBB";
    let mut old = Header::new_gnu();
    old.set_path("f").unwrap();
    old.set_entry_type(EntryType::GNUSparse);
    old.set_mode(0o644);
    old.set_size(5);
    let fields = old.as_gnu_mut().unwrap();
    for (index, (offset, length)) in [(0, 2), (1000, 3), (2000, 0)].into_iter().enumerate() {
        fields.sparse[index].set_offset(offset);
        fields.sparse[index].set_length(length);
    }
    fields.set_real_size(2000);
    old.set_cksum();
    let pax00 = [("GNU.sparse.size", "2000"), ("GNU.sparse.numblocks", "2"), ("GNU.sparse.offset", "0")];
    let more = [("GNU.sparse.numbytes", "2"), ("GNU.sparse.offset", "1000"), ("GNU.sparse.numbytes", "3")];
    let pax00 = [pax00, more].concat();
    let pax01 = [("GNU.sparse.size", "2000"), ("GNU.sparse.map", "0,2,1000,3"), ("GNU.sparse.name", "f")];
    let pax10 = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "f"),
        ("GNU.sparse.realsize", "2000"),
    ];
    let mut with_map = b"2\n0\n2\n1000\n3\n".to_vec();
    with_map.resize(512, 0);
    with_map.extend(stored);
    for (what, tar) in [
        ("old", Tar::new().header(&old, stored)),
        ("0.0", Tar::new().pax(&pax00).file("f", stored)),
        ("0.1", Tar::new().pax(&pax01).file("GNUSparseFile.0/f", stored)),
        ("1.0", Tar::new().pax(&pax10).file("GNUSparseFile.0/f", &with_map)),
    ] {
        let world = unpacked(&tar.file("g", b"next").gz(), "a");
        assert_eq!((read(&world, "f"), read(&world, "g")), (expected.clone(), "next".into()), "{what}");
    }
    // A hole is no way around the limit, and a map that contradicts itself is refused.
    let huge = [("GNU.sparse.size", "99999999999"), ("GNU.sparse.map", "0,5")];
    assert!(refusal(&Tar::new().pax(&huge).file("f", stored).gz()).contains("unpacks to more than"));
    for map in ["0,2,1,3", "0,4", "0,6", "1999,5", "x"] {
        let records = [("GNU.sparse.size", "2000"), ("GNU.sparse.map", map)];
        assert!(refusal(&Tar::new().pax(&records).file("f", stored).gz()).contains("damaged"), "{map}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn zeros_take_no_room() {
    use std::os::unix::fs::MetadataExt;
    let mut content = vec![0; 4 << 20];
    content[1 << 20] = 1;
    let world = unpacked(&Tar::new().file("holes", &content).gz(), "a");
    let path = world.path().join("in/holes");
    assert!(std::fs::read(&path).unwrap() == content);
    let on_disk = std::fs::metadata(&path).unwrap().blocks() * 512;
    assert!(on_disk < 1 << 20, "{on_disk} bytes");
}

#[test]
fn headers_of_other_programs_are_skipped() {
    // GNU tar leaves most fields of a label empty.
    let mut label = Header::new_gnu();
    label.set_path("label").unwrap();
    label.set_entry_type(EntryType::new(b'V'));
    label.set_cksum();
    let archive = Tar::new()
        .header(&label, b"")
        .raw("list", EntryType::new(b'A'), 0, "", b"an access list")
        .raw("g", EntryType::XGlobalHeader, 0, "", &banyan_archive::fixture::pax_records(&[("comment", "a commit")]))
        .raw("dump/", EntryType::new(b'D'), 0o755, "", b"Yf\0\0")
        .file("dump/f", b"text")
        .gz();
    assert_eq!(read(&unpacked(&archive, "a"), "dump/f"), "text");
}

#[test]
fn zips_of_windows_programs() {
    let mut archive = zip(&[
        ("bin\\tool", 0, b"#!/bin/sh\n"),
        ("bin\\data", 0, b"data"),
        ("empty\\", 0, b""),
        ("lib\\x.so", 0, b"\x7fELF"),
        ("caf\x7f", 0, b""),
    ]);
    // Made on Windows; the last name is not UTF-8 and not marked as such: é in code page 437.
    for at in 0..archive.len() - 4 {
        if archive[at..].starts_with(b"PK\x01\x02") {
            archive[at + 5] = 0;
        }
        if archive[at..].starts_with(b"caf\x7f") {
            archive[at + 3] = 0x82;
        }
    }
    let world = unpacked(&archive, "a.zip");
    assert_eq!(read(&world, "bin/data"), "data");
    assert!(world.path().join("in/empty").is_dir() && world.path().join("in/café").is_file());
    #[cfg(unix)]
    assert_eq!(["bin/tool", "bin/data", "lib/x.so"].map(|path| mode(&world, path)), [0o755, 0o644, 0o755]);
}

#[test]
fn names_in_zips_without_a_mark_are_utf_8_if_they_can_be() {
    let mut archive = zip(&[("über", 0o100_644, b"text")]);
    for at in 0..archive.len() - 10 {
        // Takes the mark away.
        if archive[at..].starts_with(b"PK\x01\x02") {
            archive[at + 9] &= !0x08;
        }
        if archive[at..].starts_with(b"PK\x03\x04") {
            archive[at + 7] &= !0x08;
        }
    }
    assert_eq!(read(&unpacked(&archive, "a.zip"), "über"), "text");
}

#[test]
fn zips_that_cannot_be_decompressed_name_entry_and_cure() {
    let mut archive = zip(&[("f", 0o100_644, b"text")]);
    let central = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let mut encrypted = archive.clone();
    encrypted[central + 8] |= 1;
    let text = refusal(&encrypted);
    assert!(text.contains("\"f\" is encrypted") && text.contains("without a password"), "{text}");
    for (method, name) in [(14, "LZMA"), (98, "PPMd"), (6, "Implode")] {
        archive[central + 10] = method;
        let text = refusal(&archive);
        assert!(text.contains("\"f\"") && text.contains(name) && text.contains("Deflate"), "{text}");
    }
}

#[test]
fn a_zip_that_counts_too_few_entries_is_not_unpacked_in_part() {
    let mut archive = zip(&[("a", 0o100_644, b"1"), ("b", 0o100_644, b"2"), ("c", 0o100_644, b"3")]);
    // Finder on macOS writes the lower 16 bits of the count, without zip64.
    let end = archive.len() - 22;
    for at in [8, 10] {
        archive[end + at..end + at + 2].copy_from_slice(&1_u16.to_le_bytes());
    }
    let refused = refusal(&archive);
    assert!(refused.contains("3 entries or more, but its end says 1"), "{refused}");
}

#[test]
fn a_zip_behind_a_program_and_one_with_appended_entries() {
    let plain = zip(&[("f", 0o100_644, b"text")]);
    let behind = [b"#!/usr/bin/env python3\n".as_slice(), &plain].concat();
    assert_eq!(read(&unpacked(&behind, "a.zip"), "f"), "text");
    let behind = [b"\x7fELF and more".as_slice(), &plain].concat();
    assert_eq!(read(&unpacked(&behind, "a.zip"), "f"), "text");
    let mut world = zip::ZipWriter::new_append(std::io::Cursor::new(plain)).unwrap();
    world.start_file("g", zip::write::SimpleFileOptions::default()).unwrap();
    world.write_all(b"more").unwrap();
    let world = unpacked(&world.finish().unwrap().into_inner(), "a.zip");
    assert_eq!((read(&world, "f"), read(&world, "g")), ("text".into(), "more".into()));
}

#[test]
fn an_archive_without_any_file_is_refused() {
    for archive in [Tar::new().gz(), Tar::new().folder("./").folder("a").gz(), zip(&[]), zip(&[("a/", 0o040_755, b"")])]
    {
        let refused = inspected(&archive, NameRules::LINUX);
        assert!(matches!(refused, Err(InstallError::Archive(ArchiveRefusal::Empty))), "{refused:?}");
    }
}

#[test]
fn a_cut_off_tar_is_noticed_even_between_two_entries() {
    let whole = Tar::new().file("f", &[7; 600]).file("g", b"").tar();
    for length in [512, 700, 1024 + 512, 1024 + 1024] {
        let text = refusal(&whole[..length]);
        assert!(text.contains("damaged or truncated"), "{length}: {text}");
    }
}
