//! `banyan`: the command line. Publishing, deploying, watching, trying everything on one machine.
//!
//! One file a verb in `verbs/`; what several of them need stands beside: the admin client, the profile, the tree, the
//! words for failures and the exit codes.

mod cli;
mod client;
mod demo;
mod duration;
mod exit;
mod failure;
mod output;
mod profile;
mod publisher;
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
