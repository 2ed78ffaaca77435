//! The program `banyan-server`: runs the server without the rest of the command line.

use banyan_proto::arguments;
use banyan_wire::{file_size, logging};
use clap::Parser;
use std::process::ExitCode;

/// Exit code of an invalid command line.
const USAGE: u8 = 2;

/// Banyan's network management server
#[derive(Parser)]
#[command(name = "banyan-server", version)]
struct Cli {
    #[command(flatten)]
    args: banyan_server::cli::Args,
}

fn main() -> ExitCode {
    file_size::fail_beyond_limit();
    if let Err(error) = arguments::check_arguments(std::env::args_os().skip(1)) {
        logging::print_error(&format!("banyan-server: {error}"));
        return ExitCode::from(USAGE);
    }
    let cli = Cli::parse();
    logging::start();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))
        .and_then(|runtime| {
            runtime.block_on(banyan_server::cli::run(cli.args)).map_err(|error| banyan_proto::text::error_chain(&error))
        });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::print_error(&format!("banyan-server: {error}"));
            ExitCode::FAILURE
        }
    }
}
