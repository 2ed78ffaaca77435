//! How far an administrator's request is, for the client that waits for it.
//!
//! The API sets the progress up for each request; whatever carries the request out reports to it. Without one, as at the
//! server's start, reports go nowhere.

use banyan_proto::{Digest, admin::Working};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

tokio::task_local! {
    static PROGRESS: Arc<WorkProgress>;
}

/// How far one request is.
#[derive(Default)]
pub(crate) struct WorkProgress {
    doing: Mutex<String>,
    done: AtomicU64,
    of: AtomicU64,
}

impl WorkProgress {
    /// Counts this many further bytes as done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
    /// Returns what the client hears.
    pub(crate) fn working(&self, work: Digest) -> Working {
        Working {
            work,
            doing: self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            done: self.done.load(Ordering::Relaxed),
            of: self.of.load(Ordering::Relaxed),
        }
    }
}

/// Runs work whose progress is reported here.
pub(crate) async fn with_progress<T>(progress: Arc<WorkProgress>, work: impl Future<Output = T>) -> T {
    PROGRESS.scope(progress, work).await
}

/// Begins a step of the current request: what it does ("checking big.tar"), and how many bytes there are.
pub(crate) fn begin(doing: impl Into<String>, of: u64) -> Arc<WorkProgress> {
    let progress = PROGRESS.try_with(Arc::clone).unwrap_or_default();
    *progress.doing.lock().unwrap_or_else(PoisonError::into_inner) = doing.into();
    progress.done.store(0, Ordering::Relaxed);
    progress.of.store(of, Ordering::Relaxed);
    progress
}
