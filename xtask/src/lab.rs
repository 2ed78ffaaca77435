//! `cargo xtask lab`: a server and N machines, each a network namespace of its own, behind one bridge, with every link
//! shaped in both directions. In one run: nginx and curl, then Banyan with one stripe, with two, and with two and the
//! first head killed. The figures are computed from what the links carried, not from what the programs say they sent.

pub(crate) mod guard;

mod baseline;
mod content;
mod meter;
mod net;
mod options;
mod place;
mod report;
mod runs;
mod site;

pub(crate) use options::Options;

use crate::{
    command::{cargo, show, target_dir},
    system,
};
use anyhow::{Result, bail};
use place::Place;
use report::Report;
use std::path::{Path, PathBuf};

pub(crate) fn run(options: &Options) -> Result<()> {
    if !system::is_root() {
        bail!(
            "only root can make network namespaces. Build as yourself (`cargo build --profile ci --workspace --bins`), then \
             run `sudo {} lab --bin-dir {}` with the options you want",
            std::env::current_exe()?.display(),
            target_dir()?.join("ci").display()
        );
    }
    system::provide(&[system::BUILD, system::LAB], &[], false)?;
    let programs = if options.plain { None } else { Some(programs(options)?) };

    let mut report = Report::new(options);
    let result = measure(options, programs.as_deref(), &mut report);
    // What was found before a failure is worth seeing too.
    println!("\n{}", report.markdown());
    result?;
    if options.write {
        report.write()?;
    }
    report.check()
}

fn measure(options: &Options, programs: Option<&Path>, report: &mut Report) -> Result<()> {
    let place = Place::up(options)?;
    let file = content::archive(&place.dir, "lab-one", options.size(), options.seed)?;
    baseline::measure(&place, &file, options, report)?;
    match programs {
        Some(programs) => runs::measure(&place, programs, &file, options, report),
        None => Ok(()),
    }
}

/// The folder with `banyan` and `banyan-agent`: given, or built now.
fn programs(options: &Options) -> Result<PathBuf> {
    let folder = match &options.bin_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => {
            let profile = format!("--profile={}", options.profile);
            show(cargo().args(["build", "--locked", &profile, "--package=banyan", "--package=agent-core", "--bins"]))?;
            target_dir()?.join(&options.profile)
        }
    };
    match ["banyan", "banyan-agent"].iter().find(|name| !folder.join(name).is_file()) {
        Some(name) => bail!("there is no {name} in {}", folder.display()),
        None => Ok(folder),
    }
}
