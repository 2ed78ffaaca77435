//! The owner's speed limits: one token bucket for received bytes and one for sent bytes, over all streams.
//!
//! Bytes are charged after they have moved, and nothing moves while the bucket is in debt. So a chunk larger than a
//! second's worth can pass, and the average stays within the limit.

use crate::lock::lock;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How much unused time may be caught up at once (seconds).
const BURST: f64 = 0.25;
/// The same where the flow must be even.
const EVEN_BURST: f64 = 0.03;

/// The limits in both directions.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    /// For received content.
    pub down: Arc<TokenBucket>,
    /// For sent content.
    pub up: Arc<TokenBucket>,
}

/// The limit in one direction. Without a rate, everything passes.
#[derive(Debug, Default)]
pub struct TokenBucket {
    level: Mutex<BucketLevel>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct BucketLevel {
    /// Bytes a second.
    rate: Option<u64>,
    is_even: bool,
    /// Bytes that may pass now; negative values are debt.
    bytes: f64,
    refilled_at: Option<Instant>,
}

impl BucketLevel {
    fn refill(&mut self, now: Instant) {
        let passed = self.refilled_at.replace(now).map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let rate = self.rate.unwrap_or(0) as f64;
        let burst = if self.is_even { EVEN_BURST } else { BURST };
        self.bytes = (self.bytes + passed * rate).min(rate * burst);
    }
    /// Returns how long until the debt is paid.
    fn time_until_ready(&self) -> Option<Duration> {
        let rate = self.rate.filter(|_| self.bytes < 0.0 || self.rate == Some(0))?;
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let wait = -self.bytes / rate as f64;
        // With a rate of zero, it waits until another limit is set.
        Some(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX).min(Duration::from_secs(3600)))
    }
}

impl TokenBucket {
    /// Creates a bucket with almost no burst.
    #[must_use]
    pub(crate) fn with_even_flow() -> Self {
        Self { level: Mutex::new(BucketLevel { is_even: true, ..BucketLevel::default() }), changed: Notify::new() }
    }
    /// Sets the limit (bytes a second). `None` removes the limit and clears the debt.
    pub fn set(&self, rate: Option<u64>) {
        let mut level = lock(&self.level);
        level.refill(Instant::now());
        if level.rate != rate {
            (level.rate, level.bytes) = (rate, level.bytes.min(0.0));
            if rate.is_none() {
                level.bytes = 0.0;
            }
        }
        drop(level);
        self.changed.notify_waiters();
    }
    /// Returns whether there is a limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.rate().is_some()
    }
    /// Returns the limit (bytes a second).
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        lock(&self.level).rate
    }
    /// Returns how long until more may pass; `None`: now.
    pub(crate) fn time_until_ready(&self) -> Option<Duration> {
        let mut level = lock(&self.level);
        level.refill(Instant::now());
        level.time_until_ready()
    }
    /// Charges bytes that have passed.
    pub fn charge(&self, bytes: u64) {
        let mut level = lock(&self.level);
        if level.rate.is_some() {
            level.refill(Instant::now());
            #[expect(clippy::cast_precision_loss, reason = "a chunk")]
            let bytes = bytes as f64;
            level.bytes -= bytes;
        }
    }
    /// Waits until more may pass. Cancelling the wait loses nothing.
    pub async fn until_ready(&self) {
        loop {
            let changed = self.changed.notified();
            let Some(wait) = self.time_until_ready() else { return };
            drop(tokio::time::timeout(wait, changed).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn takes(bucket: &TokenBucket, pieces: u64, bytes: u64) -> f64 {
        let begun = Instant::now();
        for _ in 0..pieces {
            bucket.until_ready().await;
            bucket.charge(bytes);
        }
        bucket.until_ready().await;
        begun.elapsed().as_secs_f64()
    }

    #[tokio::test]
    async fn the_limit_holds_for_small_and_for_large_pieces() {
        for (pieces, bytes) in [(40, 10_000), (1, 400_000)] {
            let bucket = TokenBucket::default();
            bucket.set(Some(1_000_000));
            let took = takes(&bucket, pieces, bytes).await;
            assert!((0.39..2.0).contains(&took), "{pieces} pieces: {took} s for 0.4 s worth");
        }
    }

    #[tokio::test]
    async fn several_streams_share_one_limit() {
        let bucket = TokenBucket::default();
        bucket.set(Some(1_000_000));
        let (first, second) = tokio::join!(takes(&bucket, 20, 10_000), takes(&bucket, 20, 10_000));
        assert!(first.max(second) >= 0.38, "{first} {second}");
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits_and_lifting_one_wakes_waiters() {
        let bucket = TokenBucket::default();
        assert!(takes(&bucket, 1000, 1 << 20).await < 1.0);
        bucket.set(Some(0));
        let lifted = async {
            tokio::task::yield_now().await;
            bucket.set(None);
        };
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(bucket.until_ready(), lifted) })
            .await
            .unwrap();
    }
}
