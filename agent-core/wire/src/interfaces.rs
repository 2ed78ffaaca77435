//! The addresses of this machine that others can use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Beginnings of the names of interfaces between programs of one machine. Other machines cannot reach their addresses,
/// or reach their own instead.
const INTERNAL: [&str; 9] = ["docker", "br-", "veth", "virbr", "lxcbr", "lxdbr", "cni", "flannel", "podman"];

/// Returns the local address of the route to another one. Sends nothing.
#[must_use]
pub fn address_towards(there: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if there.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    // Connecting a datagram socket makes the system choose the local address.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

/// Returns the local addresses of the default routes, at most one of each family.
#[must_use]
pub fn outward_addresses() -> Vec<IpAddr> {
    // Addresses reserved for documentation.
    let there: [SocketAddr; 2] =
        [(Ipv4Addr::new(192, 0, 2, 1), 9).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()];
    there.into_iter().filter_map(address_towards).filter(is_reachable).collect()
}

/// Returns whether other machines can use this address without knowing one of their own interfaces: it is neither
/// loopback nor link-local.
#[must_use]
pub fn is_reachable(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(four) => {
            !(four.is_loopback() || four.is_link_local() || four.is_unspecified() || four.is_multicast())
        }
        IpAddr::V6(six) => {
            !(six.is_loopback() || six.is_unicast_link_local() || six.is_unspecified() || six.is_multicast())
        }
    }
}

/// Returns the addresses of all interfaces that others can use; empty where the system does not list them.
#[must_use]
pub fn reachable_addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for (interface, address) in list() {
        let is_internal = INTERNAL.iter().any(|start| interface.starts_with(start));
        if !is_internal && is_reachable(&address) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Returns whether this machine has no address that other machines can use but link-local IPv6 ones.
#[must_use]
pub fn has_only_link_local() -> bool {
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    let mut others = list().into_iter().map(|(_, address)| address).filter(|address| !address.is_loopback()).peekable();
    others.peek().is_some() && others.all(|address| is_link_local(&address))
}

/// Returns every address with the name of its interface.
#[cfg(target_os = "linux")]
fn list() -> Vec<(String, IpAddr)> {
    use nix::net::if_::InterfaceFlags;
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let is_up = |one: &nix::ifaddrs::InterfaceAddress| one.flags.contains(InterfaceFlags::IFF_UP);
    let named = |one: nix::ifaddrs::InterfaceAddress| {
        let storage = one.address?;
        let four = storage.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        let address = four.or_else(|| storage.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))?;
        Some((one.interface_name, address))
    };
    all.filter(is_up).filter_map(named).collect()
}
#[cfg(not(target_os = "linux"))]
fn list() -> Vec<(String, IpAddr)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_something_else_on_another_machine_are_left_out() {
        let is_reachable = |text: &str| is_reachable(&text.parse().unwrap());
        for good in ["10.0.0.5", "203.0.113.9", "fd77::1", "2001:db8::5", "100.64.0.1"] {
            assert!(is_reachable(good), "{good}");
        }
        for bad in ["127.0.0.1", "169.254.1.2", "0.0.0.0", "::1", "fe80::1", "ff02::1", "::", "::ffff:127.0.0.1"] {
            assert!(!is_reachable(bad), "{bad}");
        }
    }

    #[test]
    fn the_route_to_this_machine_leaves_from_this_machine() {
        let local = "127.0.0.1".parse::<IpAddr>().unwrap();
        assert_eq!(address_towards(SocketAddr::new(local, 9)), Some(local));
        assert!(outward_addresses().iter().all(is_reachable));
    }
}
