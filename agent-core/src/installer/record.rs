//! Whom the installer believes, and what it has learned: one small file of its own, which only it can write.
//!
//! The first word about whom to believe is kept, and no later one changes it: who can start the installer may be somebody
//! who has taken the agent over. From then on publishers' roots follow one another by signatures alone, and floors, epoch
//! and order numbers only rise. What was learned is synced before anything is done because of it. A damaged file is never
//! taken for a missing one.

use super::{
    alone::Alone,
    job::Enrolled,
    layout::{Layout, write_synced},
    trouble::{Doing, Trouble},
};
use banyan_proto::{Digest, KeyRing, MachineId, Reason};
use banyan_trust::{TrustError, TrustStore};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fs, io, path::Path};

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// This machine.
    pub(super) machine: MachineId,
    /// The server.
    pub(super) server: MachineId,
    /// Keys that sign orders and go-aheads.
    pub(super) keys: KeyRing,
    /// The highest epoch seen.
    pub(super) epoch: u64,
    /// Hash of the root that the record began with.
    first_root: Digest,
    /// The publishers' root, versions and floors.
    pub(super) trust: TrustStore,
    /// Per package epoch and number of the newest order that was let through.
    pub(super) newest: BTreeMap<String, (u64, u64)>,
}

/// Takes the first word about whom to believe. Later it only says whether that is still the same.
///
/// # Errors
/// When others are believed already, when the root is not the one that the administrator named, or is unsound.
pub(super) fn believe(layout: &Layout, said: &Enrolled) -> Result<(), Trouble> {
    // Without the lock: an installation may be under way, which the agent need not wait for to start.
    if let Some(record) = Record::find(layout)? {
        return record.is_of(layout, said);
    }
    let _lock = layout.exclusively()?;
    if let Some(record) = Record::find(layout)? {
        return record.is_of(layout, said);
    }
    let root = Digest::of(said.root.as_bytes());
    let fresh = TrustStore::enrol(&said.root, named(layout)?.unwrap_or(root))?;
    // What was installed without a server before has set floors: they never fall (rule N11).
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

/// The administrator names the publishers' root before the first start, so that not even the agent's first word about it
/// has to be believed.
///
/// # Errors
/// When another root is named or believed already.
pub(super) fn name_root(layout: &Layout, root: Digest) -> Result<(), Trouble> {
    let _lock = layout.exclusively()?;
    let known = match Record::find(layout)? {
        Some(record) => Some(record.first_root),
        None => named(layout)?,
    };
    match known {
        Some(known) if known == root => Ok(()),
        Some(known) => {
            let detail =
                format!("this installer believes the root {known}, the join code names {root}; {}", way(layout));
            Err(Trouble::because(Reason::NotAllowed, detail))
        }
        None => write_synced(&layout.named_root(), root.to_string().as_bytes()),
    }
}

/// The root that the administrator named.
pub(super) fn named(layout: &Layout) -> Result<Option<Digest>, Trouble> {
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
    pub(super) fn find(layout: &Layout) -> Result<Option<Self>, Trouble> {
        let path = layout.record();
        read(&path, || way(layout))
    }
    /// The record.
    ///
    /// # Errors
    /// When there is none, or it is damaged: then nobody is believed.
    pub(super) fn load(layout: &Layout) -> Result<Self, Trouble> {
        Self::find(layout)?.ok_or_else(|| {
            let detail =
                "this installer has not been told whom to believe: start the agent, which tells it when it enrols";
            Trouble::because(Reason::NotAllowed, detail)
        })
    }
    /// Synced; what is done because of it comes afterwards.
    pub(super) fn save(&self, layout: &Layout) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Trouble::because(Reason::InternalError, format!("writing the record: {error}")))?;
        write_synced(&layout.record(), &bytes)
    }
    /// Whether it is about the same machine and server. The root has a history of its own by now.
    fn is_of(&self, layout: &Layout, said: &Enrolled) -> Result<(), Trouble> {
        if (self.machine, self.server, &self.keys) == (said.machine, said.server, &said.keys) {
            return Ok(());
        }
        let detail = format!(
            "this installer belongs to machine {} of server {}, and the agent says that it is machine {} of server {} \
             (or with other keys); {}",
            self.machine,
            self.server,
            said.machine,
            said.server,
            way(layout)
        );
        Err(Trouble::because(Reason::NotAllowed, detail))
    }
}

/// A record; none when there is no such file. `way` says what an administrator can do about a damaged one.
pub(super) fn read<T: DeserializeOwned>(path: &Path, way: impl FnOnce() -> String) -> Result<Option<T>, Trouble> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(damaged(&format!("{}: {error}", path.display()), &way())),
        },
    }
}

/// What an administrator can do.
fn way(layout: &Layout) -> String {
    let (record, named) = (layout.record(), layout.named_root());
    format!(
        "if the machine was enrolled anew on purpose, remove {} and {} as administrator",
        record.display(),
        named.display()
    )
}

fn damaged(what: &str, way: &str) -> Trouble {
    let detail =
        format!("the installer's record of whom it believes is damaged ({what}), so it believes nobody; {way}");
    Trouble::because(Reason::InternalError, detail)
}

impl From<TrustError> for Trouble {
    fn from(error: TrustError) -> Self {
        Trouble::because(error.reason(), error.to_string())
    }
}
