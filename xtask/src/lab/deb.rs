//! A real Debian package: fetched with apt, sent like the other files, installed by the machines' own dpkg.

use super::{
    content::Content,
    machine::{self, Machine},
};
use crate::command::{read, works};
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Some MiB each, for every architecture, needing no other package, with no scripts that ask or start anything.
/// The first that this system does not have is taken: what is there already would not be installed.
const PACKAGES: [&str; 3] = ["geoip-database", "unicode-data", "sqlite3-doc"];

/// Bytes that such a package may take on a machine: the file thrice, what is in it, dpkg's database.
pub(crate) const ROOM: u64 = 192 << 20;

/// Fetches the package of this system's release, as signed by Debian.
pub(crate) fn fetch(dir: &Path) -> Result<Content> {
    let missing = |name: &&str| !machine::package_here(name).starts_with("installed ");
    let Some(name) = PACKAGES.into_iter().find(missing) else {
        bail!("all of {} are installed here, so no machine would install one: remove one of them", PACKAGES.join(", "));
    };
    println!("fetching {name} …");
    let folder = dir.join("deb");
    std::fs::create_dir(&folder)?;
    let fetch = || {
        let mut command = Command::new("apt-get");
        // Root may write where apt's own user may not.
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "download", name]).current_dir(&folder);
        command
    };
    // Without package lists, or with old ones, the first attempt fails.
    if !works(&mut fetch()) {
        read(Command::new("apt-get").args(["-qq", "update"])).context("cannot bring apt's package lists up to date")?;
        read(&mut fetch()).with_context(|| format!("cannot fetch the Debian package {name}"))?;
    }
    let path = only_file(&folder)?;
    let version = read(Command::new("dpkg-deb").arg("--field").arg(&path).arg("Version"))?;
    let size = path.metadata()?.len();
    Ok(Content { name: name.to_owned(), version, kind: "deb", path, size })
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let entry = std::fs::read_dir(folder)?.next().context("apt-get download left no file")?;
    Ok(entry?.path())
}

/// How many of these machines' own databases say that the package is installed in this version, and what the others say.
pub(crate) fn installed<'a>(
    package: &Content,
    machines: impl Iterator<Item = (&'a str, &'a Machine)>,
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
