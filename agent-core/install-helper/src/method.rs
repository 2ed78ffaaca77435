//! The trait for package kinds (archive, deb). The engine decides the order of its steps.

use super::{
    archive::Archive,
    check::AdmittedJob,
    command::Talk,
    deb::Deb,
    job::Release,
    journal::{Intent, Plan},
    layout::Layout,
    trouble::Trouble,
};
use banyan_proto::{Reason, manifest::Kind};
use std::path::{Path, PathBuf};

/// Whether an operation has another step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is another step; its number is one higher.
    More,
    /// The operation is complete.
    Done,
}

/// The state of the machine after a run that may have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The new release is in place.
    Complete,
    /// Nothing was changed.
    Untouched,
    /// A partial change that is best finished by applying again from the start.
    Resumable,
    /// A partial change that must be undone.
    Half,
}

/// The result of inspecting the staged artifact.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) plan: Plan,
    /// Disk space that the content will take at [`Method::target`] (bytes).
    pub(super) bytes: u64,
}

/// One kind of package.
pub(super) trait Method {
    /// Whether exactly this release is in place now, by the kind's own check.
    fn is_there(&self, release: &Release) -> Result<bool, Trouble>;
    /// Returns the folder for `{dir}` and for commands outside an install of the release, or `None` when it is not
    /// installed.
    fn folder_of(&self, release: &Release) -> Result<Option<PathBuf>, Trouble>;
    /// Returns a folder on the disk that will receive the content. It need not exist yet.
    fn target(&self) -> PathBuf;
    /// Reads the staged artifact from end to end, refuses unsafe content and returns the plan. Changes nothing.
    fn inspect(
        &self,
        job: &AdmittedJob,
        release: &Release,
        staged: &Path,
        talk: &mut Talk,
    ) -> Result<Inspected, Trouble>;
    /// Runs one step. After [`Progress::Done`] the release is in place.
    fn apply(&self, intent: &Intent, step: u8, talk: &mut Talk) -> Result<Progress, Trouble>;
    /// Determines how far a run got.
    fn found(&self, intent: &Intent) -> Result<Found, Trouble>;
    /// Returns the folder for `{dir}` and for commands once the release is in place.
    fn folder(&self, intent: &Intent) -> Result<PathBuf, Trouble>;
    /// Restores the machine's previous state, step by step; skips what is already restored.
    fn undo(&self, intent: &Intent, step: u8, talk: &mut Talk) -> Result<Progress, Trouble>;
    /// Cleans up after the probe passed: keeps what is needed to undo the next release and removes older files.
    fn settle(&self, intent: &Intent) -> Result<(), Trouble>;
}

/// Returns the install method for a kind of package.
pub(super) fn method(kind: Kind, layout: &Layout) -> Result<Box<dyn Method>, Trouble> {
    match kind {
        Kind::Archive => Ok(Box::new(Archive::new(layout))),
        Kind::Deb => Ok(Box::new(Deb::new(layout))),
        Kind::Unknown => Err(Trouble::because(
            Reason::NotUnderstood,
            "only a newer version of Banyan can install this kind of package",
        )),
    }
}
