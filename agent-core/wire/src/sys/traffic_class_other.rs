//! Marks packets on systems other than Linux, where they let programs do so. Windows does not: there an administrator's
//! rules mark the packets of a program and choose its congestion control (docs/operations.md, "Background transfers").
//! Its `SIO_PRIORITY_HINT` would choose LEDBAT for one socket, but only through an unsafe call that no crate wraps.

use std::io;
use tokio::net::TcpStream;

/// Never constructed: programs cannot choose.
#[derive(Debug)]
pub(crate) enum CongestionControlName {}

/// Marks the packets that leave over this connection.
#[cfg(unix)]
pub(crate) fn set_dscp(stream: &TcpStream, dscp: u8) -> io::Result<()> {
    use std::net::IpAddr;
    let (socket, byte) = (socket2::SockRef::from(stream), u32::from(dscp) << 2);
    match stream.peer_addr()?.ip().to_canonical() {
        IpAddr::V4(_) => socket.set_tos_v4(byte),
        IpAddr::V6(_) => socket.set_tclass_v6(byte),
    }
}

/// Fails: the system ignores marks of programs.
#[cfg(not(unix))]
pub(crate) fn set_dscp(_: &TcpStream, _: u8) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: there is none that a program can choose.
pub(crate) fn set_background_control(_: &TcpStream) -> io::Result<CongestionControlName> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn set_congestion_control(_: &TcpStream, name: &CongestionControlName) -> io::Result<()> {
    match *name {}
}
