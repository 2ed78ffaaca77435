//! The agent's database: one embedded file. Every accepted fact is synced before anything relies on it.
//!
//! Which chunks of an artifact are here is *not* stored: the file itself is hashed again (`banyan_wire::content`).

use banyan_proto::{
    AddresseeList, KeyRing, MachineId, Order, OrderId, Proof, Receipt, RollingCode, Signed, UnixSeconds,
    api::{ByteSource, Report},
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::TrustStore;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, net::SocketAddr, path::Path};

const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
const ORDERS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("orders");
const REPORTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("reports");

/// Maximum number of reports kept while the server cannot be reached; the oldest are dropped first.
const REPORTS_KEPT: u64 = 10_000;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file or its disk failed.
    #[error("the agent's database failed: {0}; check the disk, or enrol the machine again with an empty data folder")]
    Database(#[from] redb::Error),
    /// This version cannot read a record.
    #[error("the agent's database holds a damaged record ({what}): {source}")]
    Damaged {
        /// The name of the record.
        what: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// There is no enrolment to change.
    #[error("this machine is not enrolled; start the agent once with --join CODE")]
    NotEnrolled,
}

macro_rules! from_redb {
    ($($error:ident)*) => { $(impl From<redb::$error> for StateError {
        fn from(error: redb::$error) -> Self { Self::Database(error.into()) }
    })* };
}
from_redb!(DatabaseError TransactionError TableError StorageError CommitError);

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
    /// The server's address.
    pub server_address: SocketAddr,
    /// The keys that sign orders, hints, receipts and install permits.
    pub keys: KeyRing,
    /// The server's epoch at enrolment. Higher epochs seen since are stored separately.
    pub epoch: u64,
}

/// One order and its progress on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderRecord {
    /// The order as signed.
    pub order: Signed<Order>,
    /// The proof of its release.
    pub release: ReleaseProof,
    /// The accepted offers, by stripe.
    pub offers: BTreeMap<u8, StripeOffer>,
    /// The server's receipt.
    pub receipt: Option<Signed<Receipt>>,
    /// The result; set when the order has ended on this machine.
    pub ended: Option<Result<(), banyan_proto::Reason>>,
    /// The machines that the bytes came from.
    pub sources: Vec<ByteSource>,
}

/// An accepted offer of one stripe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripeOffer {
    /// The sublist: this machine first, then every machine it is responsible for.
    pub sublist: AddresseeList,
    /// The proof that leads from the list's root to the sublist.
    pub proof: Proof,
    /// The machines that the offer passed through, from the server to the sender.
    pub path: Vec<MachineId>,
    /// This machine's authentication code.
    pub code: RollingCode,
}

/// The database.
pub struct State {
    database: Database,
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(value).map_err(|source| StateError::Damaged { what: "a record to be written", source })
}
fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(bytes).map_err(|source| StateError::Damaged { what, source })
}

impl State {
    /// Opens the database, or creates it.
    ///
    /// # Errors
    /// When another agent has it open, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        // The file contains secret codes, so only this user may read it, whatever the folder's mode.
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(redb::StorageError::Io)?;
        let database = redb::Builder::new().create_with_backend(redb::backends::FileBackend::new(file)?)?;
        let transaction = database.begin_write()?;
        transaction.open_table(FACTS)?;
        transaction.open_table(ORDERS)?;
        transaction.open_table(REPORTS)?;
        transaction.commit()?;
        Ok(Self { database })
    }

    fn fact<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StateError> {
        let table = self.database.begin_read()?.open_table(FACTS)?;
        table.get(name)?.map(|bytes| decode(name, bytes.value())).transpose()
    }
    fn set_fact(&self, name: &'static str, value: &impl Serialize) -> Result<(), StateError> {
        let bytes = encode(value)?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(FACTS)?.insert(name, bytes.as_slice())?;
        Ok(transaction.commit()?)
    }

    /// Returns this machine's identity; `None` before it has enrolled.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, StateError> {
        self.fact("enrolment")
    }
    /// Stores this machine's identity, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_enrolment(&self, enrolment: &Enrolment) -> Result<(), StateError> {
        self.set_fact("enrolment", enrolment)
    }
    /// Replaces the machine's certificate.
    ///
    /// # Errors
    /// When the database fails, the record is damaged, or the machine is not enrolled.
    pub fn set_certificate(&self, certificate: &str) -> Result<(), StateError> {
        self.update_enrolment(|enrolment| certificate.clone_into(&mut enrolment.certificate))
    }
    /// Returns the highest epoch of the server seen since enrolment; 0 if none was seen.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn epoch(&self) -> Result<u64, StateError> {
        Ok(self.fact("epoch")?.unwrap_or(0))
    }
    /// Stores a higher epoch, synced; a lower one changes nothing.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn raise_epoch(&self, epoch: u64) -> Result<(), StateError> {
        const NAME: &str = "epoch";
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(FACTS)?;
            let seen = table.get(NAME)?.map(|bytes| decode::<u64>(NAME, bytes.value())).transpose()?;
            table.insert(NAME, encode(&epoch.max(seen.unwrap_or(0)))?.as_slice())?;
        }
        Ok(transaction.commit()?)
    }
    fn update_enrolment(&self, change: impl FnOnce(&mut Enrolment)) -> Result<(), StateError> {
        const NAME: &str = "enrolment";
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(FACTS)?;
            let mut enrolment = table
                .get(NAME)?
                .map(|bytes| decode::<Enrolment>(NAME, bytes.value()))
                .transpose()?
                .ok_or(StateError::NotEnrolled)?;
            change(&mut enrolment);
            table.insert(NAME, encode(&enrolment)?.as_slice())?;
        }
        Ok(transaction.commit()?)
    }
    /// Returns what this machine has learnt from publishers' metadata: trusted root, versions and version floors. A
    /// damaged record is an error, never a fresh start (rule T5).
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn trust(&self) -> Result<Option<TrustStore>, StateError> {
        self.fact("trust")
    }
    /// Stores what this machine has learnt from publishers' metadata, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_trust(&self, trust: &TrustStore) -> Result<(), StateError> {
        self.set_fact("trust", trust)
    }
    /// Returns the newest metadata seen. It is a cache, so a damaged record counts as absent.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata> {
        self.fact("metadata").unwrap_or(None)
    }
    /// Stores the newest metadata.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_metadata(&self, metadata: &Metadata) -> Result<(), StateError> {
        self.set_fact("metadata", metadata)
    }
    /// Returns the newest revocation list (DER).
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn crl(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.fact("crl")
    }
    /// Stores the newest revocation list (DER).
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_crl(&self, der: &[u8]) -> Result<(), StateError> {
        self.set_fact("crl", &der)
    }

    /// Loads a record of user settings or history by its name.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(crate) fn kept<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StateError> {
        self.fact(name)
    }
    /// Stores a record of user settings or history under its name, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn keep(&self, name: &'static str, value: &impl Serialize) -> Result<(), StateError> {
        self.set_fact(name, value)
    }

    /// Returns all orders.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn orders(&self) -> Result<Vec<OrderRecord>, StateError> {
        let table = self.database.begin_read()?.open_table(ORDERS)?;
        table.iter()?.map(|row| decode("an order", row?.1.value())).collect()
    }
    /// Returns one order; `None` when it is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn order(&self, id: OrderId) -> Result<Option<OrderRecord>, StateError> {
        let table = self.database.begin_read()?.open_table(ORDERS)?;
        table.get(&id.0)?.map(|bytes| decode("an order", bytes.value())).transpose()
    }
    /// Stores an order, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_order(&self, id: OrderId, record: &OrderRecord) -> Result<(), StateError> {
        let bytes = encode(record)?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(ORDERS)?.insert(&id.0, bytes.as_slice())?;
        Ok(transaction.commit()?)
    }
    /// Changes an order in one transaction, synced. Does nothing when the order is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn update_order(&self, id: OrderId, change: impl FnOnce(&mut OrderRecord)) -> Result<(), StateError> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ORDERS)?;
            let Some(mut record) =
                table.get(&id.0)?.map(|bytes| decode::<OrderRecord>("an order", bytes.value())).transpose()?
            else {
                return Ok(());
            };
            change(&mut record);
            table.insert(&id.0, encode(&record)?.as_slice())?;
        }
        Ok(transaction.commit()?)
    }
    /// Deletes an order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_order(&self, id: OrderId) -> Result<(), StateError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ORDERS)?.remove(&id.0)?;
        Ok(transaction.commit()?)
    }

    /// Queues a report for the server and assigns its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn queue_report(
        &self,
        at: UnixSeconds,
        order: Option<OrderId>,
        event: banyan_proto::api::Event,
    ) -> Result<(), StateError> {
        let next: u64 = self.fact("next report")?.unwrap_or(1);
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(REPORTS)?;
            let report = Report { number: next, at, order, event };
            table.insert(next, encode(&report)?.as_slice())?;
            if next > REPORTS_KEPT {
                table.remove(next - REPORTS_KEPT)?;
            }
            transaction.open_table(FACTS)?.insert("next report", encode(&(next + 1))?.as_slice())?;
        }
        Ok(transaction.commit()?)
    }
    /// Returns up to `most` of the oldest reports that the server has not received.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn reports(&self, most: usize) -> Result<Vec<Report>, StateError> {
        let table = self.database.begin_read()?.open_table(REPORTS)?;
        table.iter()?.take(most).map(|row| decode("a report", row?.1.value())).collect()
    }
    /// Deletes the reports up to this number, because the server has them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn reports_delivered(&self, up_to: u64) -> Result<(), StateError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(REPORTS)?.retain(|number, _| number > up_to)?;
        Ok(transaction.commit()?)
    }
}
