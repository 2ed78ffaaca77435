//! The install method for archives: each release has its own folder, and `current` is switched atomically between them.
//!
//! The previous version's folder is kept for rollback, with a few older ones. Undoing a release removes its folder.

mod reader;
mod safe_path;
mod tar_reader;
#[cfg(test)]
pub(crate) mod tests;
mod unpack;
mod validation;
mod zip_reader;

use crate::{
    command::Talk,
    error::{Doing, Trouble},
    methods::install_method::{Found, Inspected, Method, Progress},
    release::Release,
    storage::{
        journal::{Intent, Plan},
        layout::{Layout, remove, write_synced},
    },
    sys,
    verification::AdmittedJob,
};
use banyan_proto::{Digest, Reason, UnixSeconds};
use safe_path::Rules;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder},
    path::{Path, PathBuf},
};

/// The number of version folders kept besides `current` and the previous version.
const OLDER_KEPT: usize = 1;

/// Identifies the release in a version folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: String,
    sequence: u64,
    /// The BLAKE3 hash of the manifest.
    manifest: Digest,
    /// The BLAKE3 hash of the artifact.
    artifact: Digest,
    /// When the release was installed.
    placed: UnixSeconds,
}

/// The install method for archives.
pub(crate) struct Archive {
    packages: PathBuf,
}

/// The folders of one package.
struct Places {
    package: PathBuf,
}

impl Archive {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { packages: layout.packages() }
    }
    fn places(&self, package: &str) -> Places {
        Places { package: self.packages.join(package) }
    }
}

impl Places {
    fn versions(&self) -> PathBuf {
        self.package.join("versions")
    }
    fn version(&self, folder: &str) -> PathBuf {
        self.versions().join(folder)
    }
    /// Returns the temporary folder in which a version is unpacked. It cannot clash with a version's folder: those
    /// names end in digits.
    fn unpacking(&self, folder: &str) -> PathBuf {
        self.versions().join(format!("{folder}.tmp"))
    }
    fn record(&self, folder: &str) -> PathBuf {
        self.package.join("records").join(format!("{folder}.json"))
    }
    fn current(&self) -> Result<Option<String>, Trouble> {
        sys::current(&self.package).doing(|| format!("reading {}", self.package.join("current").display()))
    }
    fn switch(&self, folder: Option<&str>) -> Result<(), Trouble> {
        sys::switch(&self.package, folder).doing(|| format!("switching {}", self.package.join("current").display()))
    }
    fn read_record(&self, folder: &str) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.record(folder)).ok()?).ok()
    }
    /// Returns an unused folder name for the release: a folder that was kept is never written to again.
    fn free_folder(&self, release: &Release) -> String {
        // Some systems forbid colons in folder names. The sequence keeps the names distinct.
        let name = format!("{}-{}", release.version.replace(':', "_"), release.sequence);
        let numbered = (2..).map(|number| format!("{name}.{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|name| !self.version(name).exists()).unwrap_or(name)
    }
}

impl Method for Archive {
    fn is_there(&self, release: &Release) -> Result<bool, Trouble> {
        Ok(self.folder_of(release)?.is_some())
    }

    fn folder_of(&self, release: &Release) -> Result<Option<PathBuf>, Trouble> {
        let places = self.places(&release.package);
        let Some(current) = places.current()? else { return Ok(None) };
        let same = places.read_record(&current).is_some_and(|record| record.artifact == release.artifact);
        let folder = places.version(&current);
        Ok((same && folder.is_dir()).then_some(folder))
    }

    fn target(&self) -> PathBuf {
        self.packages.clone()
    }

    fn inspect(
        &self,
        _job: &AdmittedJob,
        release: &Release,
        staged: &Path,
        _talk: &mut Talk,
    ) -> Result<Inspected, Trouble> {
        let bytes = unpack::look(staged, &release.file_name, Rules::for_platform(&release.platform))?;
        let places = self.places(&release.package);
        let plan = Plan::Archive { folder: places.free_folder(release), previous: places.current()? };
        Ok(Inspected { plan, bytes })
    }

    fn apply(&self, intent: &Intent, step: u8, _talk: &mut Talk) -> Result<Progress, Trouble> {
        let (places, folder, _) = self.planned(intent)?;
        let release = &intent.release;
        match step {
            0 => {
                let unpacking = places.unpacking(folder);
                remove(&unpacking)?;
                make_folders(&places.package.join("records"))?;
                make_folders(&unpacking)?;
                unpack::unpack(&intent.staged, &release.file_name, Rules::for_platform(&release.platform), &unpacking)?;
                Ok(Progress::More)
            }
            1 => {
                let record = Record {
                    version: release.version.clone(),
                    sequence: release.sequence,
                    manifest: release.manifest,
                    artifact: release.artifact,
                    placed: UnixSeconds::now(),
                };
                let json = serde_json::to_vec(&record)
                    .map_err(|error| Trouble::because(Reason::InternalError, error.to_string()))?;
                write_synced(&places.record(folder), &json)?;
                let to = places.version(folder);
                fs::rename(places.unpacking(folder), &to)
                    .and_then(|()| sys::sync_folder(&places.versions()))
                    .doing(|| format!("renaming the unpacked release to {}", to.display()))?;
                Ok(Progress::More)
            }
            _ => places.switch(Some(folder)).map(|()| Progress::Done),
        }
    }

    fn found(&self, intent: &Intent) -> Result<Found, Trouble> {
        let (places, folder, previous) = self.planned(intent)?;
        let current = places.current()?;
        let begun = [places.version(folder), places.unpacking(folder), places.record(folder)];
        Ok(if current.as_deref() == Some(folder) && places.version(folder).is_dir() {
            Found::Complete
        } else if current.as_deref() == previous && !begun.iter().any(|path| path.exists()) {
            Found::Untouched
        } else {
            Found::Half
        })
    }

    fn folder(&self, intent: &Intent) -> Result<PathBuf, Trouble> {
        let (places, folder, _) = self.planned(intent)?;
        Ok(places.version(folder))
    }

    fn undo(&self, intent: &Intent, step: u8, _talk: &mut Talk) -> Result<Progress, Trouble> {
        let (places, folder, previous) = self.planned(intent)?;
        if step == 0 {
            if places.current()?.as_deref() == Some(folder) {
                if let Some(previous) = previous.filter(|previous| !places.version(previous).is_dir()) {
                    let detail = format!("the folder of the previous version, {previous}, is missing");
                    return Err(Trouble::because(Reason::UndoFailed, detail));
                }
                places.switch(previous)?;
            }
            return Ok(Progress::More);
        }
        for path in [places.unpacking(folder), places.version(folder), places.record(folder)] {
            remove(&path)?;
        }
        Ok(Progress::Done)
    }

    fn settle(&self, intent: &Intent) -> Result<(), Trouble> {
        let (places, folder, previous) = self.planned(intent)?;
        let mut older = Vec::new();
        let versions = places.versions();
        let doing = || format!("reading {}", versions.display());
        for entry in fs::read_dir(&versions).doing(doing)? {
            let name = entry.doing(doing)?.file_name();
            let name = name.to_string_lossy().into_owned();
            if name != folder && Some(name.as_str()) != previous {
                older.push((places.read_record(&name).map(|record| record.placed), name));
            }
        }
        older.sort();
        let surplus = older.len().saturating_sub(OLDER_KEPT);
        older.into_iter().take(surplus).try_for_each(|(_, name)| {
            remove(&places.version(&name))?;
            remove(&places.record(&name))
        })
    }
}

impl Archive {
    fn planned<'a>(&self, intent: &'a Intent) -> Result<(Places, &'a str, Option<&'a str>), Trouble> {
        match &intent.plan {
            Plan::Archive { folder, previous } => {
                Ok((self.places(&intent.release.package), folder, previous.as_deref()))
            }
            Plan::Deb { .. } => {
                Err(Trouble::because(Reason::InternalError, "the journal's plan is for another kind of package"))
            }
        }
    }
}

/// Creates folders that all users can read: they use the programs installed there.
fn make_folders(path: &Path) -> Result<(), Trouble> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    let doing = |path: &Path| format!("creating the folder {}", path.display());
    for folder in missing.into_iter().rev() {
        let made = DirBuilder::new().create(folder);
        let made = made.and_then(|()| sys::mode(true).map_or(Ok(()), |mode| fs::set_permissions(folder, mode)));
        made.doing(|| doing(folder))?;
    }
    Ok(())
}
