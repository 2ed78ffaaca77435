//! Limits the number of connections per user, so that other users are not affected.

use crate::Caller;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Maximum number of connections per user, enough for a few desktop programs. Further ones are refused.
const MAX_CONNECTIONS: usize = 16;

/// The number of connections of each user.
pub(crate) type CountsByCaller = Arc<Mutex<HashMap<Caller, usize>>>;

/// CountsByCaller one connection of a user until it is dropped.
pub(crate) struct ConnectionCount(CountsByCaller, Caller);

impl ConnectionCount {
    /// Counts one more connection; `None` when the user has too many.
    pub(crate) fn new(counts: &CountsByCaller, caller: Caller) -> Option<Self> {
        let mut table = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.entry(caller).or_default();
        if *count >= MAX_CONNECTIONS {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(counts), caller))
    }
}
impl Drop for ConnectionCount {
    fn drop(&mut self) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.1);
            }
        }
    }
}
