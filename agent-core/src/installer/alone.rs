//! A person's own installer: without privileges and without a server, it installs what that person wants (rules N10, N11).
//!
//! That it belongs to nobody but the person stands in a record of its own, beside the one of whom a server's installer
//! believes, and never together with it: where there is an order to wait for, or a right that the person does not have,
//! this way is closed, whoever asks. So the record is no use to somebody who has taken over the agent of a service.

use super::{
    engine::Engine,
    job::{AloneJob, Finished, Outcome},
    layout::{Folders, Layout, write_synced},
    record::{self, Record},
    room::FreeSpace,
    trouble::Trouble,
};
use crate::identity::platform;
use banyan_proto::{Digest, Reason, UnixSeconds};
use banyan_trust::{PersonalTrust, TrustStore};
use serde::{Deserialize, Serialize};
use std::fs::File;

/// The record: whom the person trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alone {
    /// Their publishers.
    pub(super) trust: PersonalTrust,
}

/// It belongs to the person who runs it, from now on or since long.
///
/// # Errors
/// When it has privileges, or belongs to a server.
pub(super) fn stand_alone(layout: &Layout, privileged: bool) -> Result<(), Trouble> {
    may(layout, privileged)?;
    if Alone::find(layout)?.is_some() {
        return Ok(());
    }
    let _lock = layout.exclusively()?;
    may(layout, privileged)?;
    match Alone::find(layout)? {
        Some(_) => Ok(()),
        None => Alone::default().save(layout),
    }
}

/// The person does not trust these publishers any more.
///
/// # Errors
/// As for [`stand_alone`]; or when it does not belong to a person.
pub(super) fn forget(layout: &Layout, privileged: bool, root: Digest) -> Result<(), Trouble> {
    may(layout, privileged)?;
    let _lock = layout.exclusively()?;
    let mut alone = Alone::load(layout)?;
    if alone.trust.forget(root) { alone.save(layout) } else { Ok(()) }
}

/// Carries a job out.
///
/// # Errors
/// When it is not begun.
pub(super) fn install(
    folders: &Folders,
    job: &AloneJob,
    artifact: File,
    privileged: bool,
    now: UnixSeconds,
    disks: &dyn FreeSpace,
) -> Result<Finished, Trouble> {
    let layout = Layout::open(folders)?;
    let lock = layout.exclusively()?;
    may(&layout, privileged)?;
    let before = Alone::load(&layout)?;
    let (admitted, mut learned) = before.admit(job, &platform(), now)?;
    learned.save(&layout)?;
    let package = admitted.release.package.clone();
    let mut engine = Engine::begin(layout.clone(), lock, admitted, artifact, disks);
    let outcome = engine.run();
    let nothing_came_of_it = !matches!(outcome, Outcome::Installed { .. } | Outcome::Failed { restored: false, .. });
    if nothing_came_of_it && !before.trust.is_owned(&package) {
        learned.trust.disown(&package);
        // The engine still holds the lock.
        learned.save(&layout)?;
    }
    Ok(Finished { outcome, output: engine.talk.text() })
}

/// Whether this way is open here at all.
fn may(layout: &Layout, privileged: bool) -> Result<(), Trouble> {
    let no = |why: &str| {
        let detail = format!("without an order nothing is installed here: {why}");
        Err(Trouble::because(Reason::NotAllowed, detail))
    };
    if privileged {
        return no("this installer has rights that the person at the computer does not have");
    }
    if record::named(layout)?.is_some() || Record::find(layout)?.is_some() {
        return no("this installer belongs to a server, and goes by its orders");
    }
    Ok(())
}

impl Alone {
    pub(super) fn find(layout: &Layout) -> Result<Option<Self>, Trouble> {
        let path = layout.alone();
        let way = || format!("to begin anew, without what it knew of older versions, remove {}", path.display());
        record::read(&path, way)
    }
    fn load(layout: &Layout) -> Result<Self, Trouble> {
        Self::find(layout)?.ok_or_else(|| {
            let detail = "this installer has not been told that it belongs to a person and to no server: open the package \
                          again with the agent running, which tells it";
            Trouble::because(Reason::NotAllowed, detail)
        })
    }
    fn save(&self, layout: &Layout) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Trouble::because(Reason::InternalError, format!("writing the record: {error}")))?;
        write_synced(&layout.alone(), &bytes)
    }
    /// What is known of these publishers, for a record that belongs to a server.
    pub(super) fn for_server(&self, root: &str) -> Option<TrustStore> {
        self.trust.for_server(root)
    }
}
