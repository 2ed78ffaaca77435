//! Where a machine or a server can be reached: a host name or an IP address, and a port.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Longest host name (bytes), as in DNS (RFC 1035).
const NAME_BYTES: usize = 253;
/// Longest part of a host name between two dots (bytes).
const LABEL_BYTES: usize = 63;

/// A host and a port, written `server.example.org:7700`, `10.0.0.5:7700` or `[2001:db8::5]:7700`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Address {
    host: Host,
    port: u16,
}

/// The host part of an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IP address. It needs no look-up.
    Ip(IpAddr),
    /// A host name in lower case, without a final dot.
    Name(String),
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {why}")]
pub struct AddressError {
    /// The text (its first 80 characters).
    text: String,
    why: &'static str,
}

impl AddressError {
    fn new(text: &str, why: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), why }
    }
}

impl Address {
    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Returns the socket address, unless the host is a name.
    #[must_use]
    pub fn as_socket(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
    /// Returns the socket addresses of a list, leaving out host names.
    pub fn sockets(addresses: &[Self]) -> impl Iterator<Item = SocketAddr> + '_ {
        addresses.iter().filter_map(Self::as_socket)
    }
    /// Parses an address that a person gives and that other computers are to use. Refuses a link-local IPv6 address: it
    /// needs the name of an interface (`fe80::1%eth0`), which means something on one computer only.
    ///
    /// # Errors
    /// When the text is not such an address.
    pub fn parse_given(text: &str) -> Result<Self, AddressError> {
        let ip = text.strip_prefix('[').and_then(|rest| rest.split([']', '%']).next());
        if ip.and_then(|ip| ip.parse::<Ipv6Addr>().ok()).is_some_and(|ip| ip.is_unicast_link_local()) {
            return Err(AddressError::new(
                text,
                "link-local addresses (fe80::) mean something on one computer only; use a host name, an IPv4 address \
                 or an IPv6 address of another kind, and give the computers one if they have none (such as \
                 fd00:1234::1/64)",
            ));
        }
        text.parse()
    }
    /// Parses an address that a person gives for others to connect to. Refuses what only a listener can use: an unspecified
    /// address, and port 0.
    ///
    /// # Errors
    /// When the text is not such an address.
    pub fn parse_target(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse_given(text.trim())?;
        if address.as_socket().is_some_and(|socket| socket.ip().is_unspecified()) {
            return Err(AddressError::new(text, "nobody can connect to it: it stands for all addresses of a listener"));
        }
        if address.port == 0 {
            return Err(AddressError::new(text, "nobody can connect to port 0"));
        }
        Ok(address)
    }
    /// Returns a list as one text, separated by commas and spaces, for people.
    #[must_use]
    pub fn list(addresses: &[Self]) -> String {
        addresses.iter().map(Self::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}
impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}
impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}
impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let bad = |why| AddressError::new(text, why);
        let (name, port) = text.rsplit_once(':').ok_or_else(|| bad("the port is missing (HOST:PORT)"))?;
        if name.contains(':') {
            return Err(bad("an IPv6 address needs brackets ([ADDRESS]:PORT)"));
        }
        let port = port.parse().map_err(|_| bad("the port is not a number from 0 to 65535"))?;
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if !is_host_name(&name) {
            return Err(bad("neither a host name nor an IP address stands before the port"));
        }
        Ok(Self { host: Host::Name(name), port })
    }
}

/// Returns whether a text is a host name (RFC 1123) that cannot be mistaken for an IPv4 address.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last_is_number = || name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (1..=NAME_BYTES).contains(&name.len()) && name.split('.').all(label) && !last_is_number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in ["10.0.0.5:7700", "[2001:db8::5]:7700", "server.example.org:7700", "localhost:1", "a-b_c.d:65535"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.as_socket().is_some(), text.parse::<SocketAddr>().is_ok());
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        }
        assert_eq!("Server.Example.ORG.:1".parse::<Address>().unwrap().to_string(), "server.example.org:1");
    }

    #[test]
    fn a_link_local_address_is_refused_where_other_computers_are_to_use_it() {
        for text in ["[fe80::1]:7700", "[fe80::1%eth0]:7700", "[fe80::1%3]:7700", "[FEBF::1%en0]:1"] {
            let error = Address::parse_given(text).unwrap_err().to_string();
            assert!(error.contains("link-local") && error.contains("use a host name"), "{error}");
        }
        for text in ["[fd00:1234::1]:7700", "[fec0::1]:7700", "169.254.1.1:7700", "server.example.org:7700"] {
            assert_eq!(Address::parse_given(text).unwrap().to_string(), text);
        }
        assert!(Address::parse_given("[fd00::1%eth0]:1").is_err());
    }

    #[test]
    fn what_nobody_can_connect_to_is_refused_as_a_target() {
        for text in ["0.0.0.0:7700", "[::]:7700", "10.0.0.5:0", "server.example.org:0", "[fe80::1]:7700", ""] {
            assert!(Address::parse_target(text).is_err(), "{text:?}");
        }
        assert_eq!(Address::parse_target(" 10.0.0.5:7700").unwrap().to_string(), "10.0.0.5:7700");
    }

    #[test]
    fn other_texts_are_refused_with_what_is_wrong() {
        let why = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        assert!(why("server").contains("port is missing"));
        assert!(why("::1:7700").contains("brackets"));
        assert!(why("server:70000").contains("not a number"));
        for text in ["", ":1", "10.0.0:1", "10.0.0.300:1", "-a:1", "a..b:1", "a b:1", "http://a:1", &"a.".repeat(200)] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
