//! Checks whether the demo can install a Debian package. Each demo machine is a folder with an empty dpkg database, and
//! not every package can be installed there.

use crate::output::{Failure, WithContext as _};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What a Debian package needs beyond an empty folder.
#[derive(Debug, PartialEq, Eq)]
struct Requirements(Vec<String>);

/// Returns an error if the demo cannot install this Debian package.
pub(super) fn check_requirements(file: &Path) -> Result<(), Failure> {
    let action = || format!("use {} in the demo", file.display());
    let needs = find_requirements(file).with_context(action)?;
    if needs.0.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        action(),
        format!(
            "the demo's machines are folders with an empty package database, and this package needs {}",
            needs.0.join(", and ")
        ),
        "use an archive; deploy Debian packages to real machines, with banyan-agent running as root",
    ))
}

fn find_requirements(file: &Path) -> std::io::Result<Requirements> {
    let mut needs = Vec::new();
    if !is_root() {
        needs.push("root to install it (start the demo as root)".into());
    }
    let Ok(control) = dpkg_deb("--field", file, &["Pre-Depends", "Depends"]) else {
        needs.push("dpkg, which is not installed on this computer".into());
        return Ok(Requirements(needs));
    };
    if !control.status.success() {
        let said = String::from_utf8_lossy(&control.stderr);
        return Err(std::io::Error::other(format!("dpkg-deb cannot read it: {}", said.trim())));
    }
    let others = parse_dependencies(&String::from_utf8_lossy(&control.stdout));
    if !others.is_empty() {
        needs.push(format!("other packages ({})", others.join(", ")));
    }
    let scripts = list_maintainer_scripts(&dpkg_deb("--ctrl-tarfile", file, &[])?.stdout)?;
    if !scripts.is_empty() {
        needs.push(format!("a whole system for its scripts ({})", scripts.join(", ")));
    }
    Ok(Requirements(needs))
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
