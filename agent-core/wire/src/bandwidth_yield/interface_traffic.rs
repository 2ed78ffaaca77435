//! Traffic counters of the network interfaces in use, for the bytes of all programs as the system counts them.

use std::{collections::BTreeMap, net::IpAddr};

/// The interfaces that connections have used, each with its number of current connections and its last counters.
#[derive(Debug, Default)]
pub(crate) struct Interfaces(BTreeMap<String, Used>);

/// The bytes that passed since the last reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Over interfaces with current connections: received, sent.
    pub(crate) in_use: (u64, u64),
    /// Sent over all of them, because a connection's last bytes leave after it has ended.
    pub(crate) went: u64,
}

#[derive(Debug, Default)]
struct Used {
    by: usize,
    counted: Option<(u64, u64)>,
}

impl Interfaces {
    /// Returns whether no connection has ever used an interface.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Adds a connection to an interface.
    pub(crate) fn add(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default().by += 1;
    }
    /// Removes a connection from an interface.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(used) = self.0.get_mut(name) {
            used.by -= 1;
        }
    }
    /// Returns what has passed since the last reading; `None` where the system provides no counters, or no interface
    /// was ever used.
    pub(crate) fn passed(&mut self) -> Option<Passed> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.look(&read()?))
    }
    fn look(&mut self, text: &str) -> Passed {
        let mut sum = Passed::default();
        for (name, came, went) in text.lines().filter_map(counters) {
            let Some(used) = self.0.get_mut(name) else { continue };
            let (was_in, was_out) = used.counted.replace((came, went)).unwrap_or((came, went));
            let (came, went) = (came.saturating_sub(was_in), went.saturating_sub(was_out));
            sum.went += went;
            if used.by > 0 {
                sum.in_use = (sum.in_use.0 + came, sum.in_use.1 + went);
            }
        }
        sum
    }
}

/// Parses a line of the form `  eth0: bytes packets errs drop fifo frame compressed multicast bytes …` (proc(5)).
fn counters(line: &str) -> Option<(&str, u64, u64)> {
    let (name, rest) = line.split_once(':')?;
    let mut numbers = rest.split_whitespace();
    let came = numbers.next()?.parse().ok()?;
    let went = numbers.nth(7)?.parse().ok()?;
    Some((name.trim(), came, went))
}

#[cfg(target_os = "linux")]
fn read() -> Option<String> {
    std::fs::read_to_string("/proc/self/net/dev").ok()
}
#[cfg(not(target_os = "linux"))]
fn read() -> Option<String> {
    None
}

/// Returns the interface with this address; `None` for loopback, and where the system does not provide it.
#[cfg(target_os = "linux")]
pub(crate) fn of(address: IpAddr) -> Option<String> {
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
pub(crate) fn of(_: IpAddr) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_after_a_connection_has_ended_is_counted_but_is_nobodys_activity() {
        let text = |came: u64, went: u64| {
            format!("  eth0: {came} 1 0 0 0 0 0 0 {went} 1 0 0 0 0 0 0\n lo: 9 1 0 0 0 0 0 0 9 1")
        };
        let mut interfaces = Interfaces::default();
        interfaces.add("eth0");
        assert_eq!(interfaces.look(&text(100, 50)), Passed::default(), "earlier traffic does not count");
        assert_eq!(interfaces.look(&text(110, 70)), Passed { in_use: (10, 20), went: 20 });
        interfaces.remove("eth0");
        assert_eq!(interfaces.look(&text(115, 75)), Passed { in_use: (0, 0), went: 5 });
        interfaces.add("eth0");
        assert_eq!(interfaces.look(&text(116, 76)), Passed { in_use: (1, 1), went: 1 });
    }

    #[test]
    fn the_systems_table_is_read_and_its_heading_is_not() {
        let line = "  eth0: 1500 10 0 0 0 0 0 0 66 1 0 0 0 0 0 0";
        assert_eq!(counters(line), Some(("eth0", 1500, 66)));
        assert_eq!(counters(" face |bytes    packets errs drop fifo frame compressed multicast|bytes"), None);
        assert_eq!(counters("Inter-|   Receive  |  Transmit"), None);
    }
}
