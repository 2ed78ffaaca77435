//! Open connections: counts them by kind of caller, limits each kind, and cuts those of a revoked machine (rules I4,
//! I5).
//!
//! Each connection is an open file, so all places together stay below the limit of open files. Every kind has its own
//! places. So machines cannot keep administrators out, and callers that have not proved who they are can keep nobody
//! out. When these strangers have used up their places, the slow ones among them make room.

use banyan_proto::MachineId;
use banyan_wire::open_files::OpenFileLimit;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Most connections of one machine: its long poll, its reports, a receipt, and late reconnects.
const MAX_PER_MACHINE: usize = 8;
/// A stranger that has not proved who it is after this long makes room for others.
const SLOW_AFTER: Duration = Duration::from_millis(1500);

/// No place is free for this kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    #[error("all places for machines are taken")]
    Machines,
    #[error("this machine has too many connections")]
    OfMachine,
    #[error("too many connections without a known identity")]
    Strangers,
}

/// How many connections of each kind may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    /// Machines with a certificate.
    pub(crate) machines: usize,
    /// Callers with the administrator's token.
    pub(crate) administrators: usize,
    /// Callers that have proved nothing yet: in the TLS handshake, before the token was seen, and enrolling machines.
    pub(crate) strangers: usize,
    /// Strangers from one address, or one IPv6 network.
    pub(crate) per_network: usize,
}

impl Places {
    /// Divides the open files that are not needed for the database, the content and the peer protocol.
    pub(crate) fn within(limit: OpenFileLimit) -> Self {
        let all = limit.soft * 3 / 4;
        let administrators = (all / 8).clamp(4, 64);
        let strangers = (all / 4).clamp(8, 2048);
        let machines = all.saturating_sub(administrators + strangers).clamp(4, 100_000);
        Self { machines, administrators, strangers, per_network: (strangers / 4).clamp(4, 256) }
    }
}

/// The network that a stranger's connections are counted by: an IPv4 address, or the /64 that one IPv6 host owns.
pub(crate) fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// What is known about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stranger,
    Machine(MachineId),
    Administrator,
}

struct Stranger {
    network: IpAddr,
    since: Instant,
    cut: CancellationToken,
}

struct OpenConnections {
    places: Places,
    machines: HashMap<MachineId, HashMap<u64, CancellationToken>>,
    machine_connections: usize,
    administrators: usize,
    /// By number, so the oldest come first.
    strangers: BTreeMap<u64, Stranger>,
    per_network: HashMap<IpAddr, usize>,
    next: u64,
    refused_machines: u64,
}

impl OpenConnections {
    /// Cuts the slowest stranger among those that `is_meant` selects. Returns whether there was one.
    fn cut_slow_stranger(&mut self, is_meant: impl Fn(&Stranger) -> bool) -> bool {
        let slow = self.strangers.iter().find(|(_, stranger)| is_meant(stranger));
        let Some((&number, stranger)) = slow.filter(|(_, stranger)| stranger.since.elapsed() >= SLOW_AFTER) else {
            return false;
        };
        stranger.cut.cancel();
        self.remove_stranger(number);
        true
    }
    fn remove_stranger(&mut self, number: u64) {
        let Some(stranger) = self.strangers.remove(&number) else { return };
        if let Some(count) = self.per_network.get_mut(&stranger.network) {
            *count -= 1;
            if *count == 0 {
                self.per_network.remove(&stranger.network);
            }
        }
    }
    fn fullest_network(&self) -> Option<IpAddr> {
        self.per_network.iter().max_by_key(|(_, count)| **count).map(|(network, _)| *network)
    }
}

/// All open connections.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Mutex<OpenConnections>>);

/// The place of one open connection. Counts until it is dropped.
pub(crate) struct Place {
    connections: Connections,
    kind: Mutex<Kind>,
    number: u64,
    /// Fires when the connection must be cut.
    pub(crate) cut: CancellationToken,
}

/// How many places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub(crate) places: Places,
    pub(crate) machines: usize,
    /// Connections of machines that were refused for lack of places, since the start.
    pub(crate) refused: u64,
}

impl Connections {
    pub(crate) fn new(places: Places) -> Self {
        Self(Arc::new(Mutex::new(OpenConnections {
            places,
            machines: HashMap::new(),
            machine_connections: 0,
            administrators: 0,
            strangers: BTreeMap::new(),
            per_network: HashMap::new(),
            next: 0,
            refused_machines: 0,
        })))
    }
    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Registers a connection that was just accepted. Its caller is a stranger until it proves who it is.
    pub(crate) fn arrive(&self, from: IpAddr) -> Result<Place, TooMany> {
        let network = network_of(from);
        let mut open = self.lock();
        let in_network = open.per_network.get(&network).copied().unwrap_or(0);
        if in_network >= open.places.per_network && !open.cut_slow_stranger(|other| other.network == network) {
            return Err(TooMany::Strangers);
        }
        if open.strangers.len() >= open.places.strangers {
            let fullest = open.fullest_network();
            if !open.cut_slow_stranger(|other| Some(other.network) == fullest) && !open.cut_slow_stranger(|_| true) {
                return Err(TooMany::Strangers);
            }
        }
        open.next += 1;
        let (number, cut) = (open.next, CancellationToken::new());
        open.strangers.insert(number, Stranger { network, since: Instant::now(), cut: cut.clone() });
        *open.per_network.entry(network).or_default() += 1;
        drop(open);
        Ok(Place { connections: self.clone(), kind: Mutex::new(Kind::Stranger), number, cut })
    }
    /// Cuts slow strangers, because the system has no more open files.
    pub(crate) fn make_room(&self) {
        self.lock().cut_slow_stranger(|_| true);
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
    /// Returns how many places are taken.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let open = self.lock();
        Occupancy { places: open.places, machines: open.machines.len(), refused: open.refused_machines }
    }
}

impl Place {
    fn kind(&self) -> MutexGuard<'_, Kind> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns whether the caller has proved nothing yet.
    pub(crate) fn is_strangers(&self) -> bool {
        *self.kind() == Kind::Stranger
    }
    /// Moves the connection to the machines' places: its certificate was verified.
    pub(crate) fn become_machine(&self, id: MachineId) -> Result<(), TooMany> {
        let mut open = self.connections.lock();
        if open.machines.get(&id).is_some_and(|connections| connections.len() >= MAX_PER_MACHINE) {
            return Err(TooMany::OfMachine);
        }
        if open.machine_connections >= open.places.machines {
            open.refused_machines += 1;
            return Err(TooMany::Machines);
        }
        open.remove_stranger(self.number);
        open.machines.entry(id).or_default().insert(self.number, self.cut.clone());
        open.machine_connections += 1;
        *self.kind() = Kind::Machine(id);
        Ok(())
    }
    /// Moves the connection to the administrators' places, if one is free: its token was verified.
    pub(crate) fn become_administrator(&self) {
        let mut open = self.connections.lock();
        let mut kind = self.kind();
        if *kind == Kind::Stranger && open.administrators < open.places.administrators {
            open.remove_stranger(self.number);
            open.administrators += 1;
            *kind = Kind::Administrator;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        match *self.kind() {
            Kind::Stranger => open.remove_stranger(self.number),
            Kind::Administrator => open.administrators -= 1,
            Kind::Machine(id) => {
                open.machine_connections -= 1;
                let left = open.machines.get_mut(&id).map(|connections| {
                    connections.remove(&self.number);
                    connections.len()
                });
                if left == Some(0) {
                    open.machines.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { machines: 20, administrators: 2, strangers: 12, per_network: 4 };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }
    fn machine(connections: &Connections, id: u8) -> Result<Place, TooMany> {
        let place = connections.arrive(ip(id))?;
        place.become_machine(MachineId([id; 16]))?;
        Ok(place)
    }

    #[test]
    fn one_machine_cannot_take_all_places_and_cutting_it_leaves_the_others_alone() {
        let connections = Connections::new(PLACES);
        let of_a: Vec<Place> = (0..MAX_PER_MACHINE).map(|_| machine(&connections, 1).unwrap()).collect();
        assert_eq!(machine(&connections, 1).err(), Some(TooMany::OfMachine));
        let of_b = machine(&connections, 2).unwrap();
        connections.cut(MachineId([1; 16]));
        assert!(of_a.iter().all(|place| place.cut.is_cancelled()) && !of_b.cut.is_cancelled());
        drop(of_a);
        assert!(!connections.is_online(MachineId([1; 16])) && connections.is_online(MachineId([2; 16])));
        assert!(machine(&connections, 1).is_ok());
    }

    #[test]
    fn administrators_get_in_when_machines_have_taken_every_place_of_theirs() {
        let connections = Connections::new(PLACES);
        let mut machines = Vec::new();
        let refused = (1..).find_map(|id| machine(&connections, id).map(|place| machines.push(place)).err());
        assert_eq!((refused, machines.len()), (Some(TooMany::Machines), PLACES.machines));
        let administrator = connections.arrive(ip(200)).unwrap();
        administrator.become_administrator();
        assert!(!administrator.is_strangers());
        assert_eq!(connections.occupancy().refused, 1);
        drop(machines);
        assert!(machine(&connections, 1).is_ok());
    }

    #[test]
    fn one_network_cannot_keep_others_out_and_slow_strangers_make_room() {
        let connections = Connections::new(PLACES);
        let mut inside: Vec<Place> = (0..PLACES.per_network).map(|_| connections.arrive(ip(1)).unwrap()).collect();
        assert_eq!(connections.arrive(ip(1)).err(), Some(TooMany::Strangers));
        inside.extend((0..PLACES.strangers - PLACES.per_network).map(|n| connections.arrive(ip(2 + n as u8)).unwrap()));
        assert_eq!(connections.arrive(ip(99)).err(), Some(TooMany::Strangers));
        std::thread::sleep(SLOW_AFTER);
        let late = connections.arrive(ip(99)).unwrap();
        assert!(inside[0].cut.is_cancelled(), "the oldest of the fullest network makes room");
        assert_eq!(inside.iter().filter(|place| place.cut.is_cancelled()).count(), 1);
        assert!(connections.arrive(ip(1)).is_ok(), "the slow one's network can connect, too");
        assert!(!late.cut.is_cancelled());
        drop(inside);
        drop(late);
        assert!(connections.lock().strangers.is_empty() && connections.lock().per_network.is_empty());
    }

    #[test]
    fn an_ipv6_host_counts_as_one_whatever_addresses_it_takes() {
        let connections = Connections::new(PLACES);
        let at = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, host, 1, 2, 3]);
        let _inside: Vec<Place> =
            (0..PLACES.per_network as u16).map(|host| connections.arrive(at(host)).unwrap()).collect();
        assert_eq!(connections.arrive(at(999)).err(), Some(TooMany::Strangers));
        assert!(connections.arrive(IpAddr::from([0x2001, 0xdb8, 0, 8, 1, 1, 2, 3])).is_ok());
    }

    #[test]
    fn all_places_together_stay_below_the_limit_of_open_files() {
        for soft in [64, 256, 1024, 4096, 65_536, 1 << 20] {
            let places = Places::within(OpenFileLimit { soft, hard: soft });
            let all = places.machines + places.administrators + places.strangers;
            assert!(all <= soft * 4 / 5, "{soft}: {places:?}");
            assert!(places.administrators >= 4 && places.strangers >= 2 * places.per_network, "{soft}: {places:?}");
        }
        assert!(Places::within(OpenFileLimit { soft: 1 << 14, hard: 1 << 14 }).machines >= 8000);
    }
}
