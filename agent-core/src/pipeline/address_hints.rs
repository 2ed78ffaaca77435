//! The last known addresses of the machines in the accepted orders, as the server signed them.

use crate::identity::Identity;
use banyan_proto::{Address, AddressHint, MachineId, Signed, UnixSeconds, limits};
use banyan_wire::lock::lock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// An address hint, and the same as signed, for forwarding.
struct KnownHint {
    hint: AddressHint,
    signed: Signed<AddressHint>,
}

/// The newest address hint of each machine.
pub(crate) struct AddressHints {
    identity: Arc<Identity>,
    known: Mutex<HashMap<MachineId, KnownHint>>,
}

impl AddressHints {
    pub(crate) fn new(identity: Arc<Identity>) -> Self {
        Self { identity, known: Mutex::default() }
    }
    /// Stores address hints that came with an offer. Hints without a valid signature are ignored.
    pub(crate) fn learn(&self, hints: &[Signed<AddressHint>]) {
        // A hint from the future was signed while the server's clock was ahead; it must not outlast the correction.
        let now = UnixSeconds::now();
        for signed in hints {
            let Ok(mut hint) = signed.verify(&self.identity.keys) else { continue };
            if hint.machine == self.identity.server && hint.sequence > self.identity.server_addresses.sequence() {
                self.identity.server_addresses.learn(signed);
            }
            hint.addresses.truncate(limits::ADDRESSES_PER_MACHINE);
            let mut known = lock(&self.known);
            if known.get(&hint.machine).is_none_or(|older| older.hint.issued.min(now) <= hint.issued) {
                known.insert(hint.machine, KnownHint { hint, signed: signed.clone() });
            }
        }
    }
    /// Returns the last known addresses of a machine.
    pub(crate) fn addresses(&self, peer: MachineId) -> Vec<Address> {
        let known = lock(&self.known).get(&peer).map(|known| known.hint.addresses.clone());
        let hinted = known.unwrap_or_default();
        if peer != self.identity.server {
            return hinted;
        }
        let mut addresses = self.identity.server_addresses.current();
        addresses.extend(hinted.into_iter().filter(|hint| !addresses.contains(hint)).collect::<Vec<_>>());
        addresses
    }
    /// Returns the signed hints about these machines.
    pub(crate) fn signed(&self, machines: impl Iterator<Item = MachineId>) -> Vec<Signed<AddressHint>> {
        let known = lock(&self.known);
        machines.filter_map(|machine| Some(known.get(&machine)?.signed.clone())).collect()
    }
}
