//! The network: a namespace with the bridge, one for the server and one for each machine. The lab's own namespace has
//! no part of it, so its addresses cannot conflict with others.

use crate::command::read;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    net::Ipv4Addr,
    path::Path,
    process::Command,
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Bytes that a shaper may send at line speed, and the longest queue. A burst of two full frames keeps the rate
/// accurate even over a few milliseconds; 50 ms is the queue of a small router.
const SHAPER: [&str; 4] = ["burst", "16kb", "latency", "50ms"];

/// Offloads would pass the shaper packets larger than its burst, which it drops.
const OFFLOADS: [&str; 6] = ["tso", "off", "gso", "off", "gro", "off"];

/// The server or a machine.
pub(crate) struct Host {
    /// The label: `server`, `m01`, …
    pub(crate) label: String,
    pub(crate) address: Ipv4Addr,
    namespace: String,
}

impl Host {
    /// Returns a command that runs in this host's network.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }
}

/// The whole network.
pub(crate) struct VirtualNetwork {
    bridge: String,
    pub(crate) server: Host,
    pub(crate) machines: Vec<Host>,
}

/// What a host's link has carried, headers included (bytes).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl VirtualNetwork {
    /// Creates the network. The guard takes it down by its prefix, even if this fails.
    pub(crate) fn start(prefix: &str, machines: u8, rate: &str) -> Result<Self> {
        let bridge = format!("{prefix}-bridge");
        run(&["ip", "netns", "add", &bridge])?;
        run(&["ip", "-n", &bridge, "link", "add", "name", "bridge", "type", "bridge"])?;
        // A switch does not filter packets. Where the system's bridges do, it costs processor time for each packet.
        let plain = ["nf_call_iptables", "0", "nf_call_ip6tables", "0", "nf_call_arptables", "0"];
        run(&[&["ip", "-n", &bridge, "link", "set", "dev", "bridge", "type", "bridge"], &plain[..]].concat())?;
        for family in ["iptables", "ip6tables", "arptables"] {
            let switch = format!("net.bridge.bridge-nf-call-{family}=0");
            // Exists only when the module is loaded, and is only needed then.
            run(&["ip", "netns", "exec", &bridge, "sysctl", "-qew", &switch])?;
        }
        run(&["ip", "-n", &bridge, "link", "set", "dev", "bridge", "up"])?;
        let host = |label: String, last| {
            let namespace = format!("{prefix}-{label}");
            let host = Host { label, address: Ipv4Addr::new(10, 77, 0, last), namespace };
            connect_host(&host, &bridge, rate)
                .with_context(|| format!("cannot create the network of {}", host.label))?;
            anyhow::Ok(host)
        };
        let server = host("server".into(), 1)?;
        let machines = (1..=machines).map(|i| host(format!("m{i:02}"), 10 + i)).collect::<Result<_>>()?;
        Ok(Self { bridge, server, machines })
    }

    /// Returns what every link has carried so far, read at one moment: the server's, then the machines'.
    pub(crate) fn traffic(&self) -> Result<(Traffic, Vec<Traffic>)> {
        let links = links(&self.bridge)?;
        let of = |host: &Host| links.get(&host.label).copied().with_context(|| format!("{} has no link", host.label));
        Ok((of(&self.server)?, self.machines.iter().map(of).collect::<Result<_>>()?))
    }
}

/// Records the traffic of every link, four times a second, until stopped.
pub(crate) struct TrafficTrace {
    stop: mpsc::Sender<()>,
    writer: JoinHandle<Result<()>>,
}

impl TrafficTrace {
    pub(crate) fn start(net: &VirtualNetwork, to: &Path) -> Result<Self> {
        let mut file = BufWriter::new(File::create(to)?);
        let bridge = net.bridge.clone();
        let labels: Vec<_> = std::iter::once(&net.server).chain(&net.machines).map(|host| host.label.clone()).collect();
        let (stop, stopped) = mpsc::channel();
        let began = Instant::now();
        let writer = std::thread::spawn(move || {
            writeln!(file, "seconds,host,sent,received")?;
            while stopped.recv_timeout(Duration::from_millis(250)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let links = links(&bridge)?;
                let seconds = began.elapsed().as_secs_f64();
                for (label, traffic) in labels.iter().filter_map(|label| Some((label, links.get(label)?))) {
                    writeln!(file, "{seconds:.2},{label},{},{}", traffic.sent, traffic.received)?;
                }
            }
            Ok(file.flush()?)
        });
        Ok(Self { stop, writer })
    }
    pub(crate) fn stop(self) -> Result<()> {
        drop(self.stop);
        self.writer.join().unwrap_or_else(|_| bail!("recording the links' traffic failed"))
    }
}

fn links(bridge: &str) -> Result<HashMap<String, Traffic>> {
    parse_traffic(&read(Command::new("ip").args(["-n", bridge, "-json", "-statistics", "link"]))?)
}

/// Creates a namespace for the host and a shaped link to the bridge.
fn connect_host(host: &Host, bridge: &str, rate: &str) -> Result<()> {
    let (own, port) = (host.namespace.as_str(), host.label.as_str());
    run(&["ip", "netns", "add", own])?;
    // IPv4 only: neighbour and router discovery would add traffic.
    run(&["ip", "netns", "exec", own, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])?;
    run(&["ip", "-n", bridge, "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", own])?;
    run(&["ip", "-n", bridge, "link", "set", "dev", port, "master", "bridge", "up"])?;
    run(&["ip", "-n", own, "address", "add", &format!("{}/24", host.address), "dev", "eth0"])?;
    for device in ["lo", "eth0"] {
        run(&["ip", "-n", own, "link", "set", "dev", device, "up"])?;
    }
    for (namespace, device) in [(own, "eth0"), (bridge, port)] {
        run(&[&["ip", "netns", "exec", namespace, "ethtool", "-K", device], &OFFLOADS[..]].concat())?;
        let shape = ["tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", "rate", rate];
        run(&[&shape[..], &SHAPER].concat())?;
    }
    Ok(())
}

fn run(words: &[&str]) -> Result<()> {
    read(Command::new(words[0]).args(&words[1..]).env("PATH", path())).map(|_| ())
}

/// Returns the search path for programs. Adds the administrators' folders, which are not on every user's path.
pub(crate) fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Parses the traffic of each link of the bridge. What the bridge's end received, the host sent.
fn parse_traffic(json: &str) -> Result<HashMap<String, Traffic>> {
    #[derive(Deserialize)]
    struct Link {
        ifname: String,
        stats64: Stats,
    }
    #[derive(Deserialize)]
    struct Stats {
        rx: Count,
        tx: Count,
    }
    #[derive(Deserialize)]
    struct Count {
        bytes: u64,
    }
    let links: Vec<Link> = serde_json::from_str(json).context("cannot parse the output of `ip -json link`")?;
    Ok(links
        .into_iter()
        .map(|link| (link.ifname, Traffic { sent: link.stats64.rx.bytes, received: link.stats64.tx.bytes }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bridge_receives_is_what_the_host_sent() {
        let json = r#"[{"ifname":"m01","stats64":{"rx":{"bytes":7,"packets":1},"tx":{"bytes":9}},"mtu":1500}]"#;
        assert_eq!(parse_traffic(json).unwrap()["m01"], Traffic { sent: 7, received: 9 });
    }
}
