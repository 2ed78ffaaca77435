//! The agent as a service, without GUI, server or signing code.

use agent_core::{cli::Args, startup::run};
use banyan_wire::{file_size, logging};
use clap::Parser;
use std::process::ExitCode;

/// Receive, verify, authenticate, install and forward software on this machine
#[derive(Parser)]
#[command(version, about)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    file_size::fail_beyond_limit();
    let command = Command::parse();
    logging::start();
    let ended =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run(command.args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::print_error(&format!("banyan-agent: {}", banyan_proto::text::error_chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}
