//! Open HTTP connections: counts and limits them, and cuts those of a revoked machine (rules I4, I5).

use banyan_proto::MachineId;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Most HTTP connections in total.
const ALL: usize = 20_000;
/// Most HTTP connections of one machine: its long poll, its reports, a receipt, and late reconnects.
const PER_MACHINE: usize = 8;
/// Most HTTP connections without a certificate: enrolling machines and administrators.
const ANONYMOUS: usize = 256;
/// Most of these from one address, so that one client cannot lock the others out.
const PER_ADDRESS: usize = 64;
/// Most TLS handshakes in progress at once.
const HANDSHAKES: usize = 2048;

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many connections at once")]
pub(crate) struct TooMany;

#[derive(Default)]
struct Inner {
    machines: HashMap<MachineId, HashMap<u64, CancellationToken>>,
    strangers: Crowd,
    handshakes: Crowd,
    all: usize,
    next: u64,
}

/// Connections without a known identity, counted by address.
#[derive(Default)]
struct Crowd {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

impl Crowd {
    fn enter(&mut self, from: IpAddr, most: usize) -> Result<(), TooMany> {
        let of = self.of.get(&from).copied().unwrap_or(0);
        if self.all >= most || of >= PER_ADDRESS {
            return Err(TooMany);
        }
        self.all += 1;
        self.of.insert(from, of + 1);
        Ok(())
    }
    fn leave(&mut self, from: IpAddr) {
        self.all -= 1;
        if let Some(of) = self.of.get_mut(&from) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(&from);
            }
        }
    }
}

/// All open HTTP connections, by machine.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Mutex<Inner>>);

/// One open connection. Counts until it is dropped.
pub(crate) struct Ticket {
    live: Live,
    who: Option<MachineId>,
    from: IpAddr,
    number: u64,
    /// Fires when the connection must be cut.
    pub(crate) cut: CancellationToken,
}

/// A handshake in progress. Counts until it is dropped.
pub(crate) struct Handshake {
    live: Live,
    from: IpAddr,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.live.lock().handshakes.leave(self.from);
    }
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Registers a handshake from this address.
    pub(crate) fn shake(&self, from: IpAddr) -> Result<Handshake, TooMany> {
        self.lock().handshakes.enter(from, HANDSHAKES)?;
        Ok(Handshake { live: self.clone(), from })
    }
    /// Registers a connection.
    pub(crate) fn admit(&self, who: Option<MachineId>, from: IpAddr) -> Result<Ticket, TooMany> {
        let mut inner = self.lock();
        if inner.all >= ALL {
            return Err(TooMany);
        }
        match who {
            Some(id) if inner.machines.get(&id).is_some_and(|open| open.len() >= PER_MACHINE) => return Err(TooMany),
            Some(_) => {}
            None => inner.strangers.enter(from, ANONYMOUS)?,
        }
        inner.all += 1;
        inner.next += 1;
        let (number, cut) = (inner.next, CancellationToken::new());
        if let Some(id) = who {
            inner.machines.entry(id).or_default().insert(number, cut.clone());
        }
        drop(inner);
        Ok(Ticket { live: self.clone(), who, from, number, cut })
    }
    /// Cuts all connections of a machine.
    pub(crate) fn cut(&self, machine: MachineId) {
        if let Some(open) = self.lock().machines.get(&machine) {
            open.values().for_each(CancellationToken::cancel);
        }
    }
    /// Returns whether the machine has an open connection.
    pub(crate) fn is_online(&self, machine: MachineId) -> bool {
        self.lock().machines.contains_key(&machine)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.live.lock();
        inner.all -= 1;
        match self.who {
            None => inner.strangers.leave(self.from),
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
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let of_a: Vec<Ticket> = (0..PER_MACHINE).map(|_| live.admit(Some(a), ip(1)).unwrap()).collect();
        assert!(live.admit(Some(a), ip(1)).is_err());
        let of_b = live.admit(Some(b), ip(1)).unwrap();
        live.cut(a);
        assert!(of_a.iter().all(|ticket| ticket.cut.is_cancelled()) && !of_b.cut.is_cancelled());
        drop(of_a);
        assert!(!live.is_online(a) && live.is_online(b));
        assert!(live.admit(Some(a), ip(1)).is_ok());
    }

    #[test]
    fn one_stranger_cannot_lock_the_others_out_and_all_strangers_together_no_machine() {
        let live = Live::default();
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let mut inside: Vec<Ticket> = (0..PER_ADDRESS).map(|_| live.admit(None, ip(1)).unwrap()).collect();
        assert!(live.admit(None, ip(1)).is_err());
        for last in 2.. {
            match live.admit(None, ip(last)) {
                Ok(ticket) => inside.push(ticket),
                Err(TooMany) => break,
            }
            inside.extend((1..PER_ADDRESS).map_while(|_| live.admit(None, ip(last)).ok()));
        }
        assert_eq!(inside.len(), ANONYMOUS);
        assert!(live.admit(Some(MachineId([1; 16])), ip(1)).is_ok());
        inside.pop();
        assert!(live.admit(None, ip(200)).is_ok());

        let shaking: Vec<Handshake> = (0..PER_ADDRESS).map(|_| live.shake(ip(1)).unwrap()).collect();
        assert!(live.shake(ip(1)).is_err() && live.shake(ip(2)).is_ok());
        drop(shaking);
        assert!(live.shake(ip(1)).is_ok());
    }
}
