//! Where this machine reaches its server: several host names and addresses, tried in turn, which can change.
//!
//! They come from the join code, from an administrator at this machine, and from the server itself. The server signs an
//! announcement of its addresses, which arrives with a check-in or through other machines, so a server can move before its
//! previous address goes. What came last is tried first; earlier addresses stay behind it. TLS identifies the server, so a
//! wrong address can only waste time.

use crate::database::{Database, DatabaseError};
use banyan_proto::{Address, AddressHint, Digest, KeyRing, MachineId, Signed, limits};
use banyan_wire::{lock::lock, lookup::Names};
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tracing::{info, warn};

/// Database key of the state.
const KEY: &str = "server-addresses";

/// Most hashes of given codes and lists that are kept.
const MAX_GIVEN: usize = 8;

/// How long a call waits for name servers: less than it may take to connect.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct StoredAddresses {
    /// The addresses, those to try first in front.
    addresses: Vec<Address>,
    /// The newest announcement, and its sequence; 0 for none.
    announced: Option<Signed<AddressHint>>,
    sequence: u64,
    /// Hashes of the last join codes and lists that were given at this machine. The same one given again changes nothing:
    /// it often stays in a service's command line while the server moves.
    given: Vec<Digest>,
}

/// The server's addresses, in memory and in the database.
pub struct ServerAddresses {
    server: MachineId,
    keys: KeyRing,
    database: Option<Arc<Database>>,
    state: Mutex<StoredAddresses>,
    names: Arc<Names>,
    /// How often an address failed: that many are moved from the front to the end.
    failures: AtomicUsize,
}

/// Returns the two lists joined, without duplicates, as many as are kept.
fn join(first: &[Address], then: &[Address]) -> Vec<Address> {
    let mut joined: Vec<Address> = Vec::new();
    for address in first.iter().chain(then) {
        if !joined.contains(address) {
            joined.push(address.clone());
        }
    }
    joined.truncate(limits::ADDRESSES_PER_MACHINE);
    joined
}

impl ServerAddresses {
    /// Loads the addresses that an earlier run has stored, or takes those at enrolment.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn open(
        database: Arc<Database>,
        server: MachineId,
        keys: KeyRing,
        enrolled: &[Address],
    ) -> Result<Self, DatabaseError> {
        let mut state: StoredAddresses = database.load(KEY)?.unwrap_or_default();
        state.addresses = join(&state.addresses, enrolled);
        Ok(Self {
            server,
            keys,
            database: Some(database),
            state: Mutex::new(state),
            names: Arc::default(),
            failures: AtomicUsize::new(0),
        })
    }
    /// Returns addresses that do not change, before a machine is enrolled.
    #[must_use]
    pub fn fixed(addresses: &[Address]) -> Self {
        let state = StoredAddresses { addresses: addresses.to_vec(), ..StoredAddresses::default() };
        Self {
            server: MachineId([0; 16]),
            keys: KeyRing::default(),
            database: None,
            state: Mutex::new(state),
            names: Arc::default(),
            failures: AtomicUsize::new(0),
        }
    }
    /// Returns the addresses in the order in which they are tried first.
    #[must_use]
    pub fn current(&self) -> Vec<Address> {
        lock(&self.state).addresses.clone()
    }
    /// Returns the addresses as one text, for people.
    #[must_use]
    pub fn list(&self) -> String {
        Address::list(&self.current())
    }
    /// Returns the sequence of the newest announcement here; 0 for none.
    pub(crate) fn sequence(&self) -> u64 {
        lock(&self.state).sequence
    }
    /// Looks the addresses up, now. Those that failed last come last.
    ///
    /// # Errors
    /// When no entry has a socket address: why the last host name could not be looked up.
    pub async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let mut sockets = self.names.look_up(&self.current(), LOOKUP_PATIENCE).await?;
        let failed = self.failures.load(Ordering::Relaxed) % sockets.len().max(1);
        sockets.rotate_left(failed);
        Ok(sockets)
    }
    /// Records that no call succeeded at the address that was tried first. A connection can be made and still fail, as
    /// when another computer has the address now; the next call therefore begins with another address.
    pub(crate) fn record_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
    /// Takes an announcement if the server signed it and it is newer than the one here. Returns whether it did.
    pub(crate) fn learn(&self, signed: &Signed<AddressHint>) -> bool {
        let hint = match signed.verify(&self.keys) {
            Ok(hint) if hint.machine == self.server && !hint.addresses.is_empty() => hint,
            Ok(_) => return false,
            Err(error) => {
                warn!(%error, "announcement of the server's addresses refused");
                return false;
            }
        };
        self.change("the server announced its addresses", |state| {
            if hint.sequence <= state.sequence {
                return false;
            }
            state.sequence = hint.sequence;
            state.announced = Some(signed.clone());
            let announced = hint.addresses.iter().take(limits::ADDRESSES_PER_MACHINE).cloned().collect::<Vec<_>>();
            state.addresses = join(&announced, &state.addresses);
            true
        })
        .unwrap_or_else(|error| {
            warn!(%error, "failed to store the server's announced addresses");
            false
        })
    }
    /// Takes the addresses in a join code, or a list, that was given at this machine; `text` is what was given. The same
    /// text given again changes nothing. Returns whether it changed anything.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set(&self, addresses: &[Address], text: &str) -> Result<bool, DatabaseError> {
        let given = Digest::of(text.trim().as_bytes());
        self.change("the server's addresses were set at this machine", |state| {
            if state.given.contains(&given) {
                return false;
            }
            state.given.push(given);
            let surplus = state.given.len().saturating_sub(MAX_GIVEN);
            state.given.drain(..surplus);
            state.addresses = join(addresses, &state.addresses);
            true
        })
    }
    /// Forgets that a code was given, because it was not used: given again, it is news again.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn forget_given(&self, text: &str) -> Result<(), DatabaseError> {
        let given = Digest::of(text.trim().as_bytes());
        self.change("a join code was not used", |state| {
            let before = state.given.len();
            state.given.retain(|known| *known != given);
            state.given.len() != before
        })
        .map(drop)
    }

    fn change(&self, what: &str, change: impl FnOnce(&mut StoredAddresses) -> bool) -> Result<bool, DatabaseError> {
        let mut state = lock(&self.state);
        let mut next = state.clone();
        if !change(&mut next) {
            return Ok(false);
        }
        if let Some(database) = &self.database {
            database.store(KEY, &next)?;
        }
        if next.addresses != state.addresses {
            info!(addresses = Address::list(&next.addresses), "{what}");
        }
        *state = next;
        self.failures.store(0, Ordering::Relaxed);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{SigningKey, UnixSeconds};

    const SERVER: MachineId = MachineId([9; 16]);

    fn list(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }
    fn hint(machine: MachineId, sequence: u64, texts: &[&str]) -> AddressHint {
        AddressHint { machine, addresses: list(texts), issued: UnixSeconds(1), sequence }
    }

    #[test]
    fn a_newer_announcement_is_kept_and_an_older_or_forged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let ((key, _), (stranger, _)) = (SigningKey::generate(), SigningKey::generate());
        let open = || {
            let keys = KeyRing(vec![key.public()]);
            ServerAddresses::open(Arc::clone(&database), SERVER, keys, &list(&["old:1"])).unwrap()
        };
        let addresses = open();
        assert!(addresses.learn(&key.sign(&hint(SERVER, 7, &["new:1", "old:1"]))));
        assert_eq!(addresses.current(), list(&["new:1", "old:1"]));
        for refused in [
            key.sign(&hint(SERVER, 7, &["other:1"])),
            key.sign(&hint(SERVER, 6, &["other:1"])),
            key.sign(&hint(MachineId([1; 16]), 8, &["other:1"])),
            key.sign(&hint(SERVER, 8, &[])),
            stranger.sign(&hint(SERVER, 8, &["other:1"])),
        ] {
            assert!(!addresses.learn(&refused));
        }
        drop(addresses);
        let again = open();
        assert_eq!((again.current(), again.sequence()), (list(&["new:1", "old:1"]), 7), "survives a restart");
    }

    #[test]
    fn what_was_given_at_the_machine_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let (key, _) = SigningKey::generate();
        let keys = KeyRing(vec![key.public()]);
        let addresses = ServerAddresses::open(database, SERVER, keys, &list(&["first:1"])).unwrap();
        assert!(addresses.set(&list(&["second:1"]), "code").unwrap());
        assert!(addresses.learn(&key.sign(&hint(SERVER, 1, &["third:1"]))));
        assert!(!addresses.set(&list(&["second:1"]), " code\n").unwrap(), "the code is still on the command line");
        assert_eq!(addresses.current(), list(&["third:1", "second:1", "first:1"]));
    }

    #[tokio::test]
    async fn after_a_failure_the_next_call_begins_with_another_address() {
        let addresses = ServerAddresses::fixed(&list(&["127.0.0.1:1", "127.0.0.1:2"]));
        let first = |sockets: Vec<SocketAddr>| sockets[0].port();
        assert_eq!(first(addresses.look_up().await.unwrap()), 1);
        addresses.record_failure();
        assert_eq!(first(addresses.look_up().await.unwrap()), 2);
        addresses.record_failure();
        assert_eq!(first(addresses.look_up().await.unwrap()), 1);
    }
}
