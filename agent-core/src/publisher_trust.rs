//! What this machine has learnt from publishers' metadata: trusted root, versions and version floors. Whatever a check
//! learns is stored, synced, before the check's result is used.

use crate::database::{Database, DatabaseError};
use banyan_proto::{UnixSeconds, api::PublisherVersions};
use banyan_trust::TrustStore;
use banyan_wire::lock::lock;
use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard},
};

/// The trusted state of publishers' metadata, in memory and in the database.
pub struct PublisherTrust {
    database: Arc<Database>,
    store: Mutex<TrustStore>,
}

impl PublisherTrust {
    /// Takes the state that an earlier run has stored, or the one at enrolment.
    #[must_use]
    pub fn new(database: Arc<Database>, store: TrustStore) -> Self {
        Self { database, store: Mutex::new(store) }
    }
    /// Locks the state. While an offer is checked it stays locked, so offers are checked one at a time.
    pub fn lock(&self) -> LockedTrust<'_> {
        LockedTrust { database: &self.database, store: lock(&self.store) }
    }
    /// Returns a copy of the state, for checks that learn nothing.
    #[must_use]
    pub fn current(&self) -> TrustStore {
        lock(&self.store).clone()
    }
    /// Returns the versions of root and targets seen.
    pub(crate) fn versions(&self) -> PublisherVersions {
        let versions = lock(&self.store).versions();
        PublisherVersions { root: versions.root, targets: versions.targets }
    }
    /// Gives up a signed time that was learnt while server and machine were both ahead (rule T6). `server` is the time
    /// that the server has just stated.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn correct_signed_time(&self, server: UnixSeconds, clock: UnixSeconds) -> Result<(), DatabaseError> {
        let mut trust = self.lock();
        let mut learnt = trust.clone();
        if learnt.correct_signed_time(server, clock) {
            tracing::info!("a signed time from the future was given up; it was learnt while the clocks were ahead");
            trust.learn(learnt)?;
        }
        Ok(())
    }
    /// Returns the clock's time, but never one before the last signed time (rule T6). While an offer is being checked
    /// the signed time is not available; the next caller gets it.
    pub(crate) fn time(&self, now: UnixSeconds) -> UnixSeconds {
        self.store.try_lock().map_or(now, |store| store.time(now))
    }
}

/// The locked state.
pub struct LockedTrust<'a> {
    database: &'a Database,
    store: MutexGuard<'a, TrustStore>,
}

impl LockedTrust<'_> {
    /// Stores what a check has learnt, synced.
    ///
    /// # Errors
    /// When the database fails; nothing is learnt then.
    pub fn learn(&mut self, learnt: TrustStore) -> Result<(), DatabaseError> {
        if learnt != *self.store {
            self.database.store_trust(&learnt)?;
            *self.store = learnt;
        }
        Ok(())
    }
}

impl Deref for LockedTrust<'_> {
    type Target = TrustStore;

    fn deref(&self) -> &TrustStore {
        &self.store
    }
}
