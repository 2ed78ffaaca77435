//! The network: a namespace with the bridge, one for the server and one for each machine. The lab's own namespace has
//! no part of it, so its addresses cannot conflict with others.

use super::{
    plan::{MachinePlan, NetworkPlan},
    rates::LinkRates,
    shaper::{self, LinkEnd},
};
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

/// The device of a machine, and the device of a site's switch that leads to the others.
const OWN_DEVICE: &str = "eth0";
const UPLINK_DEVICE: &str = "uplink";

/// The server, a machine or a bystander.
pub(crate) struct Host {
    /// The label: `server`, `m01`, `b1`, …
    pub(crate) label: String,
    pub(crate) address: Ipv4Addr,
    namespace: String,
    /// The namespace of the switch that the host is connected to.
    switch: String,
}

impl Host {
    /// Returns a command that runs in this host's network.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }
    /// Changes the rates of the host's link.
    pub(crate) fn change_rates(&self, link: LinkRates) -> Result<()> {
        let [inner, outer] = self.ends();
        shaper::reshape(inner, outer, link).with_context(|| format!("cannot change the link of {}", self.label))
    }
    /// Lets this share of the packets on the host's link disappear.
    pub(crate) fn lose_packets(&self, share: f64) -> Result<()> {
        let [inner, outer] = self.ends();
        shaper::lose(inner, outer, share).with_context(|| format!("cannot make {} lose packets", self.label))
    }
    /// Drops what others send to connect to this port of the host.
    pub(crate) fn refuse_dials(&self, port: u16) -> Result<()> {
        shaper::refuse_dials(&self.namespace, port).with_context(|| format!("cannot shut off {}", self.label))
    }
    fn ends(&self) -> [LinkEnd<'_>; 2] {
        let inner = LinkEnd { namespace: &self.namespace, device: OWN_DEVICE };
        [inner, LinkEnd { namespace: &self.switch, device: &self.label }]
    }
}

/// The whole network.
pub(crate) struct VirtualNetwork {
    /// The namespace of the switch in the middle.
    switch: String,
    pub(crate) server: Host,
    pub(crate) machines: Vec<Host>,
    /// Hosts that run no agent.
    pub(crate) bystanders: Vec<Host>,
    sites: Vec<Site>,
}

struct Site {
    /// The label of the uplink.
    label: String,
    switch: String,
}

/// What a host's link has carried, headers included (bytes).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// What every link has carried, read at one moment.
pub(crate) struct NetworkTraffic {
    pub(crate) server: Traffic,
    pub(crate) machines: Vec<Traffic>,
    /// Of each site's uplink.
    pub(crate) uplinks: Vec<Traffic>,
}

impl VirtualNetwork {
    /// Creates the network. The guard takes it down by its prefix, even if this fails.
    pub(crate) fn start(prefix: &str, plan: &NetworkPlan) -> Result<Self> {
        let switch = format!("{prefix}-bridge");
        create_switch(&switch)?;
        let mut sites = Vec::new();
        for (number, &uplink) in plan.uplinks.iter().enumerate() {
            let label = format!("site{}", number + 1);
            let site = Site { switch: format!("{prefix}-{label}"), label };
            connect_site(&site, &switch, uplink).with_context(|| format!("cannot create {}", site.label))?;
            sites.push(site);
        }
        let server = MachinePlan { link: plan.server, site: None };
        let host = |label: String, last: u8, machine: &MachinePlan| {
            let third = machine.site.map_or(0, |site| u8::try_from(site + 1).unwrap_or(u8::MAX));
            let host = Host {
                namespace: format!("{prefix}-{label}"),
                switch: machine.site.map_or(&switch, |site| &sites[site].switch).clone(),
                label,
                address: Ipv4Addr::new(10, 77, third, last),
            };
            connect_host(&host, machine.link)
                .with_context(|| format!("cannot create the network of {}", host.label))?;
            anyhow::Ok(host)
        };
        let server = host("server".into(), 1, &server)?;
        let machines = plan.machines.iter().zip(1_u8..);
        let machines = machines.map(|(machine, i)| host(format!("m{i:02}"), 10 + i, machine)).collect::<Result<_>>()?;
        let bystanders = plan.bystanders.iter().zip(1_u8..);
        let bystanders =
            bystanders.map(|(machine, i)| host(format!("b{i}"), 200 + i, machine)).collect::<Result<_>>()?;
        Ok(Self { switch, server, machines, bystanders, sites })
    }

    /// Returns what every link has carried so far.
    pub(crate) fn traffic(&self) -> Result<NetworkTraffic> {
        let mut links = links(&self.switch)?;
        for site in &self.sites {
            links.extend(self::links(&site.switch)?);
        }
        let of = |label: &String| links.get(label).copied().with_context(|| format!("{label} has no link"));
        Ok(NetworkTraffic {
            server: of(&self.server.label)?,
            machines: self.machines.iter().map(|host| of(&host.label)).collect::<Result<_>>()?,
            uplinks: self.sites.iter().map(|site| of(&site.label)).collect::<Result<_>>()?,
        })
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
        let switch = net.switch.clone();
        let labels: Vec<_> = std::iter::once(&net.server).chain(&net.machines).map(|host| host.label.clone()).collect();
        let (stop, stopped) = mpsc::channel();
        let began = Instant::now();
        let writer = std::thread::spawn(move || {
            writeln!(file, "seconds,host,sent,received")?;
            while stopped.recv_timeout(Duration::from_millis(250)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let links = links(&switch)?;
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

fn links(switch: &str) -> Result<HashMap<String, Traffic>> {
    parse_traffic(&read(Command::new("ip").args(["-n", switch, "-json", "-statistics", "link"]))?)
}

/// Creates a namespace with a switch.
fn create_switch(namespace: &str) -> Result<()> {
    run(&["ip", "netns", "add", namespace])?;
    run(&["ip", "-n", namespace, "link", "add", "name", "bridge", "type", "bridge"])?;
    // A switch does not filter packets. Where the system's bridges do, it costs processor time for each packet.
    let plain = ["nf_call_iptables", "0", "nf_call_ip6tables", "0", "nf_call_arptables", "0"];
    run(&[&["ip", "-n", namespace, "link", "set", "dev", "bridge", "type", "bridge"], &plain[..]].concat())?;
    for family in ["iptables", "ip6tables", "arptables"] {
        let switch = format!("net.bridge.bridge-nf-call-{family}=0");
        // Exists only when the module is loaded, and is only needed then.
        run(&["ip", "netns", "exec", namespace, "sysctl", "-qew", &switch])?;
    }
    run(&["ip", "-n", namespace, "link", "set", "dev", "bridge", "up"])
}

/// Creates the switch of a site and its shaped link to the switch in the middle.
fn connect_site(site: &Site, middle: &str, uplink: LinkRates) -> Result<()> {
    create_switch(&site.switch)?;
    let (own, port) = (site.switch.as_str(), site.label.as_str());
    let peer = ["peer", "name", UPLINK_DEVICE, "netns", own];
    run(&[&["ip", "-n", middle, "link", "add", "name", port, "type", "veth"], &peer[..]].concat())?;
    let ends = [LinkEnd { namespace: own, device: UPLINK_DEVICE }, LinkEnd { namespace: middle, device: port }];
    for end in ends {
        run(&["ip", "-n", end.namespace, "link", "set", "dev", end.device, "master", "bridge", "up"])?;
    }
    shaper::shape(ends[0], ends[1], uplink)
}

/// Creates a namespace for the host and a shaped link to its switch.
fn connect_host(host: &Host, link: LinkRates) -> Result<()> {
    let (own, port, switch) = (host.namespace.as_str(), host.label.as_str(), host.switch.as_str());
    run(&["ip", "netns", "add", own])?;
    // IPv4 only: neighbour and router discovery would add traffic.
    run(&["ip", "netns", "exec", own, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])?;
    run(&["ip", "-n", switch, "link", "add", "name", port, "type", "veth", "peer", "name", OWN_DEVICE, "netns", own])?;
    run(&["ip", "-n", switch, "link", "set", "dev", port, "master", "bridge", "up"])?;
    run(&["ip", "-n", own, "address", "add", &format!("{}/16", host.address), "dev", OWN_DEVICE])?;
    for device in ["lo", OWN_DEVICE] {
        run(&["ip", "-n", own, "link", "set", "dev", device, "up"])?;
    }
    let [inner, outer] = host.ends();
    shaper::shape(inner, outer, link)
}

pub(super) fn run(words: &[&str]) -> Result<()> {
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
