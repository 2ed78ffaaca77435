//! The agent as a service, without GUI, server or signing code.

use agent_core::{cli::Args, startup::run};
use banyan_proto::arguments;
use banyan_wire::{file_size, logging};
use clap::Parser;
use std::process::ExitCode;

/// Exit code of an invalid command line.
const USAGE: u8 = 2;

/// Receive, verify, authenticate, install and forward software on this machine
#[derive(Parser)]
#[command(version, about)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    file_size::fail_beyond_limit();
    if let Err(error) = arguments::check_arguments(std::env::args_os().skip(1)) {
        logging::print_error(&format!("banyan-agent: {error}"));
        return ExitCode::from(USAGE);
    }
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
