//! `banyan server`, `banyan agent` and the hidden install helper process: runs the other programs from this binary.

use crate::output::{Exit, Failure, WithContext as _};
use banyan_wire::logging;
use std::{ffi::OsString, process::ExitCode};

/// Run the network management server
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    banyan server --data /var/lib/banyan-server --listen 192.0.2.1:7700\n\n\
    The first start creates the CA, the online keys and the administrator's profile,\n\
    DIR/admin.toml. Set RUST_LOG=debug for more detail.\n\n\
    Next:\n  \
    banyan keys generate --out keys\n  \
    banyan --profile DIR/admin.toml keys init --key keys")]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    inner: banyan_server::cli::Args,
}

/// Run an agent for testing (in production, run banyan-agent as a service)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # The first time\n  \
    banyan agent --data agent --listen 192.0.2.7:7711 --join banyan1-…\n  \
    # From then on\n  \
    banyan agent --data agent --listen 192.0.2.7:7711\n\n\
    With --install-root, software is installed below that folder instead of in the\n\
    system's own places. Set RUST_LOG=debug for more detail.")]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    inner: agent_core::cli::Args,
}

/// Run the agent's install helper process (started by the agent, not by users)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan install-helper-process --data DIR --root DIR REQUEST")]
pub(crate) struct InstallHelperArgs {
    /// Arguments of the install helper
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn server(args: ServerArgs) -> Result<Exit, Failure> {
    run_service("run the server", async { Ok(banyan_server::cli::run(args.inner).await?) })
}

pub(crate) fn agent(args: AgentArgs) -> Result<Exit, Failure> {
    run_service("run the agent", agent_core::startup::run(args.inner))
}

/// Runs the install helper. It has its own exit codes, which the agent interprets.
pub(crate) fn install_helper_process(args: InstallHelperArgs) -> ExitCode {
    banyan_install_helper::process::run(args.arguments.into_iter())
}

/// Runs a service until it stops.
fn run_service(what: &str, service: impl Future<Output = anyhow::Result<()>>) -> Result<Exit, Failure> {
    logging::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().with_context(|| what.to_owned())?;
    let ended = runtime.block_on(service);
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(Exit::Success),
        Err(error) => Err(Failure::new(
            what,
            banyan_proto::text::error_chain(error.as_ref()),
            "fix the problem and start it again",
        )),
    }
}
