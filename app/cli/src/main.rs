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

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    banyan_wire::file_size::fail_beyond_limit();
    match cli::Cli::parse().run() {
        Ok(exit) => exit,
        Err(failure) => {
            output::print_note(&failure.to_string());
            failure.exit.into()
        }
    }
}
