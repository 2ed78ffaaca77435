//! The trait for package kinds (archive, deb). The engine decides the order of its steps.

use crate::{
    command::Talk,
    error::Trouble,
    release::Release,
    storage::journal::{Intent, Plan},
    verification::AdmittedJob,
};
use std::path::{Path, PathBuf};

/// Whether an operation has another step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is another step; its number is one higher.
    More,
    /// The operation is complete.
    Done,
}

/// The state of the machine after a run that may have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
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
pub(crate) struct Inspected {
    pub(crate) plan: Plan,
    /// Disk space that the content will take at [`Method::target`] (bytes).
    pub(crate) bytes: u64,
}

/// One kind of package.
pub(crate) trait Method {
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
