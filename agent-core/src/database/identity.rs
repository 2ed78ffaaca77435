//! What a machine is and whom it trusts: its enrolment, the server's epoch, and what publishers' metadata taught it.

use super::{Database, DatabaseError, RECORDS, decode, encode};
use banyan_proto::{Address, KeyRing, MachineId, Signed, StopList, peer::Metadata};
use banyan_trust::{PersonalTrust, TrustStore};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

/// This machine's identity and the keys it trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The machine's identifier.
    pub machine: MachineId,
    /// The machine's certificate (PEM). Its key is in a separate file.
    pub certificate: String,
    /// The certificate authority (PEM).
    pub ca: String,
    /// The server's identifier.
    pub server: MachineId,
    /// The server's addresses, tried in turn.
    pub server_addresses: Vec<Address>,
    /// The keys that sign orders, hints, receipts and install permits.
    pub keys: KeyRing,
    /// The server's epoch at enrolment. Higher epochs seen since are stored separately.
    pub epoch: u64,
}

impl Database {
    /// Returns this machine's identity; `None` before it has enrolled.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn load_enrolment(&self) -> Result<Option<Enrolment>, DatabaseError> {
        self.load("enrolment")
    }
    /// Stores this machine's identity, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn store_enrolment(&self, enrolment: &Enrolment) -> Result<(), DatabaseError> {
        self.store("enrolment", enrolment)
    }
    /// Replaces the machine's certificate.
    ///
    /// # Errors
    /// When the database fails, the record is damaged, or the machine is not enrolled.
    pub fn store_certificate(&self, certificate: &str) -> Result<(), DatabaseError> {
        self.update_enrolment(|enrolment| certificate.clone_into(&mut enrolment.certificate))
    }
    /// Returns the highest epoch of the server seen since enrolment; 0 if none was seen.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn load_epoch(&self) -> Result<u64, DatabaseError> {
        Ok(self.load("epoch")?.unwrap_or(0))
    }
    /// Stores a higher epoch, synced; a lower one changes nothing.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn raise_epoch(&self, epoch: u64) -> Result<(), DatabaseError> {
        const NAME: &str = "epoch";
        self.write(|transaction| {
            let mut table = transaction.open_table(RECORDS)?;
            let seen = table.get(NAME)?.map(|bytes| decode::<u64>(NAME, bytes.value())).transpose()?;
            table.insert(NAME, encode(&epoch.max(seen.unwrap_or(0)))?.as_slice())?;
            Ok(())
        })
    }
    fn update_enrolment(&self, change: impl FnOnce(&mut Enrolment)) -> Result<(), DatabaseError> {
        const NAME: &str = "enrolment";
        self.write(|transaction| {
            let mut table = transaction.open_table(RECORDS)?;
            let mut enrolment = table
                .get(NAME)?
                .map(|bytes| decode::<Enrolment>(NAME, bytes.value()))
                .transpose()?
                .ok_or(DatabaseError::NotEnrolled)?;
            change(&mut enrolment);
            table.insert(NAME, encode(&enrolment)?.as_slice())?;
            Ok(())
        })
    }
    /// Returns what this machine has learnt from publishers' metadata: trusted root, versions and version floors. A
    /// damaged record is an error, never a fresh start (rule T5).
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn load_trust(&self) -> Result<Option<TrustStore>, DatabaseError> {
        self.load("trust")
    }
    /// Stores what this machine has learnt from publishers' metadata, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn store_trust(&self, trust: &TrustStore) -> Result<(), DatabaseError> {
        self.store("trust", trust)
    }
    /// Returns the publishers that the user trusts without a server.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(crate) fn load_personal_trust(&self) -> Result<PersonalTrust, DatabaseError> {
        Ok(self.load("personal trust")?.unwrap_or_default())
    }
    /// Stores the publishers that the user trusts without a server, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn store_personal_trust(&self, trust: &PersonalTrust) -> Result<(), DatabaseError> {
        self.store("personal trust", trust)
    }
    /// Returns the newest metadata seen. It is a cache, so a damaged record counts as absent.
    #[must_use]
    pub fn load_metadata(&self) -> Option<Metadata> {
        self.load("metadata").unwrap_or(None)
    }
    /// Stores the newest metadata.
    ///
    /// # Errors
    /// When the database fails.
    pub fn store_metadata(&self, metadata: &Metadata) -> Result<(), DatabaseError> {
        self.store("metadata", metadata)
    }
    /// Returns the newest revocation list (DER).
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn load_crl(&self) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.load("crl")
    }
    /// Stores the newest revocation list (DER).
    ///
    /// # Errors
    /// When the database fails.
    pub fn store_crl(&self, der: &[u8]) -> Result<(), DatabaseError> {
        self.store("crl", &der)
    }
    /// Returns the newest list of stopped orders.
    pub(crate) fn load_stops(&self) -> Result<Option<Signed<StopList>>, DatabaseError> {
        self.load("stops")
    }
    /// Stores the newest list of stopped orders, synced.
    pub(crate) fn store_stops(&self, list: &Signed<StopList>) -> Result<(), DatabaseError> {
        self.store("stops", list)
    }
}
