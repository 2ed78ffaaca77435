//! `cargo xtask packages`: installs real Debian packages, picked at random, on a machine with a root of its own.
//!
//! For each package the root is a fresh overlay over this system's, with the package's dependencies. Banyan installs an
//! older version, which is rebuilt from the real one; then the real one with a probe that fails, which must bring the
//! older one back; then the real one. After each step dpkg and apt must find nothing wrong. Server and agent are the
//! real programs, in a mount namespace of their own.

mod choose;
mod machine;
mod products;
mod table;
mod trial;

use crate::{
    command::{self, show},
    system,
};
use anyhow::{Context, Result, bail};
use std::{
    path::PathBuf,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

/// Options of `cargo xtask packages`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Number of packages
    #[arg(long, default_value_t = 60)]
    count: usize,
    /// Seed of the choice; printed, so that a run can be repeated [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Write the table to docs/packages.md
    #[arg(long)]
    write: bool,
    /// Folder with the built programs [default: build them]
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Already in a mount namespace of its own
    #[arg(long, hide = true)]
    inside: bool,
}

/// Runs the trials.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !system::is_root() {
        bail!("run this as root: it mounts overlays and installs packages in them");
    }
    let programs = match &options.programs {
        Some(programs) => programs.clone(),
        None => build()?,
    };
    let seed = options.seed.unwrap_or_else(seed_from_clock);
    if !options.inside {
        let this = std::env::current_exe().context("cannot find the path of this program")?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(this).args(["packages", "--inside"]);
        command.args(["--count", &options.count.to_string(), "--seed", &seed.to_string()]);
        command.arg("--programs").arg(&programs);
        if options.write {
            command.arg("--write");
        }
        return show(&mut command);
    }
    println!("seed {seed}");
    let folder = machine::scratch_folder()?;
    let result = trial::run_all(&folder, &programs, options.count, seed);
    machine::remove_scratch(&folder);
    let outcomes = result?;
    let text = table::render(seed, &outcomes);
    println!("{text}");
    if options.write {
        table::write(&command::root().join("docs/packages.md"), &text)?;
    }
    let wrong: Vec<&str> = outcomes.iter().filter(|one| one.is_wrong()).map(|one| one.package.name.as_str()).collect();
    if wrong.is_empty() { Ok(()) } else { bail!("not as it must be: {}", wrong.join(", ")) }
}

#[expect(clippy::disallowed_methods, reason = "xtask does not depend on the product's crates; any number is a seed")]
fn seed_from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn build() -> Result<PathBuf> {
    let parts = ["-p", "banyan", "-p", "agent-core", "-p", "banyan-install-helper"];
    show(command::cargo().args(["build", "--locked", "--profile", "ci", "--bins"]).args(parts))?;
    Ok(command::target_dir()?.join("ci"))
}
