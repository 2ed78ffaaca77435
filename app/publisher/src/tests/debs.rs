//! Verifies that publishing refuses Debian packages that every machine would refuse. Needs no dpkg.

use super::*;
use banyan_archive::fixture::{Tar, gz};
use tar::EntryType;

/// An ar archive.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

fn control(architecture: &str, before: Tar) -> Vec<u8> {
    let text = format!(
        "Package: tool\nVersion: 1:2-3\nArchitecture: {architecture}\nMaintainer: A <a@example.org>\nDescription: x\n"
    );
    before.file("./control", text.as_bytes()).gz()
}

fn deb_of(architecture: &str, data: &[u8]) -> Vec<u8> {
    let (version, control) = (b"2.0\n", control(architecture, Tar::new()));
    ar(&[("debian-binary", version), ("control.tar.gz", &control), ("data.tar.gz", data), ("_signature", b"x")])
}

fn files() -> Tar {
    Tar::new().folder("./").folder("./usr/").folder("./usr/share/").file("./usr/share/tool", &[7; 3000])
}

fn draft(content: &[u8], given: &ReleaseOverrides) -> Result<ReleaseDraft, PublisherError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.deb");
    std::fs::write(&path, content).unwrap();
    draft_release(&path, given, &ReleaseList::default(), &mut |_, _| {})
}

#[track_caller]
fn refused(content: &[u8], says: &str) {
    let given = ReleaseOverrides {
        name: Some("tool".into()),
        version: Some("1:2-3".into()),
        kind: Some(Kind::Deb),
        platform: Some("linux-x86_64".into()),
        ..ReleaseOverrides::default()
    };
    let error = draft(content, &given).expect_err("it was not refused").to_string();
    assert!(error.contains(says), "{error:?} does not contain {says:?}");
}

#[test]
fn a_deb_says_what_it_is() {
    for (architecture, platform) in [("amd64", "linux-x86_64"), ("i386", "linux-x86"), ("all", "any")] {
        let draft = draft(&deb_of(architecture, &files().gz()), &ReleaseOverrides::default()).unwrap();
        let manifest = draft.manifest;
        assert_eq!((manifest.package.as_str(), manifest.version.as_str()), ("tool", "1:2-3"));
        let artifact = &manifest.artifacts[0];
        assert_eq!((artifact.platform.as_str(), artifact.install.kind), (platform, Kind::Deb));
        assert_eq!(draft.warnings, [""; 0]);
    }
}

#[test]
fn what_dpkg_refuses_on_every_machine_is_refused() {
    let whole = deb_of("amd64", &files().gz());
    refused(b"not a deb", "not a Debian package");
    refused(&whole[..whole.len() - 100], "damaged or truncated");
    refused(
        &ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control("amd64", Tar::new()))]),
        "before its data.tar",
    );
    refused(&ar(&[("debian-binary", b"3.0\n")]), "unknown version");
    refused(&ar(&[("x.o", b"object")]), "begins with \"x.o\"");
    let zip =
        ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control("amd64", Tar::new())), ("data.zip", b"PK")]);
    refused(&zip, "dpkg does not know its member \"data.zip\"");
    let pax = files().pax(&[("mtime", "1.5")]).file("./usr/share/more", b"").gz();
    refused(&deb_of("amd64", &pax), "dpkg does not read pax headers");
    let sparse = files().raw("./usr/share/more", EntryType::GNUSparse, 0o644, "", b"").gz();
    refused(&deb_of("amd64", &sparse), "dpkg does not read a sparse file");
    refused(&deb_of("amd64", &files().file("./usr/share/a\nb", b"").gz()), "newline");
    let latin1 = files().raw(b"./usr/share/f\xe4", EntryType::Regular, 0o644, "", b"").gz();
    refused(&deb_of("amd64", &latin1), "not UTF-8");
    let mut damaged = files().gz();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    refused(&deb_of("amd64", &damaged), "damaged or truncated");
    refused(&deb_of("", &files().gz()), "it has no field architecture");
}

#[test]
fn what_stops_dpkg_on_every_machine_is_refused() {
    let deb = |control: Vec<u8>| {
        ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &files().gz())])
    };
    let with_script = |script| deb(control("amd64", Tar::new().program("./postinst", script)));
    refused(&with_script("#!/bin/sh\r\nexit 0\r\n"), "first line of its script postinst ends as on Windows");
    // dpkg starts them with the shell.
    for script in ["echo no interpreter\n", "#!/bin/sh\nexit 0\r\n", ""] {
        draft(&with_script(script), &ReleaseOverrides::default()).unwrap();
    }
    let fields = "Package: tool\nVersion: v2\nArchitecture: amd64\nDepends: libc6 (=> 2)\n";
    let with_control = |text: &str| deb(Tar::new().file("./control", text.as_bytes()).gz());
    refused(&with_control(fields), "the version \"v2\" does not begin with a digit");
    refused(&with_control(&fields.replace("v2", "2")), "its field depends is wrong");
    refused(&with_control(&format!("{fields}Depends: other\n")), "twice");
}

#[test]
fn a_release_that_contradicts_the_deb_is_refused() {
    let deb = deb_of("amd64", &files().gz());
    let given = |name: Option<&str>, version: Option<&str>, platform: Option<&str>| ReleaseOverrides {
        name: name.map(str::to_owned),
        version: version.map(str::to_owned),
        platform: platform.map(str::to_owned),
        ..ReleaseOverrides::default()
    };
    for (given, what) in [
        (given(Some("other"), None, None), "name"),
        (given(None, Some("2"), None), "version"),
        (given(None, None, Some("linux-aarch64")), "platform"),
    ] {
        let error = draft(&deb, &given).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the {what} of the release is")), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tool.deb"), &deb).unwrap();
    let description = folder.path().join("release.toml");
    let text = "name = \"tool\"\nversion = \"2\"\n[platform.linux-x86_64]\nfile = \"tool.deb\"\n";
    std::fs::write(&description, text).unwrap();
    let drafted = draft_release(&description, &ReleaseOverrides::default(), &ReleaseList::default(), &mut |_, _| {});
    assert!(matches!(drafted, Err(PublisherError::DebContradiction { what: "version", .. })));
}

#[test]
fn what_only_some_machines_refuse_is_a_warning() {
    let warned = |content: &[u8], platform: Option<&str>| {
        let given = ReleaseOverrides { platform: platform.map(str::to_owned), ..ReleaseOverrides::default() };
        draft(content, &given).unwrap().warnings.join("\n")
    };
    let without_folder = Tar::new().folder("./").folder("./opt/").file("./opt/tool/run", b"").gz();
    assert!(warned(&deb_of("all", &without_folder), None).contains("no entry for that folder"));
    assert!(warned(&deb_of("i386", &files().gz()), Some("linux-x86_64")).contains("accept i386"));
    // dpkg leaves the control files to the program tar, which knows pax headers.
    let (control, data) = (control("all", Tar::new().pax(&[("mtime", "1.5")])), files().gz());
    let deb = ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)]);
    assert_eq!(warned(&deb, None), "");
    // Some programs write no mark at the end of the tar archive, which dpkg does not need.
    let whole = files().tar();
    assert_eq!(warned(&deb_of("all", &gz(&whole[..whole.len() - 1024])), None), "");
}
