//! The throttle of one connection: its socket asks here before it reads or writes, and its statistics are read from the
//! kernel.

use super::{Giver, tcp_stats, tcp_stats::Seen, window};
use crate::rate_limit::Bucket;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// A waiting socket checks again after this long, because the decision may have changed.
const WAIT_MOST: Duration = Duration::from_millis(100);
/// A throttled socket moves at most this fraction of a second's worth at once,
const PIECES: u64 = 100;
/// but at least a packet and at most a TLS record (bytes).
const PIECE_LEAST: u64 = 1448;
const PIECE_MOST: u64 = 16 << 10;
/// The window is set again when it changes by more than an eighth.
const CHANGED: u64 = 8;
/// The window of an unthrottled connection (bytes).
const OPEN: u64 = 1 << 30;

/// A connection registered with its node's [`Giver`].
#[derive(Debug)]
pub(crate) struct Rein {
    giver: Arc<Giver>,
    interface: Option<String>,
    watched: Arc<Watched>,
}

/// A connection's statistics.
#[derive(Debug)]
pub(super) struct Watched(Mutex<Glimpse>);

#[derive(Debug)]
struct Glimpse {
    /// `None`: the connection has ended, or the system provides no statistics.
    socket: Option<tcp_stats::Handle>,
    seen: Seen,
    /// The shortest round-trip time, measured as the receiver.
    least: Option<Duration>,
    window: Option<u64>,
}

/// The pending waits of a socket, stored in it.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    reading: Hold,
    writing: Hold,
}

/// A wait until more may be moved.
type Hold = Option<Pin<Box<Sleep>>>;

impl Watched {
    pub(super) fn new(socket: Option<tcp_stats::Handle>) -> Self {
        Self(Mutex::new(Glimpse { socket, seen: Seen::default(), least: None, window: None }))
    }
    fn lock(&self) -> MutexGuard<'_, Glimpse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns the statistics at the last reading and now. Fits the window to the total rate at which all connections
    /// may be read.
    pub(super) fn look(&self, rate: Option<u64>) -> Option<(Seen, Seen)> {
        let mut glimpse = self.lock();
        let seen = tcp_stats::look(glimpse.socket.as_ref()?)?;
        let before = std::mem::replace(&mut glimpse.seen, seen);
        glimpse.least = glimpse.least.into_iter().chain(seen.receiving).min();
        let wanted = window(rate, glimpse.least);
        let set = match (glimpse.window, wanted) {
            (None, None) => false,
            (Some(set), Some(wanted)) => set.abs_diff(wanted) > set / CHANGED,
            _ => true,
        };
        if set {
            glimpse.window = wanted;
            tcp_stats::set_window(glimpse.socket.as_ref()?, wanted.unwrap_or(OPEN));
        }
        Some((before, seen))
    }
    /// Closes the duplicate descriptor so that the connection can end.
    pub(super) fn let_go(&self) {
        self.lock().socket = None;
    }
}

impl Rein {
    pub(super) fn new(giver: Arc<Giver>, interface: Option<String>, watched: Arc<Watched>) -> Self {
        Self { giver, interface, watched }
    }
    /// Waits until more may be read. Returns the most bytes to read at once; `None`: no limit.
    pub(crate) fn poll_read(&self, holds: &mut Holds, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.giver.moves();
        poll(&self.giver.down, &mut holds.reading, cx)
    }
    /// Waits until more may be written, like [`Self::poll_read`].
    pub(crate) fn poll_write(&self, holds: &mut Holds, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.giver.moves();
        poll(&self.giver.up, &mut holds.writing, cx)
    }
    pub(crate) fn has_read(&self, bytes: usize) {
        self.giver.down.spend(with_headers(bytes));
    }
    pub(crate) fn has_written(&self, bytes: usize) {
        self.giver.up.spend(with_headers(bytes));
    }
    /// Unregisters the connection before its socket is closed.
    pub(crate) fn ends(&self) {
        self.giver.gone(&self.watched, self.interface.as_deref());
    }
}

fn poll(bucket: &Bucket, hold: &mut Hold, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    loop {
        let Some(rate) = bucket.rate() else {
            *hold = None;
            return Poll::Ready(None);
        };
        let Some(wait) = bucket.wait() else {
            *hold = None;
            let piece = (rate / PIECES).clamp(PIECE_LEAST, PIECE_MOST);
            return Poll::Ready(Some(usize::try_from(piece).unwrap_or(usize::MAX)));
        };
        ready!(hold.get_or_insert_with(|| Box::pin(sleep(wait.min(WAIT_MOST)))).as_mut().poll(cx));
        *hold = None;
    }
}

/// Returns the size on the link of this much content: a packet holds 1448 bytes of it.
fn with_headers(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    bytes + bytes * tcp_stats::HEADERS / PIECE_LEAST
}
