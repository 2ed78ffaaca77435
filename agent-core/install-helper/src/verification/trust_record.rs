//! The installer's trust record: trusted keys and learned counters, in one small file that only the installer can
//! write.
//!
//! The first call sets whom to trust, and no later call changes it, because the caller may have taken the agent over.
//! From then on a new publishers' root needs the old root's signature, and minimum sequences, epochs and order numbers
//! only rise. A change is synced before the installer acts on it. A damaged file is never treated as a missing one.

use crate::{
    error::{Doing, Trouble},
    protocol::Enrolled,
    storage::layout::{Layout, write_synced},
    verification::{
        personal_record::Alone,
        record_file::{damaged, read},
    },
};
use banyan_proto::{Digest, KeyRing, MachineId, Reason};
use banyan_trust::TrustStore;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io};

/// The trust record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// This machine's identifier.
    pub(crate) machine: MachineId,
    /// The server's identifier.
    pub(crate) server: MachineId,
    /// The keys that sign orders and install permits.
    pub(crate) keys: KeyRing,
    /// The highest epoch seen.
    pub(crate) epoch: u64,
    /// The hash of the root that the record began with.
    first_root: Digest,
    /// The publishers' root, metadata versions and minimum sequences.
    pub(crate) trust: TrustStore,
    /// For each package, the epoch and number of the newest admitted order.
    pub(crate) newest: BTreeMap<String, (u64, u64)>,
}

/// Sets whom to trust at the first call. Later calls only confirm that it is still the same.
///
/// # Errors
/// When different keys are already trusted, when the root is not the one that the administrator set, or when the root
/// is invalid.
pub(crate) fn believe(layout: &Layout, said: &Enrolled) -> Result<(), Trouble> {
    // Reads without the lock: the agent must not wait for a running install before it starts.
    if let Some(record) = Record::find(layout)? {
        return record.is_of(layout, said);
    }
    let _lock = layout.exclusively()?;
    if let Some(record) = Record::find(layout)? {
        return record.is_of(layout, said);
    }
    let root = Digest::of(said.root.as_bytes());
    let fresh = TrustStore::enrol(&said.root, named(layout)?.unwrap_or(root))?;
    // Earlier installs without a server have set minimum sequences, which never fall (rule N11).
    let trust = Alone::find(layout)?.and_then(|alone| alone.for_server(&said.root)).unwrap_or(fresh);
    let record = Record {
        machine: said.machine,
        server: said.server,
        keys: said.keys.clone(),
        epoch: said.epoch,
        first_root: root,
        trust,
        newest: BTreeMap::new(),
    };
    record.save(layout)
}

/// Sets the publishers' root on behalf of the administrator, before the agent's first start. Then not even the agent's
/// first call has to be trusted.
///
/// # Errors
/// When another root is already set or trusted.
pub(crate) fn name_root(layout: &Layout, root: Digest) -> Result<(), Trouble> {
    let _lock = layout.exclusively()?;
    let known = match Record::find(layout)? {
        Some(record) => Some(record.first_root),
        None => named(layout)?,
    };
    match known {
        Some(known) if known == root => Ok(()),
        Some(known) => {
            let detail =
                format!("this installer trusts the root {known}, but the join code names {root}; {}", way(layout));
            Err(Trouble::because(Reason::NotAllowed, detail))
        }
        None => write_synced(&layout.named_root(), root.to_string().as_bytes()),
    }
}

/// Returns the root that the administrator set.
pub(crate) fn named(layout: &Layout) -> Result<Option<Digest>, Trouble> {
    let path = layout.named_root();
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
        Ok(text) => match text.trim().parse() {
            Ok(root) => Ok(Some(root)),
            Err(error) => Err(damaged(&format!("{}: {error}", path.display()), &way(layout))),
        },
    }
}

impl Record {
    pub(crate) fn find(layout: &Layout) -> Result<Option<Self>, Trouble> {
        let path = layout.record();
        read(&path, || way(layout))
    }
    /// Loads the trust record.
    ///
    /// # Errors
    /// When there is none, or it is damaged: then no job is accepted.
    pub(crate) fn load(layout: &Layout) -> Result<Self, Trouble> {
        Self::find(layout)?.ok_or_else(|| {
            let detail = "this installer has no trust record yet: start the agent, which sets it up when it enrols";
            Trouble::because(Reason::NotAllowed, detail)
        })
    }
    /// Writes and syncs the record. Act on its content only afterwards.
    pub(crate) fn save(&self, layout: &Layout) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Trouble::because(Reason::InternalError, format!("writing the record: {error}")))?;
        write_synced(&layout.record(), &bytes)
    }
    /// Verifies that the record is about the same machine and server. The root may have been replaced since, so it is
    /// not compared.
    fn is_of(&self, layout: &Layout, said: &Enrolled) -> Result<(), Trouble> {
        if (self.machine, self.server, &self.keys) == (said.machine, said.server, &said.keys) {
            return Ok(());
        }
        let detail = format!(
            "this installer belongs to machine {} of server {}, but the agent claims to be machine {} of server {} \
             (or has different keys); {}",
            self.machine,
            self.server,
            said.machine,
            said.server,
            way(layout)
        );
        Err(Trouble::because(Reason::NotAllowed, detail))
    }
}

/// Returns advice for an administrator.
fn way(layout: &Layout) -> String {
    let (record, named) = (layout.record(), layout.named_root());
    format!(
        "if the machine was re-enrolled on purpose, remove {} and {} as administrator",
        record.display(),
        named.display()
    )
}
