//! Builds debs of any shape, and runs the real dpkg on a test machine's root beside Banyan.

use crate::tests::test_machine::{TestMachine, TestRelease};
use banyan_proto::manifest::Kind;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Command, Output},
};

/// A deb to build. It always contains `/usr/share/NAME/version` with its version and `content`.
#[derive(Clone)]
pub(super) struct DebSpec<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) architecture: &'a str,
    /// Additional fields of the control file, each with its newline.
    pub(super) control: &'a str,
    /// Additional files: path without the leading slash, and content.
    pub(super) files: &'a [(&'a str, &'a str)],
    /// Additional symbolic links: path and target.
    pub(super) links: &'a [(&'a str, &'a str)],
    /// Settings, which are files too.
    pub(super) settings: &'a [(&'a str, &'a str)],
    /// Scripts by name, and the files `triggers` and `md5sums`.
    pub(super) scripts: &'a [(&'a str, &'a str)],
    pub(super) content: &'a str,
    /// The content of an extra file, `/usr/share/bulk`.
    pub(super) bulk: &'a [u8],
}

/// Returns a package without anything special.
pub(super) fn spec<'a>(name: &'a str, version: &'a str) -> DebSpec<'a> {
    DebSpec {
        name,
        version,
        architecture: "all",
        control: "",
        files: &[],
        links: &[],
        settings: &[],
        scripts: &[],
        content: "",
        bulk: &[],
    }
}

impl DebSpec<'_> {
    pub(super) fn build(&self) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let write = |path: &str, text: &str, mode| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let Self { name, version, architecture, control, .. } = self;
        write(&format!("usr/share/{name}/version"), &format!("{version} {}", self.content), 0o644);
        if !self.bulk.is_empty() {
            fs::write(tree.join("usr/share/bulk"), self.bulk).unwrap();
        }
        self.files.iter().chain(self.settings).for_each(|(path, text)| write(path, text, 0o644));
        for (path, target) in self.links {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            symlink(target, tree.join(path)).unwrap();
        }
        let settings: String = self.settings.iter().map(|(path, _)| format!("/{path}\n")).collect();
        if !settings.is_empty() {
            write("DEBIAN/conffiles", &settings, 0o644);
        }
        for (script, text) in self.scripts {
            let is_data = matches!(*script, "triggers" | "md5sums");
            let text = if is_data { format!("{text}\n") } else { format!("#!/bin/sh\n{text}\n") };
            write(&format!("DEBIAN/{script}"), &text, if is_data { 0o644 } else { 0o755 });
        }
        let text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A <a@example.org>\n\
             {control}Description: for tests\n"
        );
        write("DEBIAN/control", &text, 0o644);
        let out = dir.path().join("built.deb");
        let mut command = Command::new("dpkg-deb");
        command.args(["--root-owner-group", "-Zgzip", "-b"]).args([&tree, &out]);
        let built = command.output().unwrap();
        assert!(built.status.success(), "{built:?}");
        fs::read(out).unwrap()
    }
    pub(super) fn release(&self, sequence: u64) -> TestRelease {
        let mut release = TestRelease::new(Kind::Deb, self.version, sequence, self.build());
        release.manifest.package = self.name.into();
        release
    }
}

/// Runs dpkg on the machine's root, as its administrator would.
pub(super) fn dpkg(machine: &TestMachine, arguments: &[&str]) -> Output {
    crate::methods::deb::database::create(&machine.root).unwrap();
    let root = format!("--root={}", machine.root.display());
    Command::new("dpkg").arg(root).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output().unwrap()
}

/// Installs or unpacks a deb with dpkg, without Banyan. Returns whether dpkg succeeded.
pub(super) fn dpkg_deb(machine: &TestMachine, verb: &str, deb: &DebSpec<'_>) -> bool {
    let path = machine.path("by-hand.deb");
    fs::write(&path, deb.build()).unwrap();
    dpkg(machine, &[verb, path.to_str().unwrap()]).status.success()
}

/// Puts a deb into apt's cache.
pub(super) fn cache(machine: &TestMachine, deb: &DebSpec<'_>) -> PathBuf {
    let folder = machine.root.join("var/cache/apt/archives");
    fs::create_dir_all(&folder).unwrap();
    let name = format!("{}_{}_{}.deb", deb.name, deb.version.replace(':', "%3a"), deb.architecture);
    fs::write(folder.join(&name), deb.build()).unwrap();
    folder.join(name)
}

/// Returns what dpkg knows about a package: `hold installed 1.0`.
pub(super) fn known(machine: &TestMachine, name: &str) -> String {
    let mut query = Command::new("dpkg-query");
    query.arg(format!("--admindir={}/var/lib/dpkg", machine.root.display()));
    let out = query.args(["-W", "-f=${db:Status-Want} ${db:Status-Status} ${Version}", name]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Returns a file below the root; empty if it does not exist.
pub(super) fn read(machine: &TestMachine, path: &str) -> String {
    fs::read_to_string(machine.root.join(path)).unwrap_or_default()
}

/// Puts packages on hold.
pub(super) fn hold(machine: &TestMachine, name: &str) {
    use std::io::Write;
    let mut command = Command::new("dpkg");
    command.arg(format!("--admindir={}/var/lib/dpkg", machine.root.display())).arg("--set-selections");
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{name} hold\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
