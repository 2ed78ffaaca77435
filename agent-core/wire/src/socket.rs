//! The socket below TLS. Fair sending needs little unsent data in the kernel, and an control chunk is read in larger
//! pieces to save wake-ups. Differences between operating systems are handled here.
//!
//! A link of 20 Mbit/s delivers a packet every 0.6 ms. If they were woken for each packet, sixteen machines on one host
//! would spend more time on wake-ups than on everything else. So while a chunk is control, the kernel wakes this
//! process only when a larger piece of it has arrived.

use crate::{
    bandwidth_yield::{BandwidthYield, ConnectionEnds, ConnectionThrottle, SocketHandle, Waits, duplicate_handle},
    packet,
    traffic_class::{AppliedTrafficClass, TrafficClass},
};
use banyan_proto::schedule::Background;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The limit of unsent bytes in the kernel: with more, the order of sending would be decided long before it happens.
const MAX_UNSENT_BYTES: u32 = 64 << 10;
/// A connection without an acknowledgement for this long is dead.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a connection that stays open without traffic notices that the other side has vanished. The kernel asks; no
/// program is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// The longest silence after which the connection counts as lost; 8 s or more, because the kernel counts in seconds.
    /// Half of it passes before the kernel asks.
    pub silence: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { silence: Duration::from_secs(120) }
    }
}

impl Keepalive {
    /// Unanswered questions after which the connection is lost.
    pub const RETRIES: u32 = 4;

    /// Returns the silence before the first question.
    #[must_use]
    pub fn idle(self) -> Duration {
        self.silence / 2
    }
    /// Returns the time between two questions.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.silence / 2 / Self::RETRIES
    }
    /// Sets these times on a connection.
    ///
    /// # Errors
    /// When the system refuses an option.
    pub fn set(self, stream: &TcpStream) -> io::Result<()> {
        let socket = socket2::SockRef::from(stream);
        let times = socket2::TcpKeepalive::new().with_time(self.idle());
        socket.set_tcp_keepalive(&times.with_interval(self.interval()).with_retries(Self::RETRIES))?;
        // Sent data that nobody acknowledges counts as silence.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(self.silence))?;
        Ok(())
    }
}

/// The piece size worth a wake-up (bytes).
const WAKE_UP_BYTES: usize = packet::TLS_RECORD as usize;
/// What may have been read from the socket without the reader having seen it: an incomplete TLS record (bytes).
const MAX_UNSEEN_BYTES: usize = WAKE_UP_BYTES + (1 << 10);

/// State shared between a socket and the layers above TLS: how much a reader still expects for certain, and the
/// throttle.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketControl(Arc<SocketState>);

#[derive(Debug, Default)]
struct SocketState {
    wake_threshold: AtomicUsize,
    ends: ConnectionEnds,
    /// The socket is closed and can no longer be registered.
    is_closed: AtomicBool,
    throttle: OnceLock<ConnectionThrottle>,
    traffic_class: TrafficClass,
    /// The most that may be sent (bytes a second).
    pace: AtomicU32,
}

/// A pace that limits nothing, as the kernel writes it.
const NO_PACE: u32 = u32::MAX;
/// A pace that differs less from the present one (one part of so many) is not worth a system call.
const PACE_STEPS: u32 = 16;

impl SocketControl {
    /// Sets how many more bytes the peer must send before anything that needs an immediate answer. Zero when nothing is
    /// known.
    pub(crate) fn expect_bytes(&self, bytes: usize) {
        self.0.wake_threshold.store(if bytes >= WAKE_UP_BYTES + MAX_UNSEEN_BYTES { WAKE_UP_BYTES } else { 1 }, Relaxed);
    }
    fn wake_threshold(&self) -> usize {
        self.0.wake_threshold.load(Relaxed).max(1)
    }
    /// Sets how the socket's packets are sent: in the background, or like those of other programs (`None`).
    pub(crate) fn set_background(&self, background: Option<Background>) {
        self.0.traffic_class.set(background);
    }
    /// Sets the most that may be sent (bytes a second); `None` for as fast as possible. Only Linux can keep a pace.
    pub(crate) fn set_pace(&self, pace: Option<u64>) {
        let pace = pace.and_then(|pace| u32::try_from(pace).ok()).unwrap_or(NO_PACE);
        self.0.pace.store(pace, Relaxed);
    }
    /// Registers the socket with its node's yielding, which throttles and counts it from now on. `handle` is a second
    /// handle on the socket, from [`Socket::duplicate_handle`].
    pub(crate) fn register(&self, bandwidth_yield: &Arc<BandwidthYield>, handle: Option<SocketHandle>) {
        if self.0.is_closed.load(Relaxed) {
            return;
        }
        self.0.throttle.get_or_init(|| bandwidth_yield.track(self.0.ends, handle));
    }
}

/// A TCP connection to another machine.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    control: SocketControl,
    /// The wake-up threshold set in the kernel (bytes).
    wake_threshold: usize,
    waits: Waits,
    traffic_class: AppliedTrafficClass,
    /// The pace set in the kernel (bytes a second).
    pace: u32,
}

impl Socket {
    /// Sets the socket options for fair sending.
    ///
    /// # Errors
    /// When the system refuses an option.
    pub fn prepare(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&self.stream);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
            socket.set_tcp_user_timeout(Some(ACKNOWLEDGEMENT_TIMEOUT))?;
        }
        // On other systems a small send buffer has the same effect as the option.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            socket.set_send_buffer_size(4 * MAX_UNSENT_BYTES as usize)?;
            socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(ACKNOWLEDGEMENT_TIMEOUT))?;
        }
        Ok(())
    }
    /// Returns the TCP stream, for its options.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }
    pub(crate) fn control(&self) -> SocketControl {
        self.control.clone()
    }
    /// Returns a second handle on the socket, for statistics. It is one more open file, so only connections that carry
    /// content have one.
    pub(crate) fn duplicate_handle(&self) -> Option<SocketHandle> {
        duplicate_handle(&self.stream)
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
        let ends = ConnectionEnds { local: local.map(|at| at.ip()), peer: peer.map(|at| at.ip()) };
        let state = SocketState { ends, pace: AtomicU32::new(NO_PACE), ..SocketState::default() };
        let (control, traffic_class) = (SocketControl(Arc::new(state)), AppliedTrafficClass::default());
        Self { stream, control, wake_threshold: 1, waits: Waits::default(), traffic_class, pace: NO_PACE }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.control.0.is_closed.store(true, Relaxed);
        // This also closes the second handle, which would keep the connection open.
        if let Some(throttle) = self.control.0.throttle.get() {
            throttle.end();
        }
    }
}

impl Socket {
    fn set_wake_threshold(&mut self, bytes: usize) -> io::Result<()> {
        if bytes != self.wake_threshold {
            wake_at(&self.stream, bytes)?;
            self.wake_threshold = bytes;
        }
        Ok(())
    }
    /// Applies what is decided about the socket's packets before they are sent.
    fn prepare_write(&mut self, state: &SocketState) {
        self.traffic_class.apply(&state.traffic_class, &self.stream);
        let pace = state.pace.load(Relaxed);
        if pace.abs_diff(self.pace) > self.pace / PACE_STEPS || (pace == NO_PACE) != (self.pace == NO_PACE) {
            self.pace = pace;
            if let Err(error) = set_pace(&self.stream, pace) {
                tracing::debug!(pace, %error, "pace not set");
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let shared = Arc::clone(&this.control.0);
        this.traffic_class.apply(&shared.traffic_class, &this.stream);
        let Some(throttle) = shared.throttle.get() else {
            this.set_wake_threshold(shared.wake_threshold.load(Relaxed).max(1))?;
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        let Some(most) = ready!(throttle.poll_read(&mut this.waits, cx)) else {
            this.set_wake_threshold(this.control.wake_threshold())?;
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        this.set_wake_threshold(1)?;
        let most = most.min(buf.remaining());
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        buf.advance(read);
        throttle.charge_read(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let shared = Arc::clone(&this.control.0);
        this.prepare_write(&shared);
        let Some(throttle) = shared.throttle.get() else { return Pin::new(&mut this.stream).poll_write(cx, buf) };
        let most = ready!(throttle.poll_write(&mut this.waits, cx)).unwrap_or(buf.len()).min(buf.len());
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..most]))?;
        throttle.charge_written(written);
        Poll::Ready(Ok(written))
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
        let this = &mut *self;
        let shared = Arc::clone(&this.control.0);
        this.prepare_write(&shared);
        let Some(throttle) = shared.throttle.get() else {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        };
        let written = match ready!(throttle.poll_write(&mut this.waits, cx)) {
            None => ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?,
            Some(most) => {
                let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &buf[..most.min(buf.len())]);
                ready!(Pin::new(&mut this.stream).poll_write(cx, first))?
            }
        };
        throttle.charge_written(written);
        Poll::Ready(Ok(written))
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(target_os = "linux")]
mod option {
    use nix::{libc, setsockopt_impl, sockopt_impl};
    sockopt_impl!(
        /// The fewest bytes that make a socket readable (socket(7), `SO_RCVLOWAT`).
        RcvLowat, SetOnly, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32
    );
    sockopt_impl!(
        /// The most bytes a second that are sent (socket(7), `SO_MAX_PACING_RATE`).
        MaxPacingRate, SetOnly, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, u32
    );
}

#[cfg(target_os = "linux")]
fn wake_at(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    Ok(nix::sys::socket::setsockopt(stream, option::RcvLowat, &bytes)?)
}

#[cfg(target_os = "linux")]
fn set_pace(stream: &TcpStream, pace: u32) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(stream, option::MaxPacingRate, &pace)?)
}

/// Does nothing: other systems cannot keep a pace.
#[cfg(not(target_os = "linux"))]
fn set_pace(_: &TcpStream, _: u32) -> io::Result<()> {
    Ok(())
}

/// Does nothing: other systems wake for every packet.
#[cfg(not(target_os = "linux"))]
fn wake_at(_: &TcpStream, _: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const BYTES: usize = 500_000;

    /// Returns how long `BYTES` take from one socket to another, one of which yields.
    async fn takes(reader_yields: bool) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = Socket::from(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let other = Socket::from(listener.accept().await.unwrap().0);
        let bandwidth_yield = Arc::new(BandwidthYield::default());
        bandwidth_yield.down.set(Some(1_000_000));
        bandwidth_yield.up.set(Some(1_000_000));
        let (mut writer, mut reader) = (one, other);
        if reader_yields {
            reader.control().register(&bandwidth_yield, reader.duplicate_handle());
        } else {
            writer.control().register(&bandwidth_yield, writer.duplicate_handle());
        }
        let began = Instant::now();
        let writing = async {
            writer.write_all(&[1; BYTES]).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut content = Vec::new();
        let ((), read) = tokio::join!(writing, reader.read_to_end(&mut content));
        assert_eq!((read.unwrap(), content.len()), (BYTES, BYTES));
        let took = began.elapsed();
        drop((writer, reader));
        assert!(
            reader_yields || bandwidth_yield.sent_bytes() > BYTES as u64,
            "{} bytes sent",
            bandwidth_yield.sent_bytes()
        );
        took
    }

    #[tokio::test]
    async fn a_throttled_socket_reads_and_writes_no_faster_than_its_rate() {
        for reader in [true, false] {
            let took = takes(reader).await;
            assert!(took >= Duration::from_millis(480), "{took:?}");
        }
    }

    /// The kernel sends the first pieces at once.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_paced_socket_writes_no_faster_than_its_pace() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut writer = Socket::from(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let mut reader = listener.accept().await.unwrap().0;
        let mut takes = async |pace| {
            writer.control().set_pace(pace);
            let (began, mut content) = (Instant::now(), vec![0; BYTES]);
            let (written, read) = tokio::join!(writer.write_all(&[1; BYTES]), reader.read_exact(&mut content));
            assert!(written.is_ok() && read.is_ok());
            began.elapsed()
        };
        let (paced, unpaced) = (takes(Some(250_000)).await, takes(None).await);
        assert!(paced >= Duration::from_millis(500) && unpaced < paced, "{paced:?}, then {unpaced:?}");
    }
}
