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
        layout::{Folders, Layout},
    },
    verification::{
        personal_record::Alone,
        trust_record::{self, Record},
    },
};
use banyan_proto::{Digest, Reason, UnixSeconds, platform::platform};
use std::fs::File;

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
