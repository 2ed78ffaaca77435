//! What every kind of package can do; the order in which it is done is the engine's.

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
use banyan_proto::manifest::Kind;
use std::path::{Path, PathBuf};

/// Whether a piece of work has another step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The next step has a number one higher.
    More,
    /// It is complete.
    Done,
}

/// How the machine looks after a run that may have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The new release is in place.
    Complete,
    /// Everything is as it was before.
    Untouched,
    /// Something in between that is best finished by applying again from the start.
    Resumable,
    /// Something in between that has to be taken back.
    Half,
}

/// What inspecting the staged artifact told.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) plan: Plan,
    /// Bytes that the content will take on the disk at [`Method::target`].
    pub(super) bytes: u64,
}

/// One kind of package.
pub(super) trait Method {
    /// The kind's own way to see whether exactly this release is in place now.
    fn is_there(&self, release: &Release) -> Result<bool, Trouble>;
    /// The folder that `{dir}` means and where commands run, while the release is not being installed; `None` when it
    /// has none, because it is not there.
    fn folder_of(&self, release: &Release) -> Result<Option<PathBuf>, Trouble>;
    /// A folder on the disk that the content will go to. It need not exist yet.
    fn target(&self) -> PathBuf;
    /// Reads the staged artifact from end to end, refuses what is unsafe, and says what is to be changed. Changes nothing.
    fn inspect(
        &self,
        job: &AdmittedJob,
        release: &Release,
        staged: &Path,
        talk: &mut Talk,
    ) -> Result<Inspected, Trouble>;
    /// Carries out one step. After [`Progress::Done`] the release is in place.
    fn apply(&self, intent: &Intent, step: u8, talk: &mut Talk) -> Result<Progress, Trouble>;
    /// How far a run came.
    fn found(&self, intent: &Intent) -> Result<Found, Trouble>;
    /// The folder that `{dir}` means, and where commands run, once the release is in place.
    fn folder(&self, intent: &Intent) -> Result<PathBuf, Trouble>;
    /// Brings the machine back to how it was, step by step; whatever has been done already is skipped.
    fn undo(&self, intent: &Intent, step: u8, talk: &mut Talk) -> Result<Progress, Trouble>;
    /// Tidies up after the probe passed: keeps what an undo of the next release needs, drops what is older.
    fn settle(&self, intent: &Intent) -> Result<(), Trouble>;
}

/// The method for a kind.
pub(super) fn method(kind: Kind, layout: &Layout) -> Box<dyn Method> {
    match kind {
        Kind::Archive => Box::new(Archive::new(layout)),
        Kind::Deb => Box::new(Deb::new(layout)),
    }
}
