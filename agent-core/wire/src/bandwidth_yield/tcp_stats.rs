//! TCP statistics from the kernel, and the receive window as the means to slow a sender down from the receiving side.
//! Only Linux provides the statistics; on other systems transfers do not yield.

use std::time::Duration;

/// The most SACK bytes that acknowledgements can carry.
#[cfg(target_os = "linux")]
const MAX_SACK_BYTES: u64 = 40;

/// The average size of the SACK blocks in acknowledgements, which report losses (bytes; measured behind a full queue).
#[cfg(target_os = "linux")]
const USUAL_SACK_BYTES: u64 = 4;

/// The bytes that one connection has moved so far, and its current round-trip time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TcpSample {
    /// Received on the link, with headers (bytes). An upper bound: data that arrived out of order or twice is counted
    /// by its packets.
    pub(crate) received: u64,
    /// Sent on the link, with headers and retransmissions (bytes).
    pub(crate) sent: u64,
    /// The upper bound of `sent`, with the most that acknowledgements can carry.
    pub(crate) sent_at_most: u64,
    /// The round-trip time seen by the receiver of data; `None` until it is measured.
    pub(crate) receiver_round_trip: Option<Duration>,
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{MAX_SACK_BYTES, TcpSample, USUAL_SACK_BYTES};
    use crate::packet;
    use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
    use std::{os::fd::AsFd, sync::OnceLock, time::Duration};
    use tokio::net::TcpStream;

    /// The beginning of the kernel's `struct tcp_info` (linux/tcp.h), as far as Linux 4.19 fills it.
    #[repr(C)]
    #[derive(Debug, Clone, Copy)]
    #[expect(unreachable_pub, reason = "the macro below makes a public type that gives this one")]
    pub struct Info {
        flags: [u8; 8],
        before_rcv_mss: [u32; 3],
        rcv_mss: u32,
        before_rcv_rtt: [u32; 17],
        rcv_rtt: u32,
        after_rcv_rtt: [u32; 2],
        before_bytes: [u64; 3],
        bytes_received: u64,
        segs_out: u32,
        segs_in: u32,
        before_data: [u32; 2],
        data_segs_in: u32,
        data_segs_out: u32,
        more_before_sent: [u64; 4],
        delivered: [u32; 2],
        bytes_sent: u64,
        bytes_retrans: u64,
    }
    const _: () = assert!(std::mem::offset_of!(Info, rcv_mss) == 20 && std::mem::offset_of!(Info, rcv_rtt) == 92);
    const _: () = assert!(std::mem::offset_of!(Info, data_segs_in) == 152);
    const _: () = assert!(std::mem::offset_of!(Info, bytes_received) == 128);
    const _: () = assert!(std::mem::offset_of!(Info, bytes_sent) == 200 && size_of::<Info>() == 216);

    sockopt_impl!(
        /// The kernel's statistics of a connection (tcp(7), `TCP_INFO`).
        TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, Info
    );
    sockopt_impl!(
        /// The largest window offered to the peer (tcp(7), `TCP_WINDOW_CLAMP`).
        WindowClamp, SetOnly, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, i32
    );

    /// Returns whether the kernel fills all of [`Info`]; older kernels are not queried.
    fn is_supported() -> bool {
        static SUPPORTED: OnceLock<bool> = OnceLock::new();
        *SUPPORTED.get_or_init(|| {
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
            let version = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
            version >= (Some(4), Some(19))
        })
    }

    /// A duplicate of the socket's descriptor, for queries; it must be closed before the connection can end.
    pub(crate) type SocketHandle = std::os::fd::OwnedFd;

    pub(crate) fn duplicate_handle(stream: &TcpStream) -> Option<SocketHandle> {
        is_supported().then(|| stream.as_fd().try_clone_to_owned().ok()).flatten()
    }

    pub(crate) fn read_sample(socket: &SocketHandle) -> Option<TcpSample> {
        let info = nix::sys::socket::getsockopt(socket, TcpInfo).ok()?;
        let took = |micros: u32| Some(Duration::from_micros(u64::from(micros))).filter(|took| !took.is_zero());
        // The kernel counts content once it is in order; after a loss that is much later than the interface counts it.
        let content = info.bytes_received.max(u64::from(info.data_segs_in) * u64::from(info.rcv_mss));
        let acknowledgements = u64::from(info.segs_out.saturating_sub(info.data_segs_out));
        let bytes = info.bytes_sent + packet::HEADERS * u64::from(info.segs_out);
        Some(TcpSample {
            received: content + packet::HEADERS * u64::from(info.segs_in),
            sent: bytes + USUAL_SACK_BYTES * acknowledgements,
            sent_at_most: bytes + MAX_SACK_BYTES * acknowledgements,
            receiver_round_trip: took(info.rcv_rtt),
        })
    }

    pub(crate) fn set_window(socket: &SocketHandle, bytes: u64) {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        // A connection that has just ended refuses the option, which is harmless.
        let _ended = nix::sys::socket::setsockopt(socket, WindowClamp, &bytes);
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{SocketHandle, duplicate_handle, read_sample, set_window};

#[cfg(not(target_os = "linux"))]
mod other {
    use super::TcpSample;
    use tokio::net::TcpStream;

    /// Never constructed: this system provides no statistics.
    #[derive(Debug)]
    pub(crate) enum SocketHandle {}

    pub(crate) fn duplicate_handle(_: &TcpStream) -> Option<SocketHandle> {
        None
    }
    pub(crate) fn read_sample(socket: &SocketHandle) -> Option<TcpSample> {
        match *socket {}
    }
    pub(crate) fn set_window(socket: &SocketHandle, _: u64) {
        match *socket {}
    }
}
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{SocketHandle, duplicate_handle, read_sample, set_window};
