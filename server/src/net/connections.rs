//! Open HTTP connections: counts and limits them, and cuts those of a revoked machine (rules I4, I5).

use banyan_proto::MachineId;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Most HTTP connections in total.
const MAX_CONNECTIONS: usize = 20_000;
/// Most HTTP connections of one machine: its long poll, its reports, a receipt, and late reconnects.
const MAX_PER_MACHINE: usize = 8;
/// Most HTTP connections without a certificate: enrolling machines and administrators.
const MAX_ANONYMOUS: usize = 256;
/// Most of these from one address, so that one client cannot lock the others out.
const MAX_PER_IP: usize = 64;
/// Most TLS handshakes in progress at once.
const MAX_HANDSHAKES: usize = 2048;

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many connections at once")]
pub(crate) struct TooMany;

#[derive(Default)]
struct OpenConnections {
    machines: HashMap<MachineId, HashMap<u64, CancellationToken>>,
    anonymous: PerIpCounter,
    handshakes: PerIpCounter,
    total: usize,
    next: u64,
}

/// Connections without a known identity, counted by address.
#[derive(Default)]
struct PerIpCounter {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

impl PerIpCounter {
    fn add(&mut self, from: IpAddr, limit: usize) -> Result<(), TooMany> {
        let count = self.per_ip.get(&from).copied().unwrap_or(0);
        if self.total >= limit || count >= MAX_PER_IP {
            return Err(TooMany);
        }
        self.total += 1;
        self.per_ip.insert(from, count + 1);
        Ok(())
    }
    fn remove(&mut self, from: IpAddr) {
        self.total -= 1;
        if let Some(count) = self.per_ip.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&from);
            }
        }
    }
}

/// All open HTTP connections, by machine.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<OpenConnections>>);

/// One open connection. Counts until it is dropped.
pub(crate) struct ConnectionGuard {
    connections: Connections,
    machine: Option<MachineId>,
    from: IpAddr,
    number: u64,
    /// Fires when the connection must be cut.
    pub(crate) cut: CancellationToken,
}

/// A handshake in progress. Counts until it is dropped.
pub(crate) struct HandshakeGuard {
    connections: Connections,
    from: IpAddr,
}

impl Drop for HandshakeGuard {
    fn drop(&mut self) {
        self.connections.lock().handshakes.remove(self.from);
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Registers a handshake from this address.
    pub(crate) fn begin_handshake(&self, from: IpAddr) -> Result<HandshakeGuard, TooMany> {
        self.lock().handshakes.add(from, MAX_HANDSHAKES)?;
        Ok(HandshakeGuard { connections: self.clone(), from })
    }
    /// Registers a connection.
    pub(crate) fn admit(&self, machine: Option<MachineId>, from: IpAddr) -> Result<ConnectionGuard, TooMany> {
        let mut inner = self.lock();
        if inner.total >= MAX_CONNECTIONS {
            return Err(TooMany);
        }
        match machine {
            Some(id) if inner.machines.get(&id).is_some_and(|open| open.len() >= MAX_PER_MACHINE) => {
                return Err(TooMany);
            }
            Some(_) => {}
            None => inner.anonymous.add(from, MAX_ANONYMOUS)?,
        }
        inner.total += 1;
        inner.next += 1;
        let (number, cut) = (inner.next, CancellationToken::new());
        if let Some(id) = machine {
            inner.machines.entry(id).or_default().insert(number, cut.clone());
        }
        drop(inner);
        Ok(ConnectionGuard { connections: self.clone(), machine, from, number, cut })
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

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut inner = self.connections.lock();
        inner.total -= 1;
        match self.machine {
            None => inner.anonymous.remove(self.from),
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
        let connections = Connections::default();
        let (a, b) = (MachineId([1; 16]), MachineId([2; 16]));
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let of_a: Vec<ConnectionGuard> =
            (0..MAX_PER_MACHINE).map(|_| connections.admit(Some(a), ip(1)).unwrap()).collect();
        assert!(connections.admit(Some(a), ip(1)).is_err());
        let of_b = connections.admit(Some(b), ip(1)).unwrap();
        connections.cut(a);
        assert!(of_a.iter().all(|ticket| ticket.cut.is_cancelled()) && !of_b.cut.is_cancelled());
        drop(of_a);
        assert!(!connections.is_online(a) && connections.is_online(b));
        assert!(connections.admit(Some(a), ip(1)).is_ok());
    }

    #[test]
    fn one_stranger_cannot_lock_the_others_out_and_all_strangers_together_no_machine() {
        let connections = Connections::default();
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let mut inside: Vec<ConnectionGuard> =
            (0..MAX_PER_IP).map(|_| connections.admit(None, ip(1)).unwrap()).collect();
        assert!(connections.admit(None, ip(1)).is_err());
        for last in 2.. {
            match connections.admit(None, ip(last)) {
                Ok(ticket) => inside.push(ticket),
                Err(TooMany) => break,
            }
            inside.extend((1..MAX_PER_IP).map_while(|_| connections.admit(None, ip(last)).ok()));
        }
        assert_eq!(inside.len(), MAX_ANONYMOUS);
        assert!(connections.admit(Some(MachineId([1; 16])), ip(1)).is_ok());
        inside.pop();
        assert!(connections.admit(None, ip(200)).is_ok());

        let handshakes: Vec<HandshakeGuard> =
            (0..MAX_PER_IP).map(|_| connections.begin_handshake(ip(1)).unwrap()).collect();
        assert!(connections.begin_handshake(ip(1)).is_err() && connections.begin_handshake(ip(2)).is_ok());
        drop(handshakes);
        assert!(connections.begin_handshake(ip(1)).is_ok());
    }
}
