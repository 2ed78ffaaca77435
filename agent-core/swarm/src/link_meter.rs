//! Measures what a machine's own link carries in one direction, from the chunks that pass (rule P14).
//!
//! The reading is the best average over at least two seconds and at least six chunks: neither a short burst nor one
//! large chunk on a slow link sets it. What the link carried is the least that it can carry. It is also the most, if it
//! carried no more while almost every chunk was followed by another that waited already. Otherwise the other side may
//! have been the limit, as with one machine alone at the other end.

use crate::io::Now;
use banyan_proto::{LinkRates, MachineId, MeasuredRate};
use std::{collections::VecDeque, time::Duration};

/// The shortest time that makes an average.
const MIN_TIME: Duration = Duration::from_secs(2);
/// The fewest chunks that make an average.
const MIN_CHUNKS: u32 = 6;
/// Chunks that pass within this time are counted together, so that a fast link needs only a short history.
const INTERVAL: Duration = Duration::from_millis(50);
/// After a pause of this length, averages begin anew.
const PAUSE: Duration = Duration::from_secs(30);
/// The link is the limit if this share of the bytes was followed by more that waited already.
const WAITING_SHARE: f64 = 0.9;
/// Averages that differ by less are the same rate.
const SAME_RATE: f64 = 0.9;

/// Which way chunks pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Chunks that this machine receives.
    Down,
    /// Chunks that this machine sends.
    Up,
}

/// A chunk that has passed.
#[derive(Debug, Clone, Copy)]
pub struct PassedChunk {
    /// When it had passed.
    pub at: Now,
    /// The machine at the other end.
    pub peer: MachineId,
    /// Its size.
    pub bytes: u64,
    /// Whether the sender already had the next one, and nothing but the two links kept it from passing.
    pub is_next_waiting: bool,
}

/// What a machine's link carries in both directions, as far as transfers have shown.
#[derive(Debug, Default)]
pub struct LinkMeter {
    down: Meter,
    up: Meter,
}

impl LinkMeter {
    /// Records a chunk.
    pub fn record(&mut self, direction: Direction, chunk: PassedChunk) {
        match direction {
            Direction::Down => self.down.record(chunk, direction),
            Direction::Up => self.up.record(chunk, direction),
        }
    }
    /// Returns the best readings since the last call. The limits are those that the owner has set for received and sent
    /// bytes: they are part of what the machine can do.
    pub fn take_rates(&mut self, down_limit: Option<u64>, up_limit: Option<u64>) -> LinkRates {
        LinkRates { down: self.down.take_reading(down_limit), up: self.up.take_reading(up_limit) }
    }
}

/// The chunks that passed within one interval.
#[derive(Debug, Clone, Copy)]
struct Entry {
    first: Now,
    last: Now,
    amount: Amount,
}

#[derive(Debug, Clone, Copy)]
struct Amount {
    chunks: u32,
    bytes: u64,
    /// The bytes that were followed by more that waited already.
    waiting: u64,
    /// The other end of one of the chunks.
    peer: MachineId,
    has_several_peers: bool,
}

impl Amount {
    fn add(&mut self, other: &Self) {
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.has_several_peers |= other.has_several_peers || self.peer != other.peer;
    }
}

/// An average over the chunks up to now.
#[derive(Debug, Clone, Copy)]
struct Average {
    /// Bytes a second.
    rate: f64,
    is_always_waiting: bool,
    has_several_peers: bool,
    /// The entry after which it begins.
    start: usize,
}

#[derive(Debug, Default)]
struct Meter {
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// The best average (bytes a second).
    best: f64,
    /// The best average while there was always more to carry.
    best_at_limit: f64,
    /// The other end of the first chunk.
    first_peer: Option<MachineId>,
    has_several_peers: bool,
}

impl Meter {
    fn take_reading(&mut self, own_limit: Option<u64>) -> Option<MeasuredRate> {
        let (best, at_limit) = (std::mem::take(&mut self.best), std::mem::take(&mut self.best_at_limit));
        (self.first_peer, self.has_several_peers) = (None, false);
        let own_limit = own_limit.filter(|limit| *limit > 0);
        let at_least = (best as u64).min(own_limit.unwrap_or(u64::MAX));
        let is_limit = at_limit >= best * SAME_RATE;
        let at_most = is_limit.then_some(at_least).into_iter().chain(own_limit).min();
        (best > 0.0).then_some(MeasuredRate { at_least, at_most, is_rough: false })
    }
    fn record(&mut self, chunk: PassedChunk, direction: Direction) {
        let PassedChunk { at, peer, bytes, is_next_waiting } = chunk;
        let waiting = if is_next_waiting { bytes } else { 0 };
        if *self.first_peer.get_or_insert(peer) != peer && !std::mem::replace(&mut self.has_several_peers, true) {
            self.best_at_limit = 0.0;
        }
        let amount = Amount { chunks: 1, bytes, waiting, peer, has_several_peers: false };
        if self.entries.back().is_some_and(|entry| at.saturating_sub(entry.last) > PAUSE) {
            self.entries.clear();
        }
        match self.entries.back_mut() {
            Some(entry) if at.saturating_sub(entry.first) < INTERVAL => {
                entry.last = at;
                entry.amount.add(&amount);
            }
            _ => self.entries.push_back(Entry { first: at, last: at, amount }),
        }
        let Some(average) = self.latest() else { return };
        // Later averages begin no earlier.
        self.entries.drain(..average.start);
        self.best = self.best.max(average.rate);
        if average.is_always_waiting && self.is_comparison(direction, &average) {
            self.best_at_limit = self.best_at_limit.max(average.rate);
        }
    }
    /// Returns whether the average can show that this machine's own link is the limit. With one machine at the other end,
    /// that one can be the limit. A machine that never received from two cannot do better.
    fn is_comparison(&self, direction: Direction, average: &Average) -> bool {
        average.has_several_peers || (direction == Direction::Down && !self.has_several_peers)
    }
    /// Returns the average up to now.
    fn latest(&self) -> Option<Average> {
        let now = self.entries.back()?.last;
        let mut sum: Option<Amount> = None;
        for (start, entry) in self.entries.iter().enumerate().rev() {
            let passed = now.saturating_sub(entry.last);
            if let Some(sum) = sum.filter(|sum| passed >= MIN_TIME && sum.chunks >= MIN_CHUNKS) {
                return Some(Average {
                    rate: sum.bytes as f64 / passed.as_secs_f64(),
                    is_always_waiting: sum.waiting as f64 >= sum.bytes as f64 * WAITING_SHARE,
                    has_several_peers: sum.has_several_peers,
                    start,
                });
            }
            match &mut sum {
                Some(sum) => sum.add(&entry.amount),
                None => sum = Some(entry.amount),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 64 << 10;

    fn id(n: u8) -> MachineId {
        MachineId([n; 16])
    }
    /// Passes this many chunks at this rate (chunks a second), to or from two machines in turn.
    fn pass(meter: &mut LinkMeter, direction: Direction, from: f64, chunks: u32, rate: f64, is_next_waiting: bool) {
        for n in 0..chunks {
            let at = Duration::from_secs_f64(from + f64::from(n) / rate);
            let peer = id(1 + (n % 2) as u8);
            meter.record(direction, PassedChunk { at, peer, bytes: CHUNK, is_next_waiting });
        }
    }
    fn rate(chunks: f64) -> u64 {
        (chunks * CHUNK as f64) as u64
    }
    fn is_about(measured: u64, chunks: f64) -> bool {
        measured.abs_diff(rate(chunks)) * 50 <= rate(chunks)
    }

    #[test]
    fn the_busiest_time_counts_and_a_burst_does_not() {
        let mut meter = LinkMeter::default();
        pass(&mut meter, Direction::Down, 0.0, 40, 10.0, false);
        pass(&mut meter, Direction::Down, 4.0, 5, 1000.0, false);
        pass(&mut meter, Direction::Down, 5.0, 120, 40.0, false);
        pass(&mut meter, Direction::Down, 8.0, 40, 10.0, false);
        let down = meter.take_rates(None, None).down.unwrap();
        assert!(is_about(down.at_least, 40.0), "{down:?}");
        assert_eq!(down.at_most, None, "the sender had nothing more");
        assert!(meter.take_rates(None, None).is_empty(), "a reading counts once");
    }

    #[test]
    fn a_link_that_always_has_more_to_carry_is_at_its_limit() {
        let mut meter = LinkMeter::default();
        pass(&mut meter, Direction::Down, 0.0, 30, 4.0, true);
        pass(&mut meter, Direction::Up, 0.0, 30, 4.0, true);
        let LinkRates { down, up } = meter.take_rates(None, None);
        let (down, up) = (down.unwrap(), up.unwrap());
        assert!(is_about(down.at_least, 4.0) && down.at_most == Some(down.at_least), "{down:?}");
        assert_eq!(up, down);
    }

    #[test]
    fn sending_to_one_machine_alone_shows_no_limit() {
        let mut meter = LinkMeter::default();
        for n in 0..100 {
            let at = Duration::from_millis(100 * n);
            meter.record(Direction::Up, PassedChunk { at, peer: id(1), bytes: CHUNK, is_next_waiting: true });
        }
        assert_eq!(meter.take_rates(None, None).up.unwrap().at_most, None);
    }

    #[test]
    fn one_of_two_senders_alone_shows_no_limit() {
        let mut meter = LinkMeter::default();
        pass(&mut meter, Direction::Down, 0.0, 60, 10.0, false);
        for n in 0..100 {
            let at = Duration::from_millis(10_000 + 100 * n);
            meter.record(Direction::Down, PassedChunk { at, peer: id(1), bytes: CHUNK, is_next_waiting: true });
        }
        assert_eq!(meter.take_rates(None, None).down.unwrap().at_most, None);
    }

    #[test]
    fn the_owners_limit_is_part_of_the_capacity() {
        let mut meter = LinkMeter::default();
        pass(&mut meter, Direction::Up, 0.0, 100, 20.0, false);
        let up = meter.take_rates(None, Some(rate(30.0))).up.unwrap();
        assert!(is_about(up.at_least, 20.0) && up.at_most == Some(rate(30.0)), "{up:?}");
        pass(&mut meter, Direction::Up, 100.0, 100, 20.0, false);
        let up = meter.take_rates(None, Some(rate(5.0))).up.unwrap();
        assert_eq!(up, MeasuredRate { at_least: rate(5.0), at_most: Some(rate(5.0)), is_rough: false });
    }

    #[test]
    fn too_little_shows_nothing_and_the_history_is_short() {
        let mut meter = LinkMeter::default();
        pass(&mut meter, Direction::Down, 0.0, 1000, 1000.0, true);
        pass(&mut meter, Direction::Down, 100.0, 5, 1.0, true);
        assert!(meter.take_rates(None, None).is_empty());
        pass(&mut meter, Direction::Down, 200.0, 100_000, 10_000.0, true);
        assert!(meter.down.entries.len() < 64, "{}", meter.down.entries.len());
    }
}
