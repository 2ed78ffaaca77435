//! Marks packets and chooses the congestion control on Linux.

use socket2::SockRef;
use std::{io, net::IpAddr};
use tokio::net::TcpStream;

/// TCP-LP (`net/ipv4/tcp_lp.c`). The kernel loads it only for privileged programs; others can use it once the
/// administrator lists it in `net.ipv4.tcp_allowed_congestion_control`.
const BACKGROUND: &[u8] = b"lp";

/// The kernel's name of a congestion control.
#[derive(Debug)]
pub(crate) struct CongestionControlName(Vec<u8>);

/// Marks the packets that leave over this connection. The kernel keeps the bits of ECN beside the codepoint.
pub(crate) fn set_dscp(stream: &TcpStream, dscp: u8) -> io::Result<()> {
    let (socket, byte) = (SockRef::from(stream), u32::from(dscp) << 2);
    // A socket of IPv6 can carry packets of IPv4.
    match stream.peer_addr()?.ip().to_canonical() {
        IpAddr::V4(_) => socket.set_tos_v4(byte),
        IpAddr::V6(_) => socket.set_tclass_v6(byte),
    }
}

/// Uses the congestion control for background transfers. Returns the one before.
pub(crate) fn set_background_control(stream: &TcpStream) -> io::Result<CongestionControlName> {
    let socket = SockRef::from(stream);
    let usual = socket.tcp_congestion()?;
    socket.set_tcp_congestion(BACKGROUND)?;
    let length = usual.iter().position(|byte| *byte == 0).unwrap_or(usual.len());
    Ok(CongestionControlName(usual[..length].to_vec()))
}

/// Uses this congestion control.
pub(crate) fn set_congestion_control(stream: &TcpStream, name: &CongestionControlName) -> io::Result<()> {
    SockRef::from(stream).set_tcp_congestion(&name.0)
}
