//! `cargo xtask lab --scenario`: measures deployments on unequal networks and during incidents. Each run has a network,
//! a server and machines of its own, so the server knows nothing of earlier runs.

pub(crate) mod promises;
pub(crate) mod rival_run;
pub(crate) mod scenario;

mod assignment;
mod banyan_run;
mod budget_check;
mod figures;
mod table;
mod transfer;

use crate::{
    command::target_dir,
    lab::{Options, banyan_network::AGENT_PORT, network::virtual_network::VirtualNetwork, report},
    system,
};
use anyhow::{Result, bail};
use assignment::Assignment;
use scenario::Scenario;
use std::path::{Path, PathBuf};
use table::Results;

/// Makes links lose packets and shuts machines off, as assigned.
fn prepare_links(net: &VirtualNetwork, assignment: &Assignment) -> Result<()> {
    for &(machine, share) in &assignment.lossy {
        net.machines[machine].lose_packets(share)?;
    }
    assignment.no_dial.iter().try_for_each(|&machine| net.machines[machine].refuse_dials(AGENT_PORT))
}

pub(crate) fn run(options: &Options, programs: &Path) -> Result<()> {
    provide_rivals(options)?;
    let mut results = Results::new(report::conditions(options));
    let json = json_path(options)?;
    let mut number = 0;
    for scenario in &options.scenario {
        measure(scenario, options, programs, &mut number, &mut results)?;
        results.write(&json)?;
    }
    println!("\n{}", results.markdown());
    match results.failures.len() {
        0 => Ok(()),
        failed => bail!("{failed} of {number} runs failed; see above"),
    }
}

/// Runs a scenario as often as the options say, with Banyan and the rival. A failed run is recorded. `number` counts the
/// runs, so that each has network addresses of its own.
fn measure(
    scenario: &Scenario,
    options: &Options,
    programs: &Path,
    number: &mut usize,
    results: &mut Results,
) -> Result<()> {
    for repeat in 0..options.repeat {
        let seed = options.seed + u64::from(repeat);
        let assignment = Assignment::pick(scenario, options.machines(), options.rate, seed);
        *number += 1;
        println!("\n{}, run {} of {}: {}", scenario.name, repeat + 1, options.repeat, scenario.description);
        let mut failed = |scheme: &str, error: anyhow::Error| {
            println!("failed: {error:#}");
            results.failures.push(format!("{}, {scheme}, seed {seed}: failed: {error:#}", scenario.name));
        };
        banyan_run::measure(scenario, &assignment, *number, options, programs, &mut results.runs)
            .unwrap_or_else(|error| failed("Banyan", error));
        for &rival in &options.rival {
            *number += 1;
            rival_run::measure(rival, scenario, &assignment, *number, options, &mut results.runs)
                .unwrap_or_else(|error| failed(rival.name(), error));
        }
    }
    Ok(())
}

fn provide_rivals(options: &Options) -> Result<()> {
    if options.rival.is_empty() { Ok(()) } else { system::provide(&[system::RIVALS], &[], false) }
}

/// Returns the file for the figures of every run.
fn json_path(options: &Options) -> Result<PathBuf> {
    match &options.json {
        Some(path) => Ok(path.clone()),
        None => Ok(target_dir()?.join("lab-results.json")),
    }
}
