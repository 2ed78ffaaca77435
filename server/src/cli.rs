//! The command line of the server: `banyan-server`, and `banyan server`.

use crate::{
    restored::{Raised, raise_epoch},
    start::{Settings, StartError, start},
};
use std::{net::SocketAddr, path::PathBuf};

/// Run the server: registry of machines, releases and deployments.
#[derive(Debug, Clone, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub struct Args {
    /// Something else than running it
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Folder of everything the server keeps; made at the first start, with the CA, the keys and admin.toml
    #[arg(long, value_name = "DIR", env = "BANYAN_SERVER_DATA", required = true)]
    pub data: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:7700")]
    pub listen: SocketAddr,
    /// Address and port where machines and administrators reach the server, if it is another one (behind a router, say)
    #[arg(long, value_name = "IP:PORT")]
    pub advertise: Option<SocketAddr>,
    /// End when standard input ends
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// What else there is to be done with a server's folder.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Verb {
    /// Let a server that was restored from a backup start over: machines refuse what it signed before
    #[command(after_help = "Example:\n  \
        banyan server raise-epoch --data /var/lib/banyan-server     (or: banyan-server raise-epoch …)\n\n\
        Once after each restore, before the server is started; it must not run. Then:\n  \
        - start the server and deploy again what was open: those deployments have ended\n  \
        - revoke again what was revoked since the backup, and readmit or replace machines as you had\n  \
        - publish again, in the same order, what was published since the backup\n  \
        - enrol again the machines that were enrolled since")]
    RaiseEpoch(RaiseEpochArgs),
}

/// Arguments of [`Verb::RaiseEpoch`].
#[derive(Debug, Clone, clap::Args)]
pub struct RaiseEpochArgs {
    /// The server's folder, as it was restored
    #[arg(long, value_name = "DIR", env = "BANYAN_SERVER_DATA")]
    pub data: PathBuf,
}

/// Does what was asked; without a verb, runs the server until it is asked to end (Ctrl-C, or SIGTERM).
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Args) -> Result<(), StartError> {
    if let Some(Verb::RaiseEpoch(RaiseEpochArgs { data })) = args.verb {
        let Raised { from, to, ended } = raise_epoch(&data).await?;
        println!(
            "The epoch was {from} and is {to}. Machines that hear of it refuse everything that was signed before.\n\
             Deployments that were open and have ended: {ended}. Start the server, then deploy again what is still wanted."
        );
        return Ok(());
    }
    let data = args.data.ok_or_else(|| StartError::NoServer(PathBuf::new()))?;
    let running = start(Settings { data, listen: args.listen, advertise: args.advertise }).await?;
    println!("Banyan server listens on {}; administrators use {}", running.address(), running.profile().display());
    tokio::select! {
        () = asked_to_end() => {}
        () = stdin_ended(), if args.exit_with_stdin => {}
    }
    eprintln!("Banyan server ends.");
    running.shutdown().await;
    Ok(())
}

/// Waits until whoever started this program has closed its end of standard input, or has died. On a thread of its own:
/// reading cannot be called off.
async fn stdin_ended() {
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        ended.send(())
    });
    drop(wait.await);
}

/// Waits for Ctrl-C or, where there is such a thing, SIGTERM.
async fn asked_to_end() {
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
