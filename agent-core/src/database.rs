//! The agent's database: one embedded file. Every accepted fact is synced before anything relies on it.
//!
//! Which chunks of an artifact are here is *not* stored: the file itself is hashed again (`banyan_wire::content`).

use crate::sys;
use banyan_proto::{
    Address, AddresseeList, KeyRing, MachineId, Order, OrderId, Proof, Reason, Receipt, RollingCode, Signed,
    UnixSeconds,
    api::{ByteSource, Event, Report},
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{PersonalTrust, TrustStore};
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
const ORDERS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("orders");
const REPORTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("reports");

/// Maximum number of reports kept while the server cannot be reached; the oldest are dropped first.
const MAX_REPORTS: u64 = 10_000;
/// The same limit in bytes.
const MAX_REPORT_BYTES: u64 = 8 << 20;

/// A report to be queued.
pub(crate) struct NewReport {
    pub(crate) at: UnixSeconds,
    pub(crate) order: Option<OrderId>,
    pub(crate) event: Event,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file or its disk failed.
    #[error("the agent's database failed: {0}; check the disk, or enrol the machine again with an empty data folder")]
    Storage(#[from] redb::Error),
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

impl DatabaseError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Storage(redb::Error::Io(error)) => Reason::of_disk_error(error),
            Self::Storage(_) | Self::Damaged { .. } | Self::NotEnrolled => Reason::DiskFailed,
        }
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => { $(impl From<redb::$error> for DatabaseError {
        fn from(error: redb::$error) -> Self { Self::Storage(error.into()) }
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
    /// The server's addresses, tried in turn.
    pub server_addresses: Vec<Address>,
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
pub struct Database {
    path: PathBuf,
    /// Empty between closing and opening again.
    file: RwLock<Option<redb::Database>>,
    /// Whether a write failed. The file must then be opened again: until then it refuses everything.
    has_failed: AtomicBool,
}

fn open_file(path: &Path) -> Result<redb::Database, DatabaseError> {
    // The file contains secret codes, so only this user may read it, whatever the folder's mode.
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = sys::owner_only(&mut options).open(path).map_err(redb::StorageError::Io)?;
    Ok(redb::Builder::new().create_with_backend(redb::backends::FileBackend::new(file)?)?)
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, DatabaseError> {
    serde_json::to_vec(value).map_err(|source| DatabaseError::Damaged { what: "a record to be written", source })
}
fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DatabaseError> {
    serde_json::from_slice(bytes).map_err(|source| DatabaseError::Damaged { what, source })
}

impl Database {
    /// Opens the database, or creates it.
    ///
    /// # Errors
    /// When another agent has it open, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let database = open_file(path)?;
        // The tables are created once. A full disk then does not stop a later start.
        let reading = database.begin_read()?;
        let is_new = reading.open_table(RECORDS).is_err()
            || reading.open_table(ORDERS).is_err()
            || reading.open_table(REPORTS).is_err();
        drop(reading);
        if is_new {
            let transaction = database.begin_write()?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(ORDERS)?;
            transaction.open_table(REPORTS)?;
            transaction.commit()?;
        }
        let file = RwLock::new(Some(database));
        Ok(Self { path: path.to_owned(), file, has_failed: AtomicBool::new(false) })
    }

    /// Begins a transaction. After a failed write, such as on a full disk, the file is opened again first.
    fn begin<T>(
        &self,
        begin: impl Fn(&redb::Database) -> Result<T, redb::TransactionError>,
    ) -> Result<T, DatabaseError> {
        if !self.has_failed.load(Ordering::Acquire)
            && let Some(file) = &*self.file.read().unwrap_or_else(PoisonError::into_inner)
        {
            return Ok(begin(file)?);
        }
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if self.has_failed.swap(false, Ordering::AcqRel) || file.is_none() {
            // Closed first: the file can be open once only.
            *file = None;
            *file = Some(open_file(&self.path).inspect_err(|_| self.has_failed.store(true, Ordering::Release))?);
        }
        let open = file.as_ref().ok_or(redb::StorageError::PreviousIo)?;
        Ok(begin(open)?)
    }
    fn begin_read(&self) -> Result<redb::ReadTransaction, DatabaseError> {
        self.begin(|file| file.begin_read())
    }
    /// Carries out one write transaction, synced.
    fn write<T>(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let transaction = self.begin(redb::Database::begin_write)?;
        let written = change(&transaction).and_then(|result| Ok(transaction.commit().map(|()| result)?));
        if matches!(written, Err(DatabaseError::Storage(_))) {
            self.has_failed.store(true, Ordering::Release);
        }
        written
    }

    /// Loads a record by its name.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(crate) fn load<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, DatabaseError> {
        let table = self.begin_read()?.open_table(RECORDS)?;
        table.get(name)?.map(|bytes| decode(name, bytes.value())).transpose()
    }
    /// Stores a record under its name, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn store(&self, name: &'static str, value: &impl Serialize) -> Result<(), DatabaseError> {
        let bytes = encode(value)?;
        self.write(|transaction| {
            transaction.open_table(RECORDS)?.insert(name, bytes.as_slice())?;
            Ok(())
        })
    }

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

    /// Returns all orders.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn load_orders(&self) -> Result<Vec<OrderRecord>, DatabaseError> {
        let table = self.begin_read()?.open_table(ORDERS)?;
        table.iter()?.map(|row| decode("an order", row?.1.value())).collect()
    }
    /// Returns one order; `None` when it is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn load_order(&self, id: OrderId) -> Result<Option<OrderRecord>, DatabaseError> {
        let table = self.begin_read()?.open_table(ORDERS)?;
        table.get(&id.0)?.map(|bytes| decode("an order", bytes.value())).transpose()
    }
    /// Stores an order, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn store_order(&self, id: OrderId, record: &OrderRecord) -> Result<(), DatabaseError> {
        let bytes = encode(record)?;
        self.write(|transaction| {
            transaction.open_table(ORDERS)?.insert(&id.0, bytes.as_slice())?;
            Ok(())
        })
    }
    /// Changes an order in one transaction, synced. Does nothing when the order is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn update_order(&self, id: OrderId, change: impl FnOnce(&mut OrderRecord)) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(ORDERS)?;
            let Some(mut record) =
                table.get(&id.0)?.map(|bytes| decode::<OrderRecord>("an order", bytes.value())).transpose()?
            else {
                return Ok(());
            };
            change(&mut record);
            table.insert(&id.0, encode(&record)?.as_slice())?;
            Ok(())
        })
    }
    /// Deletes an order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_order(&self, id: OrderId) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            transaction.open_table(ORDERS)?.remove(&id.0)?;
            Ok(())
        })
    }

    /// Queues reports for the server and assigns their numbers. Returns how many of the oldest were dropped, because the
    /// queue is limited in number and in bytes.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn queue_reports(&self, reports: &[NewReport]) -> Result<u64, DatabaseError> {
        const NEXT: &str = "next report";
        self.write(|transaction| {
            let mut records = transaction.open_table(RECORDS)?;
            let mut table = transaction.open_table(REPORTS)?;
            let next = records.get(NEXT)?.map(|bytes| decode::<u64>(NEXT, bytes.value())).transpose()?;
            let mut next = next.unwrap_or(1);
            for NewReport { at, order, event } in reports {
                let report = Report { number: next, at: *at, order: *order, event: event.clone() };
                table.insert(next, encode(&report)?.as_slice())?;
                next += 1;
            }
            records.insert(NEXT, encode(&next)?.as_slice())?;
            let mut bytes: u64 = 0;
            for row in table.iter()? {
                bytes += row?.1.value().len() as u64;
            }
            let mut dropped = 0;
            while table.len()? > MAX_REPORTS || bytes > MAX_REPORT_BYTES {
                let Some(oldest) = table.pop_first()? else { break };
                bytes -= oldest.1.value().len() as u64;
                dropped += 1;
            }
            Ok(dropped)
        })
    }
    /// Returns the oldest reports that the server has not received: up to `most`, and up to this many bytes. Texts that
    /// an earlier version stored without a limit are cut.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub(crate) fn load_reports(&self, most: usize, most_bytes: usize) -> Result<Vec<Report>, DatabaseError> {
        let table = self.begin_read()?.open_table(REPORTS)?;
        let (mut reports, mut bytes) = (Vec::new(), 0);
        for row in table.iter()?.take(most) {
            let mut report: Report = decode("a report", row?.1.value())?;
            report.event.bound_texts();
            bytes += encode(&report)?.len() + 1;
            if bytes > most_bytes && !reports.is_empty() {
                break;
            }
            reports.push(report);
        }
        Ok(reports)
    }
    /// Deletes the reports up to this number, because the server has them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_reports_up_to(&self, up_to: u64) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            transaction.open_table(REPORTS)?.retain(|number, _| number > up_to)?;
            Ok(())
        })
    }
}
