//! What outlives a restart: one embedded database, every accepted fact synced before anything is done because of it.
//!
//! What a machine holds of an artifact is *not* in here: the file itself is hashed again (`banyan_wire::content`).

use banyan_proto::{
    AddresseeList, DeploymentId, KeyRing, MachineId, Order, Proof, Receipt, RollingCode, Signed, UnixSeconds,
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

/// Reports kept while the server is away; beyond it the oldest are dropped.
const REPORTS_KEPT: u64 = 10_000;

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file or its disk.
    #[error("the agent's database failed: {0}; check the disk, or enrol the machine again with an empty data folder")]
    Database(#[from] redb::Error),
    /// A record that this version cannot read.
    #[error("the agent's database holds a damaged record ({what}): {source}")]
    Damaged {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is nothing to change.
    #[error("this machine is not enrolled; start the agent once with --join CODE")]
    NotEnrolled,
}

macro_rules! from_redb {
    ($($error:ident)*) => { $(impl From<redb::$error> for StateError {
        fn from(error: redb::$error) -> Self { Self::Database(error.into()) }
    })* };
}
from_redb!(DatabaseError TransactionError TableError StorageError CommitError);

/// Who this machine is and whom it believes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Its identity.
    pub machine: MachineId,
    /// Its certificate (PEM). The key is in a file of its own.
    pub certificate: String,
    /// The CA (PEM).
    pub ca: String,
    /// The server's identity.
    pub server: MachineId,
    /// Where the server is.
    pub server_address: SocketAddr,
    /// Keys that sign orders, hints, receipts and go-aheads.
    pub keys: KeyRing,
    /// The server's epoch then; higher ones seen since are a record of their own.
    pub epoch: u64,
}

/// One order and how far this machine is with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderRecord {
    /// As signed.
    pub order: Signed<Order>,
    /// What proves its release.
    pub release: ReleaseProof,
    /// The offers that were accepted, by stripe.
    pub offers: BTreeMap<u8, StripeOffer>,
    /// The server's receipt.
    pub receipt: Option<Signed<Receipt>>,
    /// Set when it is over on this machine.
    pub ended: Option<Result<(), banyan_proto::Reason>>,
    /// Who the bytes came from.
    pub sources: Vec<ByteSource>,
}

/// What this machine was handed for one stripe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripeOffer {
    /// It first, then everyone it is responsible for.
    pub sublist: AddresseeList,
    /// The way from the root.
    pub proof: Proof,
    /// The machines the offer went through, the server first, the sender last.
    pub path: Vec<MachineId>,
    /// This machine's code.
    pub code: RollingCode,
}

/// The database.
pub struct State {
    database: Database,
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(value).map_err(|source| StateError::Damaged { what: "a record that was to be written", source })
}
fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(bytes).map_err(|source| StateError::Damaged { what, source })
}

impl State {
    /// Opens or makes the database.
    ///
    /// # Errors
    /// When another agent has it open, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        // The codes in it are secret: nobody else may read it, whatever the folder allows.
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

    /// Who this machine is; `None` before it has enrolled.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, StateError> {
        self.fact("enrolment")
    }
    /// # Errors
    /// When the database fails.
    pub fn set_enrolment(&self, enrolment: &Enrolment) -> Result<(), StateError> {
        self.set_fact("enrolment", enrolment)
    }
    /// The machine's identity has a new certificate.
    ///
    /// # Errors
    /// When the database fails, the record is damaged, or the machine is not enrolled.
    pub fn set_certificate(&self, certificate: &str) -> Result<(), StateError> {
        self.update_enrolment(|enrolment| certificate.clone_into(&mut enrolment.certificate))
    }
    /// The highest epoch of the server that this machine has seen since it enrolled; 0 for none.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn epoch(&self) -> Result<u64, StateError> {
        Ok(self.fact("epoch")?.unwrap_or(0))
    }
    /// Notes a higher epoch, synced; a lower one changes nothing.
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
    /// What the publishers' metadata has taught this machine: trusted root, versions, floors. A damaged record is an
    /// error, never a fresh start (rule T5).
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn trust(&self) -> Result<Option<TrustStore>, StateError> {
        self.fact("trust")
    }
    /// # Errors
    /// When the database fails.
    pub fn set_trust(&self, trust: &TrustStore) -> Result<(), StateError> {
        self.set_fact("trust", trust)
    }
    /// The newest metadata seen: a cache, so a damaged one is as good as none.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata> {
        self.fact("metadata").unwrap_or(None)
    }
    /// # Errors
    /// When the database fails.
    pub fn set_metadata(&self, metadata: &Metadata) -> Result<(), StateError> {
        self.set_fact("metadata", metadata)
    }
    /// The newest revocation list (DER).
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn crl(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.fact("crl")
    }
    /// # Errors
    /// When the database fails.
    pub fn set_crl(&self, der: &[u8]) -> Result<(), StateError> {
        self.set_fact("crl", &der)
    }

    /// What the people at the machine said, and what they are told; by name.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(crate) fn kept<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StateError> {
        self.fact(name)
    }
    /// # Errors
    /// When the database fails.
    pub(crate) fn keep(&self, name: &'static str, value: &impl Serialize) -> Result<(), StateError> {
        self.set_fact(name, value)
    }

    /// All orders.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn orders(&self) -> Result<Vec<OrderRecord>, StateError> {
        let table = self.database.begin_read()?.open_table(ORDERS)?;
        table.iter()?.map(|row| decode("an order", row?.1.value())).collect()
    }
    /// One order; `None` when it is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn order(&self, id: DeploymentId) -> Result<Option<OrderRecord>, StateError> {
        let table = self.database.begin_read()?.open_table(ORDERS)?;
        table.get(&id.0)?.map(|bytes| decode("an order", bytes.value())).transpose()
    }
    /// Writes an order, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_order(&self, id: DeploymentId, record: &OrderRecord) -> Result<(), StateError> {
        let bytes = encode(record)?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(ORDERS)?.insert(&id.0, bytes.as_slice())?;
        Ok(transaction.commit()?)
    }
    /// Changes an order in one transaction, synced; does nothing when it is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn update_order(&self, id: DeploymentId, change: impl FnOnce(&mut OrderRecord)) -> Result<(), StateError> {
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
    /// Forgets an order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_order(&self, id: DeploymentId) -> Result<(), StateError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ORDERS)?.remove(&id.0)?;
        Ok(transaction.commit()?)
    }

    /// Queues a report for the server; gives it its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn queue_report(
        &self,
        at: UnixSeconds,
        order: Option<DeploymentId>,
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
    /// The oldest reports that the server has not got yet.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn reports(&self, most: usize) -> Result<Vec<Report>, StateError> {
        let table = self.database.begin_read()?.open_table(REPORTS)?;
        table.iter()?.take(most).map(|row| decode("a report", row?.1.value())).collect()
    }
    /// The server has the reports up to this number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn reports_delivered(&self, up_to: u64) -> Result<(), StateError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(REPORTS)?.retain(|number, _| number > up_to)?;
        Ok(transaction.commit()?)
    }
}
