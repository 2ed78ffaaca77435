//! One command for people and CI alike: `cargo xtask test` checks everything, `cargo xtask lab` measures on a network
//! of its own. Light on dependencies on purpose: it is the first thing that a fresh clone builds.

mod command;
mod lab;
mod steps;
mod system;
mod test;
mod windows;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks and measurements of this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check that a change must pass; the first failure stops.
    Test(test::Options),
    /// Measure on a shaped network of network namespaces, nginx and curl beside it (as root).
    Lab(lab::Options),
    /// Take a lab down when the lab's process is gone, however it went (started by `lab`).
    #[command(hide = true)]
    LabGuard(lab::guard::Options),
    /// One end of somebody else's traffic (started by `lab --beside`).
    #[command(hide = true)]
    LabFlow(lab::flow::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Lab(options) => lab::run(&options),
        Task::LabGuard(options) => lab::guard::run(&options),
        Task::LabFlow(options) => lab::flow::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
