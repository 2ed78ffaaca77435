//! Fair sending: decides which stream may send the next chunk (rule C8). One scheduler serves all children and stripes
//! of a sender.
//!
//! On its own, TCP gives parallel streams unequal shares, and the tree is as slow as its slowest branch. So no stream
//! may run ahead: it gets a turn only while it is at most [`LEAD`] bytes ahead of the stream that was given least. A
//! stream whose receiver is slow (its turn takes much longer than usual) is not waited for, so that the link never
//! idles because of it. A stream that returns, or starts late, begins at the others' count.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
struct Table {
    seats: HashMap<u64, State>,
    next: u64,
    usual: Duration,
}

struct State {
    given: u64,
    /// The stream wants a turn, or has one.
    contends: bool,
    /// When the current turn began.
    turn: Option<Instant>,
}

impl Table {
    /// Returns the bytes given to the least advanced stream that must be waited for.
    fn least(&self, now: Instant) -> Option<u64> {
        let patience = (self.usual * SLOW_TURNS).max(SLOW_AT_LEAST);
        let counts = |state: &&State| {
            state.contends && state.turn.is_none_or(|since| now.saturating_duration_since(since) < patience)
        };
        self.seats.values().filter(counts).map(|state| state.given).min()
    }
    fn may(&self, seat: u64, now: Instant) -> bool {
        let given = self.seats.get(&seat).map_or(0, |state| state.given);
        self.least(now).is_none_or(|least| given <= least + LEAD)
    }
}

/// The scheduler shared by all streams of a sender.
#[derive(Clone, Default)]
pub struct Turns {
    table: Arc<Mutex<Table>>,
    changed: Arc<Notify>,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Registers a stream.
    #[must_use]
    pub fn sit(&self) -> Seat {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        table.seats.insert(number, State { given: 0, contends: false, turn: None });
        drop(table);
        Seat { turns: self.clone(), number }
    }
}

/// A registered stream. Dropping it stops the others from waiting for it.
pub struct Seat {
    turns: Turns,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.turns.lock().seats.remove(&self.number);
        self.turns.changed.notify_waiters();
    }
}

/// Permission to send one chunk now. Lasts until it is dropped.
pub struct Turn<'a> {
    seat: &'a Seat,
    bytes: u64,
}

impl Seat {
    /// Waits until this stream may send `bytes` more. Cancelling the wait withdraws the claim.
    pub async fn turn(&self, bytes: u64) -> Turn<'_> {
        let claim = Claim::make(self);
        loop {
            let changed = self.turns.changed.notified();
            if claim.take() {
                std::mem::forget(claim);
                return Turn { seat: self, bytes };
            }
            // The timer detects streams that have become slow since; all other changes are notified.
            drop(tokio::time::timeout(SLOW_AT_LEAST / 4, changed).await);
        }
    }
}

/// A claim for a turn, withdrawn when the wait is cancelled.
struct Claim<'a>(&'a Seat);

impl<'a> Claim<'a> {
    fn make(seat: &'a Seat) -> Self {
        let mut table = seat.turns.lock();
        let least = table.least(Instant::now());
        if let Some(state) = table.seats.get_mut(&seat.number) {
            if !state.contends {
                state.given = state.given.max(least.unwrap_or(0));
            }
            state.contends = true;
        }
        drop(table);
        Self(seat)
    }
    fn take(&self) -> bool {
        let now = Instant::now();
        let mut table = self.0.turns.lock();
        if !table.may(self.0.number, now) {
            return false;
        }
        if let Some(state) = table.seats.get_mut(&self.0.number) {
            state.turn = Some(now);
        }
        true
    }
}
impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0.turns.lock().seats.get_mut(&self.0.number) {
            state.contends = false;
        }
        self.0.turns.changed.notify_waiters();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut table = self.seat.turns.lock();
        if let Some(state) = table.seats.get_mut(&self.seat.number) {
            state.given += self.bytes;
            // The stream stays a contender for a moment: the writer either claims its next turn at once, or reports
            // with `rest` that it has no chunk.
            if let Some(since) = state.turn.take() {
                let took = since.elapsed();
                table.usual = if table.usual.is_zero() { took } else { (table.usual * 7 + took) / 8 };
            }
        }
        drop(table);
        self.seat.turns.changed.notify_waiters();
    }
}

impl Seat {
    /// Reports that this stream has nothing to send at the moment, so that no other stream waits for it.
    pub fn rest(&self) {
        let mut table = self.turns.lock();
        if let Some(state) = table.seats.get_mut(&self.number) {
            state.contends = false;
        }
        drop(table);
        self.turns.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Two streams share equally while both have data, even if one could be five times as fast.
    #[tokio::test]
    async fn a_fast_stream_does_not_run_ahead_of_a_slower_one() {
        let turns = Turns::default();
        let sent: Arc<[AtomicU64; 2]> = Arc::default();
        let send = |which: usize, pause: u64| {
            let (seat, sent) = (turns.sit(), Arc::clone(&sent));
            async move {
                for _ in 0..40 {
                    let turn = seat.turn(LEAD).await;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    sent[which].fetch_add(1, Relaxed);
                    drop(turn);
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
        let turns = Turns::default();
        let (stuck, lively) = (turns.sit(), turns.sit());
        let _never_ends = stuck.turn(1).await;
        for _ in 0..20 {
            drop(lively.turn(LEAD).await);
        }
    }
}
