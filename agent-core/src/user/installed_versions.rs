//! The version of each package that Banyan has installed on this machine.

use crate::database::{Database, DatabaseError};
use banyan_proto::{UnixSeconds, local::Replaces};
use banyan_wire::lock::lock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Database key of the versions.
const KEY: &str = "installed";

/// What Banyan has installed, by package.
pub(crate) struct InstalledVersions {
    database: Arc<Database>,
    versions: Mutex<BTreeMap<String, Replaces>>,
}

impl InstalledVersions {
    /// Loads the record of earlier runs.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(crate) fn open(database: Arc<Database>) -> Result<Self, DatabaseError> {
        let versions = Mutex::new(database.load(KEY)?.unwrap_or_default());
        Ok(Self { database, versions })
    }
    /// Returns the version of a package that Banyan installed last.
    pub(crate) fn get(&self, package: &str) -> Option<Replaces> {
        lock(&self.versions).get(package).cloned()
    }
    /// Records the version now installed.
    pub(crate) fn record(&self, package: &str, version: &str, sequence: u64) {
        let mut versions = lock(&self.versions);
        let now = Replaces { version: version.to_owned(), sequence, at: UnixSeconds::now() };
        versions.insert(package.to_owned(), now);
        if let Err(error) = self.database.store(KEY, &*versions) {
            tracing::warn!(%error, "failed to record the installed version");
        }
    }
}
