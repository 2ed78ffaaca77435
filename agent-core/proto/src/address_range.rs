//! A range of addresses, of which an administrator makes a named site.

use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// Addresses of one family, from the first to the last: a subnet, a single address or any other range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// A text that is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a range of addresses; write a subnet such as 10.1.0.0/16, an address, or the first and the last one, \
     such as 10.1.2.10-10.1.2.99"
)]
pub struct AddressRangeError(String);

impl AddressRange {
    /// Returns whether an address is in the range.
    #[must_use]
    pub fn contains(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&ip)
    }
    /// Returns the subnet that the range is, as the bits of its prefix.
    fn prefix(self) -> Option<u32> {
        let (differing, all) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (u128::from(first.to_bits() ^ last.to_bits()), 32),
            (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits() ^ last.to_bits(), 128),
            _ => return None,
        };
        let bits = u128::BITS - differing.leading_zeros();
        let (first, last) = bounds(self.first, bits)?;
        (first == self.first && last == self.last).then(|| all - bits)
    }
}

/// Returns the first and the last address of the subnet around an address whose lowest `bits` bits are free.
fn bounds(ip: IpAddr, bits: u32) -> Option<(IpAddr, IpAddr)> {
    let free = if bits == u128::BITS { u128::MAX } else { (1_u128 << bits) - 1 };
    match ip {
        IpAddr::V4(ip) => {
            let free = u32::try_from(free).ok()?;
            Some(((ip.to_bits() & !free).to_be_bytes().into(), (ip.to_bits() | free).to_be_bytes().into()))
        }
        IpAddr::V6(ip) => {
            Some(((ip.to_bits() & !free).to_be_bytes().into(), (ip.to_bits() | free).to_be_bytes().into()))
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            _ if self.first == self.last => write!(f, "{}", self.first),
            Some(prefix) => write!(f, "{}/{prefix}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;
    /// Parses a subnet, an address, or two addresses with a hyphen between them.
    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let wrong = || AddressRangeError(text.chars().take(100).collect());
        let address = |text: &str| text.trim().parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| wrong());
        if let Some((ip, prefix)) = text.split_once('/') {
            let ip = address(ip)?;
            let all: u32 = if ip.is_ipv4() { 32 } else { 128 };
            let prefix: u32 = prefix.trim().parse().map_err(|_| wrong())?;
            let bits = all.checked_sub(prefix).ok_or_else(wrong)?;
            let (first, last) = bounds(ip, bits).ok_or_else(wrong)?;
            return Ok(Self { first, last });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (address(first)?, address(last)?);
        if first.is_ipv4() == last.is_ipv4() && first <= last { Ok(Self { first, last }) } else { Err(wrong()) }
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}
impl TryFrom<String> for AddressRange {
    type Error = AddressRangeError;
    fn try_from(text: String) -> Result<Self, AddressRangeError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_shortly_and_read_back() {
        for (text, written) in [
            ("10.1.2.77/16", "10.1.0.0/16"),
            ("10.1.2.0-10.1.2.255", "10.1.2.0/24"),
            (" 10.1.2.10 - 10.1.2.99", "10.1.2.10-10.1.2.99"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
        ] {
            let range: AddressRange = text.parse().unwrap();
            assert_eq!(range.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(range));
        }
        for wrong in ["", "10.1.2.0/33", "10.1.2.9-10.1.2.1", "10.1.2.1-::1", "office", "10.1.2.0/", "10.1.2.0/-1"] {
            assert!(wrong.parse::<AddressRange>().unwrap_err().to_string().contains("10.1.0.0/16"), "{wrong}");
        }
    }

    #[test]
    fn a_range_contains_its_ends_and_nothing_of_the_other_family() {
        let range: AddressRange = "10.1.2.10-10.1.3.5".parse().unwrap();
        for (ip, is_in) in [
            ("10.1.2.9", false),
            ("10.1.2.10", true),
            ("::ffff:10.1.2.200", true),
            ("10.1.3.5", true),
            ("10.1.3.6", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(range.contains(ip.parse().unwrap()), is_in, "{ip}");
        }
    }
}
