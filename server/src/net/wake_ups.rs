//! Wakes the machines' long polls, and remembers which orders each machine has been told of.

use banyan_proto::{MachineId, OrderId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

#[derive(Default)]
struct Desk {
    wake: Arc<Notify>,
    /// The start of the agent that was told, and the orders it was told of. An order is news again only when it is
    /// overdue.
    boot: u64,
    told: HashSet<OrderId>,
}

/// What each machine has been told, and how to wake its long poll.
#[derive(Default)]
pub(crate) struct News(Mutex<HashMap<MachineId, Desk>>);

impl News {
    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Desk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns the notifier of a machine. Enable the wait before you check for news, so that no wake-up is lost.
    pub(crate) fn of(&self, machine: MachineId) -> Arc<Notify> {
        Arc::clone(&self.lock().entry(machine).or_default().wake)
    }
    /// Returns whether one of these orders is news to this start of the machine's agent.
    pub(crate) fn has(&self, machine: MachineId, boot: u64, expected: &[OrderId]) -> bool {
        let desks = self.lock();
        let told = desks.get(&machine).filter(|desk| desk.boot == boot).map(|desk| &desk.told);
        expected.iter().any(|id| told.is_none_or(|told| !told.contains(id)))
    }
    /// Records that this start of the agent is being told of these orders.
    pub(crate) fn tell(&self, machine: MachineId, boot: u64, expected: &[OrderId]) {
        let mut desks = self.lock();
        let desk = desks.entry(machine).or_default();
        desk.boot = boot;
        desk.told = expected.iter().copied().collect();
    }
    /// Wakes the machine's long poll.
    pub(crate) fn wake(&self, machine: MachineId) {
        if let Some(desk) = self.lock().get(&machine) {
            desk.wake.notify_waiters();
        }
    }
    /// Makes an overdue order news again and wakes the machine's long poll.
    pub(crate) fn remind(&self, machine: MachineId, order: OrderId) {
        if let Some(desk) = self.lock().get_mut(&machine) {
            desk.told.remove(&order);
            desk.wake.notify_waiters();
        }
    }
    /// Wakes all long polls.
    pub(crate) fn wake_all(&self) {
        self.lock().values().for_each(|desk| desk.wake.notify_waiters());
    }
}
