//! Verifies that publishing refuses what every machine would refuse, and recognises for which platform an archive is.

use super::*;
use crate::program_headers::tests::{elf_program, windows_program};
use banyan_archive::fixture::{Tar, gz, zip};
use tar::EntryType;

/// Drafts the release of a bare file.
fn draft(name: &str, content: &[u8], platform: Option<&str>) -> Result<ReleaseDraft, PublisherError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let given = ReleaseOverrides { platform: platform.map(str::to_owned), ..ReleaseOverrides::default() };
    draft_release(&path, &given, &ReleaseList::default(), &mut |_, _| {})
}

/// Drafts the release of an archive for one platform with a probe.
fn draft_probed(platform: &str, content: &[u8], probe: &str) -> Result<ReleaseDraft, PublisherError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tool.archive"), content).unwrap();
    let description = folder.path().join("release.toml");
    let text = format!(
        "name = \"tool\"\nversion = \"1\"\n[platform.{platform}]\nfile = \"tool.archive\"\nprobe = [{probe:?}, \"x\"]\n"
    );
    std::fs::write(&description, text).unwrap();
    draft_release(&description, &ReleaseOverrides::default(), &ReleaseList::default(), &mut |_, _| {})
}

#[track_caller]
fn refused(result: Result<ReleaseDraft, PublisherError>, says: &[&str]) {
    let error = result.expect_err("it was not refused").to_string();
    for text in says {
        assert!(error.contains(text), "{error:?} does not contain {text:?}");
    }
}

#[test]
fn what_machines_refuse_is_refused_with_entry_and_cure() {
    let pipe = Tar::new().file("f", b"").raw("run/pipe", EntryType::Fifo, 0o644, "", b"").gz();
    refused(draft("a-1.tar.gz", &pipe, None), &["run/pipe", "named pipe", "leave it out"]);
    let whole = Tar::new().file("f", &[7; 5000]).tar();
    refused(draft("a-1.tar", &whole[..3000], None), &["damaged or truncated", "\"f\"", "again"]);
    refused(draft("a-1.tar", &whole[..5632], None), &["mark at the end"]);
    // What is compressed has a verified end of its own.
    assert!(draft("a-1.tar.gz", &gz(&whole[..5632]), None).is_ok());
    refused(draft("a-1.tar.gz", &gz(b"only text"), None), &["not a tar archive"]);
    refused(draft("a-1.tar.gz", b"<!DOCTYPE html><html>404", None), &["web page"]);
    refused(draft("a-1.zip", b"Rar!\x1a\x07", None), &["RAR"]);
    refused(draft("a-1.tar.gz", &Tar::new().folder("empty").gz(), None), &["no file in it"]);
    refused(draft("a-1.zip", &zip(&[]), None), &["no file in it"]);
    let links = Tar::new().file("f", b"").symlink("l", "f").gz();
    refused(draft("a-1-windows-x86_64.tar.gz", &links, None), &["\"l\"", "Windows machines do not unpack links"]);
    let reserved = Tar::new().file("lib/aux.h", b"").gz();
    refused(draft("a-1-win64.tar.gz", &reserved, None), &["lib/aux.h", "reserves"]);
}

#[test]
fn what_is_no_archive_is_named_although_its_kind_cannot_be_derived() {
    let mut appimage = b"\x7fELF\x02\x01\x01\0AI\x02".to_vec();
    appimage.resize(4096, 7);
    refused(draft("a-1.AppImage", &appimage, None), &["it is an AppImage", "tar -czf"]);
    refused(draft("a-1.tar.lzma", b"\x5d\0\0\x80\0\xff\xff\xff", None), &["LZMA", "gzip, xz, bzip2 or zstd"]);
    refused(draft("a-1.tar.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7", None), &["LZ4", "gzip, xz, bzip2 or zstd"]);
    refused(draft("a-1.cpio", b"070701004A", None), &["a cpio archive", "pack its files"]);
    // A Debian package with another name is not called unusable.
    refused(draft("a-1.pkg", b"!<arch>\ndebian-binary   ", None), &["--kind deb"]);

    let whole = zip(&[("f", 0o100_644, b"text")]);
    assert!(draft("a-1.zip", &whole, None).is_ok());
    let parts = ["one part of a split archive", "zip -s 0"];
    refused(draft("a-1.z01", &[b"PK\x07\x08", whole.as_slice()].concat(), None), &parts);
    refused(draft("a-1.z02", &[0xa7; 1000], None), &parts);
    refused(draft("a-1.zip.001", &whole[..40], None), &parts);
    refused(draft("a-1.zip", &[b"PK\x07\x08", &whole[..40]].concat(), None), &parts);
    refused(draft("split.z01", &[b"PK\x07\x08", whole.as_slice()].concat(), None), &parts);
    let mut last = whole;
    let end = last.len() - 22;
    last[end + 4] = 1;
    for begin in [0, 1, end] {
        refused(draft("a-1.zip", &last[begin..], None), &parts);
    }
}

#[test]
fn zeros_after_a_compressed_archive_are_padding_and_other_data_are_not() {
    let archive = Tar::new().file("f", b"text").gz();
    for zeros in [1, 511, 10_240, 300_000] {
        assert!(draft("a-1.tar.gz", &[archive.clone(), vec![0; zeros]].concat(), None).is_ok(), "{zeros}");
    }
    for garbage in [&b"x"[..], &[0, 0, 0, b'x'], b"\x1f", b"\x1f\x8b"] {
        let error = draft("a-1.tar.gz", &[archive.as_slice(), garbage].concat(), None).expect_err("not refused");
        assert!(error.to_string().contains("damaged or truncated"), "{garbage:?}: {error}");
    }
}

#[test]
fn an_unknown_format_is_published_only_for_a_stated_kind_and_platform() {
    let unknown = [0xa7, 0x1b, 0x02, 0xc4].repeat(1000);
    refused(draft("a-1.tar", &unknown, None), &["not an archive that machines can unpack"]);
    refused(draft("a-1.tar", &unknown, Some("linux-x86_64")), &["not an archive that machines can unpack"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a-1.tar");
    let stated = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        let (kind, platform) = (Some(Kind::Archive), Some("linux-x86_64".to_owned()));
        let given = ReleaseOverrides { kind, platform, ..ReleaseOverrides::default() };
        draft_release(&path, &given, &ReleaseList::default(), &mut |_, _| {})
    };
    let warnings = stated(&unknown).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("--kind"), "{warnings:?}");
    // What is known to be something else is refused all the same.
    refused(stated(b"only text"), &["a text"]);
    refused(stated(b"Rar!\x1a\x07"), &["RAR"]);
}

#[test]
fn what_is_only_unusual_is_a_warning() {
    let warned = |name: &str, content: &[u8], says: &[&str]| {
        let draft = draft(name, content, None).unwrap();
        let all = draft.warnings.join("\n");
        says.iter().for_each(|text| assert!(all.contains(text), "{all:?} does not contain {text:?}"));
    };
    let plain = draft("a-1.tar", &archive_of(b"x"), None).unwrap();
    assert_eq!(plain.warnings, [""; 0]);
    let set_id = Tar::new().raw("sandbox", EntryType::Regular, 0o4755, "", b"").gz();
    warned("a-1.tar.gz", &set_id, &["sandbox", "without that bit"]);
    let twice = Tar::new().file("f", b"1").file("f", b"2").gz();
    warned("a-1.tar.gz", &twice, &["\"f\" is in the archive more than once"]);
    let apple = Tar::new().file("._f", b"1").file("f", b"2").gz();
    warned("a-1.tar.gz", &apple, &["._f", "COPYFILE_DISABLE"]);
    let mut joined = Tar::new().file("f", b"1").tar();
    joined.extend(Tar::new().file("hidden", b"2").tar());
    warned("a-1.tar", &joined, &["ignored"]);
    let names = Tar::new().file("Read.me", b"1").file("READ.ME", b"2").gz();
    warned("a-1.tar.gz", &names, &["Windows machines will refuse it", "READ.ME", "--platform"]);
    assert_eq!(draft("a-1-linux-x86_64.tar.gz", &names, None).unwrap().warnings, [""; 0]);
}

#[test]
fn a_release_states_how_much_room_it_needs() {
    let small = draft("a-1.tar", &archive_of(&[1; 10_000]), None).unwrap();
    let needs = small.manifest.artifacts[0].install.needs_bytes;
    assert!((10_000..20_000).contains(&needs), "{needs}");
    let many = (0..20_000).fold(Tar::new(), |tar, number| tar.file(&format!("{}/{number}", number % 9), b"")).gz();
    assert_eq!(draft("a-1.tar.gz", &many, None).unwrap().warnings, [""; 0], "many small files are nothing unusual");
    let zeros = gz(&archive_of(&vec![0; 120 << 20]));
    let large = draft("a-1.tar.gz", &zeros, None).unwrap();
    assert!(large.manifest.artifacts[0].install.needs_bytes > 120 << 20);
    assert!(large.warnings[0].contains("unpacks to"), "{:?}", large.warnings);
}

#[test]
fn the_platform_comes_from_name_and_programs() {
    let with = |programs: &[Vec<u8>]| {
        let add = |tar: Tar, (index, program): (usize, &Vec<u8>)| tar.file(&format!("bin/{index}"), program);
        programs.iter().enumerate().fold(Tar::new().file("read.me", b""), add).gz()
    };
    let (linux, arm) = (elf_program(62), elf_program(183));
    let (windows, dot_net) = (windows_program(0x8664, false), windows_program(0x8664, true));
    let platform = |name: &str, content: &[u8], given: Option<&str>| {
        draft(name, content, given).map(|draft| draft.manifest.artifacts[0].platform.clone())
    };
    for (name, programs, expected) in [
        ("a-1.tar.gz", vec![], "any"),
        ("a-1.tar.gz", vec![linux.clone()], "linux-x86_64"),
        ("a-1.tar.gz", vec![arm.clone()], "linux-aarch64"),
        ("a-1.tar.gz", vec![windows.clone()], "windows-x86_64"),
        ("a-1.tar.gz", vec![dot_net], "any"),
        ("a-1-linux-amd64.tar.gz", vec![], "linux-x86_64"),
        ("a-1-linux.tar.gz", vec![arm.clone(), windows.clone()], "linux-aarch64"),
        ("a-1-x64.tar.gz", vec![linux.clone()], "linux-x86_64"),
        ("a-1-linux-amd64.tar.gz", vec![linux.clone(), arm.clone()], "linux-x86_64"),
    ] {
        assert_eq!(platform(name, &with(&programs), None).unwrap(), expected, "{name}");
    }
    let wrong = |name: &str, programs: &[Vec<u8>], given: Option<&str>, says: &[&str]| {
        refused(draft(name, &with(programs), given), says);
    };
    let both = [linux.clone(), windows.clone()];
    wrong("a-1.tar.gz", &both, None, &["linux-x86_64 (bin/0)", "windows-x86_64 (bin/1)", "--platform"]);
    wrong("a-1-linux.tar.gz", &[], None, &["says only linux"]);
    wrong("a-1-linux-arm64.tar.gz", std::slice::from_ref(&linux), None, &["bin/0", "linux-x86_64", "linux-aarch64"]);
    wrong("a-1.tar.gz", std::slice::from_ref(&linux), Some("windows-x86_64"), &["the given platform", "bin/0"]);
    wrong("a-1.tar.gz", &[], Some("linux-amd64"), &["machines call it linux-x86_64"]);
    for unknown in ["linux", "foo", "linux/amd64", "linux-x86-64", "any-any", "amiga-m68k"] {
        wrong("a-1.tar.gz", &[], Some(unknown), &["not the name of a platform"]);
    }
    assert!(platform("a-1.tar.gz", &with(&[]), Some("linux-riscv64")).is_ok());
    let guessed = draft("a-1.tar.gz", &with(std::slice::from_ref(&windows)), None).unwrap();
    assert!(guessed.warnings[0].contains("windows-x86_64 because of \"bin/0\""), "{:?}", guessed.warnings);
    // The publisher says that it runs anywhere.
    assert_eq!(platform("a-1.tar.gz", &with(&both), Some("any")).unwrap(), "any");
    // 32-bit programs run on 64-bit systems.
    assert!(platform("a-1-win64.tar.gz", &with(&[windows_program(0x14c, false)]), None).is_ok());
}

#[test]
fn a_probe_that_would_fail_everywhere_is_refused() {
    let script = "#!/bin/sh\n";
    let tree = || Tar::new().program("bin/tool", script).file("lib/data", script.as_bytes()).symlink("run", "bin/tool");
    for probe in ["{dir}/bin/tool", "bin/tool", "./bin/tool", "{dir}/run", "/bin/sh", "sh"] {
        draft_probed("linux-x86_64", &tree().gz(), probe).unwrap_or_else(|error| panic!("{probe}: {error}"));
    }
    let wrong = |platform: &str, tar: Tar, probe: &str, says: &[&str]| {
        refused(draft_probed(platform, &tar.gz(), probe), says);
    };
    wrong("linux-x86_64", tree(), "{dir}/tool", &["\"tool\" is not in the archive", "bin/tool"]);
    wrong("linux-x86_64", tree(), "{dir}/lib/data", &["not executable", "chmod +x"]);
    wrong("any", tree(), "{dir}/lib/data", &["not executable"]);
    wrong("linux-x86_64", tree(), "{dir}/bin", &["is a folder"]);
    wrong("linux-x86_64", Tar::new().program("tool", script), "tool", &["write {dir}/tool"]);
    wrong("linux-x86_64", tree(), "{dirr}/bin/tool", &["begins with {dirr}; only {dir} is replaced"]);
    let windows_lines = Tar::new().program("tool", "#!/bin/sh\r\nexit 0\r\n");
    wrong("linux-x86_64", windows_lines, "{dir}/tool", &["CR LF"]);
    for content in ["", "echo without an interpreter\n", "\u{feff}#!/bin/sh\n"] {
        let tar = || Tar::new().program("tool", content).hard_link("second", "tool").symlink("run", "second");
        for probe in ["{dir}/tool", "{dir}/second", "{dir}/run"] {
            wrong("linux-x86_64", tar(), probe, &["neither a program nor a script", "#!/bin/sh"]);
        }
        draft_probed("windows-x86_64", &Tar::new().program("tool", content).gz(), "{dir}/tool").unwrap();
    }
    let arm = Tar::new().raw("tool", EntryType::Regular, 0o755, "", &elf_program(183)).file("x", &elf_program(62));
    wrong("linux-x86_64", arm, "{dir}/tool", &["built for linux-aarch64"]);
    let exe = Tar::new().file("tool.exe", &windows_program(0x8664, false)).gz();
    draft_probed("windows-x86_64", &exe, "{dir}/tool").unwrap();
    // A zip without modes: programs are recognised by their content.
    let mut archive = zip(&[("tool", 0, script.as_bytes())]);
    let at = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[at + 5] = 0;
    let draft = draft_probed("linux-x86_64", &archive, "{dir}/tool").unwrap();
    assert!(draft.warnings[0].contains("becomes executable"), "{:?}", draft.warnings);
}
