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
    local_zone::LocalZone,
};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use banyan_schedule::upload_quota::{DailyUsage, QuotaRefusal};
use banyan_wire::{bandwidth_yield::BandwidthYield, lock::lock, packet};
use jiff::tz::TimeZone;
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// The history is stored when this much has moved since the last time (bytes) …
const STORE_AFTER_BYTES: u64 = 8 << 20;
/// … or after this time, whichever comes first.
const STORE_AFTER: Duration = Duration::from_secs(30);
/// Content of a packet, and the overhead around it (Ethernet, IPv4, TCP with timestamps; bytes).
const PACKET_CONTENT: u64 = packet::PAYLOAD;
const PACKET_OVERHEAD: u64 = packet::HEADERS;
/// Content of a TLS record, and the overhead around it (bytes).
const RECORD_CONTENT: u64 = packet::TLS_RECORD;
const RECORD_OVERHEAD: u64 = 22;
/// A frame's header, with the chunk's index (bytes).
const FRAME_HEADER: u64 = 9;
/// Every second packet is acknowledged, with selective acknowledgements for losses and now and then a message (bytes).
const ACKNOWLEDGED_CONTENT: u64 = 2 * PACKET_CONTENT;
const ACKNOWLEDGEMENT: u64 = PACKET_OVERHEAD + 8;

/// A chunk taken this long ago and not sent yet never will be: it was queued for a connection that has ended.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// A reservation for acknowledgements expires after this time, because the download or the day may have ended.
/// Otherwise a gate that it closed would stay closed, since nothing asks again at a closed gate.
const RESERVATION_EXPIRES: Duration = Duration::from_secs(60);

/// Database key of the usage history.
const KEY: &str = "ledger";

/// The usage history and the upload quota.
pub(crate) struct UploadQuota {
    database: Arc<Database>,
    zone: Arc<LocalZone>,
    state: Mutex<QuotaState>,
    /// Serialises writes, so that the last stored value is the one assumed to be stored.
    disk: Mutex<()>,
    giver: OnceLock<Arc<BandwidthYield>>,
}

struct QuotaState {
    usage: DailyUsage,
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
    let inside = content + FRAME_HEADER + (content + FRAME_HEADER).div_ceil(RECORD_CONTENT) * RECORD_OVERHEAD;
    inside + inside.div_ceil(PACKET_CONTENT) * PACKET_OVERHEAD
}

/// Returns the size on the link of the acknowledgements for this much content (bytes).
fn acknowledgement_bytes(content: u64) -> u64 {
    content.div_ceil(ACKNOWLEDGED_CONTENT) * ACKNOWLEDGEMENT
}

impl UploadQuota {
    pub(super) fn open(database: Arc<Database>, zone: Arc<LocalZone>) -> Result<Self, DatabaseError> {
        let days: Vec<DayUse> = database.load(KEY)?.unwrap_or_default();
        let usage = DailyUsage::restore(&days);
        let state = QuotaState {
            usage,
            unstored: 0,
            sent: 0,
            last_taken: Instant::now(),
            last_request: Instant::now(),
            last_stored: Instant::now(),
            closed: false,
        };
        Ok(Self { database, zone, state: Mutex::new(state), disk: Mutex::new(()), giver: OnceLock::new() })
    }
    /// Sets the counter of the traffic on the link.
    pub(crate) fn set_link_counter(&self, giver: Arc<BandwidthYield>) {
        drop(self.giver.set(giver));
    }
    /// Counts the traffic that exceeded the estimates.
    fn catch_up(&self, state: &mut QuotaState) {
        let link_total = self.giver.get().map_or(0, |giver| giver.sent_bytes());
        state.catch_up(&self.zone.current(), link_total, state.last_taken.elapsed() >= LOST_AFTER);
    }
    /// Returns a copy of the usage.
    pub(crate) fn usage(&self) -> DailyUsage {
        self.usage_at(Instant::now())
    }
    fn usage_at(&self, now: Instant) -> DailyUsage {
        let mut state = lock(&self.state);
        self.catch_up(&mut state);
        if now.saturating_duration_since(state.last_request) >= RESERVATION_EXPIRES {
            state.usage.set_aside(0);
        }
        state.usage.clone()
    }
    /// Counts received content.
    pub(crate) fn count_received(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.usage.count_download(&self.zone.current(), UnixSeconds::now(), bytes);
        state.unstored += bytes;
        self.catch_up(&mut state);
    }
    /// Takes a chunk that is about to be sent out of the day's quota; without a quota only counts it. `to_receive` is
    /// what is still to be received (bytes).
    ///
    /// # Errors
    /// See [`Refusal`]; nothing has been taken then.
    pub(crate) fn take(&self, content: u64, quota: Option<u64>, to_receive: u64) -> Result<(), QuotaRefusal> {
        let mut state = lock(&self.state);
        self.catch_up(&mut state);
        if state.closed {
            return Err(QuotaRefusal::Quota);
        }
        state.usage.set_aside(acknowledgement_bytes(to_receive));
        state.last_request = Instant::now();
        let bytes = link_bytes(content);
        state.usage.take(&self.zone.current(), UnixSeconds::now(), bytes, quota)?;
        state.unstored += bytes;
        state.sent += bytes;
        state.last_taken = Instant::now();
        Ok(())
    }
    /// Stores an allowance ahead of use, synced, so that more chunks can be taken.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn store_ahead(&self) -> Result<(), DatabaseError> {
        let _writing = lock(&self.disk);
        let (rows, stored) = {
            let mut state = lock(&self.state);
            state.reset_unstored();
            state.usage.write_ahead(
                &self.zone.current(),
                UnixSeconds::now(),
                link_bytes(banyan_proto::limits::CHUNK_BYTES as u64),
            )
        };
        self.database.store(KEY, &rows)?;
        lock(&self.state).usage.confirm_stored(stored);
        Ok(())
    }
    /// Stores the usage when it is due or, with `now`, when anything is unstored. With a quota, stores more than was
    /// used.
    pub(crate) fn store_when_due(&self, has_quota: bool, now: bool) {
        let due = {
            let state = lock(&self.state);
            let due = now || state.unstored >= STORE_AFTER_BYTES || state.last_stored.elapsed() >= STORE_AFTER;
            due && state.unstored > 0
        };
        let stored = match (due, has_quota) {
            (false, _) => Ok(()),
            (true, true) => self.store_ahead(),
            (true, false) => self.store_exactly(),
        };
        if let Err(error) = stored {
            tracing::warn!(%error, "failed to store the usage history");
        }
    }
    fn store_exactly(&self) -> Result<(), DatabaseError> {
        let _writing = lock(&self.disk);
        let days = {
            let mut state = lock(&self.state);
            state.reset_unstored();
            // If a quota is set later, nothing is stored ahead for it.
            state.usage.clear_stored();
            state.usage.days()
        };
        self.database.store(KEY, &days)
    }
    /// Stops all sending, because the program ends, and stores the exact use.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        if let Err(error) = self.store_exactly() {
            tracing::warn!(%error, "failed to store the usage history");
        }
    }
}

impl QuotaState {
    fn reset_unstored(&mut self) {
        self.unstored = 0;
        self.last_stored = Instant::now();
    }
    /// Counts what the link has carried since the start (`link_total`; 0 when the system does not report it). After a quiet
    /// time, gives back what was counted but never sent.
    fn catch_up(&mut self, zone: &TimeZone, link_total: u64, quiet: bool) {
        self.count_sent(zone, link_total.saturating_sub(self.sent));
        if quiet && link_total > 0 && self.sent > link_total {
            let back = self.usage.give_back(zone, UnixSeconds::now(), self.sent - link_total);
            self.sent = link_total;
            self.unstored += back;
        }
    }
    /// Counts traffic that was not taken beforehand.
    fn count_sent(&mut self, zone: &TimeZone, bytes: u64) {
        if bytes == 0 {
            return;
        }
        // Without a quota nothing is refused.
        let _granted = self.usage.take(zone, UnixSeconds::now(), bytes, None);
        self.unstored += bytes;
        self.sent += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const QUOTA: u64 = 8 << 20;
    const CHUNK: u64 = 64 << 10;

    fn database(folder: &TempDir) -> Arc<Database> {
        Arc::new(Database::open(&folder.path().join("redb")).unwrap())
    }

    fn open(database: &Arc<Database>) -> UploadQuota {
        UploadQuota::open(Arc::clone(database), Arc::new(LocalZone::fixed(TimeZone::UTC))).unwrap()
    }

    /// Takes chunks until the quota refuses, as the sender does. Returns their size on the link.
    fn take_all(quota: &UploadQuota, most: u64, to_receive: u64) -> u64 {
        let mut taken = 0;
        while taken < most {
            match quota.take(CHUNK, Some(QUOTA), to_receive) {
                Ok(()) => taken += link_bytes(CHUNK),
                Err(QuotaRefusal::WriteFirst) => quota.store_ahead().unwrap(),
                Err(QuotaRefusal::Quota) => break,
            }
        }
        taken
    }

    #[test]
    fn a_crash_gives_no_second_quota_and_an_orderly_end_loses_nothing() {
        let folder = TempDir::new().unwrap();
        let database = database(&folder);
        let before = take_all(&open(&database), QUOTA / 2, 0);
        // The program was killed: its memory is lost, the stored record is not.
        let quota = open(&database);
        quota.store_when_due(true, true);
        let after = take_all(&quota, u64::MAX, 0);
        assert!(before + after <= QUOTA, "{before} and {after} of {QUOTA}");
        assert!(before + after > QUOTA - (2 << 20), "a crash costs a little, not the whole day: {before} and {after}");
        quota.close();
        assert_eq!(quota.take(1, None, 0), Err(QuotaRefusal::Quota), "nothing is sent after closing");
    }

    #[test]
    fn storing_never_takes_back_what_was_stored_ahead() {
        let folder = TempDir::new().unwrap();
        let database = database(&folder);
        let quota = open(&database);
        let first = take_all(&quota, QUOTA / 2, 0);
        quota.store_when_due(true, true);
        let second = take_all(&quota, 512 << 10, 0);
        let after = take_all(&open(&database), u64::MAX, 0);
        assert!(first + second + after <= QUOTA, "{first}, {second} and {after} of {QUOTA}");
    }

    #[test]
    fn a_reservation_is_made_for_acknowledging_what_is_still_to_come() {
        let folder = TempDir::new().unwrap();
        let database = database(&folder);
        let to_receive = 64 << 20;
        let taken = take_all(&open(&database), u64::MAX, to_receive);
        assert!(
            taken + acknowledgement_bytes(to_receive) <= QUOTA
                && taken + acknowledgement_bytes(to_receive) > QUOTA - 2 * CHUNK,
            "{taken}"
        );
    }

    #[test]
    fn a_reservation_for_acknowledgements_expires() {
        let folder = TempDir::new().unwrap();
        let database = database(&folder);
        let quota = open(&database);
        // Acknowledging this much would use up the quota alone.
        assert_eq!(quota.take(CHUNK, Some(QUOTA), 1 << 40), Err(QuotaRefusal::Quota));
        let used = |at| {
            let mut usage = quota.usage_at(at);
            usage.take(&TimeZone::UTC, UnixSeconds::now(), CHUNK, Some(QUOTA)).err()
        };
        let now = Instant::now();
        assert_eq!(used(now), Some(QuotaRefusal::Quota));
        assert_eq!(
            used(now + 2 * RESERVATION_EXPIRES),
            Some(QuotaRefusal::WriteFirst),
            "the expired reservation frees the quota"
        );
    }

    #[test]
    fn a_crash_gives_no_second_quota_when_the_reservation_has_shrunk() {
        let folder = TempDir::new().unwrap();
        let database = database(&folder);
        let quota = open(&database);
        let before = take_all(&quota, CHUNK, 200 << 20);
        // The download has ended: its reservation is free.
        let more = take_all(&quota, QUOTA / 2, 0);
        let after = take_all(&open(&database), u64::MAX, 0);
        assert!(before + more + after <= QUOTA, "{before}, {more} and {after} of {QUOTA}");
    }

    #[test]
    fn the_history_is_what_the_link_has_carried() {
        let folder = TempDir::new().unwrap();
        let database = database(&folder);
        let quota = open(&database);
        let sent = |state: &QuotaState| state.usage.days().first().map_or(0, |day| day.given);
        let taken = take_all(&quota, 1 << 20, 0);
        let mut state = lock(&quota.state);
        state.catch_up(&TimeZone::UTC, taken / 2, false);
        assert_eq!(sent(&state), taken, "the rest is still in transit");
        state.catch_up(&TimeZone::UTC, taken + 5000, false);
        assert_eq!(sent(&state), taken + 5000, "acknowledgements count");
        let after = taken + 5000;
        drop(state);
        take_all(&quota, CHUNK, 0);
        let mut state = lock(&quota.state);
        state.catch_up(&TimeZone::UTC, after + 100, true);
        assert_eq!(sent(&state), after + 100, "what has not been sent by now never will be");
        state.catch_up(&TimeZone::UTC, 0, true);
        assert_eq!(sent(&state), after + 100, "the system reports no count");
    }

    #[test]
    fn the_estimate_for_a_chunk_matches_measurements() {
        // Measured: a plain flow puts 1.0456 bytes on the link for each byte of content.
        let ratio = link_bytes(64 << 10) as f64 / f64::from(64 << 10);
        assert!((1.045..1.055).contains(&ratio), "{ratio}");
    }
}
