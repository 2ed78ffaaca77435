//! The command line of the server: `banyan-server`, and `banyan server`.

use crate::start::{Settings, StartError, start};
use std::{net::SocketAddr, path::PathBuf};

/// Run the server: registry of machines, releases and deployments.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder of everything the server keeps; made at the first start, with the CA, the keys and admin.toml
    #[arg(long, value_name = "DIR", env = "BANYAN_SERVER_DATA")]
    pub data: PathBuf,
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

/// Runs the server until it is asked to end (Ctrl-C, or SIGTERM).
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Args) -> Result<(), StartError> {
    let running = start(Settings { data: args.data, listen: args.listen, advertise: args.advertise }).await?;
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
