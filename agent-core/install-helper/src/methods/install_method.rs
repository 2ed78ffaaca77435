//! The trait for package kinds (archive, deb). The engine decides the order of its steps.

use crate::{
    command::OutputLog,
    error::InstallError,
    release::VerifiedRelease,
    storage::{
        free_space::RoomNeed,
        journal::{InstallIntent, Plan},
    },
    verification::AdmittedJob,
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Whether an operation has another step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepResult {
    /// There is another step; its number is one higher.
    More,
    /// The operation is complete.
    Done,
}

/// The state of the machine after a run that may have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstallStatus {
    /// The new release is in place.
    Complete,
    /// Nothing was changed.
    Untouched,
    /// A partial change that is best finished by applying again from the start.
    Resumable,
    /// A partial change that must be undone.
    Partial,
}

/// The result of inspecting the staged artifact.
#[derive(Debug)]
pub(crate) enum Inspection {
    /// What to change, and the room that it takes on each disk.
    Planned(Box<Plan>, Vec<RoomNeed>),
    /// Exactly this content is installed already, without Banyan. The copy was kept to undo a later release.
    InPlace,
}

/// One kind of package.
pub(crate) trait InstallMethod {
    /// Whether exactly this release is in place now, by the kind's own check.
    fn is_installed(&self, release: &VerifiedRelease) -> Result<bool, InstallError>;
    /// Returns the folder for `{dir}` and for commands outside an install of the release, or `None` when it is not
    /// installed.
    fn installed_folder(&self, release: &VerifiedRelease) -> Result<Option<PathBuf>, InstallError>;
    /// Whether Banyan installed this version with other content, so that the release is not in place, whatever the
    /// publisher's detect command says.
    fn has_other_content(&self, _release: &VerifiedRelease) -> Result<bool, InstallError> {
        Ok(false)
    }
    /// Whether installing the release again replaces every file of it, so that damaged ones are repaired.
    fn can_repair(&self, _release: &VerifiedRelease) -> Result<bool, InstallError> {
        Ok(false)
    }
    /// Returns a folder on the disk that will receive the content. It need not exist yet.
    fn target_folder(&self) -> PathBuf;
    /// Keeps other programs from changing what the plan is about, until the file is dropped.
    fn lock_machine(&self) -> Result<Option<File>, InstallError> {
        Ok(None)
    }
    /// Whether an interrupted install goes on with the staged artifact, which must survive a power cut then.
    fn needs_copy_after_crash(&self) -> bool {
        true
    }
    /// Reads the staged artifact from end to end, refuses unsafe content and returns the plan. Changes nothing.
    fn inspect(
        &self,
        job: &AdmittedJob,
        release: &VerifiedRelease,
        staged: &Path,
        log: &mut OutputLog,
    ) -> Result<Inspection, InstallError>;
    /// Runs one step. After [`StepResult::Done`] the release is in place.
    fn apply(&self, intent: &InstallIntent, step: u8, log: &mut OutputLog) -> Result<StepResult, InstallError>;
    /// Determines how far a run got.
    fn status(&self, intent: &InstallIntent) -> Result<InstallStatus, InstallError>;
    /// Returns the folder for `{dir}` and for commands once the release is in place.
    fn release_folder(&self, intent: &InstallIntent) -> Result<PathBuf, InstallError>;
    /// Restores the machine's previous state, step by step; skips what is already restored.
    fn undo(&self, intent: &InstallIntent, step: u8, log: &mut OutputLog) -> Result<StepResult, InstallError>;
    /// Says what is installed after [`InstallMethod::undo`], for the end of a sentence.
    fn describe_restored(&self, intent: &InstallIntent) -> String;
    /// Returns what the administrator should know although the release works: what else changed on the machine.
    fn remark(&self, _intent: &InstallIntent) -> Result<Option<String>, InstallError> {
        Ok(None)
    }
    /// Cleans up after the probe passed: keeps what is needed to undo the next release and removes older files.
    fn clean_up(&self, intent: &InstallIntent) -> Result<(), InstallError>;
}
