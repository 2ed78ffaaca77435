//! A real Debian package: downloaded with apt, sent like the other files, installed by the machines' own dpkg.

use crate::command::{read, works};
use crate::lab::{
    lab_machine::{self, LabMachine},
    test_files::TestFile,
};
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Candidates: a few MiB each, for every architecture, without dependencies and without scripts that ask or start
/// anything. The first that this system does not have is used, because an installed one would not be installed recovery.
const PACKAGES: [&str; 3] = ["geoip-database", "unicode-data", "sqlite3-doc"];

/// Bytes that such a package may take on a machine: three copies of the file, its contents, dpkg's database.
pub(crate) const ROOM: u64 = 192 << 20;

/// Downloads the package for this system's release, as signed by Debian.
pub(crate) fn fetch(dir: &Path) -> Result<TestFile> {
    let missing = |name: &&str| !lab_machine::package_here(name).starts_with("installed ");
    let Some(name) = PACKAGES.into_iter().find(missing) else {
        bail!("all of {} are installed here, so no machine would install one; remove one of them", PACKAGES.join(", "));
    };
    println!("downloading {name} …");
    let folder = dir.join("deb");
    std::fs::create_dir(&folder)?;
    let fetch = || {
        let mut command = Command::new("apt-get");
        // Runs as root, because apt's own user may lack write access to the folder.
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "download", name]).current_dir(&folder);
        command
    };
    // Without package lists, or with outdated ones, the first attempt fails.
    if !works(&mut fetch()) {
        read(Command::new("apt-get").args(["-qq", "update"])).context("cannot update apt's package lists")?;
        read(&mut fetch()).with_context(|| format!("cannot download the Debian package {name}"))?;
    }
    let path = only_file(&folder)?;
    let version = read(Command::new("dpkg-deb").arg("--field").arg(&path).arg("Version"))?;
    let size = path.metadata()?.len();
    Ok(TestFile { name: name.to_owned(), version, kind: "deb", path, size })
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let entry = std::fs::read_dir(folder)?.next().context("apt-get download left no file")?;
    Ok(entry?.path())
}

/// Counts the machines whose dpkg database lists the package as installed in this version. Returns the others' states.
pub(crate) fn installed<'a>(
    package: &TestFile,
    machines: impl Iterator<Item = (&'a str, &'a LabMachine)>,
) -> (usize, Vec<String>) {
    let wanted = format!("installed {}", package.version);
    let (mut count, mut others) = (0, Vec::new());
    for (label, machine) in machines {
        let state = machine.package(&package.name);
        if state == wanted {
            count += 1;
        } else {
            others.push(format!("{label}: {state}"));
        }
    }
    (count, others)
}
