//! Fair sending: one scheduler serves all children and stripes of a sender, and lets them wait for their turns (rule C8).
//!
//! On its own, TCP gives parallel streams unequal shares, and the tree is as slow as its slowest branch. So no stream
//! may run ahead of the others. `fair_turns` decides whose turn it is.

use super::fair_turns::{FairTurns, SLOW_AT_LEAST};
use crate::lock::lock;
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::sync::Notify;

/// The scheduler shared by all streams of a sender.
#[derive(Clone, Default)]
pub struct FairScheduler {
    turns: Arc<Mutex<FairTurns>>,
    changed: Arc<Notify>,
}

impl FairScheduler {
    /// Registers a stream.
    #[must_use]
    pub fn register(&self) -> Slot {
        let number = lock(&self.turns).register();
        Slot { scheduler: self.clone(), number }
    }
    /// Changes the turns, and lets every waiting stream look at them again.
    fn change(&self, change: impl FnOnce(&mut FairTurns)) {
        change(&mut lock(&self.turns));
        self.changed.notify_waiters();
    }
}

/// A registered stream. Dropping it stops the others from waiting for it.
pub struct Slot {
    scheduler: FairScheduler,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.scheduler.change(|turns| turns.remove(self.number));
    }
}

/// Permission to send one chunk now. Lasts until it is dropped.
pub struct SendPermit<'a> {
    slot: &'a Slot,
    bytes: u64,
}

impl Drop for SendPermit<'_> {
    fn drop(&mut self) {
        self.slot.scheduler.change(|turns| turns.end(self.slot.number, self.bytes, Instant::now()));
    }
}

impl Slot {
    /// Waits until this stream may send `bytes` more. Cancelling the wait withdraws the claim.
    pub async fn acquire(&self, bytes: u64) -> SendPermit<'_> {
        let claim = SlotClaim::make(self);
        loop {
            let changed = self.scheduler.changed.notified();
            if lock(&self.scheduler.turns).try_begin(self.number, Instant::now()) {
                std::mem::forget(claim);
                return SendPermit { slot: self, bytes };
            }
            // The timer detects streams that have become slow since; all other changes are notified.
            drop(tokio::time::timeout(SLOW_AT_LEAST / 4, changed).await);
        }
    }
    /// Reports that this stream has nothing to send at the moment, so that no other stream waits for it.
    pub fn set_idle(&self) {
        self.scheduler.change(|turns| turns.set_idle(self.number));
    }
}

/// A claim for a turn, withdrawn when the wait is cancelled.
struct SlotClaim<'a>(&'a Slot);

impl<'a> SlotClaim<'a> {
    fn make(slot: &'a Slot) -> Self {
        lock(&slot.scheduler.turns).claim(slot.number, Instant::now());
        Self(slot)
    }
}

impl Drop for SlotClaim<'_> {
    fn drop(&mut self) {
        self.0.set_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::fair_turns::LEAD;
    use std::{
        sync::atomic::{AtomicU64, Ordering::Relaxed},
        time::Duration,
    };

    /// Two streams share equally while both have data, even if one could be five times as fast.
    #[tokio::test]
    async fn a_fast_stream_does_not_run_ahead_of_a_slower_one() {
        let scheduler = FairScheduler::default();
        let sent: Arc<[AtomicU64; 2]> = Arc::default();
        let send = |which: usize, pause: u64| {
            let (slot, sent) = (scheduler.register(), Arc::clone(&sent));
            async move {
                for _ in 0..40 {
                    let permit = slot.acquire(LEAD).await;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    sent[which].fetch_add(1, Relaxed);
                    drop(permit);
                    let (mine, other) = (sent[which].load(Relaxed), sent[1 - which].load(Relaxed));
                    assert!(mine <= other + 3, "{mine} chunks against {other}");
                }
                sent[which].store(u64::MAX / 2, Relaxed);
            }
        };
        tokio::join!(send(0, 1), send(1, 5));
    }

    #[tokio::test]
    async fn a_stuck_stream_is_not_waited_for() {
        let scheduler = FairScheduler::default();
        let (stuck, lively) = (scheduler.register(), scheduler.register());
        let _never_ends = stuck.acquire(1).await;
        for _ in 0..20 {
            drop(lively.acquire(LEAD).await);
        }
    }
}
