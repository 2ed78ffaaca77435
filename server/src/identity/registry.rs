//! The machine registry, in memory: answers lookups for offers, plans and check-ins. The store persists it.

use crate::{
    access::scope::Scope,
    identity::clone_detection::{AgentStarts, StartVerdict},
    net::accept::Admission,
    refusal::Refusal,
    store::{Assigned, DialledFrom, KnownReach, MachineRow},
};
use banyan_proto::{
    Address, AddressHint, KnownRates, LinkRates, MachineId, Reach, Reason, Signed, SigningKey, UnixSeconds, limits,
};
use banyan_swarm::{known_rates, planner::Site};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::Notify;

/// Longest time between writes of a machine's row (seconds), so that "last seen" is roughly right after a restart.
const STORE_SEEN_EVERY: u64 = 60;

/// The shortest beginning of an identifier that names a machine. Lists show eight digits.
const MIN_PREFIX_DIGITS: usize = 4;
/// Most machines that an error names.
const MAX_NAMED: usize = 5;

struct RegisteredMachine {
    row: MachineRow,
    hint: Signed<AddressHint>,
    starts: AgentStarts,
    stored: UnixSeconds,
    observed: ObservedMachine,
}

/// What the last check-in shows beside what is stored. Unknown after a restart and from older agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ObservedMachine {
    /// How far the machine's clock is ahead of this server's (seconds; negative: behind).
    pub(crate) clock_ahead: Option<i64>,
    /// The sequence of the newest announcement of this server's addresses that the machine has.
    pub(crate) server_addresses: Option<u64>,
}

impl RegisteredMachine {
    fn new(row: MachineRow, hint: Signed<AddressHint>) -> Self {
        let (starts, observed) = (AgentStarts::default(), ObservedMachine::default());
        Self { hint, starts, stored: row.seen, observed, row }
    }
}

/// What a check-in changed.
#[derive(Debug, PartialEq)]
pub(crate) struct CheckInEffect {
    /// The row to store, if something changed or the last write was long ago.
    pub(crate) row_to_store: Option<MachineRow>,
    /// Whether this is the first check-in since the machine enrolled.
    pub(crate) is_first: bool,
    /// What the check-in shows about the starts of the machine's agent.
    pub(crate) verdict: StartVerdict,
}

/// All machines by identifier, and the server itself as a source.
pub(crate) struct Registry {
    machines: RwLock<HashMap<MachineId, RegisteredMachine>>,
    /// The announcement of this server's addresses, and its sequence.
    server: Signed<AddressHint>,
    server_sequence: u64,
    server_id: MachineId,
    /// The sites of this server's addresses.
    server_sites: Vec<Site>,
    /// Fires when a machine has enrolled, or what one is assigned has changed.
    changed: Notify,
}

fn sign_hint(key: &SigningKey, machine: MachineId, addresses: &[Address], issued: UnixSeconds) -> Signed<AddressHint> {
    key.sign(&AddressHint { machine, addresses: addresses.to_vec(), issued, sequence: 0 })
}

impl Registry {
    pub(crate) fn new(rows: Vec<MachineRow>, server: &AddressHint, key: &SigningKey, now: UnixSeconds) -> Self {
        let register = |row: MachineRow| {
            let hint = sign_hint(key, row.id, &row.addresses, now);
            (row.id, RegisteredMachine::new(row, hint))
        };
        Self {
            machines: RwLock::new(rows.into_iter().map(register).collect()),
            server: key.sign(server),
            server_sequence: server.sequence,
            server_id: server.machine,
            server_sites: server.addresses.iter().map(|address| Site::of(std::slice::from_ref(address))).collect(),
            changed: Notify::new(),
        }
    }
    /// Waits until a machine has enrolled, or what one is assigned has changed. Also returns for a change since the last
    /// call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
    fn read(&self) -> RwLockReadGuard<'_, HashMap<MachineId, RegisteredMachine>> {
        self.machines.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<MachineId, RegisteredMachine>> {
        self.machines.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    /// Adds a machine that has just enrolled.
    pub(crate) fn add(&self, row: MachineRow, key: &SigningKey) {
        let hint = sign_hint(key, row.id, &row.addresses, row.seen);
        // Its first check-in must be stored, because that deletes the answer to its enrolment.
        let machine = RegisteredMachine { stored: UnixSeconds(0), ..RegisteredMachine::new(row, hint) };
        self.write().insert(machine.row.id, machine);
        self.changed.notify_one();
    }
    pub(crate) fn get(&self, id: MachineId) -> Option<MachineRow> {
        self.read().get(&id).map(|machine| machine.row.clone())
    }
    /// Returns when the machine was last seen.
    pub(crate) fn last_seen(&self, id: MachineId) -> Option<UnixSeconds> {
        self.read().get(&id).map(|machine| machine.row.seen)
    }
    /// Returns all machines, oldest first.
    pub(crate) fn all(&self) -> Vec<MachineRow> {
        let mut all: Vec<MachineRow> = self.read().values().map(|machine| machine.row.clone()).collect();
        all.sort_by_key(|row| (row.enrolled, row.id));
        all
    }
    /// Returns the machines of a scope, oldest first.
    pub(crate) fn all_in(&self, scope: &Scope) -> Vec<MachineRow> {
        let mut all = self.all();
        if !scope.is_all() {
            all.retain(|row| scope.includes(&row.assigned));
        }
        all
    }
    /// Returns whether this machine is registered and belongs to a scope.
    pub(crate) fn is_in(&self, id: MachineId, scope: &Scope) -> bool {
        self.read().get(&id).is_some_and(|machine| scope.includes(&machine.row.assigned))
    }
    /// Returns whether this machine is registered and not revoked.
    pub(crate) fn is_trusted(&self, id: MachineId) -> bool {
        self.read().get(&id).is_some_and(|machine| machine.row.revoked.is_none())
    }
    /// Returns why this machine is excluded, or `None` if it is not. An unknown machine is excluded.
    pub(crate) fn exclusion(&self, id: MachineId) -> Option<Reason> {
        self.read().get(&id).map_or(Some(Reason::NotAllowed), |machine| machine.row.exclusion())
    }
    /// Quarantines a machine, or readmits it with `None`, and forgets its agent's starts. Returns whether anything
    /// changed.
    pub(crate) fn set_quarantine(&self, id: MachineId, reason: Option<Reason>) -> bool {
        let mut machines = self.write();
        let Some(machine) = machines.get_mut(&id).filter(|machine| machine.row.quarantined != reason) else {
            return false;
        };
        machine.row.quarantined = reason;
        machine.starts = AgentStarts::default();
        true
    }
    /// Returns whether this start of the machine's agent must prove that it is running.
    pub(crate) fn is_awaiting_proof(&self, id: MachineId, start: u64) -> bool {
        self.read().get(&id).is_some_and(|machine| machine.starts.is_awaiting_proof(start))
    }
    /// Records an answer to this start of the machine's agent. Returns the answer's number.
    pub(crate) fn record_answer(&self, id: MachineId, start: u64) -> u64 {
        self.write().get_mut(&id).map_or(0, |machine| machine.starts.record_answer(start))
    }
    /// Records what a check-in shows beside what is stored.
    pub(crate) fn observe(&self, id: MachineId, observed: ObservedMachine) {
        if let Some(machine) = self.write().get_mut(&id) {
            machine.observed = observed;
        }
    }
    /// Returns the site of a machine, or of this server.
    pub(crate) fn site(&self, id: MachineId) -> Option<Site> {
        if id == self.server_id {
            return self.server_sites.first().copied();
        }
        self.read().get(&id).map(|machine| Site::of(&machine.row.addresses))
    }
    /// Returns how many machines a site has, without those that are excluded, and with this server if it is there.
    pub(crate) fn count_at(&self, site: Site) -> usize {
        let is_there = |machine: &&RegisteredMachine| {
            machine.row.exclusion().is_none() && Site::of(&machine.row.addresses) == site
        };
        self.read().values().filter(is_there).count() + usize::from(self.server_sites.first() == Some(&site))
    }
    /// Returns what the machine's last check-in showed.
    pub(crate) fn observed(&self, id: MachineId) -> ObservedMachine {
        self.read().get(&id).map(|machine| machine.observed).unwrap_or_default()
    }
    /// Returns whether a machine that has this announcement of the server's addresses lacks the current one.
    pub(crate) fn has_newer_addresses(&self, known: u64) -> bool {
        self.server_sequence > known
    }
    /// Returns the announcement of the server's addresses.
    pub(crate) fn server_addresses(&self) -> Signed<AddressHint> {
        self.server.clone()
    }
    /// Combines what the machine measured of its link with what is known. Returns the row to store.
    pub(crate) fn record_rates(&self, id: MachineId, measured: &LinkRates, now: UnixSeconds) -> Option<MachineRow> {
        let mut machines = self.write();
        let machine = machines.get_mut(&id)?;
        known_rates::combine(&mut machine.row.rates, measured, now);
        Some(machine.row.clone())
    }
    /// Records what a check of the machine's link has shown. Returns the row to store.
    pub(crate) fn record_link_check(&self, id: MachineId, checked: &LinkRates, now: UnixSeconds) -> Option<MachineRow> {
        let mut machines = self.write();
        let machine = machines.get_mut(&id)?;
        known_rates::record_check(&mut machine.row.rates, checked, now);
        Some(machine.row.clone())
    }
    /// Returns the most that the machine's link can receive (bytes of content a second), if it is known.
    pub(crate) fn download_rate(&self, id: MachineId, now: UnixSeconds) -> Option<u64> {
        known_rates::current(self.read().get(&id)?.row.rates.down, now)?.at_most
    }
    /// Returns whether nothing is known of one direction of the machine's link.
    pub(crate) fn needs_link_check(&self, id: MachineId, now: UnixSeconds) -> bool {
        let is_unknown = |known| known_rates::current(known, now).is_none();
        self.read().get(&id).is_some_and(|machine| {
            let KnownRates { down, up } = machine.row.rates;
            is_unknown(down) || is_unknown(up)
        })
    }
    pub(crate) fn server_id(&self) -> MachineId {
        self.server_id
    }
    /// Returns from where `by` dials the machine.
    fn dialled_from(&self, machines: &HashMap<MachineId, RegisteredMachine>, by: MachineId, site: Site) -> DialledFrom {
        let is_there = |other: &RegisteredMachine| Site::of(&other.row.addresses) == site;
        let is_own_site = match by == self.server_id {
            true => self.server_sites.contains(&site),
            false => machines.get(&by).is_some_and(is_there),
        };
        if is_own_site { DialledFrom::OwnSite } else { DialledFrom::Elsewhere }
    }
    /// Returns whether `by`, a machine or this server, can dial the machine, as far as is known.
    pub(crate) fn can_dial(&self, by: MachineId, id: MachineId, now: UnixSeconds) -> bool {
        let machines = self.read();
        let Some(machine) = machines.get(&id) else { return true };
        match machine.row.reach.reach(now) {
            Reach::Everyone => true,
            Reach::OwnSite => {
                let site = Site::of(&machine.row.addresses);
                self.dialled_from(&machines, by, site) == DialledFrom::OwnSite
            }
            Reach::Nobody => false,
        }
    }
    /// Returns whether this server should dial the machine to learn whether that works.
    pub(crate) fn needs_dial(&self, id: MachineId, now: UnixSeconds) -> bool {
        let machines = self.read();
        let Some(machine) = machines.get(&id).filter(|machine| machine.row.exclusion().is_none()) else { return false };
        let from = self.dialled_from(&machines, self.server_id, Site::of(&machine.row.addresses));
        machine.row.reach.needs_dial(from, now)
    }
    /// Records that `by` dialled the machine. Returns the row to store, if that is new.
    pub(crate) fn record_dial(
        &self,
        id: MachineId,
        by: MachineId,
        worked: bool,
        now: UnixSeconds,
    ) -> Option<MachineRow> {
        let mut machines = self.write();
        let site = Site::of(&machines.get(&id)?.row.addresses);
        let from = self.dialled_from(&machines, by, site);
        let machine = machines.get_mut(&id)?;
        machine.row.reach.record(from, worked, now).then(|| machine.row.clone())
    }
    /// Records what an administrator assigned to a machine.
    pub(crate) fn set_assigned(&self, id: MachineId, assigned: Assigned) {
        if let Some(machine) = self.write().get_mut(&id) {
            machine.row.assigned = assigned;
            self.changed.notify_one();
        }
    }
    /// Updates when the machine was last seen.
    pub(crate) fn touch(&self, id: MachineId, now: UnixSeconds) {
        if let Some(machine) = self.write().get_mut(&id) {
            machine.row.seen = now;
        }
    }
    pub(crate) fn revoke(&self, id: MachineId, replaced_by: Option<MachineId>, now: UnixSeconds) {
        if let Some(machine) = self.write().get_mut(&id) {
            machine.row.revoked.get_or_insert(now);
            machine.row.replaced_by = machine.row.replaced_by.or(replaced_by);
        }
    }
    /// Finds the one machine with this identifier, or its first digits, or this name.
    pub(crate) fn find_one(&self, name: &str) -> Result<MachineRow, Refusal> {
        self.find_one_in(name, &Scope::All)
    }
    /// Finds such a machine in a scope. Others do not exist for the caller, also where they have the same name.
    pub(crate) fn find_one_in(&self, name: &str, scope: &Scope) -> Result<MachineRow, Refusal> {
        let mut found = self.find_by_name(name, scope);
        match (found.pop(), found.is_empty()) {
            (Some(row), true) => Ok(row),
            (Some(row), false) => {
                let ids: Vec<String> =
                    found.iter().chain([&row]).take(MAX_NAMED).map(|row| row.id.to_string()).collect();
                let detail =
                    format!("several machines match {name:?}: {}; use one of these ids instead", ids.join(", "));
                Err(Refusal::conflict(Reason::BadRequest, detail))
            }
            (None, _) => {
                let detail = format!(
                    "no machine has the name {name:?} or an id that starts with it; `banyan machines` lists them"
                );
                Err(Refusal::not_found(detail))
            }
        }
    }
    /// Finds machines by identifier, else by its first digits or by name, which several may share. A name that an
    /// administrator gave goes before labels, so that no machine takes it by reporting it. Returns revoked ones only if no
    /// other machine has the name.
    fn find_by_name(&self, text: &str, scope: &Scope) -> Vec<MachineRow> {
        if let Some(row) = text.parse().ok().and_then(|id| self.get(id)) {
            return if scope.includes(&row.assigned) { vec![row] } else { vec![] };
        }
        let is_prefix = |row: &MachineRow| text.len() >= MIN_PREFIX_DIGITS && row.id.to_string().starts_with(text);
        let (named, others): (Vec<_>, Vec<_>) = self.all_in(scope).into_iter().partition(|row| row.name() == text);
        let is_trusted = |row: &MachineRow| row.revoked.is_none();
        let is_given = |row: &MachineRow| row.assigned.name.is_some() && is_trusted(row);
        let (some_given, some_trusted) = (named.iter().any(is_given), named.iter().any(is_trusted));
        let is_meant = |row: &MachineRow| match (some_given, some_trusted) {
            (true, _) => is_given(row),
            (false, true) => is_trusted(row),
            (false, false) => true,
        };
        let named = named.into_iter().filter(|row| is_meant(row) || is_prefix(row));
        named.chain(others.into_iter().filter(is_prefix)).collect()
    }
    /// Returns the machine's name, or its identifier if it is not registered.
    pub(crate) fn name(&self, id: MachineId) -> String {
        self.get(id).map_or_else(|| id.to_string(), |row| row.name().to_owned())
    }
    pub(crate) fn addresses(&self, id: MachineId) -> Vec<Address> {
        self.read().get(&id).map(|machine| machine.row.addresses.clone()).unwrap_or_default()
    }
    /// Returns the signed address hints for these machines, where they exist.
    pub(crate) fn hints(&self, ids: impl Iterator<Item = MachineId>) -> Vec<Signed<AddressHint>> {
        let machines = self.read();
        let hint = |id| {
            if id == self.server_id {
                return Some(self.server.clone());
            }
            machines.get(&id).filter(|machine| !machine.row.addresses.is_empty()).map(|machine| machine.hint.clone())
        };
        ids.filter_map(hint).collect()
    }
    /// Records what a machine reports about itself. `start` is the start of its agent, `last_answer` the number of the
    /// last answer that this start received. Returns `None` for a machine that is unknown or revoked.
    pub(crate) fn check_in(
        &self,
        reported: MachineRow,
        start: u64,
        last_answer: u64,
        key: &SigningKey,
    ) -> Option<CheckInEffect> {
        let mut machines = self.write();
        let machine = machines.get_mut(&reported.id).filter(|machine| machine.row.revoked.is_none())?;
        let verdict = machine.starts.record_message(start, last_answer);
        let row = &mut machine.row;
        if row.addresses != reported.addresses {
            machine.hint = sign_hint(key, reported.id, &reported.addresses, reported.seen);
            row.reach = KnownReach::default();
        }
        let changed =
            (&row.label, &row.software, &row.addresses) != (&reported.label, &reported.software, &reported.addresses);
        row.label = reported.label;
        row.software = reported.software;
        row.addresses = reported.addresses;
        row.seen = reported.seen;
        let is_first = machine.stored == UnixSeconds(0);
        let store = changed || row.seen.0.abs_diff(machine.stored.0) >= STORE_SEEN_EVERY;
        if store {
            machine.stored = row.seen;
        }
        Some(CheckInEffect { row_to_store: store.then(|| row.clone()), is_first, verdict })
    }
}

impl Admission for Registry {
    fn is_trusted(&self, machine: MachineId) -> bool {
        Self::is_trusted(self, machine)
    }
    fn exclusion(&self, machine: MachineId) -> Option<Reason> {
        Self::exclusion(self, machine)
    }
}

/// Returns the addresses where others can reach a machine that reports `reported` and connects from `from`.
///
/// The machine knows its port and its interfaces; the connection shows what others see. An unspecified address is
/// filled in from the connection. A loopback address is left out unless the machine runs on the server's own host.
pub(crate) fn reachable_addresses(reported: &[Address], from: IpAddr) -> Vec<Address> {
    let from = from.to_canonical();
    let mut found: Vec<Address> = Vec::new();
    for address in reported.iter().take(4 * limits::ADDRESSES_PER_MACHINE) {
        let address = match address.as_socket() {
            Some(socket) => {
                let ip = if socket.ip().is_unspecified() { from } else { socket.ip().to_canonical() };
                let leads_to_itself = ip.is_loopback() && !from.is_loopback();
                // A link-local address needs the name of an interface, which only its own computer knows.
                let is_link_local = matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local());
                if ip.is_multicast() || leads_to_itself || is_link_local {
                    continue;
                }
                SocketAddr::new(ip, socket.port()).into()
            }
            None => address.clone(),
        };
        if address.port() != 0 && !found.contains(&address) {
            found.push(address);
        }
    }
    found.truncate(limits::ADDRESSES_PER_MACHINE);
    // The connection's address works across network address translation, where the machine's own addresses do not.
    if let Some(port) = reported.first().map(Address::port)
        && !from.is_loopback()
        && port != 0
        && !Address::sockets(&found).any(|socket| socket.ip() == from)
    {
        found.truncate(limits::ADDRESSES_PER_MACHINE - 1);
        found.push(SocketAddr::new(from, port).into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::KnownRates;

    fn row(label: &str, seen: u64) -> MachineRow {
        MachineRow {
            id: MachineId([1; 16]),
            label: label.into(),
            assigned: Assigned::default(),
            platform: "linux-x86_64".into(),
            software: "t".into(),
            addresses: vec![],
            enrolled: UnixSeconds(1),
            seen: UnixSeconds(seen),
            revoked: None,
            quarantined: None,
            replaced_by: None,
            rates: KnownRates::default(),
            reach: KnownReach::default(),
        }
    }

    #[test]
    fn a_machine_is_found_by_its_name_or_the_digits_that_lists_show() {
        let (key, _) = SigningKey::generate();
        let server =
            AddressHint { machine: MachineId([9; 16]), addresses: vec![], issued: UnixSeconds(1), sequence: 1 };
        let rows = vec![
            row("desk", 1),
            MachineRow { id: MachineId([2; 16]), ..row("twin", 1) },
            MachineRow { id: MachineId([3; 16]), ..row("twin", 1) },
            MachineRow { id: MachineId([4; 16]), revoked: Some(UnixSeconds(1)), ..row("desk", 1) },
        ];
        let registry = Registry::new(rows, &server, &key, UnixSeconds(1));
        let find = |name: &str| registry.find_one(name).map(|row| row.id);
        assert_eq!(find("desk"), Ok(MachineId([1; 16])));
        for id in [MachineId([2; 16]), MachineId([4; 16])] {
            assert_eq!((find(&id.short()), find(&id.to_string())), (Ok(id), Ok(id)));
        }
        let given = Assigned { name: Some("till".into()), ..Assigned::default() };
        registry.set_assigned(MachineId([3; 16]), given);
        assert_eq!((find("till"), find("twin")), (Ok(MachineId([3; 16])), Ok(MachineId([2; 16]))));
        registry.set_assigned(MachineId([3; 16]), Assigned::default());
        assert!(find("twin").unwrap_err().to_string().contains(&MachineId([3; 16]).to_string()));
        assert!(find("02").is_err() && find("des").is_err() && find("").is_err());
    }

    #[test]
    fn what_a_machine_says_is_kept_until_it_is_revoked() {
        let (key, _) = SigningKey::generate();
        let server =
            AddressHint { machine: MachineId([9; 16]), addresses: vec![], issued: UnixSeconds(1), sequence: 1 };
        let registry = Registry::new(vec![row("a", 1)], &server, &key, UnixSeconds(1));
        let effect = registry.check_in(row("b", 6), 7, 0, &key).unwrap();
        assert_eq!(
            (effect.row_to_store.map(|row| row.label), effect.verdict),
            (Some("b".to_owned()), StartVerdict::New)
        );
        assert_eq!(
            registry.check_in(row("b", 7), 7, 0, &key),
            Some(CheckInEffect { row_to_store: None, is_first: false, verdict: StartVerdict::Repeated })
        );
        registry.revoke(MachineId([1; 16]), None, UnixSeconds(7));
        assert_eq!(registry.check_in(row("b", 8), 7, 0, &key), None);
    }

    #[test]
    fn who_can_dial_whom_is_remembered_until_the_machine_has_other_addresses() {
        let (key, _) = SigningKey::generate();
        let at = |text: &str| vec![text.parse::<Address>().unwrap()];
        let server = AddressHint {
            machine: MachineId([9; 16]),
            addresses: at("192.0.2.1:1"),
            issued: UnixSeconds(1),
            sequence: 1,
        };
        let of = |id: u8, address: &str| MachineRow { id: MachineId([id; 16]), addresses: at(address), ..row("a", 1) };
        let rows = vec![of(1, "10.0.0.1:1"), of(2, "10.0.0.2:1"), of(3, "10.0.1.3:1")];
        let registry = Registry::new(rows, &server, &key, UnixSeconds(1));
        let [one, neighbour, stranger, server] = [1, 2, 3, 9].map(|id| MachineId([id; 16]));
        let can_dial = |by| registry.can_dial(by, one, UnixSeconds(5));
        assert!(can_dial(neighbour) && can_dial(server) && registry.needs_dial(one, UnixSeconds(1)));
        assert!(registry.record_dial(one, server, false, UnixSeconds(1)).is_some());
        assert!(can_dial(neighbour) && !can_dial(stranger) && !can_dial(server), "as behind address translation");
        assert!(registry.record_dial(one, neighbour, false, UnixSeconds(2)).is_some());
        assert!(!can_dial(neighbour) && !registry.needs_dial(one, UnixSeconds(5)));
        assert_eq!(registry.record_dial(one, neighbour, false, UnixSeconds(3)), None, "nothing new");
        registry.check_in(of(1, "10.0.0.7:1"), 7, 0, &key).unwrap();
        assert!(can_dial(stranger) && registry.needs_dial(one, UnixSeconds(5)));
    }

    #[test]
    fn addresses_are_completed_from_the_connection_and_never_lead_into_the_dialler_itself() {
        let at = |text: &str| text.parse::<Address>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(reachable_addresses(&[at("127.0.0.1:7")], ip("127.0.0.1")), [at("127.0.0.1:7")]);
        assert_eq!(reachable_addresses(&[at("127.0.0.1:7"), at("10.0.0.5:7")], ip("10.0.0.5")), [at("10.0.0.5:7")]);
        assert_eq!(reachable_addresses(&[at("0.0.0.0:7")], ip("::ffff:10.0.0.5")), [at("10.0.0.5:7")]);
        assert_eq!(
            reachable_addresses(&[at("192.168.1.5:7")], ip("203.0.113.9")),
            [at("192.168.1.5:7"), at("203.0.113.9:7")]
        );
        assert_eq!(reachable_addresses(&[at("10.0.0.5:0"), at("224.0.0.1:5")], ip("127.0.0.1")), []);
        let named = [at("pc-1.example.org:7")];
        let found = reachable_addresses(&named, ip("203.0.113.9"));
        assert_eq!(found, [named[0].clone(), at("203.0.113.9:7")]);
        let many: Vec<Address> = (1..100).map(|n| SocketAddr::from(([10, 0, 0, n], 7)).into()).collect();
        let kept = reachable_addresses(&many, ip("203.0.113.9"));
        assert_eq!((kept.len(), kept.last()), (limits::ADDRESSES_PER_MACHINE, Some(&at("203.0.113.9:7"))));
    }
}
