//! One connection's part in giving way: its socket asks here before it reads or writes, and what it has moved is asked of the system.

use super::{Giver, tcp, tcp::Seen, window};
use crate::limit::Bucket;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// While it waits, a socket asks again after so long: the decision may be another one.
const WAIT_MOST: Duration = Duration::from_millis(100);
/// What is moved at once while there is a rate: this much of a second,
const PIECES: u64 = 100;
/// a packet at the least, a TLS record at the most (bytes).
const PIECE_LEAST: u64 = 1448;
const PIECE_MOST: u64 = 16 << 10;
/// A window is set anew when it changes by more than an eighth.
const CHANGED: u64 = 8;
/// As large as a window may be.
const OPEN: u64 = 1 << 30;

/// A connection's place at its node's [`Giver`].
#[derive(Debug)]
pub(crate) struct Rein {
    giver: Arc<Giver>,
    interface: Option<String>,
    watched: Arc<Watched>,
}

/// A connection, as the system tells of it.
#[derive(Debug)]
pub(super) struct Watched(Mutex<Glimpse>);

#[derive(Debug)]
struct Glimpse {
    /// None: it has ended, or the system does not tell.
    socket: Option<tcp::Handle>,
    seen: Seen,
    /// The least round trip, as its receiver.
    least: Option<Duration>,
    window: Option<u64>,
}

/// Waits of a socket; kept by it.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    reading: Hold,
    writing: Hold,
}

/// A wait for leave.
type Hold = Option<Pin<Box<Sleep>>>;

impl Watched {
    pub(super) fn new(socket: Option<tcp::Handle>) -> Self {
        Self(Mutex::new(Glimpse { socket, seen: Seen::default(), least: None, window: None }))
    }
    fn lock(&self) -> MutexGuard<'_, Glimpse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// What it had moved at the last look, and now; its window is fitted to the rate at which all may be read.
    pub(super) fn look(&self, rate: Option<u64>) -> Option<(Seen, Seen)> {
        let mut glimpse = self.lock();
        let seen = tcp::look(glimpse.socket.as_ref()?)?;
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
            tcp::set_window(glimpse.socket.as_ref()?, wanted.unwrap_or(OPEN));
        }
        Some((before, seen))
    }
    /// The connection can end now: whoever else holds its socket would keep it open.
    pub(super) fn let_go(&self) {
        self.lock().socket = None;
    }
}

impl Rein {
    pub(super) fn new(giver: Arc<Giver>, interface: Option<String>, watched: Arc<Watched>) -> Self {
        Self { giver, interface, watched }
    }
    /// Waits until more may be read; gives how much at once (bytes), none: whatever there is.
    pub(crate) fn poll_read(&self, holds: &mut Holds, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.giver.moves();
        poll(&self.giver.down, &mut holds.reading, cx)
    }
    /// The same for writing.
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
    /// The socket is about to be closed.
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

/// What so much content is on the link: a packet holds 1448 bytes of it.
fn with_headers(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    bytes + bytes * tcp::HEADERS / PIECE_LEAST
}
