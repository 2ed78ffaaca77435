//! Traffic counters of the network interfaces in use, for the bytes of all programs as the system counts them.

use super::ByteCounts;
use std::{collections::BTreeMap, net::IpAddr};

/// The interfaces that connections have used, each with its number of current connections and its last counters.
#[derive(Debug, Default)]
pub(crate) struct Interfaces(BTreeMap<String, InterfaceUse>);

/// The bytes that passed since the last reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InterfaceTraffic {
    /// Over interfaces with current connections.
    pub(crate) in_use: ByteCounts,
    /// Sent over all of them, because a connection's last bytes leave after it has ended.
    pub(crate) sent: u64,
}

#[derive(Debug, Default)]
struct InterfaceUse {
    connections: usize,
    last: Option<ByteCounts>,
}

impl Interfaces {
    /// Returns whether no connection has ever used an interface.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Adds a connection to an interface.
    pub(crate) fn add(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default().connections += 1;
    }
    /// Removes a connection from an interface.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(interface) = self.0.get_mut(name) {
            interface.connections -= 1;
        }
    }
    /// Returns what has passed since the last reading; `None` where the system provides no counters, or no interface
    /// was ever used.
    pub(crate) fn traffic_since_last(&mut self) -> Option<InterfaceTraffic> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.update(&read_table()?))
    }
    fn update(&mut self, table: &str) -> InterfaceTraffic {
        let mut sum = InterfaceTraffic::default();
        for (name, now) in table.lines().filter_map(parse_line) {
            let Some(interface) = self.0.get_mut(name) else { continue };
            let last = interface.last.replace(now).unwrap_or(now);
            let received = now.received.saturating_sub(last.received);
            let sent = now.sent.saturating_sub(last.sent);
            sum.sent += sent;
            if interface.connections > 0 {
                sum.in_use.received += received;
                sum.in_use.sent += sent;
            }
        }
        sum
    }
}

/// Parses a line of the form `  eth0: bytes packets errs drop fifo frame compressed multicast bytes …` (proc(5)).
fn parse_line(line: &str) -> Option<(&str, ByteCounts)> {
    let (name, rest) = line.split_once(':')?;
    let mut numbers = rest.split_whitespace();
    let received = numbers.next()?.parse().ok()?;
    let sent = numbers.nth(7)?.parse().ok()?;
    Some((name.trim(), ByteCounts { received, sent }))
}

#[cfg(target_os = "linux")]
fn read_table() -> Option<String> {
    std::fs::read_to_string("/proc/self/net/dev").ok()
}
#[cfg(not(target_os = "linux"))]
fn read_table() -> Option<String> {
    None
}

/// Returns the interface with this address; `None` for loopback, and where the system does not provide it.
#[cfg(target_os = "linux")]
pub(crate) fn interface_of(address: IpAddr) -> Option<String> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    let mut all = nix::ifaddrs::getifaddrs().ok()?;
    let has = |storage: &nix::sys::socket::SockaddrStorage| {
        let four = storage.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| storage.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip()))) == Some(address)
    };
    all.find(|one| one.address.as_ref().is_some_and(has)).map(|one| one.interface_name)
}
#[cfg(not(target_os = "linux"))]
pub(crate) fn interface_of(_: IpAddr) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sent_after_a_connection_ended_are_counted_but_are_not_other_traffic() {
        let text = |received: u64, sent: u64| {
            format!("  eth0: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n lo: 9 1 0 0 0 0 0 0 9 1")
        };
        let mut interfaces = Interfaces::default();
        interfaces.add("eth0");
        assert_eq!(interfaces.update(&text(100, 50)), InterfaceTraffic::default(), "earlier traffic does not count");
        assert_eq!(
            interfaces.update(&text(110, 70)),
            InterfaceTraffic { in_use: ByteCounts { received: 10, sent: 20 }, sent: 20 }
        );
        interfaces.remove("eth0");
        assert_eq!(
            interfaces.update(&text(115, 75)),
            InterfaceTraffic { in_use: ByteCounts { received: 0, sent: 0 }, sent: 5 }
        );
        interfaces.add("eth0");
        assert_eq!(
            interfaces.update(&text(116, 76)),
            InterfaceTraffic { in_use: ByteCounts { received: 1, sent: 1 }, sent: 1 }
        );
    }

    #[test]
    fn the_interface_table_is_parsed_without_its_heading() {
        let line = "  eth0: 1500 10 0 0 0 0 0 0 66 1 0 0 0 0 0 0";
        assert_eq!(parse_line(line), Some(("eth0", ByteCounts { received: 1500, sent: 66 })));
        assert_eq!(parse_line(" face |bytes    packets errs drop fifo frame compressed multicast|bytes"), None);
        assert_eq!(parse_line("Inter-|   Receive  |  Transmit"), None);
    }
}
