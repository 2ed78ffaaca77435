//! The install method for archives: each release has its own folder, and `current` is switched atomically between them.
//!
//! The previous version's folder is kept for rollback, with a few older ones. Undoing a release removes its folder.

mod package_folders;
mod reader;
mod safe_path;
mod tar_reader;
#[cfg(test)]
pub(crate) mod tests;
mod unpack;
mod validation;
mod zip_reader;

use crate::{
    command::OutputLog,
    error::{InstallError, IoContext},
    methods::install_method::{Inspection, InstallMethod, InstallStatus, StepResult},
    release::VerifiedRelease,
    storage::{
        files::{remove_path, write_synced},
        free_space::RoomNeed,
        journal::{InstallIntent, Plan},
        layout::Layout,
    },
    sys,
    verification::AdmittedJob,
};
use banyan_proto::{Reason, UnixSeconds};
use package_folders::{PackageFolders, VersionRecord, create_folders};
use safe_path::NameRules;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The number of version folders kept besides `current` and the previous version.
const MAX_OLDER_VERSIONS: usize = 1;

/// The install method for archives.
pub(crate) struct ArchiveMethod {
    packages: PathBuf,
}

impl ArchiveMethod {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { packages: layout.packages() }
    }
    fn package_folders(&self, package: &str) -> PackageFolders {
        PackageFolders { package: self.packages.join(package) }
    }
}

impl InstallMethod for ArchiveMethod {
    fn is_installed(&self, release: &VerifiedRelease) -> Result<bool, InstallError> {
        Ok(self.installed_folder(release)?.is_some())
    }

    fn installed_folder(&self, release: &VerifiedRelease) -> Result<Option<PathBuf>, InstallError> {
        let folders = self.package_folders(&release.package);
        let Some(current) = folders.current()? else { return Ok(None) };
        let same = folders.read_record(&current).is_some_and(|record| record.artifact == release.artifact);
        let folder = folders.version(&current);
        Ok((same && folder.is_dir()).then_some(folder))
    }

    fn target_folder(&self) -> PathBuf {
        self.packages.clone()
    }

    fn inspect(
        &self,
        _job: &AdmittedJob,
        release: &VerifiedRelease,
        staged: &Path,
        _talk: &mut OutputLog,
    ) -> Result<Inspection, InstallError> {
        let bytes = unpack::inspect(staged, &release.file_name, NameRules::for_platform(&release.platform))?;
        let folders = self.package_folders(&release.package);
        let plan = Plan::Archive { folder: folders.unused_folder_name(release), previous: folders.current()? };
        Ok(Inspection::Planned(Box::new(plan), vec![RoomNeed { folder: self.packages.clone(), bytes }]))
    }

    fn apply(&self, intent: &InstallIntent, step: u8, _talk: &mut OutputLog) -> Result<StepResult, InstallError> {
        let (folders, folder, _) = self.archive_plan(intent)?;
        let release = &intent.release;
        match step {
            0 => {
                let unpacking = folders.unpacking(folder);
                remove_path(&unpacking)?;
                create_folders(&folders.package.join("records"))?;
                create_folders(&unpacking)?;
                unpack::unpack(
                    &intent.staged,
                    &release.file_name,
                    NameRules::for_platform(&release.platform),
                    &unpacking,
                )?;
                Ok(StepResult::More)
            }
            1 => {
                let record = VersionRecord {
                    version: release.version.clone(),
                    sequence: release.sequence,
                    manifest: release.manifest,
                    artifact: release.artifact,
                    placed: UnixSeconds::now(),
                };
                let json = serde_json::to_vec(&record)
                    .map_err(|error| InstallError::new(Reason::InternalError, error.to_string()))?;
                write_synced(&folders.record(folder), &json)?;
                let to = folders.version(folder);
                fs::rename(folders.unpacking(folder), &to)
                    .and_then(|()| sys::sync_folder(&folders.versions()))
                    .context(|| format!("renaming the unpacked release to {}", to.display()))?;
                Ok(StepResult::More)
            }
            _ => folders.switch(Some(folder)).map(|()| StepResult::Done),
        }
    }

    fn status(&self, intent: &InstallIntent) -> Result<InstallStatus, InstallError> {
        let (folders, folder, previous) = self.archive_plan(intent)?;
        let current = folders.current()?;
        let parts = [folders.version(folder), folders.unpacking(folder), folders.record(folder)];
        Ok(if current.as_deref() == Some(folder) && folders.version(folder).is_dir() {
            InstallStatus::Complete
        } else if current.as_deref() == previous && !parts.iter().any(|path| path.exists()) {
            InstallStatus::Untouched
        } else {
            InstallStatus::Partial
        })
    }

    fn release_folder(&self, intent: &InstallIntent) -> Result<PathBuf, InstallError> {
        let (folders, folder, _) = self.archive_plan(intent)?;
        Ok(folders.version(folder))
    }

    fn undo(&self, intent: &InstallIntent, step: u8, _talk: &mut OutputLog) -> Result<StepResult, InstallError> {
        let (folders, folder, previous) = self.archive_plan(intent)?;
        if step == 0 {
            if folders.current()?.as_deref() == Some(folder) {
                if let Some(previous) = previous.filter(|previous| !folders.version(previous).is_dir()) {
                    let detail = format!("the folder of the previous version, {previous}, is missing");
                    return Err(InstallError::new(Reason::UndoFailed, detail));
                }
                folders.switch(previous)?;
            }
            return Ok(StepResult::More);
        }
        for path in [folders.unpacking(folder), folders.version(folder), folders.record(folder)] {
            remove_path(&path)?;
        }
        Ok(StepResult::Done)
    }

    fn describe_restored(&self, intent: &InstallIntent) -> String {
        match self.archive_plan(intent) {
            Ok((_, _, Some(previous))) => format!("{previous} is the current version again"),
            _ => "it was removed again; there was no version before".into(),
        }
    }

    fn clean_up(&self, intent: &InstallIntent) -> Result<(), InstallError> {
        let (folders, folder, previous) = self.archive_plan(intent)?;
        let mut older = Vec::new();
        let versions = folders.versions();
        let context = || format!("reading {}", versions.display());
        for entry in fs::read_dir(&versions).context(context)? {
            let name = entry.context(context)?.file_name();
            let name = name.to_string_lossy().into_owned();
            if name != folder && Some(name.as_str()) != previous {
                older.push((folders.read_record(&name).map(|record| record.placed), name));
            }
        }
        older.sort();
        let surplus = older.len().saturating_sub(MAX_OLDER_VERSIONS);
        older.into_iter().take(surplus).try_for_each(|(_, name)| {
            remove_path(&folders.version(&name))?;
            remove_path(&folders.record(&name))
        })
    }
}

impl ArchiveMethod {
    fn archive_plan<'a>(
        &self,
        intent: &'a InstallIntent,
    ) -> Result<(PackageFolders, &'a str, Option<&'a str>), InstallError> {
        match &intent.plan {
            Plan::Archive { folder, previous } => {
                Ok((self.package_folders(&intent.release.package), folder, previous.as_deref()))
            }
            Plan::Deb { .. } => {
                Err(InstallError::new(Reason::InternalError, "the journal's plan is for another kind of package"))
            }
        }
    }
}
