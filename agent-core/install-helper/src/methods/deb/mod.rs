//! The install method for Debian packages. It runs the real dpkg, whose database is authoritative about what is
//! installed.
//!
//! Everything is decided before anything changes, while no other program may use dpkg: `plan` names the packages that
//! change, or refuses. Success is what dpkg's database and the probe say afterwards, not dpkg's exit code: that also
//! reports the troubles of other packages.
//!
//! dpkg cannot roll back, so every installed deb is kept. Undoing installs the previous debs again, removes the package
//! when there was none, puts back settings and files that dpkg overwrote, and sets holds as they were. When a package
//! changes whose deb is neither kept here nor in apt's cache, the job is refused before anything changes. The exceptions:
//! the manifest has an undo command, or the order allows it.
//!
//! Not undone: what a package's scripts did outside its files. In particular, no `postrm purge` runs: it would also delete
//! what was there before.
//!
//! | file | content |
//! | --- | --- |
//! | `version`, `relation`, `package` | versions, dependency fields and entries as data |
//! | `database` | dpkg's database below a root, and its locks |
//! | `contents` | a deb as data |
//! | `plan` | what installing it changes, or why it must not be installed |
//! | `room` | the disks that its files go to |
//! | `kept` | the debs to go back to |
//! | `saved_files` | the machine's own files to put back |
//! | `kept_attributes` | owner, mode and extended attributes of what dpkg puts back |
//! | `changed_kinds` | folders that become links, and links that become folders |
//! | `dpkg` | runs dpkg |
//! | `dpkg_config` | errors of the machine's configuration of dpkg |
//! | `undo` | restores what the run changed |

mod changed_kinds;
mod contents;
pub(crate) mod database;
pub(crate) mod dpkg;
mod dpkg_config;
mod kept;
mod kept_attributes;
mod package;
mod plan;
mod relation;
mod room;
mod root_path;
mod saved_files;
mod undo;
mod version;

use crate::{
    command::OutputLog,
    error::{InstallError, IoContext},
    methods::{
        deb::{
            contents::Deb,
            database::Database,
            dpkg::Dpkg,
            package::Package,
            plan::{Changes, Circumstances, OverwrittenFiles},
        },
        install_method::{Inspection, InstallMethod, InstallStatus, StepResult},
    },
    package_state::{Status, Want},
    release::VerifiedRelease,
    storage::{
        journal::{DebPlan, InstallIntent, OverwrittenPackage, PackageState, Plan, TouchedPackage},
        layout::Layout,
        staging,
    },
    verification::AdmittedJob,
};
use banyan_proto::{Reason, manifest::InstallSpec, order::Allowance};
use kept::KeptDebs;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// Returns the installed version of a package of which a deb came through Banyan.
///
/// # Errors
/// When dpkg's database cannot be read.
pub(super) fn installed_through_banyan(package: &str, layout: &Layout) -> Result<Option<String>, InstallError> {
    if !KeptDebs::new(layout).has_any(package)? {
        return Ok(None);
    }
    let database = Database::read(layout.root())?;
    let mut installed = database.packages.into_iter().filter(|found| found.name == package && found.status.has_files());
    Ok(installed.next().map(|found| found.version))
}

/// The install method for debs.
pub(crate) struct DebMethod {
    layout: Layout,
    kept: KeptDebs,
}

impl DebMethod {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), kept: KeptDebs::new(layout) }
    }

    fn dpkg(&self, release: &VerifiedRelease) -> Dpkg {
        let seconds = release.spec.script_timeout_seconds.unwrap_or(InstallSpec::SCRIPT_TIMEOUT_SECONDS);
        Dpkg::new(self.layout.root(), Duration::from_secs(seconds.into()))
    }

    fn deb_plan(intent: &InstallIntent) -> Result<&DebPlan, InstallError> {
        match &intent.plan {
            Plan::Deb(plan) => Ok(plan),
            Plan::Archive { .. } => {
                Err(InstallError::new(Reason::InternalError, "the journal's plan is for another kind of package"))
            }
        }
    }

    /// Whether the release's content is what is installed under its version.
    fn is_complete(&self, intent: &InstallIntent, database: &Database) -> Result<bool, InstallError> {
        let plan = Self::deb_plan(intent)?;
        let Some(now) = database.entry(&intent.release.package, &plan.architecture, plan.is_coinstallable) else {
            return Ok(false);
        };
        if !now.status.is_installed() || now.version != intent.release.version {
            return Ok(false);
        }
        let before = &plan.package.before;
        if before.version != now.version || database.state_of(now).content != before.content {
            return Ok(true);
        }
        if !staging::is_intact(&intent.staged, intent.release.artifact)? {
            return Ok(false);
        }
        Deb::read(&intent.staged)?.is_in_place(&intent.staged, self.layout.root(), database, now)
    }

    /// Decides what changes, and finds the debs to go back to.
    fn plan(
        &self,
        job: &AdmittedJob,
        deb: &Deb,
        staged: &Path,
        database: &Database,
        native: &str,
    ) -> Result<(DebPlan, Changes), InstallError> {
        let (owners, emptied) = plan::file_owners(database, deb, self.layout.root());
        let new = &deb.package;
        let installed = database.entry(&new.name, &new.architecture, new.is_coinstallable());
        let came_through_banyan = installed.is_some_and(|installed| self.kept.kept(installed, database).is_some());
        let circumstances = Circumstances {
            native,
            allow: &job.allow,
            may_downgrade: job.release.is_rollback || came_through_banyan,
            owners: &owners,
            diverts_files: deb.diverts_files(),
            emptied: &emptied,
        };
        let changes = plan::plan(database, deb, &circumstances)?;
        let may_lose = job.allow.contains(&Allowance::NoRestore);
        let touched = |package: &Package, has_undo: bool| -> Result<TouchedPackage, InstallError> {
            let is_this_deb = || package.name == new.name && deb.was_installed(database, package);
            let restore = match package.status.has_files() {
                true => self.kept.find(package, database)?.or_else(|| is_this_deb().then(|| staged.to_owned())),
                false => None,
            };
            let is_lost = package.status.has_files() && restore.is_none() && !has_undo;
            if is_lost && !may_lose {
                return Err(no_way_back(package));
            }
            Ok(TouchedPackage { name: package.name.clone(), before: database.state_of(package), restore })
        };
        let package = match &changes.before {
            Some(before) => touched(before, job.release.spec.undo.is_some())?,
            None => TouchedPackage { name: new.name.clone(), before: PackageState::default(), restore: None },
        };
        let removed = changes.removed.iter().map(|gone| touched(gone, false)).collect::<Result<_, _>>()?;
        let before: Vec<&Package> = changes.before.iter().chain(&changes.removed).collect();
        let to_save = saved_files::find(deb, &before, database, self.layout.root())?;
        let attributes = self.layout.restore_folder().join("attributes.json");
        kept_attributes::keep(deb, &before, database, self.layout.root(), &attributes)?;
        let plan = DebPlan {
            architecture: new.architecture.clone(),
            is_coinstallable: new.is_coinstallable(),
            is_essential: new.is_essential,
            package,
            removed,
            overwritten: self.save_overwritten(&changes, database)?,
            saved_files: saved_files::save(&to_save, &[], self.layout.root(), &self.layout.restore_folder())?,
            changed_kinds: changed_kinds::find(deb, database, self.layout.root())?,
            attributes: Some(attributes),
            machine: database.summary(),
        };
        Ok((plan, changes))
    }

    /// Saves what other packages lose to the new one. dpkg deletes it when it goes back.
    fn save_overwritten(
        &self,
        changes: &Changes,
        database: &Database,
    ) -> Result<Vec<OverwrittenPackage>, InstallError> {
        let root = self.layout.root();
        let save =
            |OverwrittenFiles { package, files }: &OverwrittenFiles| -> Result<OverwrittenPackage, InstallError> {
                let list = database.info_path(package, "list");
                let list = list.as_deref().and_then(|list| list.strip_prefix(root).ok());
                let paths: BTreeSet<String> =
                    files.iter().cloned().chain(list.map(|list| format!("/{}", list.display()))).collect();
                let folder = self.layout.restore_folder().join(package.id());
                create_folder(&folder)?;
                let saved_files = saved_files::save(&paths, &database.files(package), root, &folder)?;
                Ok(OverwrittenPackage { name: package.name.clone(), before: database.state_of(package), saved_files })
            };
        changes.overwritten.iter().map(save).collect()
    }

    fn set_holds(&self, intent: &InstallIntent, log: &mut OutputLog) -> Result<(), InstallError> {
        let (plan, database) = (Self::deb_plan(intent)?, Database::read(self.layout.root())?);
        for touched in plan.removed.iter().chain([&plan.package]).filter(|touched| touched.before.want == Want::Hold) {
            let now = database.entry(&touched.name, &touched.before.architecture, plan.is_coinstallable);
            if let Some(now) = now.filter(|now| now.want != Want::Hold && now.status.has_files()) {
                self.dpkg(&intent.release).set_want(now, Want::Hold, log)?;
            }
        }
        Ok(())
    }
}

fn create_folder(path: &Path) -> Result<(), InstallError> {
    fs::create_dir_all(path).context(|| format!("creating {}", path.display()))
}

/// The error for a package that changes although its state could not be restored.
fn no_way_back(package: &Package) -> InstallError {
    let label = package.label();
    if package.status.is_installed() {
        let detail = format!(
            "{label} is installed, but its deb was not kept and is not in apt's cache, so it could not be restored if \
             the new version does not work"
        );
        return InstallError::new(Reason::CannotRestore, detail);
    }
    let detail = format!("{label} is {}, and there is no deb of it to complete or restore it with", package.status);
    if package.status == Status::HalfInstalled {
        // `dpkg --configure -a` does nothing about such a package.
        let reinstall = format!("{detail}; `apt-get install --reinstall {}` on the machine completes it", package.name);
        return InstallError::new(Reason::CannotRestore, reinstall);
    }
    InstallError::new(Reason::PackagesUnfinished, detail)
}

impl InstallMethod for DebMethod {
    fn is_installed(&self, release: &VerifiedRelease) -> Result<bool, InstallError> {
        let database = Database::read(self.layout.root())?;
        let mut found = database.packages.iter().filter(|package| package.name == release.package);
        let Some(installed) = found.find(|found| found.status.is_installed() && found.version == release.version)
        else {
            return Ok(false);
        };
        // The same version can have other content. What Banyan did not install is compared once the deb is here.
        match self.kept.kept(installed, &database) {
            Some(kept) => staging::is_intact(&kept, release.artifact),
            None => Ok(false),
        }
    }

    fn has_other_content(&self, release: &VerifiedRelease) -> Result<bool, InstallError> {
        let database = Database::read(self.layout.root())?;
        let is_it = |package: &&Package| package.name == release.package && package.version == release.version;
        match database.packages.iter().find(|package| is_it(package) && self.kept.has_kept(package)) {
            None => Ok(false),
            Some(installed) => match self.kept.kept(installed, &database) {
                Some(kept) => staging::is_intact(&kept, release.artifact).map(|is_same| !is_same),
                None => Ok(true),
            },
        }
    }

    fn installed_folder(&self, _release: &VerifiedRelease) -> Result<Option<PathBuf>, InstallError> {
        Ok(Some(self.layout.root().to_owned()))
    }

    fn target_folder(&self) -> PathBuf {
        self.layout.root().to_owned()
    }

    fn lock_machine(&self) -> Result<Option<File>, InstallError> {
        database::lock(self.layout.root())
    }

    fn inspect(
        &self,
        job: &AdmittedJob,
        release: &VerifiedRelease,
        staged: &Path,
        log: &mut OutputLog,
    ) -> Result<Inspection, InstallError> {
        let deb = Deb::read(staged)?;
        let new = &deb.package;
        if (&new.name, &new.version) != (&release.package, &release.version) {
            let detail =
                format!("the deb is {}, but the manifest says {} {}", new.label(), release.package, release.version);
            return Err(InstallError::new(Reason::InstallFailed, detail));
        }
        let dpkg = self.dpkg(release);
        let native = dpkg.native_architecture()?;
        let database = Database::read(self.layout.root())?;
        let same = database
            .entry(&new.name, &new.architecture, new.is_coinstallable())
            .filter(|installed| installed.status.is_installed() && installed.version == new.version);
        if let Some(installed) = same
            && deb.is_in_place(staged, self.layout.root(), &database, installed)?
        {
            self.kept.keep(staged, installed, &database)?;
            return Ok(Inspection::InPlace);
        }
        dpkg.check_scripts_may_run(&deb)?;
        room::check_writable(&deb, self.layout.root(), &database)?;
        let (plan, changes) = self.plan(job, &deb, staged, &database, &native)?;
        if database.exists() {
            dpkg.simulate(staged, log)?;
        }
        log.append_line(&changes.describe(&deb));
        let needs = room::needs(&deb, self.layout.root(), &database)?;
        Ok(Inspection::Planned(Box::new(Plan::Deb(Box::new(plan))), needs))
    }

    fn apply(&self, intent: &InstallIntent, _step: u8, log: &mut OutputLog) -> Result<StepResult, InstallError> {
        if !self.layout.is_this_machine() {
            database::create(self.layout.root())?;
        }
        let reported = self.dpkg(&intent.release).install(&[&intent.staged], log);
        if matches!(&reported, Err(error) if error.reason() == Reason::PackageManagerBusy) {
            return reported.map(|()| StepResult::Done);
        }
        if self.is_complete(intent, &Database::read(self.layout.root())?)? {
            if let Err(error) = reported {
                log.append_line(&format!("the package is installed, although {error}"));
            }
            self.set_holds(intent, log)?;
            return Ok(StepResult::Done);
        }
        reported?;
        Err(InstallError::new(Reason::InstallFailed, "dpkg reported success, but the package is not installed"))
    }

    fn status(&self, intent: &InstallIntent) -> Result<InstallStatus, InstallError> {
        let database = Database::read(self.layout.root())?;
        Ok(if self.is_complete(intent, &database)? {
            InstallStatus::Complete
        } else if undo::is_untouched(Self::deb_plan(intent)?, &database) {
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
        let plan = Self::deb_plan(intent)?;
        undo::restore(plan, intent, self.layout.root(), &self.dpkg(&intent.release), log)?;
        self.set_holds(intent, log)?;
        undo::verify(plan, &Database::read(self.layout.root())?)?;
        Ok(StepResult::Done)
    }

    fn describe_restored(&self, intent: &InstallIntent) -> String {
        Self::deb_plan(intent).map_or_else(|error| error.to_string(), undo::describe)
    }

    fn remark(&self, intent: &InstallIntent) -> Result<Option<String>, InstallError> {
        Ok(undo::describe_side_effects(Self::deb_plan(intent)?, &Database::read(self.layout.root())?))
    }

    fn clean_up(&self, intent: &InstallIntent) -> Result<(), InstallError> {
        let plan = Self::deb_plan(intent)?;
        let database = Database::read(self.layout.root())?;
        let installed = Package {
            name: intent.release.package.clone(),
            version: intent.release.version.clone(),
            architecture: plan.architecture.clone(),
            ..Package::default()
        };
        // After a crash between the move and the end of the job, there is nothing left to move.
        if intent.staged.exists() {
            let found = database.entry(&installed.name, &installed.architecture, plan.is_coinstallable);
            self.kept.keep(&intent.staged, found.unwrap_or(&installed), &database)?;
        }
        self.kept.tidy(&installed, plan.package.restore.as_deref())
    }
}
