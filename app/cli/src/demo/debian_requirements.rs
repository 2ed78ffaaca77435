//! Checks whether the demo can install a Debian package. Each demo machine is a folder, and not every package can be
//! installed there.
//!
//! The package may need others that are installed on this computer: the demo machines' databases list those as
//! installed. Their files are not there, so scripts cannot run.

use crate::output::{Failure, WithContext as _};
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What a Debian package needs beyond an empty folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Requirements {
    /// What the demo cannot give it.
    missing: Vec<String>,
    /// Packages of this computer that it needs.
    packages: Vec<PackageHere>,
}

/// A package that is installed on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageHere {
    name: String,
    version: String,
    architecture: String,
    multi_arch: String,
}

impl PackageHere {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split('|').map(str::to_owned);
        let is_installed = words.next()? == "installed";
        let mut word = || words.next();
        let (name, version, architecture, multi_arch) = (word()?, word()?, word()?, word()?);
        is_installed.then_some(Self { name, version, architecture, multi_arch })
    }
    fn entry(&self) -> String {
        let Self { name, version, architecture, multi_arch } = self;
        let multi_arch = if multi_arch.is_empty() { String::new() } else { format!("Multi-Arch: {multi_arch}\n") };
        format!(
            "Package: {name}\nStatus: install ok installed\nMaintainer: Banyan demo <demo@localhost>\nArchitecture: \
             {architecture}\n{multi_arch}Version: {version}\nDescription: listed for the demo; its files are not here\n\n"
        )
    }
}

/// Lists packages as installed in the dpkg database of a demo machine.
///
/// # Errors
/// When the database cannot be written.
pub(super) fn list_as_installed(packages: &[PackageHere], root: &Path) -> std::io::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let folder = root.join("var/lib/dpkg");
    for name in ["info", "updates", "triggers"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for package in packages {
        let name = match package.multi_arch.as_str() {
            "same" => format!("{}:{}", package.name, package.architecture),
            _ => package.name.clone(),
        };
        fs::write(folder.join("info").join(format!("{name}.list")), "")?;
    }
    fs::write(folder.join("available"), "")?;
    fs::write(folder.join("status"), packages.iter().map(PackageHere::entry).collect::<String>())
}

/// Returns the packages of this computer that a Debian package needs.
///
/// # Errors
/// When the demo cannot install it.
pub(super) fn check_requirements(file: &Path) -> Result<Vec<PackageHere>, Failure> {
    let action = || format!("use {} in the demo", file.display());
    let needs = find_requirements(file).with_context(action)?;
    if needs.missing.is_empty() {
        return Ok(needs.packages);
    }
    Err(Failure::new(
        action(),
        format!("the demo's machines are folders, and this package needs {}", needs.missing.join(", and ")),
        "use an archive; deploy Debian packages to real machines, with banyan-agent running as root",
    ))
}

fn find_requirements(file: &Path) -> std::io::Result<Requirements> {
    let mut needs = Requirements::default();
    if !is_root() {
        needs.missing.push("root to install it (start the demo as root)".into());
    }
    let Ok(control) = dpkg_deb("--field", file, &["Pre-Depends", "Depends"]) else {
        needs.missing.push("dpkg, which is not installed on this computer".into());
        return Ok(needs);
    };
    if !control.status.success() {
        let said = String::from_utf8_lossy(&control.stderr);
        return Err(std::io::Error::other(format!("dpkg-deb cannot read it: {}", said.trim())));
    }
    let mut others = Vec::new();
    for group in parse_dependencies(&String::from_utf8_lossy(&control.stdout)) {
        match find_here(&group) {
            Some(found) if needs.packages.contains(&found) => {}
            Some(found) => needs.packages.push(found),
            None => others.push(group),
        }
    }
    if !others.is_empty() {
        needs.missing.push(format!("packages that are not installed on this computer ({})", others.join(", ")));
    }
    let scripts = list_maintainer_scripts(&dpkg_deb("--ctrl-tarfile", file, &[])?.stdout)?;
    if !scripts.is_empty() {
        needs.missing.push(format!("a whole system for its scripts ({})", scripts.join(", ")));
    }
    Ok(needs)
}

/// Returns the first of some alternatives (`a (>= 1) | b:any`) that is installed on this computer. The install helper
/// checks the version.
fn find_here(alternatives: &str) -> Option<PackageHere> {
    let format = "-f=${db:Status-Status}|${Package}|${Version}|${Architecture}|${Multi-Arch}\n";
    alternatives.split('|').find_map(|alternative| {
        let name = alternative.trim().split([' ', '(', ':']).next().filter(|name| !name.starts_with('-'))?;
        let found = Command::new("dpkg-query").args(["-W", format, name]).stdin(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&found.stdout).lines().find_map(PackageHere::parse)
    })
}

fn dpkg_deb(command: &str, file: &Path, more: &[&str]) -> std::io::Result<Output> {
    // Makes the path absolute or relative to `.`, so that a name that begins with a dash is not taken for an option.
    let file = if file.is_absolute() { file.to_owned() } else { PathBuf::from(".").join(file) };
    Command::new("dpkg-deb").arg(command).arg(file).args(more).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output()
}

/// Returns the dependencies in the output of `dpkg-deb --field`. Continuation lines begin with a blank.
fn parse_dependencies(fields: &str) -> Vec<String> {
    fields
        .lines()
        .filter_map(|line| {
            if line.starts_with([' ', '\t']) { Some(line) } else { line.split_once(':').map(|(_, value)| value) }
        })
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Returns the maintainer scripts in a control archive.
fn list_maintainer_scripts(control: &[u8]) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(control.take(16 << 20)).entries()? {
        let path = entry?.path()?.into_owned();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if ["preinst", "postinst", "prerm", "postrm", "config"].contains(&name.as_str()) {
            found.push(name);
        }
    }
    Ok(found)
}

#[cfg(unix)]
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_also_on_continued_lines() {
        let fields = "Pre-Depends: dpkg (>= 1.15)\nDepends: libc6 (>= 2.36),\n libssl3 | libssl1.1\n";
        assert_eq!(parse_dependencies(fields), ["dpkg (>= 1.15)", "libc6 (>= 2.36)", "libssl3 | libssl1.1"]);
        assert!(parse_dependencies("").is_empty());
    }

    #[test]
    fn packages_of_this_computer_are_listed_as_installed() {
        let line = "installed|libc6|2.36-9+deb12u10|amd64|same";
        let package = PackageHere::parse(line).unwrap();
        assert_eq!(PackageHere::parse("config-files|old|1|all|"), None);
        let root = tempfile::tempdir().unwrap();
        list_as_installed(&[package], root.path()).unwrap();
        let status = fs::read_to_string(root.path().join("var/lib/dpkg/status")).unwrap();
        assert!(status.contains("Package: libc6\nStatus: install ok installed\n"), "{status}");
        assert!(status.contains("Architecture: amd64\nMulti-Arch: same\nVersion: 2.36-9+deb12u10\n"), "{status}");
        assert!(root.path().join("var/lib/dpkg/info/libc6:amd64.list").exists());
    }

    #[test]
    fn scripts_are_found_and_other_control_files_are_not() {
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["./control", "./md5sums", "./postinst"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            tar.append_data(&mut header, name, [].as_slice()).unwrap();
        }
        assert_eq!(list_maintainer_scripts(&tar.into_inner().unwrap()).unwrap(), ["postinst"]);
        assert!(list_maintainer_scripts(b"not an archive, no matter how it is read").is_err());
    }
}
