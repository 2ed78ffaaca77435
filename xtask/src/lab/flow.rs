//! Somebody else's traffic: one TCP flow as fast as its congestion control lets it be. Its two ends are this program again, each in
//! the network of a host.

use super::{
    net::Host,
    place::{Place, Process, wait_for},
};
use anyhow::{Context, Result};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PORT: u16 = 7999;

/// What one end does.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Sends to whoever connects there,
    #[arg(long)]
    serve: Option<SocketAddr>,
    /// with this congestion control.
    #[arg(long, default_value = "bbr")]
    congestion: String,
    /// Receives from there,
    #[arg(long, required_unless_present = "serve")]
    fetch: Option<SocketAddr>,
    /// for so many seconds, and prints how many bytes came.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    if let Some(address) = options.serve {
        for stream in TcpListener::bind(address)?.incoming() {
            let mut stream = stream?;
            socket2::SockRef::from(&stream).set_tcp_congestion(options.congestion.as_bytes())?;
            // Until the receiver has enough.
            while stream.write_all(&buffer).is_ok() {}
        }
        return Ok(());
    }
    let from = options.fetch.context("one of --serve and --fetch")?;
    // Its sender may have been started just now.
    let mut stream = wait_for("the sender listens", Duration::from_secs(10), || Ok(TcpStream::connect(from).ok()))?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (began, mut came) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(options.seconds) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => came += bytes as u64,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    println!("{came}");
    Ok(())
}

/// The sending end on a host.
pub(crate) struct Sender<'a> {
    host: &'a Host,
    _process: Process,
}

impl<'a> Sender<'a> {
    pub(crate) fn start(place: &Place, host: &'a Host, congestion: &str) -> Result<Self> {
        let mut command = host.command(std::env::current_exe()?);
        command.args(["lab-flow", "--serve", &format!("{}:{PORT}", host.address), "--congestion", congestion]);
        Ok(Self { host, _process: place.spawn(&format!("flow-{}", host.label), &mut command)? })
    }
    /// Begins to receive on another host, for so many seconds.
    pub(crate) fn to(&self, host: &Host, seconds: u64) -> Result<Receiving> {
        let mut command: Command = host.command(std::env::current_exe()?);
        let from = format!("{}:{PORT}", self.host.address);
        command.args(["lab-flow", "--fetch", &from, "--seconds", &seconds.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start a flow")?;
        Ok(Receiving { child, seconds })
    }
}

/// A flow that is on its way.
pub(crate) struct Receiving {
    child: Child,
    seconds: u64,
}

impl Receiving {
    /// Waits for its end; payload in bytes a second.
    pub(crate) fn rate(self) -> Result<f64> {
        let output = self.child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let bytes: u64 = said.trim().parse().with_context(|| format!("the flow said {said:?} ({})", output.status))?;
        Ok(bytes as f64 / self.seconds as f64)
    }
}
