//! Competing traffic: one TCP flow, as fast as its congestion control allows. Each end is this program, started again
//! in a host's network.

use crate::lab::{
    environment::{LabEnvironment, Process, wait_for},
    network::virtual_network::Host,
};
use anyhow::{Context, Result};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PORT: u16 = 7999;

/// The options of one end.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Send to every client that connects to this address
    #[arg(long)]
    serve: Option<SocketAddr>,
    /// Congestion control of the sender
    #[arg(long, default_value = "bbr")]
    congestion: String,
    /// Receive from this address
    #[arg(long, required_unless_present = "serve")]
    fetch: Option<SocketAddr>,
    /// Seconds to receive; prints the number of bytes afterwards
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    if let Some(address) = options.serve {
        for stream in TcpListener::bind(address)?.incoming() {
            let mut stream = stream?;
            socket2::SockRef::from(&stream).set_tcp_congestion(options.congestion.as_bytes())?;
            // Sends until the receiver closes the connection.
            while stream.write_all(&buffer).is_ok() {}
        }
        return Ok(());
    }
    let from = options.fetch.context("pass either --serve or --fetch")?;
    // The sender may have been started just now.
    let mut stream = wait_for("the sender to listen", Duration::from_secs(10), || Ok(TcpStream::connect(from).ok()))?;
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
pub(crate) struct FlowSender<'a> {
    host: &'a Host,
    _process: Process,
}

impl<'a> FlowSender<'a> {
    pub(crate) fn start(lab: &LabEnvironment, host: &'a Host, congestion: &str) -> Result<Self> {
        let mut command = host.command(std::env::current_exe()?);
        command.args(["lab-flow", "--serve", &format!("{}:{PORT}", host.address), "--congestion", congestion]);
        Ok(Self { host, _process: lab.spawn(&format!("flow-{}", host.label), &mut command)? })
    }
    /// Starts to receive on another host, for `seconds` seconds.
    pub(crate) fn to(&self, host: &Host, seconds: u64) -> Result<RunningFlow> {
        let mut command: Command = host.command(std::env::current_exe()?);
        let from = format!("{}:{PORT}", self.host.address);
        command.args(["lab-flow", "--fetch", &from, "--seconds", &seconds.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start a flow")?;
        Ok(RunningFlow { child, seconds })
    }
}

/// A flow in progress.
pub(crate) struct RunningFlow {
    child: Child,
    seconds: u64,
}

impl RunningFlow {
    /// Waits until the flow ends. Returns its payload rate in bytes per second.
    pub(crate) fn rate(self) -> Result<f64> {
        let output = self.child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let bytes: u64 =
            said.trim().parse().with_context(|| format!("the flow printed {said:?} ({})", output.status))?;
        Ok(bytes as f64 / self.seconds as f64)
    }
}
