//! One command for people and CI: `cargo xtask test` runs all checks, `cargo xtask lab` measures on a simulated
//! network. It has few dependencies on purpose, because a fresh clone builds it first.

mod archives;
mod command;
mod document;
mod import_cycles;
mod lab;
mod packages;
mod steps;
mod system;
mod test;
mod windows;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Check and measure this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check that a change must pass; stop at the first failure
    Test(test::Options),
    /// Find folders of one crate that import each other in a circle; part of `test`
    ImportCycles,
    /// Publish and install real archives from npm and PyPI; needs the network, npm and pip
    Archives(archives::Options),
    /// Measure on a network of shaped network namespaces, with nginx and curl as the baseline (as root)
    Lab(lab::Options),
    /// Install Debian packages picked at random, fail and restore them (as root; takes about an hour)
    Packages(packages::Options),
    /// Take a lab down once its process has ended, for whatever reason (started by `lab`)
    #[command(hide = true)]
    LabGuard(lab::cleanup_guard::Options),
    /// Run one end of competing traffic (started by `lab --beside`)
    #[command(hide = true)]
    LabFlow(lab::tcp_flow::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::ImportCycles => import_cycles::check(command::root()),
        Task::Archives(options) => archives::run(&options),
        Task::Lab(options) => lab::run(&options),
        Task::Packages(options) => packages::run(&options),
        Task::LabGuard(options) => lab::cleanup_guard::run(&options),
        Task::LabFlow(options) => lab::tcp_flow::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
