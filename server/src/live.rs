//! Who is connected now: limits on how many, and the way to cut a machine off (rules I4, I5).

use banyan_proto::MachineId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Most HTTP connections in all.
const ALL: usize = 20_000;
/// Most HTTP connections of one machine: its long poll, its reports, a receipt, and late re-dials.
const PER_MACHINE: usize = 8;
/// Most HTTP connections of strangers: those who enrol, and administrators.
const ANONYMOUS: usize = 256;

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many connections at once")]
pub(crate) struct TooMany;

#[derive(Default)]
struct Inner {
    machines: HashMap<MachineId, HashMap<u64, CancellationToken>>,
    anonymous: usize,
    all: usize,
    next: u64,
}

/// All live HTTP connections by identity.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Mutex<Inner>>);

/// One live connection; it counts until this is dropped.
pub(crate) struct Ticket {
    live: Live,
    who: Option<MachineId>,
    number: u64,
    /// Fires when the machine is to be cut off.
    pub(crate) cut: CancellationToken,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Lets a connection in.
    pub(crate) fn admit(&self, who: Option<MachineId>) -> Result<Ticket, TooMany> {
        let mut inner = self.lock();
        let full = match who {
            Some(id) => inner.machines.get(&id).is_some_and(|open| open.len() >= PER_MACHINE),
            None => inner.anonymous >= ANONYMOUS,
        };
        if full || inner.all >= ALL {
            return Err(TooMany);
        }
        inner.all += 1;
        inner.next += 1;
        let (number, cut) = (inner.next, CancellationToken::new());
        match who {
            Some(id) => drop(inner.machines.entry(id).or_default().insert(number, cut.clone())),
            None => inner.anonymous += 1,
        }
        drop(inner);
        Ok(Ticket { live: self.clone(), who, number, cut })
    }
    /// Hangs up on a machine.
    pub(crate) fn cut(&self, machine: MachineId) {
        if let Some(open) = self.lock().machines.get(&machine) {
            open.values().for_each(CancellationToken::cancel);
        }
    }
    /// Whether the machine has a connection now.
    pub(crate) fn is_online(&self, machine: MachineId) -> bool {
        self.lock().machines.contains_key(&machine)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.live.lock();
        inner.all -= 1;
        match self.who {
            None => inner.anonymous -= 1,
            Some(id) => {
                let left = inner.machines.get_mut(&id).map(|open| {
                    open.remove(&self.number);
                    open.len()
                });
                if left == Some(0) {
                    inner.machines.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_machine_cannot_take_all_places_and_cutting_it_leaves_the_others_alone() {
        let live = Live::default();
        let (a, b) = (MachineId([1; 16]), MachineId([2; 16]));
        let of_a: Vec<Ticket> = (0..PER_MACHINE).map(|_| live.admit(Some(a)).unwrap()).collect();
        assert!(live.admit(Some(a)).is_err());
        let of_b = live.admit(Some(b)).unwrap();
        live.cut(a);
        assert!(of_a.iter().all(|ticket| ticket.cut.is_cancelled()) && !of_b.cut.is_cancelled());
        drop(of_a);
        assert!(!live.is_online(a) && live.is_online(b));
        assert!(live.admit(Some(a)).is_ok());
        let strangers: Vec<Ticket> = (0..ANONYMOUS).map(|_| live.admit(None).unwrap()).collect();
        assert!(live.admit(None).is_err() && live.admit(Some(a)).is_ok());
        drop(strangers);
        assert!(live.admit(None).is_ok());
    }
}
