//! Shapes links with tc, and lets packets disappear with nftables.

use super::{
    rates::{LinkRates, Rate},
    virtual_network::run,
};
use crate::command::read;
use anyhow::{Context, Result};
use std::process::Command;

/// Bytes that a shaper may send at line speed: two full frames and a little, which keeps the rate accurate even over a
/// few milliseconds. Fast links get a millisecond's worth, because timers are not finer.
const MIN_BURST: u64 = 16 << 10;
/// The longest queue is that of a small router.
const LATENCY: &str = "50ms";

/// Offloads would pass the shaper packets larger than its burst, which it drops.
const OFFLOADS: [&str; 6] = ["tso", "off", "gso", "off", "gro", "off"];

/// One end of a link: the device in a namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkEnd<'a> {
    pub(super) namespace: &'a str,
    pub(super) device: &'a str,
}

/// Shapes both ends of a new link. `inner` is the machine's end, `outer` the switch's.
pub(super) fn shape(inner: LinkEnd<'_>, outer: LinkEnd<'_>, link: LinkRates) -> Result<()> {
    for (end, rate) in [(inner, link.up), (outer, link.down)] {
        run(&[&["ip", "netns", "exec", end.namespace, "ethtool", "-K", end.device], &OFFLOADS[..]].concat())?;
        tbf(end, "add", rate)?;
    }
    Ok(())
}

/// Changes the rates of a link that is in use. Queued packets stay.
pub(super) fn reshape(inner: LinkEnd<'_>, outer: LinkEnd<'_>, link: LinkRates) -> Result<()> {
    tbf(inner, "change", link.up)?;
    tbf(outer, "change", link.down)
}

fn tbf(end: LinkEnd<'_>, verb: &str, rate: Rate) -> Result<()> {
    let (bits, burst) = (rate.bits_per_second().to_string(), MIN_BURST.max(rate.bits_per_second() / 8000).to_string());
    let qdisc = ["tc", "-n", end.namespace, "qdisc", verb, "dev", end.device, "root", "tbf"];
    run(&[&qdisc[..], &["rate", &bits, "burst", &burst, "latency", LATENCY]].concat())
}

/// Drops this share of the packets at random in both directions, after the shapers.
pub(super) fn lose(inner: LinkEnd<'_>, outer: LinkEnd<'_>, share: f64) -> Result<()> {
    let dropped = (share * 10_000.0).round();
    for end in [inner, outer] {
        load_rules(
            end.namespace,
            &format!(
                "table netdev lab-{device} {{\n chain loss {{\n  type filter hook ingress device \"{device}\" priority 0; \
                 policy accept;\n  numgen random mod 10000 < {dropped} drop\n }}\n}}\n",
                device = end.device
            ),
        )?;
    }
    Ok(())
}

/// Drops every attempt of others to connect to this port.
pub(super) fn refuse_dials(namespace: &str, port: u16) -> Result<()> {
    load_rules(
        namespace,
        &format!(
            "table inet lab {{\n chain firewall {{\n  type filter hook input priority 0; policy accept;\n  \
             tcp dport {port} tcp flags & (syn|ack) == syn drop\n }}\n}}\n"
        ),
    )
}

fn load_rules(namespace: &str, rules: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "sh", "-c", "printf %s \"$1\" | nft -f -", "rules", rules]);
    read(command.env("PATH", super::virtual_network::path())).map(drop).context("nftables refused the rules")
}
