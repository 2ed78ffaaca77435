//! Fair sending: who may send the next chunk (rule C8). One of these serves all children and both stripes of a sender.
//!
//! Left to itself TCP gives parallel streams unequal shares, and the tree is as slow as its slowest branch. So nobody
//! may run ahead: a seat gets a turn only while it is at most [`LEAD`] bytes ahead of the seat that has been given
//! least. A seat that is slow by its own fault (its turn takes much longer than turns usually do) is not waited for,
//! so the link never idles for its sake. A seat that comes back, or comes late, starts at the others' count.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How far (bytes) a seat may be ahead of the one that was given least.
const LEAD: u64 = 256 << 10;
/// A turn that lasts longer than this many usual turns is the receiver's fault.
const SLOW_TURNS: u32 = 4;
/// … but never shorter than this.
const SLOW_AT_LEAST: Duration = Duration::from_millis(60);

#[derive(Default)]
struct Table {
    seats: HashMap<u64, State>,
    next: u64,
    usual: Duration,
}

struct State {
    given: u64,
    /// Wants a turn, or has one.
    contends: bool,
    /// Has a turn since then.
    turn: Option<Instant>,
}

impl Table {
    /// What the least advanced seat that must be waited for was given.
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

/// The table at which all children of a sender sit.
#[derive(Clone, Default)]
pub struct Turns {
    table: Arc<Mutex<Table>>,
    changed: Arc<Notify>,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// A seat for one stream.
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

/// One stream's place. Leaving it (drop) frees the others from waiting.
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

/// Leave to send one chunk now. Lasts until it is dropped.
pub struct Turn<'a> {
    seat: &'a Seat,
    bytes: u64,
}

impl Seat {
    /// Waits until this stream may send `bytes` more. Cancelling the wait gives up the claim.
    pub async fn turn(&self, bytes: u64) -> Turn<'_> {
        let claim = Claim::make(self);
        loop {
            let changed = self.turns.changed.notified();
            if claim.take() {
                std::mem::forget(claim);
                return Turn { seat: self, bytes };
            }
            // The timer notices seats that have become slow since; everything else is notified.
            drop(tokio::time::timeout(SLOW_AT_LEAST / 4, changed).await);
        }
    }
}

/// A wish for a turn, withdrawn when the wait is cancelled.
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
            // Stays a contender for an instant longer: the writer claims its next turn at once when it has a chunk,
            // and says that it has none (`rest`) otherwise.
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
    /// This stream has nothing to send for the moment: nobody waits for it.
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

    /// Two streams of which one could go five times as fast share alike as long as both are wanted.
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
