//! One connection's part in giving way: its socket asks here before it reads or writes, and tells what it has moved.

use super::{Giver, tcp, tcp::Seen, window};
use crate::limit::Bucket;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep},
};

/// The kernel is asked so often at the most.
const LOOK: Duration = Duration::from_millis(20);
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

/// A connection's place at its node's [`Giver`]. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Rein {
    giver: Arc<Giver>,
    interface: Option<String>,
}

/// What was last seen of a socket; kept by it.
#[derive(Debug, Default)]
pub(crate) struct Glimpse {
    at: Option<Duration>,
    seen: Seen,
    /// The least round trip, as its receiver.
    least: Option<Duration>,
    window: Option<u64>,
    reading: Hold,
    writing: Hold,
}

/// A wait for leave.
type Hold = Option<Pin<Box<Sleep>>>;

impl Rein {
    pub(super) fn new(giver: Arc<Giver>, interface: Option<String>) -> Self {
        Self { giver, interface }
    }
    /// Waits until more may be read; gives how much at once (bytes), none: whatever there is.
    pub(crate) fn poll_read(&self, glimpse: &mut Glimpse, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        poll(&self.giver.down, &mut glimpse.reading, cx)
    }
    /// The same for writing.
    pub(crate) fn poll_write(&self, glimpse: &mut Glimpse, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        poll(&self.giver.up, &mut glimpse.writing, cx)
    }
    pub(crate) fn has_read(&self, bytes: usize) {
        self.giver.down.spend(with_headers(bytes));
    }
    pub(crate) fn has_written(&self, bytes: usize) {
        self.giver.up.spend(with_headers(bytes));
    }
    /// Looks at the connection if that was not done just now, or the last time.
    pub(crate) fn look(&self, stream: &TcpStream, glimpse: &mut Glimpse, last: bool) {
        let now = self.giver.now();
        if !last && glimpse.at.is_some_and(|at| now.saturating_sub(at) < LOOK) {
            return;
        }
        glimpse.at = Some(now);
        let Some(seen) = tcp::look(stream) else { return };
        let before = std::mem::replace(&mut glimpse.seen, seen);
        glimpse.least = glimpse.least.into_iter().chain(seen.receiving).min();
        self.giver.moved(now, before, seen);
        let wanted = window(self.giver.down.rate(), glimpse.least);
        let set = match (glimpse.window, wanted) {
            (None, None) => false,
            (Some(set), Some(wanted)) => set.abs_diff(wanted) > set / CHANGED,
            _ => true,
        };
        if set && !last {
            glimpse.window = wanted;
            tcp::set_window(stream, wanted.unwrap_or(OPEN));
        }
    }
}

impl Drop for Rein {
    fn drop(&mut self) {
        if let Some(name) = &self.interface {
            self.giver.gone(name);
        }
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
