//! A network of network namespaces, for tests of what loopback cannot do: a machine that moves to another address, or
//! vanishes without closing its connections. Needs root.
//!
//! The namespaces have no names. Each one exists as long as a process in it: one that waits for the end of its standard
//! input. So nothing is left behind, even when the test is killed.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Child, Command, Stdio},
};

/// Which addresses the hosts of a network have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 10.77.0.0/16, and no IPv6.
    V4,
    /// `fd77::/64`, and no IPv4 except loopback.
    V6,
}

impl Family {
    /// Returns the address with this number at the first site.
    #[must_use]
    pub fn address(self, number: u8) -> IpAddr {
        self.address_at(0, number)
    }
    /// Returns the address with this number at a site: with a subnet of its own, as Banyan tells sites apart.
    fn address_at(self, site: u8, number: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 77, site, number).into(),
            Self::V6 => Ipv6Addr::new(0xfd77, 0, 0, site.into(), 0, 0, 0, number.into()).into(),
        }
    }
}

/// Returns the search path for programs. Adds the administrators' folders, which are not on every path.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A network namespace.
struct Namespace(Child);

impl Namespace {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo && exec cat"]);
        command.env("PATH", path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("unshare can be run");
        let out = holder.stdout.take().expect("standard output is a pipe");
        let begun = BufReader::new(out).lines().next();
        assert!(begun.is_some(), "a network namespace cannot be created; this test must run as root");
        Self(holder)
    }
    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg("--").arg(program);
        command
    }
    /// Runs `ip` there.
    fn ip(&self, arguments: &str) {
        let mut command = self.command("ip".as_ref());
        let output =
            command.env("PATH", path()).args(arguments.split_whitespace()).output().expect("nsenter can be run");
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// A computer in the network, with one cable to the switch.
struct Host {
    namespace: Namespace,
    site: u8,
    number: u8,
}

/// The bytes of packets that a computer has sent, with headers, by their mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkedBytes {
    /// Marked as lower effort (RFC 8622).
    pub lower: u64,
    /// Not marked.
    pub normal: u64,
}

/// The bytes of packets between a computer and other sites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UplinkBytes {
    /// Received from other sites.
    pub entered: u64,
    /// Sent to other sites.
    pub left: u64,
}

/// The switch and the computers, which are named by their place in the list: the server is the first.
pub struct VirtualNetwork {
    family: Family,
    switch: Namespace,
    hosts: Vec<Host>,
}

impl VirtualNetwork {
    /// Creates a network of this many computers. Their addresses are numbered from 1.
    ///
    /// # Panics
    /// When the process does not run as root.
    #[must_use]
    pub fn start(family: Family, hosts: u8) -> Self {
        Self::start_sites(family, &[hosts])
    }
    /// Creates a network of sites with this many computers each. Addresses are numbered from 1 at each site. The computers
    /// of the first site come first.
    ///
    /// # Panics
    /// When the process does not run as root.
    #[must_use]
    pub fn start_sites(family: Family, sites: &[u8]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test creates network namespaces, so it must run as root");
        let switch = Namespace::start();
        switch.ip("link add switch type bridge");
        switch.ip("link set switch up");
        let mut network = Self { family, switch, hosts: Vec::new() };
        for (site, &hosts) in (0..).zip(sites) {
            (1..=hosts).for_each(|number| network.add_host(site, number));
        }
        network
    }
    fn add_host(&mut self, site: u8, number: u8) {
        let (host, at) = (Host { namespace: Namespace::start(), site, number }, self.hosts.len());
        let holder = host.namespace.0.id();
        self.switch.ip(&format!("link add port{at} type veth peer name eth0 netns {holder}"));
        self.switch.ip(&format!("link set port{at} master switch up"));
        if self.family == Family::V4 {
            let mut quiet = host.namespace.command("sysctl".as_ref());
            let done = quiet.env("PATH", path()).args(["-qw", "net.ipv6.conf.eth0.disable_ipv6=1"]).status();
            assert!(done.is_ok_and(|status| status.success()), "IPv6 cannot be switched off");
        }
        host.namespace.ip("link set eth0 up");
        host.namespace.ip(&format!("address add {} dev eth0", self.with_prefix(site, number)));
        self.hosts.push(host);
    }
    /// Returns an address in the form that `ip` takes.
    fn with_prefix(&self, site: u8, number: u8) -> String {
        let address = self.family.address_at(site, number);
        match self.family {
            Family::V4 => format!("{address}/16"),
            // Usable at once, without looking for duplicates.
            Family::V6 => format!("{address}/48 nodad"),
        }
    }
    /// Returns the number of computers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hosts.len()
    }
    /// Returns the address of a computer.
    #[must_use]
    pub fn address(&self, host: usize) -> IpAddr {
        self.family.address_at(self.hosts[host].site, self.hosts[host].number)
    }
    /// Gives a computer another address in place of its present one.
    pub fn change_address(&mut self, host: usize, number: u8) {
        let site = self.hosts[host].site;
        let old = self.with_prefix(site, self.hosts[host].number);
        self.hosts[host].number = number;
        let namespace = &self.hosts[host].namespace;
        namespace.ip(&format!("address delete {} dev eth0", old.trim_end_matches(" nodad")));
        namespace.ip(&format!("address add {} dev eth0", self.with_prefix(site, number)));
    }
    /// Pulls a computer's cable, or plugs it in again. The programs there do not notice: their own end stays up.
    pub fn set_cable(&self, host: usize, is_plugged: bool) {
        let state = if is_plugged { "master switch" } else { "nomaster" };
        self.switch.ip(&format!("link set port{host} {state}"));
    }
    /// Limits what a computer's cable carries in each direction (Mbit/s).
    ///
    /// # Panics
    /// When the kernel cannot shape links.
    pub fn limit(&self, host: usize, megabits: u32) {
        let inner = (&self.hosts[host].namespace, "eth0".to_owned());
        for (namespace, device) in [inner, (&self.switch, format!("port{host}"))] {
            let shaper = format!("qdisc replace dev {device} root tbf rate {megabits}mbit burst 16kb latency 50ms");
            let mut tc = namespace.command("tc".as_ref());
            let output = tc.env("PATH", path()).args(shaper.split_whitespace()).output().expect("nsenter can be run");
            assert!(output.status.success(), "tc {shaper}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    /// Drops every attempt of others to connect to a computer, like the firewall of many systems.
    ///
    /// # Panics
    /// When nftables refuses the rules.
    pub fn refuse_connections(&self, host: usize) {
        const RULES: &str = "table inet firewall { chain input { type filter hook input priority 0; policy accept; \
                             iifname eth0 tcp flags & (syn|ack) == syn drop; }; }";
        self.nft(host, &[RULES]);
    }
    /// Drops every packet between a computer and another one, or lets them through again.
    ///
    /// # Panics
    /// When nftables refuses the rules.
    pub fn set_way(&self, host: usize, other: usize, is_open: bool) {
        let family = if self.family == Family::V4 { "ip" } else { "ip6" };
        let address = self.address(other);
        let rules = format!(
            "table inet way{other} {{ chain input {{ type filter hook input priority 0; policy accept; \
             {family} saddr {address} drop; }}; \
             chain output {{ type filter hook output priority 0; policy accept; {family} daddr {address} drop; }}; }}"
        );
        if is_open {
            self.nft(host, &["delete", "table", "inet", &format!("way{other}")]);
        } else {
            self.nft(host, &[&rules]);
        }
    }
    /// Counts what a computer receives from other sites and sends to them from now on (IPv4).
    pub fn count_uplink(&self, host: usize) {
        let site = self.hosts[host].site;
        let rules = format!(
            "table inet uplink {{ counter entered {{ }}; counter left {{ }}; \
             chain input {{ type filter hook input priority 0; policy accept; \
             iifname eth0 ip saddr != 10.77.{site}.0/24 counter name entered; }}; \
             chain output {{ type filter hook output priority 0; policy accept; \
             oifname eth0 ip daddr != 10.77.{site}.0/24 counter name left; }}; }}"
        );
        self.nft(host, &[&rules]);
    }
    /// Returns the bytes that have entered a computer from other sites, and left it for them, since
    /// [`Self::count_uplink`].
    #[must_use]
    pub fn uplink(&self, host: usize) -> UplinkBytes {
        UplinkBytes { entered: self.counter(host, "uplink", "entered"), left: self.counter(host, "uplink", "left") }
    }
    /// Returns the bytes of a counter of nftables.
    fn counter(&self, host: usize, table: &str, counter: &str) -> u64 {
        let text = self.nft(host, &["list", "counter", "inet", table, counter]);
        let (_, bytes) = text.rsplit_once("bytes ").expect("a counter has bytes");
        let digits = bytes.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).expect("a number of bytes")
    }
    /// Counts what a computer sends from now on, by the mark on the packets.
    pub fn count_marks(&self, host: usize) {
        self.nft(
            host,
            &["table inet marks { counter lower { }; counter normal { }; chain output { \
                 type filter hook output priority 0; policy accept; \
                 oifname eth0 ip dscp 1 counter name lower; oifname eth0 ip6 dscp 1 counter name lower; \
                 oifname eth0 ip dscp 0 counter name normal; oifname eth0 ip6 dscp 0 counter name normal; }; }"],
        );
    }
    /// Returns what a computer has sent since [`Self::count_marks`].
    #[must_use]
    pub fn marks(&self, host: usize) -> MarkedBytes {
        MarkedBytes { lower: self.counter(host, "marks", "lower"), normal: self.counter(host, "marks", "normal") }
    }
    /// Runs `nft` on a computer and returns what it printed.
    fn nft(&self, host: usize, arguments: &[&str]) -> String {
        let mut nft = self.hosts[host].namespace.command("nft".as_ref());
        let output = nft.env("PATH", path()).args(arguments).output().expect("nsenter can be run");
        assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
    /// Returns a command that runs `program` on a computer.
    #[must_use]
    pub fn command(&self, host: usize, program: &Command) -> Command {
        let mut command = self.hosts[host].namespace.command(program.get_program());
        command.args(program.get_args()).env_clear();
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}
