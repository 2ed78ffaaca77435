//! The install helper's trust record: trusted keys and learned counters, in one small file that only the install helper
//! can write.
//!
//! The first request sets whom to trust, and no later request changes it, because the caller may have taken the agent
//! over. From then on a new publishers' root needs the old root's signature, and minimum sequences, epochs and order
//! numbers only rise. A change is synced before the install helper acts on it. A damaged file is never treated as a
//! missing one.

use crate::{
    error::{InstallError, IoContext},
    protocol::EnrolledIdentity,
    storage::{files::write_synced, layout::Layout},
    verification::{
        personal_record::PersonalRecord,
        record_file::{damaged, read_record},
    },
};
use banyan_proto::{Digest, KeyRing, MachineId, Reason};
use banyan_trust::TrustStore;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io};

/// The trust record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustRecord {
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

/// Sets whom to trust at the first request. Later requests only confirm that it is still the same.
///
/// # Errors
/// When different keys are already trusted, when the root is not the one that the administrator set, or when the root
/// is invalid.
pub(crate) fn set_trust(layout: &Layout, identity: &EnrolledIdentity) -> Result<(), InstallError> {
    // Reads without the lock: the agent must not wait for a running install before it starts.
    if let Some(record) = TrustRecord::find(layout)? {
        return record.verify_same(layout, identity);
    }
    let _lock = layout.lock_exclusively()?;
    if let Some(record) = TrustRecord::find(layout)? {
        return record.verify_same(layout, identity);
    }
    let root = Digest::of(identity.root.as_bytes());
    let fresh = TrustStore::enrol(&identity.root, pinned_root(layout)?.unwrap_or(root))?;
    // Earlier installs without a server have set minimum sequences, which never fall (rule N11).
    let trust = PersonalRecord::find(layout)?.and_then(|personal| personal.for_server(&identity.root)).unwrap_or(fresh);
    let record = TrustRecord {
        machine: identity.machine,
        server: identity.server,
        keys: identity.keys.clone(),
        epoch: identity.epoch,
        first_root: root,
        trust,
        newest: BTreeMap::new(),
    };
    record.save(layout)
}

/// Sets the publishers' root on behalf of the administrator, before the agent's first start. Then not even the agent's
/// first request has to be trusted.
///
/// # Errors
/// When another root is already set or trusted.
pub(crate) fn pin_root(layout: &Layout, root: Digest) -> Result<(), InstallError> {
    let _lock = layout.lock_exclusively()?;
    let known = match TrustRecord::find(layout)? {
        Some(record) => Some(record.first_root),
        None => pinned_root(layout)?,
    };
    match known {
        Some(known) if known == root => Ok(()),
        Some(known) => {
            let detail = format!(
                "this install helper trusts the root {known}, but the join code names {root}; {}",
                replace_advice(layout)
            );
            Err(InstallError::new(Reason::NotAllowed, detail))
        }
        None => write_synced(&layout.pinned_root(), root.to_string().as_bytes()),
    }
}

/// Returns the root that the administrator set.
pub(crate) fn pinned_root(layout: &Layout) -> Result<Option<Digest>, InstallError> {
    let path = layout.pinned_root();
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("reading {}", path.display())),
        Ok(text) => match text.trim().parse() {
            Ok(root) => Ok(Some(root)),
            Err(error) => Err(damaged(&format!("{}: {error}", path.display()), &replace_advice(layout))),
        },
    }
}

impl TrustRecord {
    /// Reads the trust record; `None` when there is none.
    pub(crate) fn find(layout: &Layout) -> Result<Option<Self>, InstallError> {
        let path = layout.trust_record();
        read_record(&path, || replace_advice(layout))
    }
    /// Loads the trust record.
    ///
    /// # Errors
    /// When there is none, or it is damaged: then no job is accepted.
    pub(crate) fn load(layout: &Layout) -> Result<Self, InstallError> {
        Self::find(layout)?.ok_or_else(|| {
            let detail =
                "this install helper has no trust record yet: start the agent, which sets it up when it enrols";
            InstallError::new(Reason::NotAllowed, detail)
        })
    }
    /// Writes and syncs the record. Act on its content only afterwards.
    pub(crate) fn save(&self, layout: &Layout) -> Result<(), InstallError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| InstallError::new(Reason::InternalError, format!("writing the record: {error}")))?;
        write_synced(&layout.trust_record(), &bytes)
    }
    /// Verifies that the record is about the same machine and server. The root may have been replaced since, so it is
    /// not compared.
    fn verify_same(&self, layout: &Layout, identity: &EnrolledIdentity) -> Result<(), InstallError> {
        if (self.machine, self.server, &self.keys) == (identity.machine, identity.server, &identity.keys) {
            return Ok(());
        }
        let detail = format!(
            "this install helper belongs to machine {} of server {}, but the agent claims to be machine {} of server \
             {} (or has different keys); {}",
            self.machine,
            self.server,
            identity.machine,
            identity.server,
            replace_advice(layout)
        );
        Err(InstallError::new(Reason::NotAllowed, detail))
    }
}

/// Returns advice for an administrator.
fn replace_advice(layout: &Layout) -> String {
    let (record, pinned) = (layout.trust_record(), layout.pinned_root());
    format!(
        "if the machine was re-enrolled on purpose, remove {} and {} as administrator",
        record.display(),
        pinned.display()
    )
}
