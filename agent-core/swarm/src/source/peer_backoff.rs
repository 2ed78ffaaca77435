//! Backoff for failed ancestors: each failure makes the machine avoided for longer.
//!
//! A machine whose connection merely broke is retried at once, but only once per interval. Otherwise a machine that
//! disconnects after every chunk could hold up this one.

use crate::{config::Timings, io::Now};
use banyan_proto::MachineId;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct PeerBackoff(BTreeMap<MachineId, PeerFailures>);

#[derive(Debug, Clone, Copy, Default)]
struct PeerFailures {
    until: Now,
    failures: u32,
    /// When an immediate retry was last allowed.
    immediate_retry_at: Option<Now>,
}

impl PeerBackoff {
    /// Records a failure: the machine could not be reached, went silent, or did not deliver.
    pub(crate) fn record_failure(&mut self, who: MachineId, now: Now, timings: &Timings) {
        let failures = self.0.entry(who).or_default();
        let pause = timings.peer_backoff.saturating_mul(1 << failures.failures.min(16)).min(timings.peer_backoff_max);
        failures.until = now + pause;
        failures.failures = failures.failures.saturating_add(1);
    }
    /// Records a connection that broke during delivery. Returns whether the machine may be retried at once.
    pub(crate) fn allow_immediate_retry(&mut self, who: MachineId, now: Now, timings: &Timings) -> bool {
        let failures = self.0.entry(who).or_default();
        let may = failures.immediate_retry_at.is_none_or(|at| now.saturating_sub(at) >= timings.peer_backoff);
        if may {
            failures.immediate_retry_at = Some(now);
        }
        may
    }
    /// Clears the failures after the machine delivered or sent a message.
    pub(crate) fn clear(&mut self, who: MachineId) {
        if let Some(failures) = self.0.get_mut(&who) {
            *failures = PeerFailures { immediate_retry_at: failures.immediate_retry_at, ..PeerFailures::default() };
        }
    }
    pub(crate) fn is_avoided(&self, who: MachineId, now: Now) -> bool {
        self.0.get(&who).is_some_and(|failures| now < failures.until)
    }
}
