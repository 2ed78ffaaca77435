//! Counts the bytes that have left this machine.
//!
//! Sockets count what they hand to the system. What a full queue then drops has never been on the link, and can be many
//! times what has. So no more is counted than the interface reports as passed.

use std::time::Duration;

/// The system's queue is shorter than this. Bytes that have not passed within one to two such periods were dropped.
const QUEUE_PERIOD: Duration = Duration::from_secs(2);
/// The most bytes by which the interface's count may be ahead of the sockets' counts.
const MAX_SPARE: u64 = 256 << 10;

/// The bytes that have left this machine, and those on their way to the interface.
#[derive(Debug, Default)]
pub(crate) struct SentBytes {
    total: u64,
    /// Bytes handed to the system in the current period and not seen to pass yet.
    pending: u64,
    /// The same from the period before.
    pending_before: u64,
    /// When the current period began.
    period_began: Duration,
    /// Bytes that passed the interface and that a socket will account for soon.
    spare: u64,
}

impl SentBytes {
    /// Returns the bytes that have left so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
    /// Adds bytes that a socket has handed to the system.
    pub(crate) fn hand_over(&mut self, bytes: u64) {
        self.pending += bytes;
    }
    /// Counts pending bytes as sent, as far as the interface reports them as passed. `None`: there are no interface
    /// counts, so all pending bytes count.
    pub(crate) fn on_passed(&mut self, now: Duration, passed: Option<u64>) {
        let mut spare = passed.map_or(self.pending + self.pending_before, |passed| self.spare.saturating_add(passed));
        let mut passed_of = |pending: u64| {
            let passed = pending.min(spare);
            spare -= passed;
            passed
        };
        let (old, new) = (passed_of(self.pending_before), passed_of(self.pending));
        self.total += old + new;
        self.pending -= new;
        self.pending_before -= old;
        self.spare = spare.min(MAX_SPARE);
        if now.saturating_sub(self.period_began) >= QUEUE_PERIOD {
            self.pending_before = std::mem::take(&mut self.pending);
            self.period_began = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    #[test]
    fn bytes_dropped_by_the_system_are_not_counted_as_sent() {
        let (mut sent, mut now) = (SentBytes::default(), Duration::ZERO);
        for _ in 0..1000 {
            // Ten times as much is handed over as the link can carry.
            sent.hand_over(100_000);
            now += STEP;
            sent.on_passed(now, Some(10_000));
        }
        assert_eq!(sent.total(), 10_000_000);
        // The dropped bytes are forgotten: bytes that other programs send later are not attributed to them.
        sent.on_passed(now + QUEUE_PERIOD, Some(0));
        sent.on_passed(now + 2 * QUEUE_PERIOD, Some(0));
        sent.on_passed(now + 3 * QUEUE_PERIOD, Some(5_000_000));
        assert_eq!(sent.total(), 10_000_000);
    }

    #[test]
    fn queued_bytes_and_bytes_reported_late_are_counted_once_they_pass() {
        let mut sent = SentBytes::default();
        sent.on_passed(QUEUE_PERIOD, Some(50_000));
        sent.hand_over(50_000);
        sent.on_passed(QUEUE_PERIOD + STEP, Some(0));
        assert_eq!(sent.total(), 50_000, "reported late by the socket");
        sent.hand_over(30_000);
        sent.on_passed(2 * QUEUE_PERIOD, Some(10_000));
        sent.on_passed(2 * QUEUE_PERIOD + STEP, Some(20_000));
        assert_eq!(sent.total(), 80_000, "the bytes waited in a queue");
        sent.hand_over(7);
        sent.on_passed(3 * QUEUE_PERIOD, None);
        assert_eq!(sent.total(), 80_007, "the system provides no statistics");
    }
}
