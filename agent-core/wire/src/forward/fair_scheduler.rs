//! Fair sending: decides which stream may send the next chunk (rule C8). One scheduler serves all children and stripes
//! of a sender.
//!
//! On its own, TCP gives parallel streams unequal shares, and the tree is as slow as its slowest branch. So no stream
//! may run ahead: it gets a turn only while it is at most `LEAD` bytes ahead of the stream that was given least. A
//! stream whose receiver is slow (its turn takes much longer than usual) is not waited for, so that the link never
//! idles because of it. A stream that returns, or starts late, begins at the others' count.

use crate::lock::lock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How far (bytes) a stream may be ahead of the one that was given least.
const LEAD: u64 = 256 << 10;
/// A turn longer than this many usual turns is attributed to a slow receiver,
const SLOW_TURNS: u32 = 4;
/// but only if it is longer than this.
const SLOW_AT_LEAST: Duration = Duration::from_millis(60);

#[derive(Default)]
struct SchedulerState {
    slots: HashMap<u64, SlotState>,
    next_number: u64,
    usual_turn: Duration,
}

struct SlotState {
    sent_bytes: u64,
    /// Whether the stream wants a turn, or has one.
    is_contending: bool,
    /// When the current turn began.
    turn_began: Option<Instant>,
}

impl SchedulerState {
    /// Returns the bytes given to the least advanced stream that must be waited for.
    fn least_sent(&self, now: Instant) -> Option<u64> {
        let patience = (self.usual_turn * SLOW_TURNS).max(SLOW_AT_LEAST);
        let counts = |entry: &&SlotState| {
            entry.is_contending && entry.turn_began.is_none_or(|since| now.saturating_duration_since(since) < patience)
        };
        self.slots.values().filter(counts).map(|entry| entry.sent_bytes).min()
    }
    fn may_send(&self, slot: u64, now: Instant) -> bool {
        let sent_bytes = self.slots.get(&slot).map_or(0, |entry| entry.sent_bytes);
        self.least_sent(now).is_none_or(|least| sent_bytes <= least + LEAD)
    }
}

/// The scheduler shared by all streams of a sender.
#[derive(Clone, Default)]
pub struct FairScheduler {
    state: Arc<Mutex<SchedulerState>>,
    changed: Arc<Notify>,
}

impl FairScheduler {
    /// Registers a stream.
    #[must_use]
    pub fn register(&self) -> Slot {
        let mut state = lock(&self.state);
        state.next_number += 1;
        let number = state.next_number;
        state.slots.insert(number, SlotState { sent_bytes: 0, is_contending: false, turn_began: None });
        drop(state);
        Slot { scheduler: self.clone(), number }
    }
}

/// A registered stream. Dropping it stops the others from waiting for it.
pub struct Slot {
    scheduler: FairScheduler,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.scheduler.state).slots.remove(&self.number);
        self.scheduler.changed.notify_waiters();
    }
}

/// Permission to send one chunk now. Lasts until it is dropped.
pub struct SendPermit<'a> {
    slot: &'a Slot,
    bytes: u64,
}

impl Slot {
    /// Waits until this stream may send `bytes` more. Cancelling the wait withdraws the claim.
    pub async fn acquire(&self, bytes: u64) -> SendPermit<'_> {
        let claim = SlotClaim::make(self);
        loop {
            let changed = self.scheduler.changed.notified();
            if claim.try_begin() {
                std::mem::forget(claim);
                return SendPermit { slot: self, bytes };
            }
            // The timer detects streams that have become slow since; all other changes are notified.
            drop(tokio::time::timeout(SLOW_AT_LEAST / 4, changed).await);
        }
    }
}

/// A claim for a turn, withdrawn when the wait is cancelled.
struct SlotClaim<'a>(&'a Slot);

impl<'a> SlotClaim<'a> {
    fn make(slot: &'a Slot) -> Self {
        let mut state = lock(&slot.scheduler.state);
        let least = state.least_sent(Instant::now());
        if let Some(entry) = state.slots.get_mut(&slot.number) {
            if !entry.is_contending {
                entry.sent_bytes = entry.sent_bytes.max(least.unwrap_or(0));
            }
            entry.is_contending = true;
        }
        drop(state);
        Self(slot)
    }
    fn try_begin(&self) -> bool {
        let now = Instant::now();
        let mut state = lock(&self.0.scheduler.state);
        if !state.may_send(self.0.number, now) {
            return false;
        }
        if let Some(entry) = state.slots.get_mut(&self.0.number) {
            entry.turn_began = Some(now);
        }
        true
    }
}
impl Drop for SlotClaim<'_> {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.0.scheduler.state).slots.get_mut(&self.0.number) {
            entry.is_contending = false;
        }
        self.0.scheduler.changed.notify_waiters();
    }
}

impl Drop for SendPermit<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.slot.scheduler.state);
        if let Some(entry) = state.slots.get_mut(&self.slot.number) {
            entry.sent_bytes += self.bytes;
            // The stream stays a contender for a moment: the writer either claims its next turn at once, or reports
            // with `set_idle` that it has no chunk.
            if let Some(since) = entry.turn_began.take() {
                let took = since.elapsed();
                state.usual_turn = if state.usual_turn.is_zero() { took } else { (state.usual_turn * 7 + took) / 8 };
            }
        }
        drop(state);
        self.slot.scheduler.changed.notify_waiters();
    }
}

impl Slot {
    /// Reports that this stream has nothing to send at the moment, so that no other stream waits for it.
    pub fn set_idle(&self) {
        let mut state = lock(&self.scheduler.state);
        if let Some(entry) = state.slots.get_mut(&self.number) {
            entry.is_contending = false;
        }
        drop(state);
        self.scheduler.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
