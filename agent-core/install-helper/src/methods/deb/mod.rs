//! The install method for Debian packages. It runs the real dpkg, whose database is authoritative about what is
//! installed.
//!
//! dpkg cannot roll back, so every installed deb is kept. Undoing installs the previous deb again, or removes the
//! package when there was none. When a version is installed whose deb is neither kept here nor in apt's cache, the job
//! is refused before anything changes. The exceptions: the manifest has an undo command, or the job says to proceed.
//!
//! Not undone: what a package's scripts did outside its files, and the removal of other packages that conflict with the
//! new one.

pub(crate) mod dpkg;

use crate::{
    command::OutputLog,
    error::{InstallError, IoContext},
    methods::{
        deb::dpkg::Dpkg,
        install_method::{Inspection, InstallMethod, InstallStatus, StepResult},
    },
    protocol::WithoutRestore,
    release::VerifiedRelease,
    storage::{
        files::remove_path,
        journal::{InstallIntent, PackageState, Plan},
        layout::Layout,
        staging,
    },
    verification::AdmittedJob,
};
use banyan_proto::Reason;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// The install method for debs.
pub(crate) struct DebMethod {
    layout: Layout,
    dpkg: Dpkg,
}

impl DebMethod {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), dpkg: Dpkg::new(layout.root()) }
    }

    fn deb_plan<'a>(
        &self,
        intent: &'a InstallIntent,
    ) -> Result<(&'a str, &'a PackageState, Option<&'a Path>), InstallError> {
        match &intent.plan {
            Plan::Deb { architecture, before, restore } => Ok((architecture, before, restore.as_deref())),
            Plan::Archive { .. } => {
                Err(InstallError::new(Reason::InternalError, "the journal's plan is for another kind of package"))
            }
        }
    }

    /// Finds a deb of exactly this version: a kept one, or else a copy of the one in apt's cache.
    fn find_previous_deb(
        &self,
        package: &str,
        state: &PackageState,
        log: &mut OutputLog,
    ) -> Result<Option<PathBuf>, InstallError> {
        let name = deb_file_name(package, &state.version, &state.architecture);
        let kept = self.layout.kept_debs().join(&name);
        if kept.is_file() {
            return Ok(Some(kept));
        }
        let cached = self.layout.root().join("var/cache/apt/archives").join(&name);
        if !cached.is_file() {
            return Ok(None);
        }
        let fields = self.dpkg.read_fields(&cached, log)?;
        if (fields.package.as_str(), &fields.version) != (package, &state.version) {
            return Ok(None);
        }
        fs::copy(&cached, &kept).context(|| format!("keeping {}", cached.display()))?;
        Ok(Some(kept))
    }
}

impl InstallMethod for DebMethod {
    fn is_installed(&self, release: &VerifiedRelease) -> Result<bool, InstallError> {
        let states = self.dpkg.query(&release.package)?;
        Ok(states.iter().any(|state| dpkg::is_installed(state) && state.version == release.version))
    }

    fn installed_folder(&self, _release: &VerifiedRelease) -> Result<Option<PathBuf>, InstallError> {
        Ok(Some(self.layout.root().to_owned()))
    }

    fn target_folder(&self) -> PathBuf {
        self.layout.root().to_owned()
    }

    fn inspect(
        &self,
        job: &AdmittedJob,
        release: &VerifiedRelease,
        staged: &Path,
        log: &mut OutputLog,
    ) -> Result<Inspection, InstallError> {
        let fields = self.dpkg.read_fields(staged, log)?;
        if (&fields.package, &fields.version) != (&release.package, &release.version) {
            let detail = format!(
                "the deb is {} {}, but the manifest says {} {}",
                fields.package, fields.version, release.package, release.version
            );
            return Err(InstallError::new(Reason::InstallFailed, detail));
        }
        let before = dpkg::select_state(self.dpkg.query(&release.package)?, &fields.architecture);
        let mut restore = None;
        if dpkg::is_installed(&before) && before.version != release.version {
            restore = self.find_previous_deb(&release.package, &before, log)?;
            let refused = job.without_restore == WithoutRestore::Refuse && release.spec.undo.is_none();
            if restore.is_none() && refused {
                let detail = format!(
                    "{} {} is installed but its deb was not kept, so it could not be restored if {} does not work",
                    release.package, before.version, release.version
                );
                return Err(InstallError::new(Reason::CannotRestore, detail));
            }
        }
        let plan = Plan::Deb { architecture: fields.architecture, before, restore };
        Ok(Inspection { plan, bytes: fields.installed_bytes })
    }

    fn apply(&self, intent: &InstallIntent, _step: u8, log: &mut OutputLog) -> Result<StepResult, InstallError> {
        if !self.layout.is_this_machine() {
            self.dpkg.create_database()?;
        }
        self.dpkg.install(&intent.staged, log)?;
        match self.status(intent)? {
            InstallStatus::Complete => Ok(StepResult::Done),
            _ => {
                Err(InstallError::new(Reason::InstallFailed, "dpkg reported success, but the package is not installed"))
            }
        }
    }

    fn status(&self, intent: &InstallIntent) -> Result<InstallStatus, InstallError> {
        let (architecture, before, _) = self.deb_plan(intent)?;
        let now = dpkg::select_state(self.dpkg.query(&intent.release.package)?, architecture);
        Ok(if dpkg::is_installed(&now) && now.version == intent.release.version {
            InstallStatus::Complete
        } else if now == *before {
            InstallStatus::Untouched
        } else if staging::is_intact(&intent.staged, intent.release.artifact)? {
            InstallStatus::Resumable
        } else {
            InstallStatus::Partial
        })
    }

    fn release_folder(&self, _intent: &InstallIntent) -> Result<PathBuf, InstallError> {
        Ok(self.layout.root().to_owned())
    }

    fn undo(&self, intent: &InstallIntent, _step: u8, log: &mut OutputLog) -> Result<StepResult, InstallError> {
        let (architecture, before, restore) = self.deb_plan(intent)?;
        let package = &intent.release.package;
        let now = || -> Result<PackageState, InstallError> {
            Ok(dpkg::select_state(self.dpkg.query(package)?, architecture))
        };
        if now()? == *before {
            return Ok(StepResult::Done);
        }
        if dpkg::is_installed(before) {
            match (restore, &intent.release.spec.undo) {
                (Some(old), _) => self.dpkg.install(old, log)?,
                (None, Some(undo)) => {
                    let finished = crate::command::ExternalCommand::from_manifest(undo, self.layout.root()).run(log)?;
                    if finished.is_success() {
                        return Ok(StepResult::Done);
                    }
                    let detail = format!("the undo command {}", finished.describe_exit());
                    return Err(InstallError::new(Reason::UndoFailed, detail));
                }
                (None, None) => {
                    let detail = format!("the deb of {package} {} was not kept", before.version);
                    return Err(InstallError::new(Reason::UndoFailed, detail));
                }
            }
        } else {
            // Settings that were there before the job are kept.
            let keep_settings = before.status == "config-files";
            self.dpkg.remove(package, architecture, keep_settings, log)?;
        }
        let after = now()?;
        if dpkg::is_installed(before) == dpkg::is_installed(&after)
            && (!dpkg::is_installed(before) || before.version == after.version)
        {
            return Ok(StepResult::Done);
        }
        let detail = format!(
            "{package} is now {} {}; before it was {} {}",
            after.status, after.version, before.status, before.version
        );
        Err(InstallError::new(Reason::UndoFailed, detail))
    }

    fn clean_up(&self, intent: &InstallIntent) -> Result<(), InstallError> {
        let (architecture, _, restore) = self.deb_plan(intent)?;
        let package = &intent.release.package;
        let kept = self.layout.kept_debs().join(deb_file_name(package, &intent.release.version, architecture));
        // After a crash between the move and the end of the job, there is nothing left to move.
        if intent.staged.exists() {
            fs::rename(&intent.staged, &kept).context(|| format!("keeping {}", kept.display()))?;
        }
        // Keeps one deb to roll back to and the deb of this version; older ones have no use.
        let ours = format!("{package}_");
        let context = || "tidying the kept debs".to_owned();
        for file in fs::read_dir(self.layout.kept_debs()).context(context)? {
            let path = file.context(context)?.path();
            let of_this = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&ours));
            if of_this && path != kept && Some(path.as_path()) != restore {
                remove_path(&path)?;
            }
        }
        Ok(())
    }
}

/// Returns the deb's file name in apt's style.
fn deb_file_name(package: &str, version: &str, architecture: &str) -> String {
    format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a"))
}
