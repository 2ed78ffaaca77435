//! The agent as a service, without GUI, server or signing code.

use agent_core::{cli::Args, startup::run};
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
    let command = Command::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let ended =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run(command.args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("banyan-agent: {}", banyan_proto::text::error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
