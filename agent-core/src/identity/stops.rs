//! The newest list of stopped orders that this machine has, from the server or from a peer (rule A14). It is stored before
//! it takes effect.

use super::epoch::{Epoch, EpochError};
use crate::database::{Database, DatabaseError};
use banyan_proto::{KeyRing, MachineId, OrderId, Signed, StopList, signed::SignatureError};
use banyan_wire::{host::NumberedStops, lock::lock};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopsError {
    /// The server's signature is wrong or missing.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Another server signed it.
    #[error("another server has signed it")]
    OtherServer,
    /// It was signed before the server was restored from a backup.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// It could not be stored.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What a newer list changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StopChanges {
    /// The orders that stop.
    pub(crate) stopped: HashSet<OrderId>,
    /// The orders that go on.
    pub(crate) resumed: HashSet<OrderId>,
}

struct CurrentStops {
    orders: HashSet<OrderId>,
    numbered: NumberedStops,
}

impl CurrentStops {
    fn new(list: &StopList, signed: Signed<StopList>) -> Self {
        let numbered = NumberedStops { number: list.number, list: Arc::new(signed) };
        Self { orders: list.stopped.iter().copied().collect(), numbered }
    }
}

/// The newest list of stopped orders.
pub struct Stops {
    server: MachineId,
    keys: KeyRing,
    database: Arc<Database>,
    current: Mutex<Option<CurrentStops>>,
}

impl Stops {
    /// Loads the newest list that an earlier run has seen.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn open(database: Arc<Database>, server: MachineId, keys: KeyRing) -> Result<Self, DatabaseError> {
        let verified = |signed: Signed<StopList>| Some(CurrentStops::new(&signed.verify(&keys).ok()?, signed));
        let current = Mutex::new(database.load_stops()?.and_then(verified));
        Ok(Self { server, keys, database, current })
    }
    /// Returns the list, to pass on.
    pub(crate) fn newest(&self) -> Option<NumberedStops> {
        lock(&self.current).as_ref().map(|current| current.numbered.clone())
    }
    /// Returns the list's number; 0 when there is none.
    pub(crate) fn number(&self) -> u64 {
        lock(&self.current).as_ref().map_or(0, |current| current.numbered.number)
    }
    /// Returns whether an order is stopped.
    #[must_use]
    pub fn is_stopped(&self, order: OrderId) -> bool {
        lock(&self.current).as_ref().is_some_and(|current| current.orders.contains(&order))
    }
    /// Takes a list if it is newer. Returns what it changes; `None` if it is not newer.
    ///
    /// # Errors
    /// When the list is not valid, or could not be stored.
    pub(super) fn accept(&self, signed: Signed<StopList>, epoch: &Epoch) -> Result<Option<StopChanges>, StopsError> {
        let list = signed.verify(&self.keys)?;
        if list.server != self.server {
            return Err(StopsError::OtherServer);
        }
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|current| current.numbered.number >= list.number) {
            return Ok(None);
        }
        epoch.check(list.epoch)?;
        self.database.store_stops(&signed)?;
        let before = current.take().map(|current| current.orders).unwrap_or_default();
        let new = current.insert(CurrentStops::new(&list, signed));
        Ok(Some(StopChanges {
            stopped: new.orders.difference(&before).copied().collect(),
            resumed: before.difference(&new.orders).copied().collect(),
        }))
    }
}
