//! Restores what a run changed: every package that was replaced or removed, in the state before. Nothing is purged that
//! was there before, and "restored" is what dpkg's database says afterwards.

use crate::{
    command::{DPKG_LOCKED, ExternalCommand, OutputLog},
    error::{InstallError, IoContext, is_temporary},
    methods::deb::{changed_kinds, database::Database, dpkg::Dpkg, kept_attributes, package::Package, saved_files},
    package_state::Status,
    storage::{
        files::remove_path,
        journal::{DebPlan, InstallIntent, OverwrittenPackage, PackageState, TouchedPackage},
    },
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
        let now = database.state(&touched.name, architecture, plan.is_coinstallable);
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
    let restored = restore_packages(plan, intent, root, dpkg, log);
    // Also when a package could not be restored; but not before dpkg had its turn.
    if matches!(&restored, Err(error) if error.reason() == Reason::PackageManagerBusy) {
        return restored;
    }
    let files = saved_files::put_back(&plan.saved_files, root)
        .and_then(|()| put_back_overwritten(plan, root))
        .and_then(|()| changed_kinds::put_back_links(&plan.changed_kinds, root))
        .and_then(|()| match &plan.attributes {
            // Another version than before has attributes of its own.
            Some(kept) if restored.is_ok() => kept_attributes::put_back(kept, root),
            _ => Ok(()),
        });
    restored.and(files.map_err(|error| match is_temporary(error.reason()) {
        true => error,
        false => failed(error.to_string()),
    }))
}

fn restore_packages(
    plan: &DebPlan,
    intent: &InstallIntent,
    root: &Path,
    dpkg: &Dpkg,
    log: &mut OutputLog,
) -> Result<(), InstallError> {
    let database = Database::read(root)?;
    if is_untouched(plan, &database) {
        return Ok(());
    }
    let package = &plan.package;
    let entry = database.entry(&package.name, &plan.architecture, plan.is_coinstallable);
    let others = debs_of_removed(plan, &database);
    let (reported, are_others_done) = if package.before.status.has_files() {
        // What cannot be removed is reported when all files are put back.
        if let Err(error) = saved_files::remove_new(&plan.saved_files, root) {
            log.append_line(&error.to_string());
        }
        match (&package.restore, &intent.release.spec.undo) {
            (Some(old), _) => {
                changed_kinds::remove_links(&plan.changed_kinds, root)?;
                // In one run, because they can need each other.
                let debs: Vec<&Path> = [old.as_path()].into_iter().chain(others.iter().copied()).collect();
                (despite_own_scripts(root, entry, log, |log| dpkg.install(&debs, log)), true)
            }
            (None, Some(undo)) => (run_undo_command(undo, root, log), false),
            (None, None) => (Err(no_deb(package)), false),
        }
    } else if let Some(now) = entry {
        let now = Package { is_essential: plan.is_essential, ..now.clone() };
        // A purge deletes settings that were there before the job; they are put back afterwards.
        let keep_settings = package.before.status == Status::ConfigFiles;
        let removed =
            despite_own_scripts(root, entry, log, |log| remove_without_purging(root, &now, keep_settings, dpkg, log));
        (removed, false)
    } else {
        (Ok(()), false)
    };
    let mut first_error = take_busy(reported)?;
    if !are_others_done {
        first_error = first_error.or(take_busy(dpkg.install(&others, log))?);
    }
    let lost = plan.removed.iter().find(|gone| gone.restore.is_none() && !is_as_before(gone, plan, &database));
    first_error = first_error.or(lost.map(no_deb));
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

/// Puts back what other packages lost, unless they were changed since.
fn put_back_overwritten(plan: &DebPlan, root: &Path) -> Result<(), InstallError> {
    let database = Database::read(root)?;
    let is_same = |lose: &&OverwrittenPackage| {
        database.state(&lose.name, &lose.before.architecture, plan.is_coinstallable) == lose.before
    };
    plan.overwritten.iter().filter(is_same).try_for_each(|lose| saved_files::put_back(&lose.saved_files, root))
}

fn no_deb(package: &TouchedPackage) -> InstallError {
    failed(format!("no deb of {} {} was kept", package.name, package.before.version))
}

/// The debs of the packages that were removed.
fn debs_of_removed<'a>(plan: &'a DebPlan, database: &Database) -> Vec<&'a Path> {
    let removed = plan.removed.iter().filter(|gone| !is_as_before(gone, plan, database));
    removed.filter_map(|gone| gone.restore.as_deref()).collect()
}

fn is_as_before(package: &TouchedPackage, plan: &DebPlan, database: &Database) -> bool {
    database.state(&package.name, &package.before.architecture, plan.is_coinstallable) == package.before
}

/// Removes a package without its `postrm purge`, which deletes data and settings whoever made them: `/var/lib/docker`, a
/// database of an earlier installation, a file that an administrator wrote. What the package's other scripts created
/// outside its files stays.
fn remove_without_purging(
    root: &Path,
    package: &Package,
    keep_settings: bool,
    dpkg: &Dpkg,
    log: &mut OutputLog,
) -> Result<(), InstallError> {
    dpkg.remove(package, true, log)?;
    if keep_settings {
        return Ok(());
    }
    if let Some(script) = Database::read(root)?.info_path(package, "postrm") {
        remove_path(&script)?;
    }
    dpkg.remove(package, false, log)
}

/// Replaces or removes the version that failed. Its own scripts can be as broken as it is, and dpkg keeps a version whose
/// `prerm` fails. So the second try goes without the scripts that run when it goes.
fn despite_own_scripts(
    root: &Path,
    failed_version: Option<&Package>,
    log: &mut OutputLog,
    run: impl Fn(&mut OutputLog) -> Result<(), InstallError>,
) -> Result<(), InstallError> {
    let first = run(log);
    let may_be_a_script =
        matches!(&first, Err(error) if matches!(error.reason(), Reason::InstallFailed | Reason::ScriptTimeout));
    let Some(failed_version) = failed_version.filter(|_| may_be_a_script) else { return first };
    let database = Database::read(root)?;
    let scripts: Vec<PathBuf> =
        ["prerm", "postrm"].into_iter().filter_map(|kind| database.info_path(failed_version, kind)).collect();
    if scripts.is_empty() || !database.packages.iter().any(|now| is_same_version(now, failed_version)) {
        return first;
    }
    log.append_line("the scripts of the version that failed prevent its removal; trying again without them");
    let read = |path| -> io::Result<_> { Ok((path, fs::read(path)?, fs::metadata(path)?.permissions())) };
    let kept: io::Result<Vec<(&PathBuf, Vec<u8>, fs::Permissions)>> = scripts.iter().map(read).collect();
    let kept = kept.context(|| "reading the package's scripts".into())?;
    for path in &scripts {
        remove_path(path)?;
    }
    let second = run(log);
    if second.is_err() && Database::read(root)?.packages.iter().any(|now| is_same_version(now, failed_version)) {
        for (path, content, mode) in kept {
            let written = fs::write(path, content).and_then(|()| fs::set_permissions(path, mode));
            written.context(|| format!("writing {}", path.display()))?;
        }
    }
    second
}

fn is_same_version(now: &Package, failed_version: &Package) -> bool {
    now.id() == failed_version.id() && now.version == failed_version.version && now.status.has_files()
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
    let environment = vec![DPKG_LOCKED];
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
        let (before, now) = (&touched.before, database.state(&touched.name, architecture, plan.is_coinstallable));
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
    let has_again = |lose: &OverwrittenPackage| format!("{} has its files again", lose.name);
    let others = plan.overwritten.iter().map(has_again);
    [&plan.package].into_iter().chain(&plan.removed).map(one).chain(others).collect::<Vec<_>>().join("; ")
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
