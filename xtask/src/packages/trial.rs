//! The steps with one package.

use crate::{
    command::read,
    packages::{
        choose::{self, Candidate},
        machine::Machine,
        products::{Deployed, Products},
    },
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// What happened with one package.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) package: Candidate,
    pub(super) end: End,
    pub(super) seconds: u64,
}

/// How the steps ended.
#[derive(Debug)]
pub(super) enum End {
    /// Installed, failed and restored, upgraded; dpkg and apt found nothing wrong after each.
    Good,
    /// Refused before anything changed, with reason and detail.
    Refused(String),
    /// Not as it must be.
    Wrong(String),
}

impl Outcome {
    pub(super) fn is_wrong(&self) -> bool {
        matches!(self.end, End::Wrong(_))
    }
}

/// Tries packages until `count` of them could be prepared.
pub(super) fn run_all(folder: &Path, programs: &Path, count: usize, seed: u64) -> Result<Vec<Outcome>> {
    let candidates = choose::candidates(seed)?;
    let mut products = Products::start(folder, programs)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for package in candidates {
        if outcomes.len() >= count {
            break;
        }
        let began = Instant::now();
        products.stop_agent();
        let machine = Machine::fresh(folder, programs)?;
        let prepared = prepare(folder, &machine, &package);
        let debs = match prepared {
            Ok(debs) => debs,
            Err(error) => {
                let why = format!("{error:#}");
                println!("  left out: {} ({})", package.name, why.lines().next().unwrap_or_default());
                continue;
            }
        };
        products.start_agent(&machine)?;
        let end = try_package(&products, &machine, &package, &debs);
        let seconds = began.elapsed().as_secs();
        println!(
            "{:3} {} {} {}: {end:?}, {seconds} s",
            outcomes.len() + 1,
            package.kind.word(),
            package.name,
            package.version
        );
        outcomes.push(Outcome { package, end, seconds });
    }
    Ok(outcomes)
}

/// The debs of a package: the real one, and an older one with the same content.
struct Debs {
    older: PathBuf,
    older_version: String,
    real: PathBuf,
}

/// Gets the deb and what it needs, and rebuilds it as an older version.
fn prepare(folder: &Path, machine: &Machine, package: &Candidate) -> Result<Debs> {
    machine.install_dependencies(&package.name)?;
    machine.check_whole().context("this system is not whole without it")?;
    let debs = folder.join("debs");
    drop(fs::remove_dir_all(&debs));
    fs::create_dir(&debs)?;
    let wanted = format!("{}={}", package.name, package.version);
    read(
        Command::new("apt-get").args(["-qq", "-o", "APT::Sandbox::User=root", "download", &wanted]).current_dir(&debs),
    )?;
    let real = fs::read_dir(&debs)?.next().context("apt-get download left no file")??.path();
    let (tree, older) = (folder.join("tree"), debs.join("older.deb"));
    drop(fs::remove_dir_all(&tree));
    read(Command::new("dpkg-deb").arg("-R").arg(&real).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let older_version = format!("{}~older", package.version);
    let line = |line: &str| match line.starts_with("Version:") {
        true => format!("Version: {older_version}\n"),
        false => format!("{line}\n"),
    };
    let text: String = fs::read_to_string(&control)?.lines().map(line).collect();
    fs::write(&control, text)?;
    read(Command::new("dpkg-deb").args(["-Zgzip", "-z1", "-b"]).arg(&tree).arg(&older))?;
    drop(fs::remove_dir_all(&tree));
    Ok(Debs { older, older_version, real })
}

fn try_package(products: &Products, machine: &Machine, package: &Candidate, debs: &Debs) -> End {
    let step = |name: &str, version: &str, deb: &Path, works: bool, stage: &str, state: &str| -> Result<Option<End>> {
        let before = machine.state(&package.name);
        let Deployed { stage: found, reason, detail } = products.deploy(&package.name, version, deb, works)?;
        let now = machine.state(&package.name);
        machine.check_whole().with_context(|| format!("after {name}"))?;
        if found == stage && now == state {
            return Ok(None);
        }
        if found == "failed" && reason != "probe-failed" && reason != "undo-failed" && now == before {
            return Ok(Some(End::Refused(format!("{name}: {reason}: {detail}"))));
        }
        bail!("{name}: {found} {reason}: {detail}; the package is {now}, but must be {state}")
    };
    let older_installed = format!("installed {}", debs.older_version);
    let real_installed = format!("installed {}", package.version);
    let steps = || -> Result<End> {
        let installed = step("install", &debs.older_version, &debs.older, true, "installed", &older_installed)?;
        if let Some(end) = installed {
            return Ok(end);
        }
        if let Some(end) = step("failing upgrade", &package.version, &debs.real, false, "failed", &older_installed)? {
            return Ok(end);
        }
        let upgraded = step("upgrade", &package.version, &debs.real, true, "installed", &real_installed)?;
        Ok(upgraded.unwrap_or(End::Good))
    };
    steps().unwrap_or_else(|error| End::Wrong(format!("{error:#}")))
}
