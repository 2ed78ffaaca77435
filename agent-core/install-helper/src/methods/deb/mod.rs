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
    command::Talk,
    error::{Doing, Trouble},
    methods::{
        deb::dpkg::Dpkg,
        install_method::{Found, Inspected, Method, Progress},
    },
    protocol::WithoutRestore,
    release::Release,
    storage::{
        journal::{Intent, PackageState, Plan},
        layout::{Layout, remove},
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
pub(crate) struct Deb {
    layout: Layout,
    dpkg: Dpkg,
}

impl Deb {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), dpkg: Dpkg::new(layout.root()) }
    }

    fn planned<'a>(&self, intent: &'a Intent) -> Result<(&'a str, &'a PackageState, Option<&'a Path>), Trouble> {
        match &intent.plan {
            Plan::Deb { architecture, before, restore } => Ok((architecture, before, restore.as_deref())),
            Plan::Archive { .. } => {
                Err(Trouble::because(Reason::InternalError, "the journal's plan is for another kind of package"))
            }
        }
    }

    /// Finds a deb of exactly this version: a kept one, or else a copy of the one in apt's cache.
    fn find_kept(&self, package: &str, state: &PackageState, talk: &mut Talk) -> Result<Option<PathBuf>, Trouble> {
        let name = file_name(package, &state.version, &state.architecture);
        let kept = self.layout.kept().join(&name);
        if kept.is_file() {
            return Ok(Some(kept));
        }
        let cached = self.layout.root().join("var/cache/apt/archives").join(&name);
        if !cached.is_file() {
            return Ok(None);
        }
        let told = self.dpkg.describe(&cached, talk)?;
        if (told.package.as_str(), &told.version) != (package, &state.version) {
            return Ok(None);
        }
        fs::copy(&cached, &kept).doing(|| format!("keeping {}", cached.display()))?;
        Ok(Some(kept))
    }
}

impl Method for Deb {
    fn is_there(&self, release: &Release) -> Result<bool, Trouble> {
        let states = self.dpkg.query(&release.package)?;
        Ok(states.iter().any(|state| dpkg::is_installed(state) && state.version == release.version))
    }

    fn folder_of(&self, _release: &Release) -> Result<Option<PathBuf>, Trouble> {
        Ok(Some(self.layout.root().to_owned()))
    }

    fn target(&self) -> PathBuf {
        self.layout.root().to_owned()
    }

    fn inspect(
        &self,
        job: &AdmittedJob,
        release: &Release,
        staged: &Path,
        talk: &mut Talk,
    ) -> Result<Inspected, Trouble> {
        let told = self.dpkg.describe(staged, talk)?;
        if (&told.package, &told.version) != (&release.package, &release.version) {
            let detail = format!(
                "the deb is {} {}, but the manifest says {} {}",
                told.package, told.version, release.package, release.version
            );
            return Err(Trouble::because(Reason::InstallFailed, detail));
        }
        let before = dpkg::pick(self.dpkg.query(&release.package)?, &told.architecture);
        let mut restore = None;
        if dpkg::is_installed(&before) && before.version != release.version {
            restore = self.find_kept(&release.package, &before, talk)?;
            let refused = job.without_restore == WithoutRestore::Refuse && release.spec.undo.is_none();
            if restore.is_none() && refused {
                let detail = format!(
                    "{} {} is installed but its deb was not kept, so it could not be restored if {} does not work",
                    release.package, before.version, release.version
                );
                return Err(Trouble::because(Reason::CannotRestore, detail));
            }
        }
        let plan = Plan::Deb { architecture: told.architecture, before, restore };
        Ok(Inspected { plan, bytes: told.installed_bytes })
    }

    fn apply(&self, intent: &Intent, _step: u8, talk: &mut Talk) -> Result<Progress, Trouble> {
        if !self.layout.is_whole_machine() {
            self.dpkg.make_database()?;
        }
        self.dpkg.install(&intent.staged, talk)?;
        match self.found(intent)? {
            Found::Complete => Ok(Progress::Done),
            _ => {
                Err(Trouble::because(Reason::InstallFailed, "dpkg reported success, but the package is not installed"))
            }
        }
    }

    fn found(&self, intent: &Intent) -> Result<Found, Trouble> {
        let (architecture, before, _) = self.planned(intent)?;
        let now = dpkg::pick(self.dpkg.query(&intent.release.package)?, architecture);
        Ok(if dpkg::is_installed(&now) && now.version == intent.release.version {
            Found::Complete
        } else if now == *before {
            Found::Untouched
        } else if staging::is_whole(&intent.staged, intent.release.artifact)? {
            Found::Resumable
        } else {
            Found::Half
        })
    }

    fn folder(&self, _intent: &Intent) -> Result<PathBuf, Trouble> {
        Ok(self.layout.root().to_owned())
    }

    fn undo(&self, intent: &Intent, _step: u8, talk: &mut Talk) -> Result<Progress, Trouble> {
        let (architecture, before, restore) = self.planned(intent)?;
        let package = &intent.release.package;
        let now = || -> Result<PackageState, Trouble> { Ok(dpkg::pick(self.dpkg.query(package)?, architecture)) };
        if now()? == *before {
            return Ok(Progress::Done);
        }
        if dpkg::is_installed(before) {
            match (restore, &intent.release.spec.undo) {
                (Some(old), _) => self.dpkg.install(old, talk)?,
                (None, Some(undo)) => {
                    let ran = crate::command::Line::publishers(undo, self.layout.root()).run(talk)?;
                    if ran.succeeded() {
                        return Ok(Progress::Done);
                    }
                    let detail = format!("the undo command {}", ran.words());
                    return Err(Trouble::because(Reason::UndoFailed, detail));
                }
                (None, None) => {
                    let detail = format!("the deb of {package} {} was not kept", before.version);
                    return Err(Trouble::because(Reason::UndoFailed, detail));
                }
            }
        } else {
            // Settings that were there before the job are kept.
            let keep_settings = before.status == "config-files";
            self.dpkg.take_off(package, architecture, keep_settings, talk)?;
        }
        let after = now()?;
        if dpkg::is_installed(before) == dpkg::is_installed(&after)
            && (!dpkg::is_installed(before) || before.version == after.version)
        {
            return Ok(Progress::Done);
        }
        let detail = format!(
            "{package} is now {} {}; before it was {} {}",
            after.status, after.version, before.status, before.version
        );
        Err(Trouble::because(Reason::UndoFailed, detail))
    }

    fn settle(&self, intent: &Intent) -> Result<(), Trouble> {
        let (architecture, _, restore) = self.planned(intent)?;
        let package = &intent.release.package;
        let kept = self.layout.kept().join(file_name(package, &intent.release.version, architecture));
        // After a crash between the move and the end of the job, there is nothing left to move.
        if intent.staged.exists() {
            fs::rename(&intent.staged, &kept).doing(|| format!("keeping {}", kept.display()))?;
        }
        // Keeps one deb to roll back to and the deb of this version; older ones have no use.
        let ours = format!("{package}_");
        let doing = || "tidying the kept debs".to_owned();
        for file in fs::read_dir(self.layout.kept()).doing(doing)? {
            let path = file.doing(doing)?.path();
            let of_this = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&ours));
            if of_this && path != kept && Some(path.as_path()) != restore {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Returns the deb's file name in apt's style.
fn file_name(package: &str, version: &str, architecture: &str) -> String {
    format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a"))
}
