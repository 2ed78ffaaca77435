//! The server's epoch, as far as this machine knows it (rule O2). A server that was restored from a backup forgets what came
//! after the backup; a higher epoch lets it start over, and everything it signed under a lower one is over.
//!
//! Only what the server signed can raise it: it never falls again. It is on the disk before it is believed.

use crate::state::{State, StateError};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Why something the server signed is not acted on.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// It comes from before the server was restored, or from a restored server that nobody told so.
    #[error(
        "it was signed under epoch {signed}, and this machine has seen {seen}: if the server was restored from a backup, run \
         `banyan-server raise-epoch` there"
    )]
    Back {
        /// Its epoch.
        signed: u64,
        /// The highest one seen.
        seen: u64,
    },
    /// A higher one could not be written down, so it is not believed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The highest epoch seen.
pub struct Epoch {
    seen: AtomicU64,
    state: Arc<State>,
}

impl Epoch {
    /// What an earlier run has seen, and what the machine was told when it enrolled.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn open(state: Arc<State>, enrolled: u64) -> Result<Self, StateError> {
        let seen = AtomicU64::new(state.epoch()?.max(enrolled));
        Ok(Self { seen, state })
    }
    /// The highest epoch seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }
    /// Checks the epoch of something whose signature was verified, and learns it when it is higher.
    ///
    /// # Errors
    /// [`EpochError::Back`] for a lower one.
    pub fn check(&self, signed: u64) -> Result<(), EpochError> {
        let seen = self.seen();
        if signed < seen {
            return Err(EpochError::Back { signed, seen });
        }
        if signed > seen {
            self.state.raise_epoch(signed)?;
            self.seen.fetch_max(signed, Ordering::AcqRel);
            tracing::info!(epoch = signed, "the server was restored from a backup: what it signed before is over");
        }
        Ok(())
    }
}
