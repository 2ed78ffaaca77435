//! The installs that a user wants and no server ordered (rules N10, N11).
//!
//! A personal install helper has no privileges and no server. One that has privileges or belongs to a server refuses
//! these requests from any caller. So a personal record is of no use to an attacker who has taken over a service's
//! agent.

use crate::{
    engine::InstallEngine,
    error::InstallError,
    protocol::{InstallResult, Outcome, StandaloneJob},
    storage::{
        free_space::FreeSpace,
        layout::{HelperFolders, Layout},
    },
    verification::{
        personal_record::PersonalRecord,
        trust_record::{self, TrustRecord},
    },
};
use banyan_proto::{Digest, Reason, UnixSeconds, platform::platform};
use std::fs::File;

/// Marks this install helper as its user's own, or confirms that it already is.
///
/// # Errors
/// When it has privileges, or belongs to a server.
pub(crate) fn set_personal(layout: &Layout, privileged: bool) -> Result<(), InstallError> {
    check_allowed(layout, privileged)?;
    if PersonalRecord::find(layout)?.is_some() {
        return Ok(());
    }
    let _lock = layout.lock_exclusively()?;
    check_allowed(layout, privileged)?;
    match PersonalRecord::find(layout)? {
        Some(_) => Ok(()),
        None => PersonalRecord::default().save(layout),
    }
}

/// Removes the publishers with this first root from those the user trusts.
///
/// # Errors
/// As for [`set_personal`], or when this is not a personal install helper.
pub(crate) fn forget_publisher(layout: &Layout, privileged: bool, root: Digest) -> Result<(), InstallError> {
    check_allowed(layout, privileged)?;
    let _lock = layout.lock_exclusively()?;
    let mut record = PersonalRecord::load(layout)?;
    if record.trust.forget(root) { record.save(layout) } else { Ok(()) }
}

/// Carries out a job.
///
/// # Errors
/// When the job is refused before it begins.
pub(crate) fn install(
    folders: &HelperFolders,
    job: &StandaloneJob,
    artifact: File,
    privileged: bool,
    now: UnixSeconds,
    disks: &dyn FreeSpace,
) -> Result<InstallResult, InstallError> {
    let layout = Layout::open(folders)?;
    let lock = layout.lock_exclusively()?;
    check_allowed(&layout, privileged)?;
    let before = PersonalRecord::load(&layout)?;
    let (admitted, mut learned) = before.admit(job, &platform(), now)?;
    learned.save(&layout)?;
    let package = admitted.release.package.clone();
    let mut engine = InstallEngine::new(layout.clone(), lock, admitted, artifact, disks);
    let outcome = engine.run();
    let nothing_installed = !matches!(outcome, Outcome::Installed { .. } | Outcome::Failed { restored: false, .. });
    if nothing_installed && !before.trust.is_owned(&package) {
        learned.trust.disown(&package);
        // The engine still holds the lock here.
        learned.save(&layout)?;
    }
    Ok(InstallResult { outcome, output: engine.log.tail() })
}

/// Verifies that installs without an order are allowed here.
fn check_allowed(layout: &Layout, privileged: bool) -> Result<(), InstallError> {
    let refused = |why: &str| {
        let detail = format!("this install helper needs a server's order: {why}");
        Err(InstallError::new(Reason::NotAllowed, detail))
    };
    if privileged {
        return refused("it has privileges that the person at the computer does not have");
    }
    if trust_record::pinned_root(layout)?.is_some() || TrustRecord::find(layout)?.is_some() {
        return refused("it belongs to a server and follows only that server's orders");
    }
    Ok(())
}
