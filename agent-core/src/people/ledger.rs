//! The usage history of this machine, stored in the database: bytes sent and received per day, and the daily upload
//! quota.
//!
//! **What counts is the traffic on the link** to other machines: content, headers, acknowledgements and
//! retransmissions. A chunk is taken out of the quota before it is sent, at its estimated size on the link. The
//! sockets' counters correct the estimate afterwards. An allowance is reserved for acknowledging what is still to be
//! received, because receiving continues when the quota is used up. Traffic to the server's API does not count.
//!
//! **A crash gives no second quota.** With a quota, every byte is stored as sent before it is sent. The record runs
//! ahead of the real use, and a killed machine loses the difference from its day.

use crate::{
    orders::lock,
    state::{State, StateError},
};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use banyan_schedule::upload_quota::{DailyUsage, QuotaRefusal};
use banyan_wire::{bandwidth_yield::BandwidthYield, packet};
use jiff::tz::TimeZone;
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// The history is stored when this much has moved since the last time (bytes) …
const WRITE_BYTES: u64 = 8 << 20;
/// … or after this time, whichever comes first.
const WRITE_AFTER: Duration = Duration::from_secs(30);
/// Content of a packet, and the overhead around it (Ethernet, IPv4, TCP with timestamps; bytes).
const PACKET: u64 = packet::PAYLOAD;
const HEADERS: u64 = packet::HEADERS;
/// Content of a TLS record, and the overhead around it (bytes).
const RECORD: u64 = packet::TLS_RECORD;
const RECORD_AROUND: u64 = 22;
/// A frame's header, with the chunk's index (bytes).
const FRAME: u64 = 9;
/// Every second packet is acknowledged, with selective acknowledgements for losses and now and then a message (bytes).
const ACKNOWLEDGED: u64 = 2 * PACKET;
const ACKNOWLEDGEMENT: u64 = HEADERS + 8;

/// A chunk taken this long ago and not sent yet never will be: it was queued for a connection that has ended.
const QUIET: Duration = Duration::from_secs(10);

/// A reservation for acknowledgements expires after this time, because the download or the day may have ended.
/// Otherwise a gate that it closed would stay closed, since nothing asks again at a closed gate.
const STALE: Duration = Duration::from_secs(60);

/// The usage history and the upload quota.
pub(crate) struct Shared {
    book: Mutex<Book>,
    /// Serialises writes, so that the last stored value is the one assumed to be stored.
    disk: Mutex<()>,
    giver: OnceLock<Arc<BandwidthYield>>,
}

struct Book {
    ledger: DailyUsage,
    unwritten: u64,
    /// Bytes counted as sent since the start.
    given: u64,
    /// When a chunk was last taken.
    taken: Instant,
    /// When a chunk was last requested, which is also the age of the reservation for acknowledgements.
    asked: Instant,
    written: Instant,
    /// Whether the program is ending, so that nothing more is sent.
    closed: bool,
}

/// Returns the size of this much content on the link (bytes).
fn on_the_link(content: u64) -> u64 {
    let inside = content + FRAME + (content + FRAME).div_ceil(RECORD) * RECORD_AROUND;
    inside + inside.div_ceil(PACKET) * HEADERS
}

/// Returns the size on the link of the acknowledgements for this much content (bytes).
pub(crate) fn acknowledging(content: u64) -> u64 {
    content.div_ceil(ACKNOWLEDGED) * ACKNOWLEDGEMENT
}

impl Shared {
    pub(super) fn open(state: &State) -> Result<Self, StateError> {
        let days: Vec<DayUse> = state.kept("ledger")?.unwrap_or_default();
        let ledger = DailyUsage::restore(&days);
        let book = Book {
            ledger,
            unwritten: 0,
            given: 0,
            taken: Instant::now(),
            asked: Instant::now(),
            written: Instant::now(),
            closed: false,
        };
        Ok(Self { book: Mutex::new(book), disk: Mutex::new(()), giver: OnceLock::new() })
    }
    /// Sets the counter of the traffic on the link.
    pub(crate) fn counted_by(&self, giver: Arc<BandwidthYield>) {
        drop(self.giver.set(giver));
    }
    /// Counts the traffic that exceeded the estimates.
    fn catch_up(&self, book: &mut Book, zone: &TimeZone) {
        let went = self.giver.get().map_or(0, |giver| giver.sent_bytes());
        book.catch_up(zone, went, book.taken.elapsed() >= QUIET);
    }
    /// Returns a copy of the ledger.
    pub(crate) fn ledger(&self, zone: &TimeZone) -> DailyUsage {
        self.ledger_at(zone, Instant::now())
    }
    fn ledger_at(&self, zone: &TimeZone, now: Instant) -> DailyUsage {
        let mut book = lock(&self.book);
        self.catch_up(&mut book, zone);
        if now.saturating_duration_since(book.asked) >= STALE {
            book.ledger.set_aside(0);
        }
        book.ledger.clone()
    }
    /// Counts received content.
    pub(crate) fn received(&self, zone: &TimeZone, bytes: u64) {
        let mut book = lock(&self.book);
        book.ledger.count_download(zone, UnixSeconds::now(), bytes);
        book.unwritten += bytes;
        self.catch_up(&mut book, zone);
    }
    /// Takes a chunk that is about to be sent out of the day's quota; without a quota only counts it. `aside` is what
    /// is still to be received (bytes).
    ///
    /// # Errors
    /// See [`QuotaRefusal`]; nothing has been taken then.
    pub(crate) fn take(
        &self,
        zone: &TimeZone,
        content: u64,
        quota: Option<u64>,
        aside: u64,
    ) -> Result<(), QuotaRefusal> {
        let mut book = lock(&self.book);
        self.catch_up(&mut book, zone);
        if book.closed {
            return Err(QuotaRefusal::Quota);
        }
        book.ledger.set_aside(acknowledging(aside));
        book.asked = Instant::now();
        let bytes = on_the_link(content);
        book.ledger.take(zone, UnixSeconds::now(), bytes, quota)?;
        (book.unwritten, book.given) = (book.unwritten + bytes, book.given + bytes);
        book.taken = Instant::now();
        Ok(())
    }
    /// Stores an allowance ahead of use, synced, so that more chunks can be taken.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn write_ahead(&self, state: &State, zone: &TimeZone) -> Result<(), StateError> {
        let _one = lock(&self.disk);
        let (rows, stored) = {
            let mut book = lock(&self.book);
            (book.unwritten, book.written) = (0, Instant::now());
            book.ledger.write_ahead(zone, UnixSeconds::now(), on_the_link(banyan_proto::limits::CHUNK_BYTES as u64))
        };
        state.keep("ledger", &rows)?;
        lock(&self.book).ledger.confirm_stored(stored);
        Ok(())
    }
    /// Stores the ledger when it is due or, with `now`, when anything is unstored. With a quota, stores more than was
    /// used.
    pub(crate) fn write(&self, state: &State, zone: &TimeZone, quota: bool, now: bool) {
        let due = {
            let book = lock(&self.book);
            let due = now || book.unwritten >= WRITE_BYTES || book.written.elapsed() >= WRITE_AFTER;
            due && book.unwritten > 0
        };
        let kept = match (due, quota) {
            (false, _) => Ok(()),
            (true, true) => self.write_ahead(state, zone),
            (true, false) => self.write_exactly(state),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "failed to store the usage history");
        }
    }
    fn write_exactly(&self, state: &State) -> Result<(), StateError> {
        let _one = lock(&self.disk);
        let days = {
            let mut book = lock(&self.book);
            (book.unwritten, book.written) = (0, Instant::now());
            // If a quota is set later, nothing is stored ahead for it.
            book.ledger.clear_stored();
            book.ledger.days()
        };
        state.keep("ledger", &days)
    }
    /// Stops all sending, because the program ends, and stores the exact use.
    pub(crate) fn close(&self, state: &State) {
        lock(&self.book).closed = true;
        if let Err(error) = self.write_exactly(state) {
            tracing::warn!(%error, "failed to store the usage history");
        }
    }
}

impl Book {
    /// Counts what the link has carried since the start (`went`; 0 when the system does not report it). After a quiet
    /// time, gives back what was counted but never sent.
    fn catch_up(&mut self, zone: &TimeZone, went: u64, quiet: bool) {
        self.take(zone, went.saturating_sub(self.given));
        if quiet && went > 0 && self.given > went {
            let back = self.ledger.give_back(zone, UnixSeconds::now(), self.given - went);
            (self.given, self.unwritten) = (went, self.unwritten + back);
        }
    }
    /// Counts traffic that was not taken beforehand.
    fn take(&mut self, zone: &TimeZone, bytes: u64) {
        if bytes == 0 {
            return;
        }
        // Without a quota nothing is refused.
        let _granted = self.ledger.take(zone, UnixSeconds::now(), bytes, None);
        (self.unwritten, self.given) = (self.unwritten + bytes, self.given + bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const QUOTA: u64 = 8 << 20;
    const CHUNK: u64 = 64 << 10;

    /// Takes chunks until the quota refuses, as the sender does. Returns their size on the link.
    fn take_all(shared: &Shared, state: &State, most: u64, aside: u64) -> u64 {
        let mut taken = 0;
        while taken < most {
            match shared.take(&TimeZone::UTC, CHUNK, Some(QUOTA), aside) {
                Ok(()) => taken += on_the_link(CHUNK),
                Err(QuotaRefusal::WriteFirst) => shared.write_ahead(state, &TimeZone::UTC).unwrap(),
                Err(QuotaRefusal::Quota) => break,
            }
        }
        taken
    }

    #[test]
    fn a_crash_gives_no_second_quota_and_an_orderly_end_loses_nothing() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let before = take_all(&Shared::open(&state).unwrap(), &state, QUOTA / 2, 0);
        // The program was killed: its memory is lost, the stored record is not.
        let shared = Shared::open(&state).unwrap();
        shared.write(&state, &TimeZone::UTC, true, true);
        let after = take_all(&shared, &state, u64::MAX, 0);
        assert!(before + after <= QUOTA, "{before} and {after} of {QUOTA}");
        assert!(before + after > QUOTA - (2 << 20), "a crash costs a little, not the whole day: {before} and {after}");
        shared.close(&state);
        assert_eq!(shared.take(&TimeZone::UTC, 1, None, 0), Err(QuotaRefusal::Quota), "nothing is sent after closing");
    }

    #[test]
    fn writing_now_and_then_never_takes_back_what_was_written_ahead() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let shared = Shared::open(&state).unwrap();
        let first = take_all(&shared, &state, QUOTA / 2, 0);
        shared.write(&state, &TimeZone::UTC, true, true);
        let second = take_all(&shared, &state, 512 << 10, 0);
        let after = take_all(&Shared::open(&state).unwrap(), &state, u64::MAX, 0);
        assert!(first + second + after <= QUOTA, "{first}, {second} and {after} of {QUOTA}");
    }

    #[test]
    fn acknowledging_what_is_still_to_come_is_kept_free() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let aside = 64 << 20;
        let taken = take_all(&Shared::open(&state).unwrap(), &state, u64::MAX, aside);
        assert!(taken + acknowledging(aside) <= QUOTA && taken + acknowledging(aside) > QUOTA - 2 * CHUNK, "{taken}");
    }

    #[test]
    fn what_was_set_aside_does_not_shut_the_gate_for_ever() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let shared = Shared::open(&state).unwrap();
        // Acknowledging this much would use up the quota alone.
        assert_eq!(shared.take(&TimeZone::UTC, CHUNK, Some(QUOTA), 1 << 40), Err(QuotaRefusal::Quota));
        let used = |at| {
            let mut ledger = shared.ledger_at(&TimeZone::UTC, at);
            ledger.take(&TimeZone::UTC, UnixSeconds::now(), CHUNK, Some(QUOTA)).err()
        };
        let now = Instant::now();
        assert_eq!(used(now), Some(QuotaRefusal::Quota));
        assert_eq!(used(now + 2 * STALE), Some(QuotaRefusal::WriteFirst), "the expired reservation frees the quota");
    }

    #[test]
    fn a_crash_gives_no_second_quota_when_what_was_set_aside_has_become_less() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let shared = Shared::open(&state).unwrap();
        let before = take_all(&shared, &state, CHUNK, 200 << 20);
        // The download has ended: its reservation is free.
        let more = take_all(&shared, &state, QUOTA / 2, 0);
        let after = take_all(&Shared::open(&state).unwrap(), &state, u64::MAX, 0);
        assert!(before + more + after <= QUOTA, "{before}, {more} and {after} of {QUOTA}");
    }

    #[test]
    fn the_ledger_is_what_the_link_has_carried() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let shared = Shared::open(&state).unwrap();
        let given = |book: &Book| book.ledger.days().first().map_or(0, |day| day.given);
        let taken = take_all(&shared, &state, 1 << 20, 0);
        let mut book = lock(&shared.book);
        book.catch_up(&TimeZone::UTC, taken / 2, false);
        assert_eq!(given(&book), taken, "the rest is still in transit");
        book.catch_up(&TimeZone::UTC, taken + 5000, false);
        assert_eq!(given(&book), taken + 5000, "acknowledgements count");
        let after = taken + 5000;
        drop(book);
        take_all(&shared, &state, CHUNK, 0);
        let mut book = lock(&shared.book);
        book.catch_up(&TimeZone::UTC, after + 100, true);
        assert_eq!(given(&book), after + 100, "what has not been sent by now never will be");
        book.catch_up(&TimeZone::UTC, 0, true);
        assert_eq!(given(&book), after + 100, "the system reports no count");
    }

    #[test]
    fn a_chunk_on_the_link_is_what_such_links_carry() {
        // Measured: a plain flow puts 1.0456 bytes on the link for each byte of content.
        let ratio = on_the_link(64 << 10) as f64 / f64::from(64 << 10);
        assert!((1.045..1.055).contains(&ratio), "{ratio}");
    }
}
