//! This program and the machine it runs on: its version, its addresses, and the room on its disk.

use crate::sys;
use banyan_proto::Address;
use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
};

/// Free disk space that must remain after storing an artifact (bytes).
const FREE_DISK_FLOOR: u64 = 64 << 20;

/// Returns the program name and version, as reported to others.
#[must_use]
pub(crate) fn software() -> String {
    format!("banyan-agent {}", env!("CARGO_PKG_VERSION"))
}

/// Returns the free bytes on the disk that contains a folder; `None` when the system does not report them.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    sys::free_bytes(folder)
}

/// Checks that an artifact of this many bytes fits on the disk that contains a folder.
///
/// # Errors
/// The explanation for people, with the bytes needed and free.
pub(crate) fn check_free_space(folder: &Path, bytes: u64) -> Result<(), String> {
    let needed = bytes.saturating_add(FREE_DISK_FLOOR);
    match free_bytes(folder) {
        Some(free) if free < needed => Err(format!("{needed} bytes are needed, but only {free} are free")),
        _ => Ok(()),
    }
}

/// Returns the addresses at which other machines reach this one: the listen address or, if that is unspecified, the
/// local address of the route to each of the server's addresses. The unspecified address stands for one that only the
/// server can see.
pub(crate) fn reachable_addresses(listen: SocketAddr, server: &[Address]) -> Vec<Address> {
    if !listen.ip().is_unspecified() {
        return vec![listen.into()];
    }
    // Connecting a datagram socket sends nothing; it makes the system choose the local address.
    let towards = |server: SocketAddr| {
        let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(server).ok()?;
        Some(Address::from(SocketAddr::new(socket.local_addr().ok()?.ip(), listen.port())))
    };
    let local: Vec<Address> = Address::sockets(server).filter_map(towards).collect();
    if local.is_empty() { vec![listen.into()] } else { local }
}
