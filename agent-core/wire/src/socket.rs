//! The socket below TLS: fair sending wants little unsent data in the kernel, and a chunk that is on its way is read in
//! pieces worth waking up for. What differs by system stands here.
//!
//! A link of 20 Mbit/s brings a packet every 0.6 ms. Woken for each of them, sixteen machines on one host spend more time
//! on waking than on everything else; so while a chunk is expected, the kernel wakes this process only when a good piece
//! of it is there.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Kernel memory for bytes that are not sent yet: with more, the order of sending is decided long before it happens.
const UNSENT_BYTES: u32 = 64 << 10;
/// Without an acknowledgement for so long a connection is dead.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// A piece worth waking up for (bytes).
const PIECE: usize = 16 << 10;
/// What may be on this side of the socket already without the reader having seen it: a TLS record, not yet whole.
const UNSEEN: usize = 17 << 10;

/// How much a reader still expects for certain; set by it, obeyed by the socket below.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected(Arc<AtomicUsize>);

impl Expected {
    /// The other side must send `bytes` more before it can send anything that has to be answered at once. Zero when
    /// nothing is known.
    pub(crate) fn set(&self, bytes: usize) {
        self.0.store(if bytes >= PIECE + UNSEEN { PIECE } else { 1 }, Relaxed);
    }
    fn least(&self) -> usize {
        self.0.load(Relaxed).max(1)
    }
}

/// A TCP connection to another machine.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    expected: Expected,
    /// What the kernel was told to wake for (bytes).
    wakes_at: usize,
}

impl Socket {
    /// Prepares for fair sending.
    ///
    /// # Errors
    /// When the system refuses an option.
    pub fn prepare(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&self.stream);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
            socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        }
        // Elsewhere a small send buffer does what the option does here.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            socket.set_send_buffer_size(4 * UNSENT_BYTES as usize)?;
            socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(UNACKNOWLEDGED))?;
        }
        Ok(())
    }
    /// The connection itself, for its options.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }
    pub(crate) fn expected(&self) -> Expected {
        self.expected.clone()
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { stream, expected: Expected::default(), wakes_at: 1 }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let least = self.expected.least();
        if least != self.wakes_at {
            wake_at(&self.stream, least)?;
            self.wakes_at = least;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(target_os = "linux")]
mod option {
    use nix::{libc, setsockopt_impl, sockopt_impl};
    sockopt_impl!(
        /// Least bytes that make a socket readable (socket(7), `SO_RCVLOWAT`).
        RcvLowat, SetOnly, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32
    );
}

#[cfg(target_os = "linux")]
fn wake_at(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    Ok(nix::sys::socket::setsockopt(stream, option::RcvLowat, &bytes)?)
}

/// Other systems wake for every packet.
#[cfg(not(target_os = "linux"))]
fn wake_at(_: &TcpStream, _: usize) -> io::Result<()> {
    Ok(())
}
