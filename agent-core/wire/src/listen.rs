//! Listens for connections, on both families of addresses where that is wanted.

use banyan_proto::Address;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::TcpListener;

/// Most connections that wait to be accepted. A whole room may start at once.
const BACKLOG: i32 = 1024;

/// Parses an address to listen on, as a person gives it.
///
/// # Errors
/// When the text is not one, or others could not use it ([`Address::parse_given`]).
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    match Address::parse_given(text).map_err(|error| error.to_string())?.as_socket() {
        Some(socket) => Ok(socket),
        None => Err(format!("{text:?} is a host name; an IP address and a port are needed (IP:PORT)")),
    }
}

/// Binds a port and listens. An unspecified address (`0.0.0.0`, `[::]`) stands for every address of this machine: the
/// port then serves IPv6 and IPv4, or IPv4 alone where the system has no IPv6.
///
/// # Errors
/// The system's error, such as a port in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return listen(address, false);
    }
    let any_ipv6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
    match listen(any_ipv6, true) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            let any_ipv4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            listen(any_ipv4, false).map_err(|_| error)
        }
        bound => bound,
    }
}

/// Says what to do about an address that could not be bound.
#[must_use]
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "choose another port (--listen), or stop the program that listens there",
        io::ErrorKind::AddrNotAvailable => {
            "this computer has no such address; choose one that it has (--listen), or [::] for all"
        }
        io::ErrorKind::PermissionDenied => "choose a port above 1023 (--listen); lower ones need root",
        _ => "choose another address (--listen)",
    }
}

fn listen(address: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if both_families {
        socket.set_only_v6(false)?;
    }
    // On Windows this option would let a second program take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn an_unspecified_address_serves_both_families() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let listener = bind(any.parse().unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            if listener.local_addr().unwrap().is_ipv6() {
                TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
            }
        }
    }

    #[test]
    fn what_is_no_address_to_listen_on_is_refused_with_the_reason() {
        assert_eq!(parse("[::]:7711"), Ok("[::]:7711".parse().unwrap()));
        assert_eq!(parse("0.0.0.0:0"), Ok("0.0.0.0:0".parse().unwrap()));
        assert!(parse("[fe80::1%eth0]:7711").unwrap_err().contains("link-local"));
        assert!(parse("localhost:7711").unwrap_err().contains("host name"));
    }

    #[tokio::test]
    async fn a_port_in_use_is_reported_and_no_other_family_is_taken_instead() {
        let taken = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let again = bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        let error = again.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(advice(&error).contains("another port"));
        // Reserved for documentation.
        let foreign = bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(advice(&foreign).contains("no such address"), "{foreign}");
    }
}
