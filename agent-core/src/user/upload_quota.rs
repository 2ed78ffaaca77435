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
    database::{Database, DatabaseError},
    pipeline::active_orders::lock,
};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use banyan_schedule::ledger::{Ledger, Refusal};
use banyan_wire::give_way::Giver;
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
const PACKET: u64 = 1448;
const HEADERS: u64 = 66;
/// Content of a TLS record, and the overhead around it (bytes).
const RECORD: u64 = 16 << 10;
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
pub(crate) struct UploadQuota {
    state: Mutex<QuotaState>,
    /// Serialises writes, so that the last stored value is the one assumed to be stored.
    disk: Mutex<()>,
    giver: OnceLock<Arc<Giver>>,
}

struct QuotaState {
    ledger: Ledger,
    unstored: u64,
    /// Bytes counted as sent since the start.
    sent: u64,
    /// When a chunk was last taken.
    last_taken: Instant,
    /// When a chunk was last requested, which is also the age of the reservation for acknowledgements.
    last_request: Instant,
    last_stored: Instant,
    /// Whether the program is ending, so that nothing more is sent.
    closed: bool,
}

/// Returns the size of this much content on the link (bytes).
fn link_bytes(content: u64) -> u64 {
    let inside = content + FRAME + (content + FRAME).div_ceil(RECORD) * RECORD_AROUND;
    inside + inside.div_ceil(PACKET) * HEADERS
}

/// Returns the size on the link of the acknowledgements for this much content (bytes).
pub(crate) fn acknowledgement_bytes(content: u64) -> u64 {
    content.div_ceil(ACKNOWLEDGED) * ACKNOWLEDGEMENT
}

impl UploadQuota {
    pub(super) fn open(database: &Database) -> Result<Self, DatabaseError> {
        let days: Vec<DayUse> = database.load("ledger")?.unwrap_or_default();
        let ledger = Ledger::restore(&days);
        let state = QuotaState {
            ledger,
            unstored: 0,
            sent: 0,
            last_taken: Instant::now(),
            last_request: Instant::now(),
            last_stored: Instant::now(),
            closed: false,
        };
        Ok(Self { state: Mutex::new(state), disk: Mutex::new(()), giver: OnceLock::new() })
    }
    /// Sets the counter of the traffic on the link.
    pub(crate) fn counted_by(&self, giver: Arc<Giver>) {
        drop(self.giver.set(giver));
    }
    /// Counts the traffic that exceeded the estimates.
    fn catch_up(&self, state: &mut QuotaState, zone: &TimeZone) {
        let link_total = self.giver.get().map_or(0, |giver| giver.went());
        state.catch_up(zone, link_total, state.last_taken.elapsed() >= QUIET);
    }
    /// Returns a copy of the ledger.
    pub(crate) fn ledger(&self, zone: &TimeZone) -> Ledger {
        self.ledger_at(zone, Instant::now())
    }
    fn ledger_at(&self, zone: &TimeZone, now: Instant) -> Ledger {
        let mut state = lock(&self.state);
        self.catch_up(&mut state, zone);
        if now.saturating_duration_since(state.last_request) >= STALE {
            state.ledger.set_aside(0);
        }
        state.ledger.clone()
    }
    /// Counts received content.
    pub(crate) fn received(&self, zone: &TimeZone, bytes: u64) {
        let mut state = lock(&self.state);
        state.ledger.received(zone, UnixSeconds::now(), bytes);
        state.unstored += bytes;
        self.catch_up(&mut state, zone);
    }
    /// Takes a chunk that is about to be sent out of the day's quota; without a quota only counts it. `aside` is what
    /// is still to be received (bytes).
    ///
    /// # Errors
    /// See [`Refusal`]; nothing has been taken then.
    pub(crate) fn take(&self, zone: &TimeZone, content: u64, quota: Option<u64>, aside: u64) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        self.catch_up(&mut state, zone);
        if state.closed {
            return Err(Refusal::Quota);
        }
        state.ledger.set_aside(acknowledgement_bytes(aside));
        state.last_request = Instant::now();
        let bytes = link_bytes(content);
        let reserved = state.ledger.reserve(zone, UnixSeconds::now(), bytes, quota)?;
        state.ledger.settle(reserved, bytes);
        (state.unstored, state.sent) = (state.unstored + bytes, state.sent + bytes);
        state.last_taken = Instant::now();
        Ok(())
    }
    /// Stores an allowance ahead of use, synced, so that more chunks can be taken.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn write_ahead(&self, database: &Database, zone: &TimeZone) -> Result<(), DatabaseError> {
        let _one = lock(&self.disk);
        let (rows, stored) = {
            let mut state = lock(&self.state);
            (state.unstored, state.last_stored) = (0, Instant::now());
            state.ledger.write_ahead(zone, UnixSeconds::now(), link_bytes(banyan_proto::limits::CHUNK_BYTES as u64))
        };
        database.store("ledger", &rows)?;
        lock(&self.state).ledger.stored(stored);
        Ok(())
    }
    /// Stores the ledger when it is due or, with `now`, when anything is unstored. With a quota, stores more than was
    /// used.
    pub(crate) fn write(&self, database: &Database, zone: &TimeZone, quota: bool, now: bool) {
        let due = {
            let state = lock(&self.state);
            let due = now || state.unstored >= WRITE_BYTES || state.last_stored.elapsed() >= WRITE_AFTER;
            due && state.unstored > 0
        };
        let kept = match (due, quota) {
            (false, _) => Ok(()),
            (true, true) => self.write_ahead(database, zone),
            (true, false) => self.write_exactly(database),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "failed to store the usage history");
        }
    }
    fn write_exactly(&self, database: &Database) -> Result<(), DatabaseError> {
        let _one = lock(&self.disk);
        let days = {
            let mut state = lock(&self.state);
            (state.unstored, state.last_stored) = (0, Instant::now());
            // If a quota is set later, nothing is stored ahead for it.
            state.ledger.nothing_stored();
            state.ledger.days()
        };
        database.store("ledger", &days)
    }
    /// Stops all sending, because the program ends, and stores the exact use.
    pub(crate) fn close(&self, database: &Database) {
        lock(&self.state).closed = true;
        if let Err(error) = self.write_exactly(database) {
            tracing::warn!(%error, "failed to store the usage history");
        }
    }
}

impl QuotaState {
    /// Counts what the link has carried since the start (`link_total`; 0 when the system does not report it). After a quiet
    /// time, gives back what was counted but never sent.
    fn catch_up(&mut self, zone: &TimeZone, link_total: u64, quiet: bool) {
        self.take(zone, link_total.saturating_sub(self.sent));
        if quiet && link_total > 0 && self.sent > link_total {
            let back = self.ledger.give_back(zone, UnixSeconds::now(), self.sent - link_total);
            (self.sent, self.unstored) = (link_total, self.unstored + back);
        }
    }
    /// Counts traffic that was not taken beforehand.
    fn take(&mut self, zone: &TimeZone, bytes: u64) {
        if bytes == 0 {
            return;
        }
        // Without a quota nothing is refused.
        if let Ok(reserved) = self.ledger.reserve(zone, UnixSeconds::now(), bytes, None) {
            self.ledger.settle(reserved, bytes);
        }
        (self.unstored, self.sent) = (self.unstored + bytes, self.sent + bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const QUOTA: u64 = 8 << 20;
    const CHUNK: u64 = 64 << 10;

    /// Takes chunks until the quota refuses, as the sender does. Returns their size on the link.
    fn take_all(quota: &UploadQuota, database: &Database, most: u64, aside: u64) -> u64 {
        let mut taken = 0;
        while taken < most {
            match quota.take(&TimeZone::UTC, CHUNK, Some(QUOTA), aside) {
                Ok(()) => taken += link_bytes(CHUNK),
                Err(Refusal::WriteFirst) => quota.write_ahead(database, &TimeZone::UTC).unwrap(),
                Err(Refusal::Quota) => break,
            }
        }
        taken
    }

    #[test]
    fn a_crash_gives_no_second_quota_and_an_orderly_end_loses_nothing() {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("redb")).unwrap();
        let before = take_all(&UploadQuota::open(&database).unwrap(), &database, QUOTA / 2, 0);
        // The program was killed: its memory is lost, the stored record is not.
        let quota = UploadQuota::open(&database).unwrap();
        quota.write(&database, &TimeZone::UTC, true, true);
        let after = take_all(&quota, &database, u64::MAX, 0);
        assert!(before + after <= QUOTA, "{before} and {after} of {QUOTA}");
        assert!(before + after > QUOTA - (2 << 20), "a crash costs a little, not the whole day: {before} and {after}");
        quota.close(&database);
        assert_eq!(quota.take(&TimeZone::UTC, 1, None, 0), Err(Refusal::Quota), "nothing is sent after closing");
    }

    #[test]
    fn writing_now_and_then_never_takes_back_what_was_written_ahead() {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("redb")).unwrap();
        let quota = UploadQuota::open(&database).unwrap();
        let first = take_all(&quota, &database, QUOTA / 2, 0);
        quota.write(&database, &TimeZone::UTC, true, true);
        let second = take_all(&quota, &database, 512 << 10, 0);
        let after = take_all(&UploadQuota::open(&database).unwrap(), &database, u64::MAX, 0);
        assert!(first + second + after <= QUOTA, "{first}, {second} and {after} of {QUOTA}");
    }

    #[test]
    fn acknowledging_what_is_still_to_come_is_kept_free() {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("redb")).unwrap();
        let aside = 64 << 20;
        let taken = take_all(&UploadQuota::open(&database).unwrap(), &database, u64::MAX, aside);
        assert!(
            taken + acknowledgement_bytes(aside) <= QUOTA && taken + acknowledgement_bytes(aside) > QUOTA - 2 * CHUNK,
            "{taken}"
        );
    }

    #[test]
    fn what_was_set_aside_does_not_shut_the_gate_for_ever() {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("redb")).unwrap();
        let quota = UploadQuota::open(&database).unwrap();
        // Acknowledging this much would use up the quota alone.
        assert_eq!(quota.take(&TimeZone::UTC, CHUNK, Some(QUOTA), 1 << 40), Err(Refusal::Quota));
        let used = |at| {
            let mut ledger = quota.ledger_at(&TimeZone::UTC, at);
            ledger.reserve(&TimeZone::UTC, UnixSeconds::now(), CHUNK, Some(QUOTA)).err()
        };
        let now = Instant::now();
        assert_eq!(used(now), Some(Refusal::Quota));
        assert_eq!(used(now + 2 * STALE), Some(Refusal::WriteFirst), "the expired reservation frees the quota");
    }

    #[test]
    fn a_crash_gives_no_second_quota_when_what_was_set_aside_has_become_less() {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("redb")).unwrap();
        let quota = UploadQuota::open(&database).unwrap();
        let before = take_all(&quota, &database, CHUNK, 200 << 20);
        // The download has ended: its reservation is free.
        let more = take_all(&quota, &database, QUOTA / 2, 0);
        let after = take_all(&UploadQuota::open(&database).unwrap(), &database, u64::MAX, 0);
        assert!(before + more + after <= QUOTA, "{before}, {more} and {after} of {QUOTA}");
    }

    #[test]
    fn the_ledger_is_what_the_link_has_carried() {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("redb")).unwrap();
        let quota = UploadQuota::open(&database).unwrap();
        let sent = |state: &QuotaState| state.ledger.days().first().map_or(0, |day| day.given);
        let taken = take_all(&quota, &database, 1 << 20, 0);
        let mut state = lock(&quota.state);
        state.catch_up(&TimeZone::UTC, taken / 2, false);
        assert_eq!(sent(&state), taken, "the rest is still in transit");
        state.catch_up(&TimeZone::UTC, taken + 5000, false);
        assert_eq!(sent(&state), taken + 5000, "acknowledgements count");
        let after = taken + 5000;
        drop(state);
        take_all(&quota, &database, CHUNK, 0);
        let mut state = lock(&quota.state);
        state.catch_up(&TimeZone::UTC, after + 100, true);
        assert_eq!(sent(&state), after + 100, "what has not been sent by now never will be");
        state.catch_up(&TimeZone::UTC, 0, true);
        assert_eq!(sent(&state), after + 100, "the system reports no count");
    }

    #[test]
    fn a_chunk_on_the_link_is_what_such_links_carry() {
        // Measured: a plain flow puts 1.0456 bytes on the link for each byte of content.
        let ratio = link_bytes(64 << 10) as f64 / f64::from(64 << 10);
        assert!((1.045..1.055).contains(&ratio), "{ratio}");
    }
}
