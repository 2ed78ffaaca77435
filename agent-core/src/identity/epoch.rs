//! The server's epoch, as known to this machine (rule O2). A server restored from a backup has lost everything after
//! the backup. Raising its epoch lets it start again: everything signed under a lower epoch becomes invalid.
//!
//! Only documents signed by the server raise the epoch, and it never falls. It is stored before it takes effect.

use crate::database::{Database, DatabaseError};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Why a document signed by the server is refused for its epoch.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The document was signed before the server was restored, or by a restored server whose epoch was not raised.
    #[error(
        "signed under epoch {signed}, but this machine has seen {seen}: if the server was restored from a \
         backup, run `banyan-server raise-epoch` there"
    )]
    Lower {
        /// The document's epoch.
        signed: u64,
        /// The highest epoch seen.
        seen: u64,
    },
    /// A higher epoch could not be stored, so it does not take effect.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The highest epoch seen, in memory and in the database.
pub struct Epoch {
    seen: AtomicU64,
    database: Arc<Database>,
}

impl Epoch {
    /// Loads the highest epoch that an earlier run has seen, or the one at enrolment.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn open(database: Arc<Database>, enrolled: u64) -> Result<Self, DatabaseError> {
        let seen = AtomicU64::new(database.load_epoch()?.max(enrolled));
        Ok(Self { seen, database })
    }
    /// Returns the highest epoch seen.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }
    /// Checks the epoch of a verified document, and stores it when it is higher.
    ///
    /// # Errors
    /// [`EpochError::Lower`] for a lower epoch; [`EpochError::Database`] when a higher one cannot be stored.
    pub fn check(&self, signed: u64) -> Result<(), EpochError> {
        let seen = self.highest();
        if signed < seen {
            return Err(EpochError::Lower { signed, seen });
        }
        if signed > seen {
            self.database.raise_epoch(signed)?;
            self.seen.fetch_max(signed, Ordering::AcqRel);
            tracing::info!(epoch = signed, "server epoch raised after a restore; earlier orders ended");
        }
        Ok(())
    }
}
