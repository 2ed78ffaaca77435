//! What has happened to the orders on this machine, for the users here and across restarts.

use super::{
    order_notes::{OrderFailure, OrderNotes, OrderOutcome},
    preferences::not_stored,
};
use crate::{
    change_notifier::ChangeNotifier,
    database::{Database, DatabaseError},
};
use banyan_proto::{
    OrderId, Reason, UnixSeconds,
    api::{ApiError, Event},
    local::{Happened, HistoryEntry},
    schedule::{Stage, Wish},
};
use banyan_wire::lock::lock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Database key of the notes about orders.
const NOTES_KEY: &str = "notes";
/// Database key of the history.
const HISTORY_KEY: &str = "history";
/// Maximum number of history entries kept.
const MAX_ENTRIES: usize = 200;

/// The notes about the present orders, and the history of all.
pub(crate) struct History {
    database: Arc<Database>,
    records: Mutex<Records>,
    notifier: Arc<ChangeNotifier>,
}

#[derive(Debug, Default)]
struct Records {
    notes: BTreeMap<OrderId, OrderNotes>,
    /// The history, newest first.
    entries: Vec<HistoryEntry>,
}

impl History {
    /// Loads the records of earlier runs.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub(super) fn open(database: Arc<Database>, notifier: Arc<ChangeNotifier>) -> Result<Self, DatabaseError> {
        let records = Records {
            notes: database.load(NOTES_KEY)?.unwrap_or_default(),
            entries: database.load(HISTORY_KEY)?.unwrap_or_default(),
        };
        Ok(Self { database, records: Mutex::new(records), notifier })
    }
    /// Returns the history, newest first.
    pub(crate) fn entries(&self) -> Vec<HistoryEntry> {
        lock(&self.records).entries.clone()
    }
    /// Returns the notes about one order.
    pub(crate) fn notes(&self, order: OrderId) -> OrderNotes {
        lock(&self.records).notes.get(&order).cloned().unwrap_or_default()
    }
    /// Returns whether an order has ended here.
    pub(crate) fn has_ended(&self, order: OrderId) -> bool {
        lock(&self.records).notes.get(&order).is_some_and(|notes| notes.outcome.is_some())
    }

    /// Sets the user's wish for one order. Installing now implies receiving now.
    pub(crate) fn set_wish(&self, order: OrderId, stage: Stage, wish: Wish) -> Result<(), ApiError> {
        let mut records = lock(&self.records);
        let Some(notes) = records.notes.get_mut(&order).filter(|notes| notes.outcome.is_none()) else {
            let detail = "this update is no longer in progress".to_owned();
            return Err(ApiError { reason: Reason::NotFound, detail });
        };
        let before = notes.wishes;
        notes.wishes = banyan_schedule::apply_wish(before, stage, wish).map_err(|error| error.to_api_error())?;
        if let Err(error) = self.database.store(NOTES_KEY, &records.notes) {
            records.notes.entry(order).or_default().wishes = before;
            return Err(not_stored(&error));
        }
        drop(records);
        self.notifier.notify_scheduler();
        Ok(())
    }

    /// Records that an order was accepted.
    pub(crate) fn record_accepted(&self, order: OrderId, package: &str, version: &str) {
        let mut records = lock(&self.records);
        if records.notes.contains_key(&order) {
            return;
        }
        let at = UnixSeconds::now();
        records.notes.insert(order, OrderNotes { seen: at, ..OrderNotes::default() });
        let (package, version) = (package.to_owned(), version.to_owned());
        let what = Happened::Incoming;
        self.add_entry(&mut records, HistoryEntry { at, order: Some(order), package, version, what });
        drop(records);
        self.notifier.notify_scheduler();
    }
    /// Records that this machine was enrolled.
    pub(crate) fn record_enrolment(&self) {
        let entry = HistoryEntry {
            at: UnixSeconds::now(),
            order: None,
            package: String::new(),
            version: String::new(),
            what: Happened::Enrolled,
        };
        self.add_entry(&mut lock(&self.records), entry);
        self.notifier.notify_snapshot();
    }
    /// Records that an order was dropped.
    pub(crate) fn record_dropped(&self, order: OrderId, package: &str, version: &str, reason: Reason) {
        let mut records = lock(&self.records);
        if records.notes.remove(&order).is_some_and(|notes| notes.outcome.is_none()) {
            let (at, what) = (UnixSeconds::now(), Happened::Dropped { reason });
            let (package, version) = (package.to_owned(), version.to_owned());
            self.add_entry(&mut records, HistoryEntry { at, order: Some(order), package, version, what });
        } else {
            self.store(&records);
        }
        drop(records);
        self.notifier.notify_scheduler();
    }
    /// Records an event of an order.
    pub(crate) fn record_event(&self, order: OrderId, package: &str, version: &str, event: &Event) {
        let at = UnixSeconds::now();
        let mut records = lock(&self.records);
        let Some(notes) = records.notes.get_mut(&order) else { return };
        if let Some(what) = notes.apply(event, at) {
            let (package, version) = (package.to_owned(), version.to_owned());
            self.add_entry(&mut records, HistoryEntry { at, order: Some(order), package, version, what });
        }
        drop(records);
        self.notifier.notify_scheduler();
    }
    /// Restores how an order of an earlier run ended; records from older versions lack it.
    pub(crate) fn restore_outcome(&self, order: OrderId, at: UnixSeconds, result: Result<(), Reason>) {
        let mut records = lock(&self.records);
        let notes = records.notes.entry(order).or_insert_with(|| OrderNotes { seen: at, ..OrderNotes::default() });
        let failure = result.err().map(|reason| OrderFailure { reason, detail: String::new(), restored: true });
        notes.outcome.get_or_insert(OrderOutcome { at, failure });
    }

    fn add_entry(&self, records: &mut Records, entry: HistoryEntry) {
        records.entries.insert(0, entry);
        records.entries.truncate(MAX_ENTRIES);
        self.store(records);
    }
    /// Stores notes and history. Losing them to a disk failure is tolerable, so an error is only logged.
    fn store(&self, records: &Records) {
        let stored = self.database.store(NOTES_KEY, &records.notes);
        if let Err(error) = stored.and_then(|()| self.database.store(HISTORY_KEY, &records.entries)) {
            tracing::warn!(%error, "failed to store the history");
        }
    }
}
