//! Restores what a run changed: every package that was replaced or removed, in the state before. Nothing is purged that
//! was there before, and "restored" is what dpkg's database says afterwards.

use crate::{
    command::{ExternalCommand, OutputLog},
    error::{InstallError, IoContext, is_temporary},
    methods::deb::{
        database::Database,
        dpkg::{self, Dpkg},
        package::Package,
        root_path::resolve,
    },
    package_state::Status,
    storage::journal::{DebPlan, InstallIntent, PackageState, TouchedPackage},
};
use banyan_proto::Reason;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

fn failed(detail: String) -> InstallError {
    InstallError::new(Reason::UndoFailed, detail)
}

/// Whether no package of the plan has changed.
pub(crate) fn is_untouched(plan: &DebPlan, database: &Database) -> bool {
    let is_same = |touched: &TouchedPackage, architecture: &str| {
        let now = database.state(&touched.name, architecture);
        now == touched.before || (!now.status.has_files() && now.status == touched.before.status)
    };
    is_same(&plan.package, &plan.architecture)
        && plan.removed.iter().all(|gone| is_same(gone, &gone.before.architecture))
}

/// Restores the packages.
///
/// # Errors
/// [`Reason::UndoFailed`] with what could not be restored; [`Reason::PackageManagerBusy`] to try again.
pub(crate) fn restore(
    plan: &DebPlan,
    intent: &InstallIntent,
    root: &Path,
    dpkg: &Dpkg,
    log: &mut OutputLog,
) -> Result<(), InstallError> {
    let settings = OwnSettings::of(plan, root);
    let database = Database::read(root)?;
    if is_untouched(plan, &database) {
        return settings.put_back();
    }
    let package = &plan.package;
    let reported = if package.before.status.has_files() {
        match (&package.restore, &intent.release.spec.undo) {
            (Some(old), _) => dpkg.install(old, log),
            (None, Some(undo)) => run_undo_command(undo, root, log),
            (None, None) => Err(failed(format!("no deb of {} {} was kept", package.name, package.before.version))),
        }
    } else if let Some(now) = database.entry(&package.name, &plan.architecture) {
        // Settings that were there before the job are kept.
        let keep_settings = package.before.status == Status::ConfigFiles;
        settings.put_aside()?;
        let now = Package { is_essential: plan.is_essential, ..now.clone() };
        let removed = dpkg.remove(&now, keep_settings, log);
        settings.put_back()?;
        removed
    } else {
        Ok(())
    };
    let mut first_error = take_busy(reported)?;
    for gone in &plan.removed {
        if Database::read(root)?.state(&gone.name, &gone.before.architecture) == gone.before {
            continue;
        }
        let installed = match &gone.restore {
            Some(old) => dpkg.install(old, log),
            None => Err(failed(format!("no deb of {} {} was kept", gone.name, gone.before.version))),
        };
        first_error = first_error.or(take_busy(installed)?);
    }
    match first_error {
        // dpkg also reports the troubles of other packages; its database decides.
        Some(error) => verify(plan, &Database::read(root)?).map_err(|found| match error.reason() {
            // It can be restored once the disk is right again.
            reason if is_temporary(reason) => InstallError::new(reason, format!("{found}: {error}")),
            _ => failed(format!("{found}: {error}")),
        }),
        None => Ok(()),
    }
}

/// Passes on that another program uses dpkg, and keeps every other error for later.
fn take_busy(result: Result<(), InstallError>) -> Result<Option<InstallError>, InstallError> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.reason() == Reason::PackageManagerBusy => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

fn run_undo_command(
    undo: &banyan_proto::manifest::CommandSpec,
    root: &Path,
    log: &mut OutputLog,
) -> Result<(), InstallError> {
    // The install helper holds the lock, so a dpkg in the command must not ask for it.
    let environment = vec![dpkg::FRONTEND_LOCKED];
    let finished = ExternalCommand { environment, ..ExternalCommand::from_manifest(undo, root) }.run(log)?;
    if finished.is_success() { Ok(()) } else { Err(failed(format!("the undo command {}", finished.describe_exit()))) }
}

/// Verifies that every package of the plan is as it was before, or better: one that was half configured may be
/// installed now.
///
/// # Errors
/// [`Reason::UndoFailed`] with the package that is not.
pub(crate) fn verify(plan: &DebPlan, database: &Database) -> Result<(), InstallError> {
    let touched = [(&plan.package, &plan.architecture)].into_iter();
    for (touched, architecture) in touched.chain(plan.removed.iter().map(|gone| (gone, &gone.before.architecture))) {
        let (before, now) = (&touched.before, database.state(&touched.name, architecture));
        if !is_restored(before, &now) {
            let describe = |state: &PackageState| format!("{} {}", state.status, state.version).trim().to_owned();
            let name = &touched.name;
            return Err(failed(format!("{name} is now {}; before it was {}", describe(&now), describe(before))));
        }
    }
    Ok(())
}

fn is_restored(before: &PackageState, now: &PackageState) -> bool {
    if !before.status.has_files() {
        return !now.status.has_files()
            && (before.status == now.status || before.status == Status::NotInstalled && now.version.is_empty());
    }
    let same_content = match (before.content, now.content) {
        (Some(before), Some(now)) => before == now,
        _ => true,
    };
    let as_good = now.status == before.status || now.status.is_installed();
    as_good && now.version == before.version && (same_content || !before.status.is_installed())
}

/// Says what is installed after the undo.
pub(crate) fn describe(plan: &DebPlan) -> String {
    let one = |touched: &TouchedPackage| match touched.before.status {
        Status::NotInstalled => format!("{} was removed again; it was not installed before", touched.name),
        Status::ConfigFiles => format!("{} was removed again; its settings are kept, as before", touched.name),
        _ => format!("{} {} is back", touched.name, touched.before.version),
    };
    [&plan.package].into_iter().chain(&plan.removed).map(one).collect::<Vec<_>>().join("; ")
}

/// Says what else changed on the machine: packages that dpkg left half-done, or removed in favour of the new one.
pub(crate) fn describe_side_effects(plan: &DebPlan, database: &Database) -> Option<String> {
    let mut effects: Vec<String> = Vec::new();
    for package in database.packages.iter().filter(|package| package.name != plan.package.name) {
        let is_well = package.status.is_installed() || !package.status.has_files();
        let line = format!("{} {}", package.status, package.version);
        if !is_well && plan.machine.get(&package.id()) != Some(&line) {
            effects.push(format!(
                "dpkg left {} {}; run `dpkg --configure -a` on the machine",
                package.label(),
                package.status
            ));
        }
    }
    let gone = plan.removed.iter().map(|gone| format!("{} {}", gone.name, gone.before.version)).collect::<Vec<_>>();
    if !gone.is_empty() {
        effects.push(format!("dpkg removed {} in favour of the package", gone.join(", ")));
    }
    (!effects.is_empty()).then(|| effects.join("; "))
}

/// Settings that the machine had before the package. A purge must not delete them.
struct OwnSettings(Vec<(PathBuf, PathBuf)>);

impl OwnSettings {
    fn of(plan: &DebPlan, root: &Path) -> Self {
        let pair = |name: &String| {
            let place = resolve(root, name);
            let mut aside = place.clone().into_os_string();
            aside.push(".banyan-keeps");
            (place, PathBuf::from(aside))
        };
        Self(plan.own_settings.iter().map(pair).collect())
    }
    fn put_aside(&self) -> Result<(), InstallError> {
        self.0.iter().try_for_each(|(place, aside)| move_if_there(place, aside))
    }
    /// Also after a crash in between.
    fn put_back(&self) -> Result<(), InstallError> {
        for (place, aside) in &self.0 {
            if let Some(folder) = place.parent().filter(|_| aside.exists()) {
                fs::create_dir_all(folder).context(|| format!("creating {}", folder.display()))?;
            }
            move_if_there(aside, place)?;
        }
        Ok(())
    }
}

fn move_if_there(from: &Path, to: &Path) -> Result<(), InstallError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.context(|| format!("moving {} to {}", from.display(), to.display())),
    }
}
