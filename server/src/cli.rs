//! The server's command line: `banyan-server`, and `banyan server`.

use crate::{
    accept_clock::accept_clock,
    restore::{RaisedEpoch, raise_epoch},
    start::{Settings, StartError, start},
};
use banyan_proto::{Address, arguments};
use banyan_wire::{listen, logging, socket::Keepalive};
use clap::builder::{PathBufValueParser, TypedValueParser};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Run the server: registry of machines, releases and deployments
#[derive(Debug, Clone, clap::Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Maintenance command to run instead of the server
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Data folder, created at the first start with CA, keys and admin.toml
    #[arg(long, value_name = "DIR", env = "BANYAN_SERVER_DATA", required = true, value_parser = data_folder())]
    pub data: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:7700", value_parser = listen::parse)]
    pub listen: SocketAddr,
    /// Host name or IP address, and port, at which others reach the server
    ///
    /// Give it again, or separate several with commas: they are tried in turn. [default: follows from --listen]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = Address::parse_target)]
    pub advertise: Vec<Address>,
    /// Seconds without a sign of life after which a machine counts as offline
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(8..=86_400))]
    pub offline_after: u64,
    /// Exit when standard input closes
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Maintenance commands for a server's data folder.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Verb {
    /// Raise the epoch after a restore: older signatures become invalid
    #[command(after_help = "Example:\n  \
        banyan server raise-epoch --data /var/lib/banyan-server\n  \
        banyan-server raise-epoch --data /var/lib/banyan-server\n\n\
        Stop the server first. Run this once after each restore, before you start the server again. Then:\n  \
        - start the server and deploy again what was open: those deployments have ended\n  \
        - revoke again what was revoked since the backup, and readmit or replace machines as before\n  \
        - publish again, in the same order, what was published since the backup\n  \
        - enrol again the machines that were enrolled since the backup")]
    RaiseEpoch(StoppedServerArgs),
    /// Confirm the clock after it has jumped: deadlines go by it again
    #[command(after_help = "Example:\n  \
        banyan server accept-clock --data /var/lib/banyan-server\n  \
        banyan-server accept-clock --data /var/lib/banyan-server\n\n\
        Stop the server first, and check the date. Needed only when no machine is online: otherwise the machines' clocks \
        confirm the server's.")]
    AcceptClock(StoppedServerArgs),
}

/// Arguments of the maintenance commands.
#[derive(Debug, Clone, clap::Args)]
pub struct StoppedServerArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR", env = "BANYAN_SERVER_DATA", value_parser = data_folder())]
    pub data: PathBuf,
}

/// Returns the parser of the data folder, which a variable can name, too.
fn data_folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| arguments::into_path(path.into()))
}

/// Runs the given command. Without one, runs the server until Ctrl-C or SIGTERM.
///
/// # Errors
/// Returns an error if the server cannot start or the maintenance command fails.
pub async fn run(args: Args) -> Result<(), StartError> {
    match args.verb {
        Some(Verb::RaiseEpoch(StoppedServerArgs { data })) => {
            let RaisedEpoch { from, to, ended } = raise_epoch(&data).await?;
            logging::print(&format!(
                "The epoch was {from} and is now {to}. Machines that learn of it refuse everything signed before.\n\
                 Open deployments ended: {ended}. Start the server, then deploy again what is still wanted."
            ));
            return Ok(());
        }
        Some(Verb::AcceptClock(StoppedServerArgs { data })) => {
            let (before, now) = accept_clock(&data).await?;
            let days = before.map_or(0, |before| now.0.abs_diff(before.0) / (24 * 3600));
            let text = "Deadlines go by this computer's clock again.";
            logging::print(&format!("{text} It had moved by {days} days. Start the server."));
            return Ok(());
        }
        None => {}
    }
    let data = args.data.ok_or_else(|| StartError::NoServer(PathBuf::new()))?;
    let keepalive = Keepalive { silence: Duration::from_secs(args.offline_after) };
    let running = start(Settings { data, listen: args.listen, advertise: args.advertise, keepalive }).await?;
    logging::print(&format!(
        "Banyan server is listening on {}; the administrator's profile is {}",
        running.address(),
        running.profile().display()
    ));
    tokio::select! {
        () = stop_signal() => {}
        () = stdin_closed(), if args.exit_with_stdin => {}
    }
    logging::print_error("Banyan server is stopping.");
    running.shutdown().await;
    Ok(())
}

/// Waits until the parent process closes its end of standard input or dies. Reads on a separate thread, because a
/// blocking read cannot be cancelled.
async fn stdin_closed() {
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        ended.send(())
    });
    drop(wait.await);
}

/// Waits for Ctrl-C or, on Unix, SIGTERM.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    drop(tokio::signal::ctrl_c().await);
}
