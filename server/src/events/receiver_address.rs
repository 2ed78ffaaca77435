//! Which addresses webhooks may connect to. The check is made on the addresses that are connected to, so that a name that
//! answers differently each time changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the IPv4 address that an IPv6 address stands for.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).segments()[..6] == v6.segments()[..6];
            let [.., high, low] = v6.segments();
            let low_bits = || Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            match v6.to_ipv4_mapped() {
                Some(v4) => v4.into(),
                None if nat64 => low_bits().into(),
                None => address,
            }
        }
    }
}

/// Returns whether clouds serve metadata, such as credentials, at this address.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::new(100, 100, 100, 200),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

/// Returns whether an address is on this computer or in a private network.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Returns whether an address leads to no single host.
fn leads_nowhere(address: IpAddr) -> bool {
    address.is_unspecified()
        || address.is_multicast()
        || matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0 || v4.octets()[0] >= 240)
}

/// Checks that a webhook may connect to an address. `private`: whether its receiver may be in a private network.
///
/// # Errors
/// Says why it may not.
pub(crate) fn check(address: IpAddr, private: bool) -> Result<(), &'static str> {
    let address = unmapped(address);
    if is_metadata(address) || leads_nowhere(address) {
        Err("its address is never connected to")
    } else if is_private(address) && !private {
        Err("its address is in a private network or on the server, and the webhook was added without --private")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_reached_only_with_consent_and_metadata_never() {
        let may = |text: &str, private| check(text.parse().unwrap(), private).is_ok();
        for public in ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"] {
            assert!(may(public, false) && may(public, true), "{public}");
        }
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!may(inside, false) && may(inside, true), "{inside}");
        }
        for never in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "fe80::1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "64:ff9b::a9fe:a9fe",
            "0.1.2.3",
        ] {
            assert!(!may(never, false) && !may(never, true), "{never}");
        }
    }
}
