//! What the other side of a connection may make this machine keep and do: the memory of unfinished long messages, and
//! the rate of messages.
//!
//! A message's length is known from its header and its type only from its text. So a long message first waits for its
//! share of the memory that all connections together may use for long messages. Each machine has one share at a time.
//! The share is given back when the message was acted on, not when it was read.

use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

/// Memory that long messages of all connections may use at once (KiB of their text).
const LONG_MESSAGES_KIB: usize = 64 << 10;
/// The slowest rate at which a control message may arrive (bytes per second), after [`MESSAGE_GRACE`].
const SLOWEST_MESSAGE: u64 = 16 << 10;
/// How long a control message may take, apart from its length.
const MESSAGE_GRACE: Duration = Duration::from_secs(20);

/// How many messages may arrive at once, and how many per second after that. A machine sends a few for each offer and
/// pull, and a heartbeat each second.
const BURST: f64 = 256.0;
const PER_SECOND: f64 = 64.0;

/// The limits of one connection.
#[derive(Debug, Clone)]
pub(crate) struct FrameLimits {
    /// The longest control message expected (bytes).
    pub(crate) longest: usize,
    all: Arc<Semaphore>,
    /// One long message of the peer at a time, over all its connections.
    peer: Arc<Semaphore>,
}

/// The share of one long message; `None` inside for a short one.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "held until the message was acted on")]
pub(crate) struct MessageShare(Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>);

impl FrameLimits {
    /// Creates the limits of a node, without a peer.
    pub(crate) fn new(longest: usize) -> Self {
        Self { longest, all: Arc::new(Semaphore::new(LONG_MESSAGES_KIB)), peer: Arc::new(Semaphore::new(1)) }
    }
    /// Returns the limits for a peer without other connections.
    pub(crate) fn for_new_peer(&self) -> Self {
        Self { peer: Arc::new(Semaphore::new(1)), ..self.clone() }
    }
    /// Waits for the share of a message of this length (bytes).
    pub(crate) async fn share(&self, length: usize) -> MessageShare {
        if length <= banyan_proto::limits::SMALL_CONTROL_BYTES {
            return MessageShare(None);
        }
        let kib = u32::try_from(length.div_ceil(1024).min(LONG_MESSAGES_KIB)).unwrap_or(u32::MAX);
        let one = Arc::clone(&self.peer).acquire_owned().await.ok();
        let all = Arc::clone(&self.all).acquire_many_owned(kib).await.ok();
        MessageShare(one.zip(all))
    }
}

/// Returns whether a control message of which this much has arrived (bytes) takes too long.
pub(crate) fn is_too_slow(took: Duration, arrived: usize) -> bool {
    took > MESSAGE_GRACE + Duration::from_secs(arrived as u64 / SLOWEST_MESSAGE)
}

/// Slows down a peer that sends too many messages: they are read at [`PER_SECOND`].
#[derive(Debug)]
pub(crate) struct MessageRate {
    left: f64,
    at: Instant,
}

impl MessageRate {
    pub(crate) fn new() -> Self {
        Self { left: BURST, at: Instant::now() }
    }
    /// Counts a message, and waits if there were too many.
    pub(crate) async fn count(&mut self) {
        let now = Instant::now();
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * PER_SECOND).min(BURST) - 1.0;
        self.at = now;
        if self.left < 0.0 {
            sleep(Duration::from_secs_f64(-self.left / PER_SECOND)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_is_read_slowly_and_a_usual_exchange_at_once() {
        let (mut rate, started) = (MessageRate::new(), Instant::now());
        for _ in 0..200 {
            rate.count().await;
        }
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        for _ in 0..120 {
            rate.count().await;
        }
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_peer_has_one_share_and_all_peers_a_bounded_sum() {
        let node = FrameLimits::new(8 << 20);
        let peers: Vec<FrameLimits> = (0..9).map(|_| node.for_new_peer()).collect();
        let mut shares = Vec::new();
        for peer in &peers[..8] {
            shares.push(peer.share(8 << 20).await);
        }
        let waits = |limits: FrameLimits| async move {
            tokio::time::timeout(Duration::from_millis(20), limits.share(8 << 20)).await.is_err()
        };
        assert!(waits(peers[8].clone()).await, "all memory is in use");
        assert!(waits(peers[0].clone()).await, "this peer has a share");
        peers[8].share(1 << 10).await;
        drop(shares.pop());
        assert!(waits(peers[0].clone()).await);
        peers[8].share(8 << 20).await;
    }
}
