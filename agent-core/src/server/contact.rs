//! Whether the server answers, and whether it refuses this machine.

use super::api::{CallError, excludes_machine};
use crate::change_notifier::ChangeNotifier;
use banyan_proto::{Reason, UnixSeconds, api::ApiError};
use banyan_wire::lock::lock;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use tracing::{debug, warn};

/// The contact with the server since this program started.
pub(crate) struct ServerContact {
    /// When the server last answered (seconds since 1970; 0 for never).
    last_answer: AtomicU64,
    /// Why the server refuses this machine, while it does.
    refusal: Mutex<Option<ApiError>>,
    notifier: Arc<ChangeNotifier>,
}

impl ServerContact {
    pub(crate) fn new(notifier: Arc<ChangeNotifier>) -> Self {
        Self { last_answer: AtomicU64::new(0), refusal: Mutex::default(), notifier }
    }
    /// Records that the server has just answered.
    pub(crate) fn record_answer(&self) {
        self.last_answer.store(UnixSeconds::now().0, Ordering::Relaxed);
        *lock(&self.refusal) = None;
        self.notifier.notify_snapshot();
    }
    /// Records a failed call. A repeated refusal is logged once, because such calls are retried endlessly.
    pub(crate) fn record_failure(&self, error: &CallError) {
        match error {
            CallError::Refused(refusal) => self.record_refusal(refusal),
            CallError::Away { .. } => debug!(%error, "no response from the server"),
        }
    }
    /// Records that the server refuses this machine.
    pub(crate) fn record_refusal(&self, new: &ApiError) {
        let mut refusal = lock(&self.refusal);
        if refusal.as_ref() != Some(new) {
            warn!(next = new.reason.for_admin().advice, "the server refused this machine: {new}");
            *refusal = Some(new.clone());
            drop(refusal);
            self.notifier.notify_snapshot();
        }
    }
    /// Returns when the server last answered.
    pub(crate) fn last_answer(&self) -> Option<UnixSeconds> {
        Some(UnixSeconds(self.last_answer.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }
    /// Returns why the server refuses this machine, while it does.
    pub(crate) fn refusal(&self) -> Option<ApiError> {
        lock(&self.refusal).clone()
    }
    /// Returns why the server excludes this machine from everything, while it does.
    pub(crate) fn exclusion(&self) -> Option<Reason> {
        lock(&self.refusal).as_ref().map(|refusal| refusal.reason).filter(|&reason| excludes_machine(reason))
    }
}
