//! The program `banyan-server`: runs the server without the rest of the command line.

use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Banyan's network management server
#[derive(Parser)]
#[command(name = "banyan-server", version)]
struct Cli {
    #[command(flatten)]
    args: banyan_server::cli::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
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
            eprintln!("banyan-server: {error}");
            ExitCode::FAILURE
        }
    }
}
