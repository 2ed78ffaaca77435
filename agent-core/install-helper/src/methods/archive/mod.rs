//! The install method for archives: each release has its own folder, and `current` is switched atomically between them.
//!
//! The previous version's folder is kept for rollback, with a few older ones, and with those that processes still use.
//! Undoing a release removes its folder.

mod early_sync;
mod old_versions;
mod package_folders;
#[cfg(test)]
mod tests;
mod unpack;

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
        places,
    },
    sys,
    verification::AdmittedJob,
};
use banyan_archive::{NameRules, max_unpacked_bytes};
use banyan_proto::{Reason, UnixSeconds, manifest::InstallSpec};
use package_folders::{PackageFolders, VersionRecord, create_folders};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the folder of a package of which a version is installed as an archive.
///
/// # Errors
/// When it cannot be read.
pub(super) fn installed_folder(package: &str, layout: &Layout) -> Result<Option<PathBuf>, InstallError> {
    let folders = ArchiveMethod::new(layout).package_folders(package);
    match folders.current() {
        Ok(current) => Ok(current.filter(|current| folders.version(current).is_dir()).map(|_| folders.package)),
        // What is there did not come from an archive.
        Err(error) if error.reason() == Reason::PlaceTaken => Ok(None),
        Err(error) => Err(error),
    }
}

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

    fn has_other_content(&self, release: &VerifiedRelease) -> Result<bool, InstallError> {
        let folders = self.package_folders(&release.package);
        let Some(current) = folders.current()? else { return Ok(false) };
        let record = folders.read_record(&current);
        Ok(record.is_some_and(|there| there.version == release.version && there.artifact != release.artifact))
    }

    fn can_repair(&self, release: &VerifiedRelease) -> Result<bool, InstallError> {
        self.is_installed(release)
    }

    fn target_folder(&self) -> PathBuf {
        self.packages.clone()
    }

    /// An interrupted install is undone and begins again, with a new copy.
    fn needs_copy_after_crash(&self) -> bool {
        false
    }

    fn inspect(
        &self,
        _job: &AdmittedJob,
        release: &VerifiedRelease,
        staged: &Path,
        _talk: &mut OutputLog,
    ) -> Result<Inspection, InstallError> {
        places::require_writable(&self.packages)?;
        let (needed, files) = unpack::inspect(self.source(staged, release))?;
        // The engine adds what the publisher states, which includes the unpacked files.
        let bytes = needed.saturating_sub(release.spec.needs_bytes);
        let folders = self.package_folders(&release.package);
        let plan = Plan::Archive { folder: folders.unused_folder_name(release), previous: folders.current()? };
        Ok(Inspection::Planned(Box::new(plan), vec![RoomNeed { folder: self.packages.clone(), bytes, files }]))
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
                unpack::unpack(self.source(&intent.staged, release), &unpacking)?;
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
            Ok((folders, _, Some(previous))) => {
                // Without a record, the folder's name is all that is known.
                let version = folders.read_record(previous).map_or(previous.to_owned(), |record| record.version);
                format!("{} {version} is back", intent.release.package)
            }
            _ => "it was removed again; there was no previous version".into(),
        }
    }

    fn clean_up(&self, intent: &InstallIntent) -> Result<(), InstallError> {
        let (folders, folder, previous) = self.archive_plan(intent)?;
        let keep = intent.release.spec.keep_versions.unwrap_or(InstallSpec::KEEPS_VERSIONS);
        old_versions::remove(&folders, folder, previous, keep)
    }
}

impl ArchiveMethod {
    /// Returns how to read the artifact of a release.
    fn source<'a>(&self, archive: &'a Path, release: &'a VerifiedRelease) -> unpack::Source<'a> {
        let rules = NameRules::on_this_machine(&release.platform);
        unpack::Source {
            archive,
            file_name: &release.file_name,
            rules: rules.ignoring_case_if(sys::ignores_case(&self.packages)),
            limit: max_unpacked_bytes(release.size, release.spec.needs_bytes),
        }
    }

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
