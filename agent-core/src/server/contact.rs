//! Whether the server answers, whether it refuses this machine, and whether its clock agrees with the one here.

use super::api::{CallError, excludes_machine};
use crate::{change_notifier::ChangeNotifier, refusal::refusal, utc};
use banyan_proto::{Reason, UnixSeconds, api::ApiError};
use banyan_wire::lock::lock;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use tracing::{info, warn};

/// Clocks that differ by this much are reported (seconds).
const CLOCKS_APART_SECONDS: u64 = 300;

/// The contact with the server since this program started.
pub(crate) struct ServerContact {
    /// When the server last answered (seconds since 1970; 0 for never).
    last_answer: AtomicU64,
    /// Why the server refuses this machine, while it does.
    refusal: Mutex<Option<ApiError>>,
    /// Why the last call failed, while calls fail.
    failure: Mutex<Option<(Reason, String)>>,
    /// What is wrong with the clocks, while they differ.
    clocks: Mutex<Option<ApiError>>,
    notifier: Arc<ChangeNotifier>,
}

impl ServerContact {
    pub(crate) fn new(notifier: Arc<ChangeNotifier>) -> Self {
        Self {
            last_answer: AtomicU64::new(0),
            refusal: Mutex::default(),
            failure: Mutex::default(),
            clocks: Mutex::default(),
            notifier,
        }
    }
    /// Records that the server has just answered.
    pub(crate) fn record_answer(&self) {
        self.last_answer.store(UnixSeconds::now().0, Ordering::Relaxed);
        *lock(&self.refusal) = None;
        if lock(&self.failure).take().is_some() {
            info!("the server answers again");
        }
        self.notifier.notify_snapshot();
    }
    /// Compares the clocks: the server's as it has just stated it, and the one here.
    pub(crate) fn compare_clocks(&self, server: UnixSeconds, here: UnixSeconds) {
        let apart = server.0.abs_diff(here.0);
        let mut clocks = lock(&self.clocks);
        if apart < CLOCKS_APART_SECONDS {
            if clocks.take().is_some() {
                info!("this machine's clock and the server's agree again");
            }
            return;
        }
        let side = if here > server { "ahead of" } else { "behind" };
        let detail = format!(
            "this machine's clock says {}, which is {} {side} the server's",
            utc::format(here),
            utc::format_span(apart)
        );
        if clocks.is_none() {
            warn!(next = Reason::ClockWrong.for_admin().advice, "{detail} [{}]", Reason::ClockWrong.code());
        }
        *clocks = Some(refusal(Reason::ClockWrong, detail));
    }
    /// Records a failed call. What is repeated is logged once, because such calls are retried endlessly.
    pub(crate) fn record_failure(&self, error: &CallError) {
        match error {
            CallError::Refused(refusal) => self.record_refusal(refusal),
            CallError::Clock(detail) => {
                *lock(&self.clocks) = Some(refusal(Reason::ClockWrong, detail.clone()));
                self.record_failure_text(&error.to_string(), Reason::ClockWrong);
            }
            CallError::Away { .. } => self.record_failure_text(&error.to_string(), Reason::ServerAway),
        }
    }
    fn record_failure_text(&self, text: &str, reason: Reason) {
        let before = lock(&self.failure).replace((reason, text.to_owned()));
        // A text about clocks differs with every second.
        let is_news =
            before.is_none_or(|(last, words)| last != reason || reason != Reason::ClockWrong && words != text);
        if is_news {
            let next = reason.for_admin().advice;
            warn!(next, "{text}; trying again [{}]", reason.code());
            self.notifier.notify_snapshot();
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
    /// Returns what is wrong between this machine and its server: a refusal, or clocks that differ.
    pub(crate) fn trouble(&self) -> Option<ApiError> {
        lock(&self.refusal).clone().or_else(|| lock(&self.clocks).clone())
    }
    /// Returns why the last call failed, while calls fail.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.failure).as_ref().map(|(_, text)| text.clone())
    }
    /// Returns what is wrong with the clocks, while they differ.
    pub(crate) fn clock_trouble(&self) -> Option<ApiError> {
        lock(&self.clocks).clone()
    }
    /// Returns why the server excludes this machine from everything, while it does.
    pub(crate) fn exclusion(&self) -> Option<Reason> {
        lock(&self.refusal).as_ref().map(|refusal| refusal.reason).filter(|&reason| excludes_machine(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_named_until_they_agree() {
        let contact = ServerContact::new(Arc::default());
        let now = UnixSeconds(1_800_000_000);
        contact.compare_clocks(now, now.plus(20));
        assert_eq!(contact.trouble(), None);
        contact.compare_clocks(now.plus(20 * 3600), now);
        let trouble = contact.trouble().unwrap();
        assert_eq!(trouble.reason, Reason::ClockWrong);
        assert!(trouble.detail.contains("20 hours behind the server's"), "{}", trouble.detail);
        contact.compare_clocks(now, now);
        assert_eq!(contact.trouble(), None);
    }
}
