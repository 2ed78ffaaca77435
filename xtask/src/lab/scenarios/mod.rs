//! `cargo xtask lab --scenario`: measures deployments on unequal networks and during incidents. Each run has a network,
//! a server and machines of its own, so the server knows nothing of earlier runs.

pub(crate) mod scenario;

mod assignment;
mod banyan_run;
mod figures;
mod libtorrent_run;
mod table;
mod transfer;

use crate::{
    command::target_dir,
    lab::{Options, banyan_network::AGENT_PORT, network::virtual_network::VirtualNetwork, report},
    system,
};
use anyhow::{Result, bail};
use assignment::Assignment;
use std::path::Path;
use table::Results;

/// Makes links lose packets and shuts machines off, as assigned.
fn prepare_links(net: &VirtualNetwork, assignment: &Assignment) -> Result<()> {
    for &(machine, share) in &assignment.lossy {
        net.machines[machine].lose_packets(share)?;
    }
    assignment.no_dial.iter().try_for_each(|&machine| net.machines[machine].refuse_dials(AGENT_PORT))
}

pub(crate) fn run(options: &Options, programs: &Path) -> Result<()> {
    if options.rival.is_some() {
        system::provide(&[system::RIVALS], &[], false)?;
    }
    let mut results = Results { conditions: report::conditions(options), runs: Vec::new(), failures: Vec::new() };
    let json = match &options.json {
        Some(path) => path.clone(),
        None => target_dir()?.join("lab-results.json"),
    };
    let mut number = 0;
    for scenario in &options.scenario {
        for repeat in 0..options.repeat {
            let seed = options.seed + u64::from(repeat);
            let assignment = Assignment::pick(scenario, options.machines(), options.rate, seed);
            number += 1;
            println!("\n{}, run {} of {}: {}", scenario.name, repeat + 1, options.repeat, scenario.description);
            let mut failed = |scheme: &str, error: anyhow::Error| {
                println!("failed: {error:#}");
                results.failures.push(format!("{}, {scheme}, seed {seed}: failed: {error:#}", scenario.name));
            };
            banyan_run::measure(scenario, &assignment, number, options, programs, &mut results.runs)
                .unwrap_or_else(|error| failed("Banyan", error));
            if options.rival.is_some() {
                number += 1;
                libtorrent_run::measure(scenario, &assignment, number, options, &mut results.runs)
                    .unwrap_or_else(|error| failed("libtorrent", error));
            }
            results.write(&json)?;
        }
    }
    println!("\n{}", results.markdown());
    match results.failures.len() {
        0 => Ok(()),
        failed => bail!("{failed} of {number} runs failed; see above"),
    }
}
