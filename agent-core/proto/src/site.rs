//! A site: machines that share a subnet.

use crate::Address;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// The prefix of a site's addresses (bits), for IPv4 and IPv6.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// A site: machines that share a subnet, /24 for IPv4 or /64 for IPv6. The text form is the subnet, such as
/// `10.1.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Site(IpAddr);

impl Site {
    /// Returns the site of a machine with these addresses: the subnet of the first non-loopback one. Host names do not
    /// count.
    #[must_use]
    pub fn of(addresses: &[Address]) -> Self {
        Self::deciding_address(addresses).map_or(Self(IpAddr::from([0; 4])), Self::around)
    }
    /// Returns the address that decides a machine's site; `None` if it has none but host names.
    #[must_use]
    pub fn deciding_address(addresses: &[Address]) -> Option<IpAddr> {
        let wide = Address::sockets(addresses).find(|address| !address.ip().is_loopback());
        wide.or(Address::sockets(addresses).next()).map(|address| address.ip().to_canonical())
    }
    /// Returns the site that an address belongs to.
    #[must_use]
    pub fn around(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self(IpAddr::from([a, b, c, 0]))
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Self(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
            }
        }
    }
    /// Returns whether an address is one of the site's.
    #[must_use]
    pub fn contains(self, ip: IpAddr) -> bool {
        Self::around(ip) == self
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.0.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 };
        write!(f, "{}/{prefix}", self.0)
    }
}

/// A text that is not a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a site; a site is a subnet such as 10.1.2.0/24 or 2001:db8:0:1::/64, or an address in it")]
pub struct SiteError(String);

impl FromStr for Site {
    type Err = SiteError;
    /// Parses a subnet, or an address in it.
    fn from_str(text: &str) -> Result<Self, SiteError> {
        let wrong = || SiteError(text.chars().take(80).collect());
        let (ip, prefix) = text.trim().split_once('/').map_or((text.trim(), None), |(ip, rest)| (ip, Some(rest)));
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let expected = if ip.to_canonical().is_ipv4() { PREFIX_V4 } else { PREFIX_V6 };
        match prefix.map(str::parse::<u8>) {
            None => Ok(Self::around(ip)),
            Some(Ok(bits)) if bits == expected => Ok(Self::around(ip)),
            Some(_) => Err(wrong()),
        }
    }
}

impl From<Site> for String {
    fn from(site: Site) -> String {
        site.to_string()
    }
}
impl TryFrom<String> for Site {
    type Error = SiteError;
    fn try_from(text: String) -> Result<Self, SiteError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_written_as_its_subnet_and_read_from_any_address_in_it() {
        for (text, written) in [
            ("10.1.2.0/24", "10.1.2.0/24"),
            ("10.1.2.77", "10.1.2.0/24"),
            (" 10.1.2.77/24 ", "10.1.2.0/24"),
            ("2001:db8:0:1::5", "2001:db8:0:1::/64"),
            ("2001:db8:0:1::/64", "2001:db8:0:1::/64"),
            ("::ffff:10.1.2.3", "10.1.2.0/24"),
        ] {
            let site: Site = text.parse().unwrap();
            assert_eq!(site.to_string(), written, "{text}");
            assert_eq!(serde_json::from_str::<Site>(&serde_json::to_string(&site).unwrap()).unwrap(), site);
        }
        let site: Site = "10.1.2.0/24".parse().unwrap();
        assert!(site.contains("10.1.2.255".parse().unwrap()) && site.contains("::ffff:10.1.2.1".parse().unwrap()));
        assert!(!site.contains("10.1.3.1".parse().unwrap()));
        for wrong in ["", "10.1.2.0/16", "10.1.2.0/", "school", "2001:db8::/48", "10.1.2.0/64"] {
            assert!(wrong.parse::<Site>().unwrap_err().to_string().contains("10.1.2.0/24"), "{wrong}");
        }
    }
}
