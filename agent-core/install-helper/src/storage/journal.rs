//! The install journal: the intent is written and synced before anything is changed, so that the next start can
//! recover.

use crate::{
    error::{InstallError, IoContext, is_temporary},
    file_attributes::FileAttributes,
    package_state::{Status, Want},
    protocol::Outcome,
    release::VerifiedRelease,
    storage::{
        files::{read_json, remove_path, write_synced},
        layout::Layout,
    },
};
use banyan_proto::{Digest, OrderId, Reason};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// How many failed orders are remembered.
const MAX_FAILED_ORDERS: usize = 64;

/// Everything needed to finish or undo an install without the job that began it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstallIntent {
    pub(crate) order: OrderId,
    pub(crate) attempt: u32,
    pub(crate) install_root: PathBuf,
    /// The verified copy of the artifact.
    pub(crate) staged: PathBuf,
    pub(crate) release: VerifiedRelease,
    pub(crate) plan: Plan,
}

/// The planned change and the state before it, for each kind of package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Plan {
    /// An archive.
    Archive {
        /// The new folder below `versions`. It did not exist before.
        folder: String,
        /// The previous target of `current`.
        previous: Option<String>,
    },
    /// A Debian package.
    Deb(Box<DebPlan>),
}

/// What installing a deb changes, and the state before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DebPlan {
    /// `amd64`, `all`, …
    pub(crate) architecture: String,
    /// Whether dpkg removes the package only when it is forced to.
    pub(crate) is_essential: bool,
    /// The package itself.
    pub(crate) package: TouchedPackage,
    /// The packages that dpkg removes in favour of it.
    pub(crate) removed: Vec<TouchedPackage>,
    /// The packages that lose files to it.
    #[serde(default)]
    pub(crate) overwritten: Vec<OverwrittenPackage>,
    /// Whether the package can be installed for several architectures at once.
    #[serde(default)]
    pub(crate) is_coinstallable: bool,
    /// The machine's own files that dpkg can change, as they were before.
    #[serde(default)]
    pub(crate) saved_files: Vec<SavedFile>,
    /// The places where it has a folder instead of a link, or a link instead of a folder.
    #[serde(default)]
    pub(crate) changed_kinds: Vec<FolderOrLink>,
    /// Where the attributes are kept of what dpkg itself puts back.
    #[serde(default)]
    pub(crate) attributes: Option<PathBuf>,
    /// Status and version of every package, by name and architecture.
    pub(crate) machine: BTreeMap<String, String>,
}

/// A package that an install changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TouchedPackage {
    pub(crate) name: String,
    pub(crate) before: PackageState,
    /// The deb of the version before, if one is at hand.
    pub(crate) restore: Option<PathBuf>,
}

/// A package that stays installed and loses files to another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OverwrittenPackage {
    pub(crate) name: String,
    pub(crate) before: PackageState,
    /// The files, and dpkg's list of all its files.
    pub(crate) saved_files: Vec<SavedFile>,
}

/// A file of the machine, as it was before an install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedFile {
    /// Its absolute path below the root.
    pub(crate) path: String,
    pub(crate) before: FileBefore,
}

/// A folder that an update makes a link, or a link that it makes a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderOrLink {
    /// Its absolute path below the root.
    pub(crate) path: String,
    pub(crate) before: KindBefore,
}

/// What a place was before an install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "kebab-case")]
pub(crate) enum KindBefore {
    /// A folder.
    Folder,
    /// A symbolic link.
    Link { target: PathBuf },
}

/// What was at the place of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "kebab-case")]
pub(crate) enum FileBefore {
    /// Nothing.
    Absent,
    /// A symbolic link.
    Link {
        target: PathBuf,
        #[serde(default)]
        attributes: Option<FileAttributes>,
    },
    /// A file, of which this is a copy.
    Copy {
        copy: PathBuf,
        /// An earlier build kept owner and mode with the copy alone.
        #[serde(default)]
        attributes: Option<FileAttributes>,
        /// Other absolute paths of the same file that are not saved.
        #[serde(default)]
        other_names: Vec<String>,
    },
    /// Another name of the file that was saved at this path, earlier in the list.
    HardLink { path: String },
}

/// One entry of dpkg's database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct PackageState {
    pub(crate) status: Status,
    pub(crate) want: Want,
    /// Empty when there is none.
    pub(crate) version: String,
    /// Empty when there is none.
    pub(crate) architecture: String,
    /// A hash that tells the content of a version from another one; `None` when dpkg knows none.
    pub(crate) content: Option<Digest>,
}

/// Why an install is being undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UndoCause {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl UndoCause {
    pub(crate) fn probe(detail: String) -> Self {
        Self { reason: Reason::ProbeFailed, detail }
    }
}

/// The phase of an install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// The release is being installed and probed.
    Applying,
    /// The release is being removed for good.
    Undoing {
        /// Why it is being undone.
        #[serde(rename = "verdict")]
        cause: UndoCause,
    },
}

/// How often each step began. Written before the step begins, so that a step that ends the install helper is not run
/// for ever. Older versions ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BegunSteps {
    pub(crate) apply: u8,
    pub(crate) probe: u8,
    pub(crate) undo: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct JournalEntry {
    intent: InstallIntent,
    phase: Phase,
    #[serde(default)]
    begun: BegunSteps,
}

#[derive(Debug, Serialize, Deserialize)]
struct FailedOrder {
    attempt: u32,
    outcome: Outcome,
}

/// Writes and syncs the intent, so that the next start can recover it.
pub(crate) fn write(
    layout: &Layout,
    intent: &InstallIntent,
    phase: &Phase,
    begun: BegunSteps,
) -> Result<(), InstallError> {
    let entry = JournalEntry { intent: intent.clone(), phase: phase.clone(), begun };
    write_synced(&layout.journal(), &to_json(&entry)?)
}

/// Reads the intent of an unfinished run. Without a readable journal, detection alone decides what is installed.
pub(crate) fn read(layout: &Layout) -> Result<Option<(InstallIntent, Phase, BegunSteps)>, InstallError> {
    let entry = read_json::<JournalEntry>(&layout.journal())?;
    Ok(entry.map(|entry| (entry.intent, entry.phase, entry.begun)))
}

/// Sets how often steps began, if there is a journal.
pub(crate) fn set_begun(layout: &Layout, begun: BegunSteps) -> Result<(), InstallError> {
    match read(layout)? {
        Some((intent, phase, written)) if written != begun => write(layout, &intent, &phase, begun),
        _ => Ok(()),
    }
}

/// Moves the journal of an install that can be neither finished nor undone out of the way of the next ones. Returns
/// where it is now.
pub(crate) fn set_aside(layout: &Layout) -> Result<PathBuf, InstallError> {
    let aside = layout.journal().with_extension("aside");
    fs::rename(layout.journal(), &aside).context(|| format!("moving the journal to {}", aside.display()))?;
    Ok(aside)
}

/// Clears the journal at the end of an install.
pub(crate) fn clear(layout: &Layout) -> Result<(), InstallError> {
    remove_path(&layout.journal())
}

/// Records a failure that changed something.
pub(crate) fn record_failure(layout: &Layout, intent: &InstallIntent, outcome: &Outcome) -> Result<(), InstallError> {
    remove_oldest(&layout.failed_orders()).context(|| "cleaning up the list of failed orders".into())?;
    let entry = FailedOrder { attempt: intent.attempt, outcome: outcome.clone() };
    write_synced(&failed_order_path(layout, intent.order), &to_json(&entry)?)
}

/// Returns the recorded outcome of the same attempt at the same order, if there is one.
pub(crate) fn recorded_failure(layout: &Layout, order: OrderId, attempt: u32) -> Result<Option<Outcome>, InstallError> {
    let entry = read_json::<FailedOrder>(&failed_order_path(layout, order))?;
    Ok(entry.filter(|entry| entry.attempt == attempt).map(|entry| entry.outcome))
}

/// How often the probe of an installed release began, for the last job that found its release installed.
#[derive(Debug, Serialize, Deserialize)]
struct InstalledCheck {
    order: OrderId,
    attempt: u32,
    begun: u8,
}

/// Counts that the probe of an installed release begins. Returns `false` when it began `limit` times without an end.
pub(crate) fn begin_check(layout: &Layout, order: OrderId, attempt: u32, limit: u8) -> Result<bool, InstallError> {
    let path = layout.installed_check();
    let same = read_json::<InstalledCheck>(&path)?.filter(|check| (check.order, check.attempt) == (order, attempt));
    let begun = same.map_or(0, |check| check.begun);
    if begun >= limit {
        return Ok(false);
    }
    match write_synced(&path, &to_json(&InstalledCheck { order, attempt, begun: begun + 1 })?) {
        // A full disk does not matter to a release that is in place.
        Err(error) if is_temporary(error.reason()) => Ok(true),
        written => written.map(|()| true),
    }
}

/// Forgets the count: the probe has ended.
pub(crate) fn end_check(layout: &Layout) -> Result<(), InstallError> {
    remove_path(&layout.installed_check())
}

fn failed_order_path(layout: &Layout, order: OrderId) -> PathBuf {
    layout.failed_orders().join(format!("{order}.json"))
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, InstallError> {
    serde_json::to_vec(value).map_err(|error| InstallError::new(Reason::InternalError, error.to_string()))
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        // The other lane may have removed it.
        let Ok(metadata) = file.metadata() else { continue };
        files.push((metadata.modified()?, file.path()));
    }
    files.sort();
    let surplus = (files.len() + 1).saturating_sub(MAX_FAILED_ORDERS);
    files.iter().take(surplus).try_for_each(|(_, path)| match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
}
