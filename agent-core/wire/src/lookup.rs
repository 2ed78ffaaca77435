//! Looks up the host names of addresses.

use banyan_proto::Address;
use std::{io, net::SocketAddr};

/// Returns the socket addresses of a list, in its order and without duplicates. A host name can have several.
///
/// # Errors
/// When no entry has one: the error of the last host name that could not be looked up.
pub async fn lookup(addresses: &[Address]) -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "no address is known");
    for address in addresses {
        match tokio::net::lookup_host(address.to_string()).await {
            Ok(sockets) => found.extend(sockets.filter(|socket| !found.contains(socket)).collect::<Vec<_>>()),
            Err(unknown) => error = io::Error::new(unknown.kind(), format!("looking up {address}: {unknown}")),
        }
    }
    if found.is_empty() { Err(error) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_tried_in_their_order() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Address>>();
        let found =
            lookup(&list(&["127.0.0.2:1", "no-such-host.invalid:1", "127.0.0.1:2", "127.0.0.2:1"])).await.unwrap();
        assert_eq!(found, ["127.0.0.2:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        let error = lookup(&list(&["no-such-host.invalid:1"])).await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid:1"), "{error}");
    }
}
