//! `banyan`, the command-line program: publish, deploy, watch, and try everything on one computer.
//!
//! Each command has its own file in `commands/`. Shared parts are beside it: the admin API client, the profile, the
//! deployment tree, error reports and exit codes.

mod api_client;
mod cli;
mod commands;
mod demo;
mod deployment_tree;
mod duration;
mod output;
mod platform;
mod profile;

use banyan_proto::arguments;
use clap::Parser as _;
use output::{Exit, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    banyan_wire::file_size::fail_beyond_limit();
    let ran = check_arguments().and_then(|()| cli::Cli::parse().run());
    match ran {
        Ok(exit) => exit,
        Err(failure) => {
            output::print_note(&failure.to_string());
            failure.exit.into()
        }
    }
}

/// Refuses arguments that are not text, before anything is done with them.
fn check_arguments() -> Result<(), Failure> {
    arguments::check_arguments(std::env::args_os().skip(1)).map_err(|error| {
        let next = "rename the file or folder, or choose another path";
        Failure::new("use the command line", error.to_string(), next).with_exit(Exit::Usage)
    })
}
