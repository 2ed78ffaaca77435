//! What passes the network interfaces that our connections go over: everybody's bytes, as the system counts them.

use std::{collections::BTreeMap, net::IpAddr};

/// The interfaces, each with how many connections go over it and its counters at the last look.
#[derive(Debug, Default)]
pub(crate) struct Interfaces(BTreeMap<String, Used>);

#[derive(Debug, Default)]
struct Used {
    by: usize,
    counted: Option<(u64, u64)>,
}

impl Interfaces {
    /// One more connection goes over it.
    pub(crate) fn add(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default().by += 1;
    }
    /// One fewer.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(used) = self.0.get_mut(name) {
            used.by -= 1;
            if used.by == 0 {
                self.0.remove(name);
            }
        }
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// What has come and gone since the last look (bytes); none where the system does not tell.
    pub(crate) fn passed(&mut self) -> Option<(u64, u64)> {
        if self.0.is_empty() {
            return None;
        }
        let text = read()?;
        let mut sum = (0, 0);
        for (name, came, went) in text.lines().filter_map(counters) {
            if let Some(used) = self.0.get_mut(name) {
                let (was_in, was_out) = used.counted.replace((came, went)).unwrap_or((came, went));
                sum = (sum.0 + came.saturating_sub(was_in), sum.1 + went.saturating_sub(was_out));
            }
        }
        Some(sum)
    }
}

/// `  eth0: bytes packets errs drop fifo frame compressed multicast bytes …` (proc(5)).
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

/// The interface with this address; none for this machine itself, and where the system does not tell.
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
    fn the_systems_table_is_read_and_its_heading_is_not() {
        let line = "  eth0: 1500 10 0 0 0 0 0 0 66 1 0 0 0 0 0 0";
        assert_eq!(counters(line), Some(("eth0", 1500, 66)));
        assert_eq!(counters(" face |bytes    packets errs drop fifo frame compressed multicast|bytes"), None);
        assert_eq!(counters("Inter-|   Receive  |  Transmit"), None);
    }
}
