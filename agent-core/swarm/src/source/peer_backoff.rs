//! Backoff for failed ancestors: each failure makes the machine avoided for longer.
//!
//! A machine whose connection merely broke is retried at once, but only once per interval. Otherwise a machine that
//! disconnects after every chunk could hold up this one.

use crate::{config::Timings, io::Now};
use banyan_proto::MachineId;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Suspects(BTreeMap<MachineId, Suspect>);

#[derive(Debug, Clone, Copy, Default)]
struct Suspect {
    until: Now,
    failures: u32,
    /// When an immediate retry was last allowed.
    forgiven: Option<Now>,
}

impl Suspects {
    /// Records a failure: the machine could not be reached, went silent, or did not deliver.
    pub(crate) fn failed(&mut self, who: MachineId, now: Now, timings: &Timings) {
        let suspect = self.0.entry(who).or_default();
        let pause = timings.suspect.saturating_mul(1 << suspect.failures.min(16)).min(timings.suspect_most);
        suspect.until = now + pause;
        suspect.failures = suspect.failures.saturating_add(1);
    }
    /// Records a connection that broke during delivery. Returns whether the machine may be retried at once.
    pub(crate) fn forgive(&mut self, who: MachineId, now: Now, timings: &Timings) -> bool {
        let suspect = self.0.entry(who).or_default();
        let may = suspect.forgiven.is_none_or(|at| now.saturating_sub(at) >= timings.suspect);
        if may {
            suspect.forgiven = Some(now);
        }
        may
    }
    /// Clears the failures after the machine delivered or sent a message.
    pub(crate) fn cleared(&mut self, who: MachineId) {
        if let Some(suspect) = self.0.get_mut(&who) {
            *suspect = Suspect { forgiven: suspect.forgiven, ..Suspect::default() };
        }
    }
    pub(crate) fn passed_over(&self, who: MachineId, now: Now) -> bool {
        self.0.get(&who).is_some_and(|suspect| now < suspect.until)
    }
}
