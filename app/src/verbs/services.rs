//! `banyan server`, `banyan agent` and the hidden installer process: the other programs, for trying them from one binary.

use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
};
use std::{ffi::OsString, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// Run a server (the network management server)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    banyan server --data /var/lib/banyan-server --listen 192.0.2.1:7700\n\n\
    The first start makes the CA, the online keys and DIR/admin.toml: the administrator's profile.\n\
    Next: banyan keys generate --out keys; banyan --profile DIR/admin.toml keys init --key keys\n\
    RUST_LOG=debug says more.")]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    inner: banyan_server::cli::Args,
}

/// Run an agent, for trying one (on real machines banyan-agent runs as a service)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan agent --data agent --listen 192.0.2.7:7711 --join banyan1-…    the first time\n  \
    banyan agent --data agent --listen 192.0.2.7:7711                     from then on\n\n\
    With --install-root software goes below that folder instead of the system's own places.\n\
    RUST_LOG=debug says more.")]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    inner: agent_core::cli::Args,
}

/// The agent's installer, a process of its own; started by the agent, not by people
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan installer-process --data DIR --root DIR CALL")]
pub(crate) struct InstallerArgs {
    /// What the installer is called with
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn server(args: ServerArgs) -> Result<Exit, Failure> {
    serve("run the server", async { Ok(banyan_server::cli::run(args.inner).await?) })
}

pub(crate) fn agent(args: AgentArgs) -> Result<Exit, Failure> {
    serve("run the agent", agent_core::cli::run(args.inner))
}

/// The installer ends with codes of its own, which the agent knows.
pub(crate) fn installer_process(args: InstallerArgs) -> ExitCode {
    agent_core::installer::process::run(args.arguments.into_iter())
}

/// Runs a service until it is told to end.
fn serve(what: &str, service: impl Future<Output = anyhow::Result<()>>) -> Result<Exit, Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().tried(|| what.to_owned())?;
    let ended = runtime.block_on(service);
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(Exit::Success),
        Err(error) => Err(Failure::new(what, format!("{error:#}"), "put that right and start it again")),
    }
}
