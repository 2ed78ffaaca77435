//! `cargo xtask archives`: publishes and installs real archives from npm and PyPI with a real server and agent, and
//! lists what was refused and why. It uses the network and takes minutes, so CI does not run it.

mod fleet;
mod report;

use crate::command::{cargo, read, root, show, target_dir};
use anyhow::{Context as _, Result, bail};
use fleet::Fleet;
use report::{Outcome, Report};
use std::{
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    path::{Path, PathBuf},
    process::Command,
};

/// The packages to pick from, one a line: the source, and the name there.
const NAMES: &str = include_str!("names.txt");

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many archives to try
    #[arg(long, default_value_t = 40)]
    count: usize,
    /// Seed for the choice; printed, so that a run can be repeated [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
    /// Take `banyan` from this folder instead of building it
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Write the result to docs/packages.md
    #[arg(long)]
    write: bool,
}

/// A package to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    source: Source,
    name: &'static str,
}

/// Where an archive comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A tgz of npm.
    Npm,
    /// A zip of PyPI.
    Wheel,
    /// A tar.gz of PyPI.
    Sdist,
}

/// Returns a seed that differs at every run.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

/// Runs the trial.
///
/// # Errors
/// When the programs cannot be started, or machines refused what publish had taken.
pub(crate) fn run(options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(random_seed);
    println!("seed {seed}");
    let banyan = program(options)?;
    let folder = std::env::temp_dir().join(format!("banyan-archives-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = try_archives(options, seed, &banyan, &folder);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    let report = result?;
    println!("{}", report.markdown());
    if options.write {
        report.write(&root().join("docs/packages.md"))?;
    }
    match report.count(|outcome| matches!(outcome, Outcome::RefusedByMachine(_))) {
        0 => Ok(()),
        count => bail!("machines refused {count} archives that publish had taken"),
    }
}

fn program(options: &Options) -> Result<PathBuf> {
    if let Some(folder) = &options.bin_dir {
        return Ok(std::path::absolute(folder)?.join("banyan"));
    }
    show(cargo().args(["build", "--locked", "--profile=ci", "--package=banyan", "--bins"]))?;
    Ok(target_dir()?.join("ci/banyan"))
}

fn try_archives(options: &Options, seed: u64, banyan: &Path, folder: &Path) -> Result<Report> {
    let fleet = Fleet::start(banyan, folder)?;
    let mut report = Report::new(seed);
    for choice in shuffled(seed) {
        if report.tried() == options.count {
            break;
        }
        let place = folder.join(format!("{}", report.tried()));
        fs::create_dir_all(&place)?;
        match download(choice, &place) {
            Ok(file) => {
                let outcome = fleet.try_archive(&file)?;
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                println!("{name}: {}", outcome.describe());
                report.add(name, fs::metadata(&file)?.len(), outcome);
            }
            // An sdist can need compilers even to be downloaded.
            Err(error) => {
                println!("{}: not downloaded: {}", choice.name, error.to_string().lines().next().unwrap_or(""));
            }
        }
        fs::remove_dir_all(&place)?;
    }
    Ok(report)
}

/// Returns all packages in the order of this seed.
fn shuffled(seed: u64) -> Vec<Choice> {
    let mut state = seed;
    let mut all: Vec<(u64, Choice)> = choices().map(|choice| (next_random(&mut state), choice)).collect();
    all.sort_by_key(|(random, _)| *random);
    all.into_iter().map(|(_, choice)| choice).collect()
}

fn choices() -> impl Iterator<Item = Choice> {
    NAMES.lines().filter_map(|line| {
        let (source, name) = line.split_once(' ')?;
        let source = match source {
            "npm" => Source::Npm,
            "wheel" => Source::Wheel,
            _ => Source::Sdist,
        };
        Some(Choice { source, name })
    })
}

/// Returns the next number of the generator `SplitMix64`.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Downloads the newest archive of a package into an empty folder.
fn download(choice: Choice, folder: &Path) -> Result<PathBuf> {
    let Choice { source, name } = choice;
    let mut command = match source {
        Source::Npm => {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent", name]);
            npm
        }
        Source::Wheel | Source::Sdist => {
            let mut pip = Command::new("pip");
            pip.args(["download", "--quiet", "--no-deps", "--disable-pip-version-check"]);
            pip.arg(if source == Source::Wheel { "--only-binary=:all:" } else { "--no-binary=:all:" });
            pip.arg(name);
            pip
        }
    };
    read(command.current_dir(folder))?;
    let mut files = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    match (files.pop(), files.pop()) {
        (Some(file), None) => Ok(file.path()),
        _ => bail!("{name} was not downloaded as one file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_choice() {
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7)[..10], shuffled(8)[..10]);
        assert!(shuffled(7).len() >= 100 && NAMES.lines().count() == shuffled(7).len());
    }
}
