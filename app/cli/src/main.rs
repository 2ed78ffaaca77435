//! `banyan`, the command-line program: publish, deploy, watch, and try everything on one computer.
//!
//! Each command has its own file in `verbs/`. Shared parts are beside it: the admin API client, the profile, the
//! deployment tree, error reports and exit codes.

mod cli;
mod client;
mod demo;
mod duration;
mod exit;
mod failure;
mod output;
mod profile;
mod system;
mod tree;
mod verbs;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(exit) => exit,
        Err(failure) => {
            output::say(&failure.to_string());
            failure.exit.into()
        }
    }
}
