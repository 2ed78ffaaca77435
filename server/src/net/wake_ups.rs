//! Wakes the machines' long polls, and remembers which orders have been announced to each machine.

use banyan_proto::{MachineId, OrderId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

#[derive(Default)]
struct Mailbox {
    wake: Arc<Notify>,
    /// The start of the agent that was told, and the orders announced to it. An order is news again only when it is
    /// overdue.
    start: u64,
    announced: HashSet<OrderId>,
    /// The orders whose offers could not be brought to the machine.
    undelivered: HashSet<OrderId>,
}

/// The orders announced to each machine, and how to wake its long poll.
#[derive(Default)]
pub(crate) struct WakeUps(Mutex<HashMap<MachineId, Mailbox>>);

impl WakeUps {
    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Mailbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns the notifier of a machine. Enable the wait before you check for news, so that no wake-up is lost.
    pub(crate) fn notifier(&self, machine: MachineId) -> Arc<Notify> {
        Arc::clone(&self.lock().entry(machine).or_default().wake)
    }
    /// Returns whether one of these orders is news to this start of the machine's agent.
    pub(crate) fn has_unannounced(&self, machine: MachineId, start: u64, expected: &[OrderId]) -> bool {
        let mailboxes = self.lock();
        let announced =
            mailboxes.get(&machine).filter(|mailbox| mailbox.start == start).map(|mailbox| &mailbox.announced);
        expected.iter().any(|id| announced.is_none_or(|announced| !announced.contains(id)))
    }
    /// Records that these orders are being announced to this start of the agent.
    pub(crate) fn mark_announced(&self, machine: MachineId, start: u64, expected: &[OrderId]) {
        let mut mailboxes = self.lock();
        let mailbox = mailboxes.entry(machine).or_default();
        mailbox.start = start;
        mailbox.announced = expected.iter().copied().collect();
    }
    /// Wakes the machine's long poll.
    pub(crate) fn wake(&self, machine: MachineId) {
        if let Some(mailbox) = self.lock().get(&machine) {
            mailbox.wake.notify_waiters();
        }
    }
    /// Tells a machine that others could not bring it the offers of an order: this answers its long poll.
    pub(crate) fn announce_undelivered(&self, machine: MachineId, order: OrderId) {
        if let Some(mailbox) = self.lock().get_mut(&machine)
            && mailbox.undelivered.insert(order)
        {
            mailbox.wake.notify_waiters();
        }
    }
    /// Returns whether offers could not be brought to the machine.
    pub(crate) fn has_undelivered(&self, machine: MachineId) -> bool {
        self.lock().get(&machine).is_some_and(|mailbox| !mailbox.undelivered.is_empty())
    }
    /// Returns, once, the orders whose offers could not be brought to the machine.
    pub(crate) fn take_undelivered(&self, machine: MachineId) -> Vec<OrderId> {
        let mut mailboxes = self.lock();
        let orders = mailboxes.get_mut(&machine).map(|mailbox| std::mem::take(&mut mailbox.undelivered));
        orders.into_iter().flatten().collect()
    }
    /// Makes an overdue order news again and wakes the machine's long poll.
    pub(crate) fn remind(&self, machine: MachineId, order: OrderId) {
        if let Some(mailbox) = self.lock().get_mut(&machine) {
            mailbox.announced.remove(&order);
            mailbox.wake.notify_waiters();
        }
    }
    /// Wakes all long polls.
    pub(crate) fn wake_all(&self) {
        self.lock().values().for_each(|mailbox| mailbox.wake.notify_waiters());
    }
}
