//! Who this machine is, and whose signatures it accepts: one value that all stages share.

pub mod certificate;
pub mod epoch;
pub mod key;
pub mod server_addresses;
pub mod stops;

use crate::database::{Database, DatabaseError, Enrolment};
use banyan_proto::{KeyRing, MachineId, Signed, StopList};
use epoch::Epoch;
use server_addresses::ServerAddresses;
use std::sync::Arc;
use stops::{StopChanges, Stops, StopsError};

/// This machine and its server.
pub struct Identity {
    /// This machine's identifier.
    pub machine: MachineId,
    /// The server's identifier: the root of every tree.
    pub server: MachineId,
    /// The server's addresses, tried in turn.
    pub server_addresses: Arc<ServerAddresses>,
    /// The server's keys, which sign orders, hints, receipts and install permits.
    pub keys: KeyRing,
    /// The highest epoch seen; lower ones are refused.
    pub epoch: Epoch,
    /// The newest list of stopped orders.
    pub stops: Stops,
}

impl Identity {
    /// Takes the identity from the enrolment, with the highest epoch that an earlier run has seen.
    ///
    /// # Errors
    /// When the database fails or the epoch's record is damaged.
    pub fn open(enrolment: &Enrolment, database: Arc<Database>) -> Result<Self, DatabaseError> {
        Ok(Self {
            machine: enrolment.machine,
            server: enrolment.server,
            server_addresses: Arc::new(ServerAddresses::open(
                Arc::clone(&database),
                enrolment.server,
                enrolment.keys.clone(),
                &enrolment.server_addresses,
            )?),
            keys: enrolment.keys.clone(),
            epoch: Epoch::open(Arc::clone(&database), enrolment.epoch)?,
            stops: Stops::open(database, enrolment.server, enrolment.keys.clone())?,
        })
    }
    /// Takes a list of stopped orders if it is newer. Returns what it changes; `None` if it is not newer.
    pub(crate) fn accept_stops(&self, list: Signed<StopList>) -> Result<Option<StopChanges>, StopsError> {
        self.stops.accept(list, &self.epoch)
    }
}
