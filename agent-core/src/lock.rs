//! Locks a mutex even after a panic: the values here are consistent between two statements, so a panic elsewhere is no
//! reason to stop.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. Ignores that another thread panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
