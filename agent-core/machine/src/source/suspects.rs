//! Ancestors that failed are passed over for some time, longer each time, then tried again.
//!
//! One whose connection only broke is tried again at once, but not time after time: a machine that hangs up after every
//! chunk must not hold us.

use crate::{config::Timings, io::Now};
use banyan_proto::MachineId;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Suspects(BTreeMap<MachineId, Suspect>);

#[derive(Debug, Clone, Copy, Default)]
struct Suspect {
    until: Now,
    failures: u32,
    /// When it was last tried again at once.
    forgiven: Option<Now>,
}

impl Suspects {
    /// It could not be reached, went silent, or did not deliver.
    pub(crate) fn failed(&mut self, who: MachineId, now: Now, timings: &Timings) {
        let suspect = self.0.entry(who).or_default();
        let pause = timings.suspect.saturating_mul(1 << suspect.failures.min(16)).min(timings.suspect_most);
        suspect.until = now + pause;
        suspect.failures = suspect.failures.saturating_add(1);
    }
    /// The connection to it broke while it delivered. Says whether it may be turned to again at once.
    pub(crate) fn forgive(&mut self, who: MachineId, now: Now, timings: &Timings) -> bool {
        let suspect = self.0.entry(who).or_default();
        let may = suspect.forgiven.is_none_or(|at| now.saturating_sub(at) >= timings.suspect);
        if may {
            suspect.forgiven = Some(now);
        }
        may
    }
    /// It delivered, or it made itself heard.
    pub(crate) fn cleared(&mut self, who: MachineId) {
        if let Some(suspect) = self.0.get_mut(&who) {
            *suspect = Suspect { forgiven: suspect.forgiven, ..Suspect::default() };
        }
    }
    pub(crate) fn passed_over(&self, who: MachineId, now: Now) -> bool {
        self.0.get(&who).is_some_and(|suspect| now < suspect.until)
    }
}
