//! Open connections: counts them by kind of caller, limits each kind, and cuts those of a revoked machine (rules I4,
//! I5).
//!
//! Each connection is an open file, so all places together stay below the limit of open files. Every kind has its own
//! places. So machines cannot keep administrators out, and callers that have not proved who they are can keep nobody
//! out. Not even a thousand machines in their handshake can: an administrator's program announces itself in its first
//! message, and then waits for its handshake in places of its own. When callers of a kind that has proved nothing have
//! used up their places, the slow ones among them make room. Callers that have sent nothing yet make room at once, the
//! oldest of the network that has most of them first.

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
/// A caller that has said something, but has not proved who it is after this long, makes room for others.
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
    #[error("too many connections that announce an administrator and do not prove it")]
    Announced,
}

/// How many connections of each kind may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    /// Machines with a certificate.
    pub(crate) machines: usize,
    /// Callers with the administrator's token.
    pub(crate) administrators: usize,
    /// Callers that have sent nothing yet.
    pub(crate) arrivals: usize,
    /// Callers that announce an administrator, in the TLS handshake and before the token was seen.
    pub(crate) announced: usize,
    /// Other callers that have proved nothing yet: in the TLS handshake, and enrolling machines.
    pub(crate) strangers: usize,
}

impl Places {
    /// Divides the open files that are not needed for the database, the content and the peer protocol.
    pub(crate) fn within(limit: OpenFileLimit) -> Self {
        let all = limit.soft * 3 / 4;
        let administrators = (all / 8).clamp(4, 64);
        let announced = (all / 8).clamp(4, 64);
        let arrivals = (all / 8).clamp(4, 512);
        let strangers = (all / 4).clamp(8, 2048);
        let machines = all.saturating_sub(administrators + announced + arrivals + strangers).clamp(4, 100_000);
        Self { machines, administrators, arrivals, announced, strangers }
    }
}

/// Returns how many of a kind's places one address, or one IPv6 network, may take.
fn share_of_network(places: usize) -> usize {
    (places / 4).clamp(4, 256)
}

/// The network that an unproved caller's connections are counted by: an IPv4 address, or the /64 that one IPv6 host owns.
pub(crate) fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// What is known about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    UnprovedKind(UnprovedKind),
    Machine(MachineId),
    Administrator,
}

/// What a caller that has proved nothing has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnprovedKind {
    /// Nothing: it has just connected.
    Arrival,
    /// It announces an administrator.
    Announced,
    /// Something else.
    Stranger,
}

struct UnprovedCaller {
    network: IpAddr,
    since: Instant,
    cut: CancellationToken,
}

/// The callers of one kind that have proved nothing.
struct UnprovedCallers {
    places: usize,
    /// A caller that has been here for this long makes room for others.
    slow_after: Duration,
    too_many: TooMany,
    /// By number, so the oldest come first.
    callers: BTreeMap<u64, UnprovedCaller>,
    per_network: HashMap<IpAddr, usize>,
}

impl UnprovedCallers {
    fn new(places: usize, slow_after: Duration, too_many: TooMany) -> Self {
        Self { places, slow_after, too_many, callers: BTreeMap::new(), per_network: HashMap::new() }
    }
    /// Adds a caller, in the place of a slow one if all are taken.
    fn add(&mut self, number: u64, network: IpAddr, cut: CancellationToken) -> Result<(), TooMany> {
        let in_network = self.per_network.get(&network).copied().unwrap_or(0);
        if in_network >= share_of_network(self.places) && !self.cut_slow(|other| other.network == network) {
            return Err(self.too_many);
        }
        if self.callers.len() >= self.places {
            let fullest = self.fullest_network();
            if !self.cut_slow(|other| fullest == Some(other.network)) && !self.cut_slow(|_| true) {
                return Err(self.too_many);
            }
        }
        self.callers.insert(number, UnprovedCaller { network, since: Instant::now(), cut });
        *self.per_network.entry(network).or_default() += 1;
        Ok(())
    }
    fn remove(&mut self, number: u64) {
        let Some(caller) = self.callers.remove(&number) else { return };
        if let Some(count) = self.per_network.get_mut(&caller.network) {
            *count -= 1;
            if *count == 0 {
                self.per_network.remove(&caller.network);
            }
        }
    }
    /// Cuts the slowest caller among those that `is_meant` selects. Returns whether there was one.
    fn cut_slow(&mut self, is_meant: impl Fn(&UnprovedCaller) -> bool) -> bool {
        let slow = self.callers.iter().find(|(_, caller)| is_meant(caller));
        let Some((&number, caller)) = slow.filter(|(_, caller)| caller.since.elapsed() >= self.slow_after) else {
            return false;
        };
        caller.cut.cancel();
        self.remove(number);
        true
    }
    /// Returns the network with most callers; of several, the one whose caller has been here longest.
    fn fullest_network(&self) -> Option<IpAddr> {
        let most = self.per_network.values().max()?;
        let oldest = self.callers.values().find(|caller| self.per_network.get(&caller.network) == Some(most));
        oldest.map(|caller| caller.network)
    }
}

struct OpenConnections {
    places: Places,
    machines: HashMap<MachineId, HashMap<u64, CancellationToken>>,
    machine_connections: usize,
    administrators: usize,
    arrivals: UnprovedCallers,
    announced: UnprovedCallers,
    strangers: UnprovedCallers,
    next: u64,
    refused_machines: u64,
}

impl OpenConnections {
    fn unproved(&mut self, kind: UnprovedKind) -> &mut UnprovedCallers {
        match kind {
            UnprovedKind::Arrival => &mut self.arrivals,
            UnprovedKind::Announced => &mut self.announced,
            UnprovedKind::Stranger => &mut self.strangers,
        }
    }
    /// Frees the place of a caller that has proved who it is.
    fn remove_unproved(&mut self, kind: Kind, number: u64) {
        if let Kind::UnprovedKind(kind) = kind {
            self.unproved(kind).remove(number);
        }
    }
}

/// All open connections.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Mutex<OpenConnections>>);

/// The place of one open connection. Counts until it is dropped.
pub(crate) struct Place {
    connections: Connections,
    network: IpAddr,
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
            arrivals: UnprovedCallers::new(places.arrivals, Duration::ZERO, TooMany::Strangers),
            announced: UnprovedCallers::new(places.announced, SLOW_AFTER, TooMany::Announced),
            strangers: UnprovedCallers::new(places.strangers, SLOW_AFTER, TooMany::Strangers),
            next: 0,
            refused_machines: 0,
        })))
    }
    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Registers a connection that was just accepted.
    pub(crate) fn arrive(&self, from: IpAddr) -> Result<Place, TooMany> {
        let (network, cut) = (network_of(from), CancellationToken::new());
        let mut open = self.lock();
        open.next += 1;
        let number = open.next;
        open.arrivals.add(number, network, cut.clone())?;
        drop(open);
        let kind = Mutex::new(Kind::UnprovedKind(UnprovedKind::Arrival));
        Ok(Place { connections: self.clone(), network, kind, number, cut })
    }
    /// Cuts a slow caller that has proved nothing, because the system has no more open files.
    pub(crate) fn make_room(&self) {
        let mut open = self.lock();
        for kind in [UnprovedKind::Arrival, UnprovedKind::Stranger, UnprovedKind::Announced] {
            if open.unproved(kind).cut_slow(|_| true) {
                return;
            }
        }
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
    pub(crate) fn is_unproved(&self) -> bool {
        matches!(*self.kind(), Kind::UnprovedKind(_))
    }
    /// Returns whether the caller announces an administrator and has not proved it.
    pub(crate) fn is_announced(&self) -> bool {
        *self.kind() == Kind::UnprovedKind(UnprovedKind::Announced)
    }
    /// Moves the connection to the places of those that announce an administrator, or to the strangers': its first
    /// message has arrived.
    pub(crate) fn leave_arrivals(&self, announces_administrator: bool) -> Result<(), TooMany> {
        let mut open = self.connections.lock();
        let mut kind = self.kind();
        if self.cut.is_cancelled() {
            return Err(TooMany::Strangers);
        }
        let shown = if announces_administrator { UnprovedKind::Announced } else { UnprovedKind::Stranger };
        if *kind == Kind::UnprovedKind(UnprovedKind::Arrival) {
            open.unproved(shown).add(self.number, self.network, self.cut.clone())?;
            open.arrivals.remove(self.number);
            *kind = Kind::UnprovedKind(shown);
        }
        Ok(())
    }
    /// Moves the connection to the machines' places: its certificate was verified.
    pub(crate) fn become_machine(&self, id: MachineId) -> Result<(), TooMany> {
        let mut open = self.connections.lock();
        let mut kind = self.kind();
        // It made room in the moment in which its handshake ended. It must not be served and then cut.
        if self.cut.is_cancelled() {
            return Err(TooMany::Strangers);
        }
        if open.machines.get(&id).is_some_and(|connections| connections.len() >= MAX_PER_MACHINE) {
            return Err(TooMany::OfMachine);
        }
        if open.machine_connections >= open.places.machines {
            open.refused_machines += 1;
            return Err(TooMany::Machines);
        }
        open.remove_unproved(*kind, self.number);
        open.machines.entry(id).or_default().insert(self.number, self.cut.clone());
        open.machine_connections += 1;
        *kind = Kind::Machine(id);
        Ok(())
    }
    /// Moves the connection to the administrators' places, if one is free: its token was verified.
    pub(crate) fn become_administrator(&self) {
        let mut open = self.connections.lock();
        let mut kind = self.kind();
        if matches!(*kind, Kind::UnprovedKind(_)) && open.administrators < open.places.administrators {
            open.remove_unproved(*kind, self.number);
            open.administrators += 1;
            *kind = Kind::Administrator;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        match *self.kind() {
            Kind::UnprovedKind(kind) => open.unproved(kind).remove(self.number),
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

    const PLACES: Places = Places { machines: 20, administrators: 2, arrivals: 12, announced: 12, strangers: 12 };
    const OF_NETWORK: usize = 4;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }
    fn stranger(connections: &Connections, last: u8) -> Result<Place, TooMany> {
        let place = connections.arrive(ip(last))?;
        place.leave_arrivals(false)?;
        Ok(place)
    }
    fn machine(connections: &Connections, id: u8) -> Result<Place, TooMany> {
        let place = stranger(connections, id)?;
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
        assert!(!administrator.is_unproved());
        assert_eq!(connections.occupancy().refused, 1);
        drop(machines);
        assert!(machine(&connections, 1).is_ok());
    }

    #[test]
    fn administrators_get_in_while_machines_wait_for_their_handshakes_in_every_place() {
        let connections = Connections::new(PLACES);
        let mut waiting = Vec::new();
        let refused = (1..).find_map(|last| {
            let place = connections.arrive(ip(last)).unwrap();
            place.leave_arrivals(false).map(|()| waiting.push(place)).err()
        });
        assert_eq!((refused, waiting.len()), (Some(TooMany::Strangers), PLACES.strangers));
        let administrator = connections.arrive(ip(200)).unwrap();
        assert_eq!(administrator.leave_arrivals(true), Ok(()));
        administrator.become_administrator();
        assert!(!administrator.is_unproved());
        // Those that only announce it do not take the places of those that prove it.
        let mut liars = Vec::new();
        let refused = (1..).find_map(|last| {
            let place = connections.arrive(ip(last)).unwrap();
            place.leave_arrivals(true).map(|()| liars.push(place)).err()
        });
        assert_eq!((refused, liars.len()), (Some(TooMany::Announced), PLACES.announced));
        drop((waiting, liars, administrator));
        let open = connections.lock();
        assert!([&open.arrivals, &open.announced, &open.strangers].iter().all(|kind| kind.callers.is_empty()));
        assert_eq!(open.administrators, 0);
    }

    #[test]
    fn one_network_cannot_keep_others_out_and_slow_strangers_make_room() {
        let connections = Connections::new(PLACES);
        let arrive = |last: u8| stranger(&connections, last);
        let mut inside: Vec<Place> = (0..OF_NETWORK).map(|_| arrive(1).unwrap()).collect();
        assert_eq!(arrive(1).err(), Some(TooMany::Strangers));
        inside.extend((0..PLACES.strangers - OF_NETWORK).map(|n| arrive(2 + n as u8).unwrap()));
        assert_eq!(arrive(99).err(), Some(TooMany::Strangers));
        std::thread::sleep(SLOW_AFTER);
        let late = arrive(99).unwrap();
        assert!(inside[0].cut.is_cancelled(), "the oldest of the fullest network makes room");
        assert_eq!(inside.iter().filter(|place| place.cut.is_cancelled()).count(), 1);
        let id = MachineId([1; 16]);
        assert_eq!(inside[0].become_machine(id), Err(TooMany::Strangers), "what made room is over");
        assert_eq!(inside[1].become_machine(id), Ok(()));
        assert!(arrive(1).is_ok(), "the slow one's network can connect, too");
        assert!(!late.cut.is_cancelled());
        drop(inside);
        drop(late);
        let open = connections.lock();
        assert!(open.strangers.callers.is_empty() && open.strangers.per_network.is_empty());
    }

    #[test]
    fn callers_that_say_nothing_keep_nobody_out_not_even_their_own_network() {
        let connections = Connections::new(PLACES);
        let arrive = |last: u8| connections.arrive(ip(last)).unwrap();
        let cut = |places: &[Place]| places.iter().filter(|place| place.cut.is_cancelled()).count();
        let mut silent: Vec<Place> = (0..OF_NETWORK).map(|_| arrive(1)).collect();
        let neighbour = arrive(1);
        assert!(silent[0].cut.is_cancelled() && cut(&silent) == 1, "the oldest of the same network makes room");
        assert_eq!(silent[0].leave_arrivals(true), Err(TooMany::Strangers));
        silent.extend((2..).take(PLACES.arrivals - OF_NETWORK).map(arrive));
        let other = arrive(99);
        assert!(silent[1].cut.is_cancelled() && cut(&silent) == 2, "then the oldest of the fullest network");
        assert!(!neighbour.cut.is_cancelled() && !other.cut.is_cancelled());
        drop((silent, neighbour, other));
        let open = connections.lock();
        assert!(open.arrivals.callers.is_empty() && open.arrivals.per_network.is_empty());
    }

    #[test]
    fn an_ipv6_host_counts_as_one_whatever_addresses_it_takes() {
        let connections = Connections::new(PLACES);
        let arrive = |network: u16, host: u16| {
            let place = connections.arrive(IpAddr::from([0x2001, 0xdb8, 0, network, host, 1, 2, 3]))?;
            place.leave_arrivals(false).map(|()| place)
        };
        let _inside: Vec<Place> = (0..OF_NETWORK as u16).map(|host| arrive(7, host).unwrap()).collect();
        assert_eq!(arrive(7, 999).err(), Some(TooMany::Strangers));
        assert!(arrive(8, 1).is_ok());
    }

    #[test]
    fn all_places_together_stay_below_the_limit_of_open_files() {
        for soft in [64, 256, 1024, 4096, 65_536, 1 << 20] {
            let places = Places::within(OpenFileLimit { soft, hard: soft });
            let unproved = places.arrivals + places.announced + places.strangers;
            let all = places.machines + places.administrators + unproved;
            assert!(all <= soft * 4 / 5, "{soft}: {places:?}");
            assert!(places.administrators >= 4 && places.strangers >= 8, "{soft}: {places:?}");
        }
        assert!(Places::within(OpenFileLimit { soft: 1 << 14, hard: 1 << 14 }).machines >= 8000);
    }
}
