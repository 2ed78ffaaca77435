//! The throttle of one connection: its socket asks here before it reads or writes, and its statistics are read from the
//! kernel.

use super::{
    BandwidthYield,
    tcp_stats::{self, SocketHandle, TcpSample},
    window,
};
use crate::{
    lock::lock,
    packet,
    rate_limit::TokenBucket,
    site_limit::{DirectionLimit, UplinkConnection},
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// A waiting socket checks again after this long, because the decision may have changed.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// A throttled socket moves at most this fraction of a second's worth at once, but at least a packet and at most a TLS
/// record.
const PIECES: u64 = 100;
/// The window is set again when it changes by more than an eighth.
const CHANGED: u64 = 8;
/// The window of an unthrottled connection (bytes).
const OPEN: u64 = 1 << 30;

/// A connection registered with its node's [`BandwidthYield`].
#[derive(Debug)]
pub(crate) struct ConnectionThrottle {
    bandwidth_yield: Arc<BandwidthYield>,
    interface: Option<String>,
    connection: Arc<TrackedConnection>,
}

/// A connection whose statistics are read.
#[derive(Debug)]
pub(super) struct TrackedConnection {
    socket: Mutex<TrackedSocket>,
    uplink: UplinkConnection,
}

#[derive(Debug)]
struct TrackedSocket {
    /// `None`: the connection has ended, or the system provides no statistics.
    handle: Option<SocketHandle>,
    last: TcpSample,
    /// The shortest round-trip time, measured as the receiver.
    shortest_round_trip: Option<Duration>,
    window: Option<u64>,
}

/// The pending waits of a socket, stored in it.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    reading: Wait,
    writing: Wait,
}

/// A wait until more may be moved.
type Wait = Option<Pin<Box<Sleep>>>;

impl TrackedConnection {
    pub(super) fn new(handle: Option<SocketHandle>, uplink: UplinkConnection) -> Self {
        let last = TcpSample::default();
        let socket = Mutex::new(TrackedSocket { handle, last, shortest_round_trip: None, window: None });
        Self { socket, uplink }
    }
    /// Returns the statistics at the last reading and now. Fits the window to the total rate at which all connections
    /// may be read.
    pub(super) fn sample(&self, rate: Option<u64>) -> Option<(TcpSample, TcpSample)> {
        let uplink = self.uplink.download().and_then(|limit| limit.bucket.rate());
        let rate = rate.into_iter().chain(uplink).min();
        let mut socket = lock(&self.socket);
        let sample = tcp_stats::read_sample(socket.handle.as_ref()?)?;
        let before = std::mem::replace(&mut socket.last, sample);
        socket.shortest_round_trip = socket.shortest_round_trip.into_iter().chain(sample.receiver_round_trip).min();
        let wanted = window(rate, socket.shortest_round_trip);
        let changed = match (socket.window, wanted) {
            (None, None) => false,
            (Some(set), Some(wanted)) => set.abs_diff(wanted) > set / CHANGED,
            (None, Some(_)) | (Some(_), None) => true,
        };
        if changed {
            socket.window = wanted;
            tcp_stats::set_window(socket.handle.as_ref()?, wanted.unwrap_or(OPEN));
        }
        Some((before, sample))
    }
    /// Closes the duplicate descriptor so that the connection can end.
    pub(super) fn close_handle(&self) {
        lock(&self.socket).handle = None;
    }
}

impl ConnectionThrottle {
    pub(super) fn new(
        bandwidth_yield: Arc<BandwidthYield>,
        interface: Option<String>,
        connection: Arc<TrackedConnection>,
    ) -> Self {
        Self { bandwidth_yield, interface, connection }
    }
    /// Waits until more may be read. Returns the most bytes to read at once; `None`: no limit.
    pub(crate) fn poll_read(&self, waits: &mut Waits, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.bandwidth_yield.on_data();
        let most = ready!(poll(&self.bandwidth_yield.down, &mut waits.reading, cx));
        let limited = ready!(self.poll_uplink(self.connection.uplink.download(), &mut waits.reading, cx));
        Poll::Ready(most.into_iter().chain(limited).min())
    }
    /// Waits until more may be written, like [`Self::poll_read`].
    pub(crate) fn poll_write(&self, waits: &mut Waits, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.bandwidth_yield.on_data();
        let most = ready!(poll(&self.bandwidth_yield.up, &mut waits.writing, cx));
        let limited = ready!(self.poll_uplink(self.connection.uplink.upload(), &mut waits.writing, cx));
        Poll::Ready(most.into_iter().chain(limited).min())
    }
    /// Waits until more may pass over the site's uplink.
    fn poll_uplink(
        &self,
        limit: Option<&DirectionLimit>,
        pending: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        let Some(limit) = limit else { return Poll::Ready(None) };
        let polled = poll(&limit.bucket, pending, cx);
        if polled.is_pending() {
            self.connection.uplink.on_wait(limit);
        }
        polled
    }
    pub(crate) fn charge_read(&self, bytes: usize) {
        self.bandwidth_yield.down.charge(with_headers(bytes));
        self.connection.uplink.charge_read(with_headers(bytes));
    }
    pub(crate) fn charge_written(&self, bytes: usize) {
        self.bandwidth_yield.up.charge(with_headers(bytes));
        self.connection.uplink.charge_written(with_headers(bytes));
    }
    /// Unregisters the connection before its socket is closed.
    pub(crate) fn end(&self) {
        self.bandwidth_yield.untrack(&self.connection, self.interface.as_deref());
    }
}

fn poll(bucket: &TokenBucket, pending: &mut Wait, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    loop {
        let Some(rate) = bucket.rate() else {
            *pending = None;
            return Poll::Ready(None);
        };
        let Some(wait) = bucket.time_until_ready() else {
            *pending = None;
            let piece = (rate / PIECES).clamp(packet::PAYLOAD, packet::TLS_RECORD);
            return Poll::Ready(Some(usize::try_from(piece).unwrap_or(usize::MAX)));
        };
        ready!(pending.get_or_insert_with(|| Box::pin(sleep(wait.min(MAX_WAIT)))).as_mut().poll(cx));
        *pending = None;
    }
}

/// Returns the size on the link of this much content: a packet carries 1448 bytes of it.
fn with_headers(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    bytes + bytes * packet::HEADERS / packet::PAYLOAD
}
