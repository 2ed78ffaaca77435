//! The ledger of this machine, kept in the database: what was passed on and received, by day.

use crate::{
    orders::lock,
    state::{State, StateError},
};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use banyan_schedule::ledger::Ledger;
use jiff::tz::TimeZone;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Written down when so much has moved since (bytes) …
const WRITE_BYTES: u64 = 8 << 20;
/// … or after so long, whichever is first.
const WRITE_AFTER: Duration = Duration::from_secs(30);

/// What was given and got.
pub(crate) struct Shared(Mutex<Book>);

struct Book {
    ledger: Ledger,
    unwritten: u64,
    /// Since the start.
    given: u64,
    written: Instant,
}

impl Shared {
    pub(super) fn open(state: &State) -> Result<Self, StateError> {
        let days: Vec<DayUse> = state.kept("ledger")?.unwrap_or_default();
        let ledger = Ledger::restore(&days);
        Ok(Self(Mutex::new(Book { ledger, unwritten: 0, given: 0, written: Instant::now() })))
    }
    /// The ledger as it is.
    pub(crate) fn ledger(&self) -> Ledger {
        lock(&self.0).ledger.clone()
    }
    /// Content came in.
    pub(crate) fn received(&self, zone: &TimeZone, bytes: u64) {
        let mut book = lock(&self.0);
        book.ledger.received(zone, UnixSeconds::now(), bytes);
        book.unwritten += bytes;
    }
    /// Content was passed on; gives how much was before, since the start.
    pub(crate) fn given(&self, zone: &TimeZone, bytes: u64) -> u64 {
        let mut book = lock(&self.0);
        // Without a quota it only counts, and nothing is refused.
        if let Ok(reserved) = book.ledger.reserve(zone, UnixSeconds::now(), bytes, None) {
            book.ledger.settle(reserved, bytes);
        }
        book.unwritten += bytes;
        book.given += bytes;
        book.given - bytes
    }
    /// Writes it down when it is time, or, with `now`, when anything is unwritten.
    pub(crate) fn write(&self, state: &State, now: bool) {
        let days = {
            let mut book = lock(&self.0);
            let due = now || book.unwritten >= WRITE_BYTES || book.written.elapsed() >= WRITE_AFTER;
            if !due || book.unwritten == 0 {
                return;
            }
            (book.unwritten, book.written) = (0, Instant::now());
            book.ledger.days()
        };
        if let Err(error) = state.keep("ledger", &days) {
            tracing::warn!(%error, "the ledger could not be written down");
        }
    }
}
