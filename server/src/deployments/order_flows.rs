//! What the machines of one order receive, which of them should change a source, and who waits for an answer.

use banyan_proto::{MachineId, api::SourceChange};
use banyan_swarm::flow_advisor::FlowAdvisor;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How often better sources are looked for at most, and how much longer the pause is for each machine of the order.
const ADVICE: Duration = Duration::from_millis(250);
const ADVICE_EACH: Duration = Duration::from_micros(250);

/// The flows of one order. Only machines on its lists get in.
#[derive(Default)]
pub(crate) struct OrderFlows {
    /// `None` until the first report.
    advisor: Option<FlowAdvisor>,
    advised: Option<Instant>,
    changes: HashMap<MachineId, Vec<SourceChange>>,
    waiting: HashMap<MachineId, Arc<Notify>>,
}

impl OrderFlows {
    /// Returns the advisor; `begin` makes it from what is known about the machines.
    pub(crate) fn advisor(&mut self, begin: impl FnOnce() -> FlowAdvisor) -> &mut FlowAdvisor {
        self.advisor.get_or_insert_with(begin)
    }
    /// Returns the advisor if it is time to look for better sources. `machines`: how many the order has.
    pub(crate) fn due(&mut self, machines: usize) -> Option<&mut FlowAdvisor> {
        let pause = ADVICE + ADVICE_EACH.saturating_mul(u32::try_from(machines).unwrap_or(u32::MAX));
        if self.advised.is_some_and(|at| at.elapsed() < pause) {
            return None;
        }
        self.advised = Some(Instant::now());
        self.advisor.as_mut()
    }
    /// Returns who receives from a machine, and the share of each one's content that comes from there.
    pub(crate) fn receivers_of(&self, machine: MachineId) -> Vec<(MachineId, f64)> {
        self.advisor.as_ref().map(|advisor| advisor.receivers_of(machine)).unwrap_or_default()
    }
    /// Keeps a change for its machine, and wakes the machine's request.
    pub(crate) fn add(&mut self, machine: MachineId, change: SourceChange) {
        let changes = self.changes.entry(machine).or_default();
        changes.retain(|other| other.stripe != change.stripe);
        changes.push(change);
        if let Some(waiting) = self.waiting.get(&machine) {
            waiting.notify_one();
        }
    }
    /// Returns what wakes the machine's request.
    pub(crate) fn wait(&mut self, machine: MachineId) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        if self.changes.contains_key(&machine) {
            notify.notify_one();
        }
        self.waiting.insert(machine, Arc::clone(&notify));
        notify
    }
    /// Takes the changes of a machine whose request ends.
    pub(crate) fn take(&mut self, machine: MachineId) -> Vec<SourceChange> {
        self.waiting.remove(&machine);
        self.changes.remove(&machine).unwrap_or_default()
    }
}
