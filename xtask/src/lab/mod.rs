//! `cargo xtask lab`: measures Banyan on a simulated network of a server and N machines. Each is a network namespace
//! behind one bridge, with every link shaped in both directions. Each machine has its own root, an overlay over this
//! system's, and so its own dpkg database.
//!
//! One run measures nginx with curl, then Banyan with one stripe, with two, with two while the first head is killed,
//! and with a Debian package that every machine's own dpkg installs. Separate runs measure what is left for other
//! traffic (`--beside`) and whether a daily quota is kept (`--quota`). Figures are computed from what the links
//! carried, not from what the programs report.

pub(crate) mod cleanup_guard;
pub(crate) mod tcp_flow;

mod agent_client;
mod banyan_network;
mod competing_traffic;
mod debian_package;
mod deployments;
mod environment;
mod lab_machine;
mod network;
mod nginx_baseline;
mod options;
mod processor_group;
mod random;
mod report;
mod scenarios;
mod test_files;
mod trace;
mod upload_quota;

pub(crate) use options::Options;

use crate::{
    command::{cargo, show, target_dir},
    system,
};
use anyhow::{Result, bail};
use environment::{LabEnvironment, LabSettings};
use network::plan::NetworkPlan;
use processor_group::ProcessorGroup;
use report::Report;
use std::path::{Path, PathBuf};

pub(crate) fn run(options: &Options) -> Result<()> {
    if !system::is_root() {
        bail!(
            "only root can create network namespaces; build as yourself (`cargo build --profile ci --workspace --bins`), \
             then run `sudo {} lab --bin-dir {}` with the options you want",
            std::env::current_exe()?.display(),
            target_dir()?.join("ci").display()
        );
    }
    system::provide(&[system::BUILD, system::LAB], &[], false)?;
    let programs = if options.plain { None } else { Some(programs(options)?) };
    let _group = ProcessorGroup::enter();
    if let (Some(programs), Some(networks)) = (&programs, &options.promises) {
        return scenarios::promises::run(networks, options, programs);
    }
    if let Some(programs) = programs.as_deref().filter(|_| !options.scenario.is_empty()) {
        return scenarios::run(options, programs);
    }

    let mut report = Report::new(options);
    let result = measure(options, programs.as_deref(), &mut report);
    // Prints what was measured before a failure, too.
    println!("\n{}", report.markdown());
    result?;
    if options.write {
        report.write()?;
    }
    report.check()
}

fn measure(options: &Options, programs: Option<&Path>, report: &mut Report) -> Result<()> {
    let network = NetworkPlan::equal(options.machines(), options.rate);
    let lab = LabEnvironment::start(&LabSettings {
        number: 0,
        network: &network,
        // The server's part. What machines write is in memory.
        server_room: options.size() * 8 + debian_package::ROOM,
        machine_room: if options.plain { 0 } else { options.room() },
        logs: "lab-logs",
        chunk_log: false,
    })?;
    if let Some(programs) = programs.filter(|_| options.beside || options.quota) {
        let archive = test_files::archive(&lab.dir, "lab-one", options.size(), options.seed)?;
        nginx_baseline::measure(&lab, &archive, options, report)?;
        return match options.beside {
            true => competing_traffic::measure(&lab, programs, options, report),
            false => upload_quota::measure(&lab, programs, options, report),
        };
    }
    // First, so that a network without access to Debian fails at once.
    let package = programs.map(|_| debian_package::fetch(&lab.dir)).transpose()?;
    let archive = test_files::archive(&lab.dir, "lab-one", options.size(), options.seed)?;
    let baseline_file = package.as_ref().filter(|_| options.deb).unwrap_or(&archive);
    nginx_baseline::measure(&lab, baseline_file, options, report)?;
    match (programs, &package) {
        (Some(programs), Some(package)) => deployments::measure(&lab, programs, &archive, package, options, report),
        _ => Ok(()),
    }
}

/// Returns the folder with `banyan`, `banyan-agent` and `banyan-install-helper`. Builds them unless a folder was given.
fn programs(options: &Options) -> Result<PathBuf> {
    let folder = match &options.bin_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => {
            let profile = format!("--profile={}", options.profile);
            let packages = ["--package=banyan", "--package=agent-core", "--package=banyan-install-helper"];
            show(cargo().args(["build", "--locked", &profile, "--bins"]).args(packages))?;
            target_dir()?.join(&options.profile)
        }
    };
    match ["banyan", "banyan-agent", "banyan-install-helper"].iter().find(|name| !folder.join(name).is_file()) {
        Some(name) => bail!("{name} is missing from {}", folder.display()),
        None => Ok(folder),
    }
}
