//! Where the server listens, and the addresses that it announces to machines.
//!
//! Each change of the announced addresses gets a higher sequence, which a file in the data folder keeps. Machines take an
//! announcement only if its sequence is higher than that of the one they have.

use crate::{private_files, start::StartError};
use banyan_proto::{Address, UnixSeconds};
use banyan_wire::{interfaces, listen};
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};
use tokio::net::TcpListener;

/// The addresses that the server announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnnouncedAddresses {
    /// Rises with every change.
    pub(crate) sequence: u64,
    /// The addresses, in the order in which machines try them.
    pub(crate) addresses: Vec<Address>,
}

impl AnnouncedAddresses {
    /// Returns the announcement of these addresses: the last one if nothing has changed, else one with a higher
    /// sequence, which is stored first.
    ///
    /// The sequence is not below the clock (seconds). So a server that was restored from a backup does not announce
    /// under a sequence that machines have already seen.
    pub(crate) fn update(data: &Path, addresses: Vec<Address>, now: UnixSeconds) -> Result<Self, StartError> {
        let path = data.join("addresses.json");
        let failed = |source| StartError::Folder { path: path.clone(), source };
        let last: Option<Self> = match std::fs::read(&path) {
            Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| failed(error.into()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let above = match last {
            Some(last) if last.addresses == addresses => return Ok(last),
            Some(last) => last.sequence + 1,
            None => 1,
        };
        let next = Self { sequence: above.max(now.0), addresses };
        let text = serde_json::to_vec(&next).map_err(|error| failed(error.into()))?;
        private_files::write_private(&path, &text).map_err(failed)?;
        Ok(next)
    }
}

/// Binds the address to listen on. An unspecified address stands for all addresses, IPv4 and IPv6.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    listen::bind(address).map_err(|source| StartError::Listen { address, source })
}

/// Returns the addresses that others can use for a server that listens at this address. For one that listens on all
/// interfaces, these are the addresses that lead outwards, or else those of the interfaces, or else loopback.
pub(super) fn reachable_addresses(listening: SocketAddr) -> Vec<Address> {
    let at = |ip: IpAddr| Address::from(SocketAddr::new(ip, listening.port()));
    if !listening.ip().is_unspecified() {
        return vec![listening.into()];
    }
    let listens_on = |ip: &IpAddr| listening.is_ipv6() || ip.is_ipv4();
    let mut found = interfaces::outward_addresses();
    if found.is_empty() {
        found = interfaces::reachable_addresses();
    }
    found.retain(listens_on);
    if found.is_empty() {
        found.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    found.truncate(banyan_proto::limits::ADDRESSES_PER_MACHINE);
    found.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_addresses_gets_a_higher_sequence_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let address = |text: &str| vec![text.parse::<Address>().unwrap()];
        let announce = |text: &str, now| {
            AnnouncedAddresses::update(folder.path(), address(text), UnixSeconds(now)).unwrap().sequence
        };
        assert_eq!(announce("a.example:1", 1000), 1000);
        assert_eq!(announce("a.example:1", 2000), 1000, "nothing has changed");
        assert_eq!(announce("b.example:1", 10), 1001, "the clock was set back");
        assert_eq!(announce("a.example:1", 3000), 3000);
    }

    #[test]
    fn an_address_that_was_chosen_is_announced_as_it_is() {
        let chosen: SocketAddr = "192.0.2.7:7700".parse().unwrap();
        assert_eq!(reachable_addresses(chosen), [chosen.into()]);
        for any in ["0.0.0.0:7700", "[::]:7700"] {
            let found = reachable_addresses(any.parse().unwrap());
            assert!(!found.is_empty() && Address::sockets(&found).all(|socket| !socket.ip().is_unspecified()));
        }
    }
}
