//! The machines that wait for an install permit, in the order in which they first asked (rule A9).
//!
//! A machine that was refused asks again ever more rarely. So when places become free, the server invites as many of
//! the waiting machines through their long polls, the longest waiting ones first.

use banyan_proto::{MachineId, OrderId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How long an invited machine has to ask before its place is offered to another one.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

struct WaitingMachine {
    machine: MachineId,
    /// The index of its ring.
    ring: u32,
    invited: Option<Instant>,
}

#[derive(Default)]
struct QueueState {
    waiting: HashMap<OrderId, Vec<WaitingMachine>>,
    /// Invitations that no check-in has carried to its machine yet.
    undelivered: HashMap<MachineId, HashSet<OrderId>>,
}

/// The waiting machines of all orders.
#[derive(Default)]
pub(crate) struct PermitQueue {
    state: Mutex<QueueState>,
    /// Fires when a place may have become free.
    freed: Notify,
}

impl PermitQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Adds a machine that was refused. One that waits already keeps its position.
    pub(crate) fn add(&self, order: OrderId, machine: MachineId, ring: u32) {
        let mut state = self.lock();
        let waiting = state.waiting.entry(order).or_default();
        match waiting.iter_mut().find(|one| one.machine == machine) {
            Some(known) => known.invited = None,
            None => waiting.push(WaitingMachine { machine, ring, invited: None }),
        }
    }
    /// Removes a machine that no longer waits.
    pub(crate) fn remove(&self, order: OrderId, machine: MachineId) {
        let mut state = self.lock();
        if let Some(waiting) = state.waiting.get_mut(&order) {
            waiting.retain(|one| one.machine != machine);
            if waiting.is_empty() {
                state.waiting.remove(&order);
            }
        }
    }
    /// Removes all machines that wait in this order.
    pub(crate) fn remove_order(&self, order: OrderId) {
        self.lock().waiting.remove(&order);
    }
    /// Returns the orders in which machines wait.
    pub(crate) fn orders(&self) -> Vec<OrderId> {
        self.lock().waiting.keys().copied().collect()
    }
    /// Invites as many machines of open rings as there are free places, the longest waiting ones first, and none that is
    /// offline. `open_ring` is the index of the last open one.
    /// Places of machines that were invited a moment ago are not free. Returns the machines to wake.
    pub(crate) fn invite(
        &self,
        order: OrderId,
        places: usize,
        open_ring: u32,
        is_online: impl Fn(MachineId) -> bool,
        now: Instant,
    ) -> Vec<MachineId> {
        let mut state = self.lock();
        let Some(waiting) = state.waiting.get_mut(&order) else { return vec![] };
        let is_expected = |one: &WaitingMachine| one.invited.is_some_and(|at| now.duration_since(at) < ANSWER_WITHIN);
        let free = places.saturating_sub(waiting.iter().filter(|one| is_expected(one)).count());
        let next = waiting
            .iter_mut()
            .filter(|one| one.ring <= open_ring && !is_expected(one) && is_online(one.machine))
            .take(free);
        let invited: Vec<MachineId> = next
            .map(|one| {
                one.invited = Some(now);
                one.machine
            })
            .collect();
        for machine in &invited {
            state.undelivered.entry(*machine).or_default().insert(order);
        }
        invited
    }
    /// Returns whether a check-in has an invitation to deliver.
    pub(crate) fn has_invitation(&self, machine: MachineId) -> bool {
        self.lock().undelivered.contains_key(&machine)
    }
    /// Returns the orders in which the machine is invited to ask, once.
    pub(crate) fn take_invitations(&self, machine: MachineId) -> Vec<OrderId> {
        self.lock().undelivered.remove(&machine).into_iter().flatten().collect()
    }
    /// Records that a place may have become free in some order.
    pub(crate) fn record_freed_place(&self) {
        self.freed.notify_one();
    }
    /// Waits until a place may have become free.
    pub(crate) async fn freed_place(&self) {
        self.freed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: OrderId = OrderId([1; 16]);

    fn machine(number: u8) -> MachineId {
        MachineId([number; 16])
    }

    #[test]
    fn as_many_are_invited_as_there_are_places_and_the_first_who_asked_come_first() {
        let (queue, now) = (PermitQueue::default(), Instant::now());
        (1..=6).for_each(|number| queue.add(ORDER, machine(number), 0));
        queue.add(ORDER, machine(1), 0);
        let all_but = |offline: u8| move |id| id != machine(offline);
        assert_eq!(queue.invite(ORDER, 2, 0, all_but(2), now), [machine(1), machine(3)], "the second is offline");
        assert_eq!(queue.invite(ORDER, 2, 0, all_but(2), now), [], "both places are promised");
        assert_eq!(queue.take_invitations(machine(1)), [ORDER]);
        assert!(!queue.has_invitation(machine(1)) && queue.has_invitation(machine(3)), "each is told once");
        // The first got its permit, and two more places are free. The third was refused, as another was faster.
        queue.remove(ORDER, machine(1));
        queue.add(ORDER, machine(3), 0);
        assert_eq!(queue.invite(ORDER, 3, 0, |_| true, now), [machine(2), machine(3), machine(4)]);
    }

    #[test]
    fn the_place_of_a_machine_that_does_not_come_is_offered_to_the_next() {
        let (queue, now) = (PermitQueue::default(), Instant::now());
        (1..=2).for_each(|number| queue.add(ORDER, machine(number), 0));
        assert_eq!(queue.invite(ORDER, 1, 0, |_| true, now), [machine(1)]);
        let gone = |id| id != machine(1);
        assert_eq!(queue.invite(ORDER, 1, 0, gone, now + ANSWER_WITHIN / 2), []);
        assert_eq!(queue.invite(ORDER, 1, 0, gone, now + ANSWER_WITHIN), [machine(2)]);
        queue.remove(ORDER, machine(2));
        queue.remove(ORDER, machine(1));
        assert_eq!(queue.orders(), []);
    }

    #[test]
    fn machines_of_rings_that_are_not_open_are_not_invited() {
        let (queue, now) = (PermitQueue::default(), Instant::now());
        (0..4).for_each(|ring| queue.add(ORDER, machine(9 - ring), u32::from(ring)));
        assert_eq!(queue.invite(ORDER, usize::MAX, 1, |_| true, now), [machine(9), machine(8)]);
        assert_eq!(queue.invite(ORDER, usize::MAX, 2, |_| true, now), [machine(7)]);
    }
}
