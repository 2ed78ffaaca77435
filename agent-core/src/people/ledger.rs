//! The ledger of this machine, kept in the database: what was passed on and received, by day; and the daily quota of the former.
//!
//! **What counts is what the link carries** to other machines: content, headers, acknowledgements, what was sent again. A chunk is
//! taken out of the quota before it is sent, by what it will be on the link. The rest is what the sockets tell afterwards, and for
//! acknowledgements of what is still to come something is set aside: receiving goes on when the quota is used up. What the agent says to
//! the server is not in it.
//!
//! **A crash gives no second quota.** While there is one, nothing is sent that is not on the disk as sent: it is written
//! down ahead, and a machine that is killed has lost that much of its day.

use crate::{
    orders::lock,
    state::{State, StateError},
};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use banyan_schedule::ledger::{Ledger, Refusal};
use banyan_wire::give_way::Giver;
use jiff::tz::TimeZone;
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// Written down when so much has moved since (bytes) …
const WRITE_BYTES: u64 = 8 << 20;
/// … or after so long, whichever is first.
const WRITE_AFTER: Duration = Duration::from_secs(30);
/// What a packet holds of content, and what is around it (Ethernet, IPv4, TCP with timestamps; bytes).
const PACKET: u64 = 1448;
const HEADERS: u64 = 66;
/// What a TLS record holds, and what is around it (bytes).
const RECORD: u64 = 16 << 10;
const RECORD_AROUND: u64 = 22;
/// A frame's header, with the chunk's index (bytes).
const FRAME: u64 = 9;
/// Every second packet is acknowledged, with what is lost told besides, and with messages now and then (bytes).
const ACKNOWLEDGED: u64 = 2 * PACKET;
const ACKNOWLEDGEMENT: u64 = HEADERS + 8;

/// What was taken and has not left after so long never will: it stood before a connection that has ended.
const QUIET: Duration = Duration::from_secs(10);

/// What was set aside so long ago says nothing about now: the download may have ended, or the day. Else a gate that it shut would
/// stay shut, since nobody asks at a shut gate.
const STALE: Duration = Duration::from_secs(60);

/// What was given and got.
pub(crate) struct Shared {
    book: Mutex<Book>,
    /// One writes at a time: what was written last must be what is believed to be written.
    disk: Mutex<()>,
    giver: OnceLock<Arc<Giver>>,
}

struct Book {
    ledger: Ledger,
    unwritten: u64,
    /// Booked since the start.
    given: u64,
    /// When a chunk was last taken.
    taken: Instant,
    /// When one was last asked for: what is set aside is as old.
    asked: Instant,
    written: Instant,
    /// The program ends: nothing is sent any more.
    closed: bool,
}

/// What so much content is on the link (bytes).
fn on_the_link(content: u64) -> u64 {
    let inside = content + FRAME + (content + FRAME).div_ceil(RECORD) * RECORD_AROUND;
    inside + inside.div_ceil(PACKET) * HEADERS
}

/// What acknowledging so much content is on the link (bytes).
pub(crate) fn acknowledging(content: u64) -> u64 {
    content.div_ceil(ACKNOWLEDGED) * ACKNOWLEDGEMENT
}

impl Shared {
    pub(super) fn open(state: &State) -> Result<Self, StateError> {
        let days: Vec<DayUse> = state.kept("ledger")?.unwrap_or_default();
        let ledger = Ledger::restore(&days);
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
    /// Who counts what the link carries.
    pub(crate) fn counted_by(&self, giver: Arc<Giver>) {
        drop(self.giver.set(giver));
    }
    /// Books what the link has carried beyond what was foreseen.
    fn catch_up(&self, book: &mut Book, zone: &TimeZone) {
        let went = self.giver.get().map_or(0, |giver| giver.went());
        book.catch_up(zone, went, book.taken.elapsed() >= QUIET);
    }
    /// The ledger as it is.
    pub(crate) fn ledger(&self, zone: &TimeZone) -> Ledger {
        self.ledger_at(zone, Instant::now())
    }
    fn ledger_at(&self, zone: &TimeZone, now: Instant) -> Ledger {
        let mut book = lock(&self.book);
        self.catch_up(&mut book, zone);
        if now.saturating_duration_since(book.asked) >= STALE {
            book.ledger.set_aside(0);
        }
        book.ledger.clone()
    }
    /// Content came in.
    pub(crate) fn received(&self, zone: &TimeZone, bytes: u64) {
        let mut book = lock(&self.book);
        book.ledger.received(zone, UnixSeconds::now(), bytes);
        book.unwritten += bytes;
        self.catch_up(&mut book, zone);
    }
    /// Takes a chunk that is about to be sent out of the day's quota; without one it only counts. `aside` is what is still to be
    /// received.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing has been taken then.
    pub(crate) fn take(&self, zone: &TimeZone, content: u64, quota: Option<u64>, aside: u64) -> Result<(), Refusal> {
        let mut book = lock(&self.book);
        self.catch_up(&mut book, zone);
        if book.closed {
            return Err(Refusal::Quota);
        }
        book.ledger.set_aside(acknowledging(aside));
        book.asked = Instant::now();
        let bytes = on_the_link(content);
        let reserved = book.ledger.reserve(zone, UnixSeconds::now(), bytes, quota)?;
        book.ledger.settle(reserved, bytes);
        (book.unwritten, book.given) = (book.unwritten + bytes, book.given + bytes);
        book.taken = Instant::now();
        Ok(())
    }
    /// Writes down ahead, synced, so that more can be taken.
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
        lock(&self.book).ledger.stored(stored);
        Ok(())
    }
    /// Writes it down when it is time, or, with `now`, when anything is unwritten. With a quota more than was used is written.
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
            tracing::warn!(%error, "the ledger could not be written down");
        }
    }
    fn write_exactly(&self, state: &State) -> Result<(), StateError> {
        let _one = lock(&self.disk);
        let days = {
            let mut book = lock(&self.book);
            (book.unwritten, book.written) = (0, Instant::now());
            // With a quota from now on, nothing is on the disk ahead.
            book.ledger.nothing_stored();
            book.ledger.days()
        };
        state.keep("ledger", &days)
    }
    /// The program ends: nothing is sent any more, and what was is written down as it is.
    pub(crate) fn close(&self, state: &State) {
        lock(&self.book).closed = true;
        if let Err(error) = self.write_exactly(state) {
            tracing::warn!(%error, "the ledger could not be written down");
        }
    }
}

impl Book {
    /// What the link has carried since the start is booked; when it has been quiet, no more than that. Nothing: the system
    /// does not tell.
    fn catch_up(&mut self, zone: &TimeZone, went: u64, quiet: bool) {
        self.take(zone, went.saturating_sub(self.given));
        if quiet && went > 0 && self.given > went {
            let back = self.ledger.give_back(zone, UnixSeconds::now(), self.given - went);
            (self.given, self.unwritten) = (went, self.unwritten + back);
        }
    }
    /// Books what has left without having been taken before.
    fn take(&mut self, zone: &TimeZone, bytes: u64) {
        if bytes == 0 {
            return;
        }
        // Without a quota nothing is refused.
        if let Ok(reserved) = self.ledger.reserve(zone, UnixSeconds::now(), bytes, None) {
            self.ledger.settle(reserved, bytes);
        }
        (self.unwritten, self.given) = (self.unwritten + bytes, self.given + bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const QUOTA: u64 = 8 << 20;
    const CHUNK: u64 = 64 << 10;

    /// Takes chunks until nothing more is given, as the sender does; gives what that is on the link.
    fn take_all(shared: &Shared, state: &State, most: u64, aside: u64) -> u64 {
        let mut taken = 0;
        while taken < most {
            match shared.take(&TimeZone::UTC, CHUNK, Some(QUOTA), aside) {
                Ok(()) => taken += on_the_link(CHUNK),
                Err(Refusal::WriteFirst) => shared.write_ahead(state, &TimeZone::UTC).unwrap(),
                Err(Refusal::Quota) => break,
            }
        }
        taken
    }

    #[test]
    fn a_crash_gives_no_second_quota_and_an_orderly_end_loses_nothing() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let before = take_all(&Shared::open(&state).unwrap(), &state, QUOTA / 2, 0);
        // The program was killed: what it knew is gone, what is on the disk is not.
        let shared = Shared::open(&state).unwrap();
        shared.write(&state, &TimeZone::UTC, true, true);
        let after = take_all(&shared, &state, u64::MAX, 0);
        assert!(before + after <= QUOTA, "{before} and {after} of {QUOTA}");
        assert!(before + after > QUOTA - (2 << 20), "a crash costs a little, not the day: {before} and {after}");
        shared.close(&state);
        assert_eq!(shared.take(&TimeZone::UTC, 1, None, 0), Err(Refusal::Quota), "nothing is sent after the end");
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
        // Acknowledging so much would use up the quota by itself.
        assert_eq!(shared.take(&TimeZone::UTC, CHUNK, Some(QUOTA), 1 << 40), Err(Refusal::Quota));
        let used = |at| {
            let mut ledger = shared.ledger_at(&TimeZone::UTC, at);
            ledger.reserve(&TimeZone::UTC, UnixSeconds::now(), CHUNK, Some(QUOTA)).err()
        };
        let now = Instant::now();
        assert_eq!(used(now), Some(Refusal::Quota));
        assert_eq!(used(now + 2 * STALE), Some(Refusal::WriteFirst), "there is room again");
    }

    #[test]
    fn a_crash_gives_no_second_quota_when_what_was_set_aside_has_become_less() {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("redb")).unwrap();
        let shared = Shared::open(&state).unwrap();
        let before = take_all(&shared, &state, CHUNK, 200 << 20);
        // The download has ended: what was set aside for it is free.
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
        assert_eq!(given(&book), taken, "the rest is on its way");
        book.catch_up(&TimeZone::UTC, taken + 5000, false);
        assert_eq!(given(&book), taken + 5000, "acknowledgements count");
        let after = taken + 5000;
        drop(book);
        take_all(&shared, &state, CHUNK, 0);
        let mut book = lock(&shared.book);
        book.catch_up(&TimeZone::UTC, after + 100, true);
        assert_eq!(given(&book), after + 100, "what has not left by now never will");
        book.catch_up(&TimeZone::UTC, 0, true);
        assert_eq!(given(&book), after + 100, "a system that does not tell");
    }

    #[test]
    fn a_chunk_on_the_link_is_what_such_links_carry() {
        // Measured: 1.0456 bytes on the link for each byte of a plain flow.
        let ratio = on_the_link(64 << 10) as f64 / f64::from(64 << 10);
        assert!((1.045..1.055).contains(&ratio), "{ratio}");
    }
}
