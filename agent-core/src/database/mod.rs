//! The agent's database: one embedded file. Every accepted fact is synced before anything relies on it.
//!
//! Which chunks of an artifact are here is *not* stored: the file itself is hashed again (`banyan_wire::content`).

mod identity;
mod orders;
mod reports;

pub use identity::Enrolment;
pub use orders::{OrderRecord, StripeOffer};
pub(crate) use reports::NewReport;

use crate::sys;
use banyan_proto::{Reason, text};
use redb::{ReadableDatabase, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
const ORDERS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("orders");
const REPORTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("reports");

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file or its disk failed.
    #[error("the agent's database failed: {0}; {advice}", advice = advice(.0))]
    Storage(#[from] redb::Error),
    /// Another process has it open.
    #[error("another agent is running with this data folder; stop it first, or choose another folder (--data)")]
    InUse,
    /// This version cannot read a record.
    #[error("the agent's database holds a damaged record ({what}): {source}")]
    Damaged {
        /// The name of the record.
        what: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// There is no enrolment to change.
    #[error("this machine is not enrolled; start the agent once with --join-file FILE")]
    NotEnrolled,
}

impl DatabaseError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Storage(redb::Error::Io(error)) => Reason::of_disk_error(error),
            Self::Storage(_) | Self::InUse | Self::Damaged { .. } | Self::NotEnrolled => Reason::DiskFailed,
        }
    }
}

fn advice(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => text::disk_advice(error),
        redb::Error::PreviousIo => "check the disk",
        _ => "restore the data folder, or enrol the machine again with an empty one",
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => { $(impl From<redb::$error> for DatabaseError {
        fn from(error: redb::$error) -> Self {
            match error.into() {
                redb::Error::DatabaseAlreadyOpen => Self::InUse,
                error => Self::Storage(error),
            }
        }
    })* };
}
from_redb!(DatabaseError TransactionError TableError StorageError CommitError);

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
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = sys::owner_only(&mut options).open(path).map_err(redb::StorageError::Io)?;
    Ok(redb::Builder::new().create_with_backend(redb::backends::FileBackend::new(file)?)?)
}

/// Creates the database with its tables. It gets its name when it is complete, so that a full disk or a power cut leaves no
/// file that could not be opened. Later starts write nothing, so that they succeed on a full disk.
fn create_file(path: &Path) -> Result<(), DatabaseError> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(redb::StorageError::Io(error).into()),
        _ => {}
    }
    let database = open_file(&new)?;
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(ORDERS)?;
    transaction.open_table(REPORTS)?;
    transaction.commit()?;
    // Closed first: some systems rename no open file.
    drop(database);
    fs::rename(&new, path).map_err(|error| redb::StorageError::Io(error).into())
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
        if fs::metadata(path).map_or(0, |about| about.len()) == 0 {
            create_file(path)?;
        }
        let database = open_file(path)?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_that_was_interrupted_is_made_up_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.redb");
        // What a full disk or a power cut can leave.
        fs::write(path.with_extension("new"), [0; 4096]).unwrap();
        fs::write(&path, "").unwrap();
        let database = Database::open(&path).unwrap();
        database.store("a fact", &1).unwrap();
        assert!(matches!(Database::open(&path), Err(DatabaseError::InUse)));
        drop(database);
        assert_eq!(Database::open(&path).unwrap().load::<u8>("a fact").unwrap(), Some(1));
        assert!(!path.with_extension("new").exists());
    }
}
