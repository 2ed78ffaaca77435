//! The personal installer's record, and the installs that a user wants and no server ordered (rules N10, N11).
//!
//! Such an installer has no privileges and no server. Its record lies beside the trust record of a server's installer;
//! the two are never used together. An installer that has privileges or belongs to a server refuses these calls from
//! any caller. So the record is of no use to an attacker who has taken over a service's agent.

use crate::{
    engine::Engine,
    error::Trouble,
    protocol::{AloneJob, Finished, Outcome},
    storage::{
        free_space::FreeSpace,
        layout::{Folders, Layout, write_synced},
    },
    verification::trust_record::{self, Record},
};
use banyan_proto::platform::platform;
use banyan_proto::{Digest, Reason, UnixSeconds};
use banyan_trust::{PersonalTrust, TrustStore};
use serde::{Deserialize, Serialize};
use std::fs::File;

/// The record of a personal installer: the publishers whom the user trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alone {
    /// The user's trusted publishers.
    pub(crate) trust: PersonalTrust,
}

/// Marks this installer as its user's own, or confirms that it already is.
///
/// # Errors
/// When it has privileges, or belongs to a server.
pub(crate) fn stand_alone(layout: &Layout, privileged: bool) -> Result<(), Trouble> {
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

/// Removes the publishers with this first root from those the user trusts.
///
/// # Errors
/// As for [`stand_alone`], or when this is not a personal installer.
pub(crate) fn forget(layout: &Layout, privileged: bool, root: Digest) -> Result<(), Trouble> {
    may(layout, privileged)?;
    let _lock = layout.exclusively()?;
    let mut alone = Alone::load(layout)?;
    if alone.trust.forget(root) { alone.save(layout) } else { Ok(()) }
}

/// Carries out a job.
///
/// # Errors
/// When the job is refused before it begins.
pub(crate) fn install(
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
        // The engine still holds the lock here.
        learned.save(&layout)?;
    }
    Ok(Finished { outcome, output: engine.talk.text() })
}

/// Verifies that installs without an order are allowed here.
fn may(layout: &Layout, privileged: bool) -> Result<(), Trouble> {
    let no = |why: &str| {
        let detail = format!("this installer needs a server's order: {why}");
        Err(Trouble::because(Reason::NotAllowed, detail))
    };
    if privileged {
        return no("it has privileges that the person at the computer does not have");
    }
    if trust_record::named(layout)?.is_some() || Record::find(layout)?.is_some() {
        return no("it belongs to a server and follows only that server's orders");
    }
    Ok(())
}

impl Alone {
    pub(crate) fn find(layout: &Layout) -> Result<Option<Self>, Trouble> {
        let path = layout.alone();
        let way = || format!("to start over, remove {}; the minimum versions recorded there are lost", path.display());
        trust_record::read(&path, way)
    }
    fn load(layout: &Layout) -> Result<Self, Trouble> {
        Self::find(layout)?.ok_or_else(|| {
            let detail = "this installer is not set up for personal use yet: open the package again while the agent is \
                          running, which sets it up";
            Trouble::because(Reason::NotAllowed, detail)
        })
    }
    fn save(&self, layout: &Layout) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Trouble::because(Reason::InternalError, format!("writing the record: {error}")))?;
        write_synced(&layout.alone(), &bytes)
    }
    /// Returns what is known about these publishers, for the record of an installer that joins a server.
    pub(crate) fn for_server(&self, root: &str) -> Option<TrustStore> {
        self.trust.for_server(root)
    }
}
