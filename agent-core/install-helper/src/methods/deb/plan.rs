//! Decides, before anything changes, what installing a deb would do to a machine, and refuses what must not happen.
//!
//! Pure: the database and the deb go in, the packages that change or a reason come out. dpkg itself checks less: it
//! installs a version that another package cannot work with, and notices a missing dependency after unpacking.

use crate::{
    error::InstallError,
    methods::deb::{
        contents::Deb,
        database::{Database, labels},
        package::{MultiArch, Package},
        relation::{Alternatives, Relation},
        root_path::Places,
        version,
    },
    package_state::{Status, Want},
};
use banyan_proto::{Reason, order::Allowance};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What the decision needs beside the database and the deb.
pub(crate) struct Circumstances<'a> {
    /// The machine's own architecture.
    pub(crate) native: &'a str,
    /// What the administrator allows for this order.
    pub(crate) allow: &'a [Allowance],
    /// Whether an older version is meant: the release says so, or the installed version came through Banyan.
    pub(crate) may_downgrade: bool,
    /// The other packages that have files of the deb, by path. Folders and diverted files are left out.
    pub(crate) owners: &'a BTreeMap<String, FileOwner>,
    /// Whether a script of the deb diverts files before dpkg unpacks it. Then only dpkg knows which files it would take.
    pub(crate) diverts_files: bool,
    /// The packages, by id, all of whose files the deb has.
    pub(crate) emptied: &'a BTreeSet<String>,
}

/// A package that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOwner {
    /// Its id.
    package: String,
    /// The file's path as this package has it.
    path: String,
}

/// A package that stays, and whose files the new one takes over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OverwrittenFiles {
    pub(crate) package: Package,
    /// The paths as this package has them.
    pub(crate) files: Vec<String>,
}

/// The packages that change, as they are now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The package itself, unless dpkg does not know it.
    pub(crate) before: Option<Package>,
    /// The packages that dpkg removes in favour of the new one.
    pub(crate) removed: Vec<Package>,
    /// The packages that lose files to the new one.
    pub(crate) overwritten: Vec<OverwrittenFiles>,
    /// Packages that are neither installed nor removed, and that the plan does not touch.
    pub(crate) unfinished: Vec<Package>,
}

fn refuse<T>(reason: Reason, detail: String) -> Result<T, InstallError> {
    Err(InstallError::new(reason, detail))
}

/// Decides what changes.
///
/// # Errors
/// The reason why the deb must not be installed on this machine as it is.
pub(crate) fn plan(database: &Database, deb: &Deb, given: &Circumstances<'_>) -> Result<Changes, InstallError> {
    let new = &deb.package;
    check_architecture(database, new, given.native)?;
    let before = database.entry(&new.name, &new.architecture, new.is_coinstallable());
    if let Some(before) = before {
        check_hold_and_version(before, new, given)?;
    }
    let is_before = |package: &&Package| before.is_some_and(|before| before.id() == package.id());
    let others: Vec<&Package> = database.packages.iter().filter(|package| !is_before(package)).collect();
    check_lockstep(&others, new)?;
    let removed = removed_in_favour(&others, new, given)?;
    let is_removed = |package: &Package| removed.iter().any(|gone| gone.id() == package.id());
    let held = removed.iter().find(|gone| gone.want == Want::Hold);
    if let Some(held) = held.filter(|_| !given.allow.contains(&Allowance::Held)) {
        return refuse(Reason::PackageHeld, format!("{} replaces {}, which is on hold", new.label(), held.label()));
    }
    let mut after: Vec<Package> =
        others.iter().filter(|package| !is_removed(package)).map(|package| (*package).clone()).collect();
    let native = |package: &Package| match package.architecture.as_str() {
        "all" => given.native.to_owned(),
        own => own.to_owned(),
    };
    check_dependencies(&after, before, new, &native(new))?;
    let overwritten = overwritten(&after, new, given)?;
    after.push(Package { status: Status::Installed, ..new.clone() });
    check_dependants(database, &after, new, &native)?;
    let unfinished = |package: &&&Package| package.status.has_files() && !package.status.is_installed();
    let unfinished = others.iter().filter(|package| !is_removed(package)).filter(unfinished);
    let unfinished = unfinished.map(|package| (*package).clone()).collect();
    Ok(Changes { unfinished, before: before.cloned(), removed, overwritten })
}

fn check_architecture(database: &Database, new: &Package, native: &str) -> Result<(), InstallError> {
    let own = new.architecture.as_str();
    if own == "all" || own == native || database.foreign.iter().any(|foreign| foreign == own) {
        return Ok(());
    }
    let accepted = [native].into_iter().chain(database.foreign.iter().map(String::as_str)).collect::<Vec<_>>();
    refuse(
        Reason::WrongPlatform,
        format!("the deb is for {own}, but dpkg on this machine accepts {} only", accepted.join(", ")),
    )
}

fn check_hold_and_version(before: &Package, new: &Package, given: &Circumstances<'_>) -> Result<(), InstallError> {
    if before.want == Want::Hold && !given.allow.contains(&Allowance::Held) {
        return refuse(Reason::PackageHeld, format!("{} is on hold", before.label().trim_end()));
    }
    let is_older = before.status.has_files() && version::compare(&new.version, &before.version).is_lt();
    if is_older && !given.may_downgrade && !given.allow.contains(&Allowance::Downgrade) {
        let detail = format!("{} is installed, which is newer than {}", before.label(), new.version);
        return refuse(Reason::NewerInstalled, detail);
    }
    Ok(())
}

/// A package that is installed for several architectures must have one version for all.
fn check_lockstep(others: &[&Package], new: &Package) -> Result<(), InstallError> {
    let differs = |package: &&&Package| {
        package.name == new.name
            && package.status.has_files()
            && package.version != new.version
            && package.multi_arch == MultiArch::Same
            && new.multi_arch == MultiArch::Same
    };
    match others.iter().find(differs) {
        None => Ok(()),
        Some(other) => refuse(
            Reason::PackageConflict,
            format!("{} {} is installed and must have the same version", other.id(), other.version),
        ),
    }
}

/// Whether `package` is one that `relation` of `of` excludes. A package never excludes itself.
fn excludes(of: &Package, relation: &Relation, package: &Package) -> bool {
    let provided =
        package.provides.iter().any(|provided| provided.name == relation.name && relation.fits_provided(provided));
    let named = package.name == relation.name && relation.fits_version(&package.version);
    of.name != package.name && (named || provided)
}

/// Returns the packages that dpkg removes in favour of the new one.
fn removed_in_favour(
    others: &[&Package],
    new: &Package,
    given: &Circumstances<'_>,
) -> Result<Vec<Package>, InstallError> {
    let mut removed: Vec<Package> = Vec::new();
    for other in others.iter().filter(|other| other.status.has_files()) {
        let conflict = new.conflicts.iter().find(|relation| excludes(new, relation, other));
        let replaces = new.replaces.iter().any(|relation| excludes(new, relation, other));
        if let Some(relation) = conflict {
            if !replaces || other.is_essential {
                let detail = format!("{} conflicts with {relation}; {} is installed", new.label(), other.label());
                return refuse(Reason::PackageConflict, detail);
            }
            removed.push((*other).clone());
        } else if replaces && given.emptied.contains(&other.id()) {
            removed.push((*other).clone());
        }
        let broken = new.breaks.iter().find(|relation| excludes(new, relation, other));
        if let Some(relation) = broken.filter(|_| conflict.is_none()) {
            let detail = format!("{} breaks {relation}; {} is installed", new.label(), other.label());
            return refuse(Reason::PackageConflict, detail);
        }
        let excluding = other.conflicts.iter().chain(&other.breaks).find(|relation| excludes(other, relation, new));
        if let Some(relation) = excluding.filter(|_| !removed.iter().any(|gone| gone.id() == other.id())) {
            let detail = format!("{} is installed and conflicts with {relation}", other.label());
            return refuse(Reason::PackageConflict, detail);
        }
    }
    Ok(removed)
}

fn check_dependencies(
    after: &[Package],
    before: Option<&Package>,
    new: &Package,
    architecture: &str,
) -> Result<(), InstallError> {
    let mut missing = Vec::new();
    let mut bound = BTreeSet::new();
    for group in &new.depends {
        let found: Vec<&Package> = group
            .0
            .iter()
            .flat_map(|relation| Database::fulfilling(after, relation, architecture))
            .filter(|package| package.status.has_files())
            .collect();
        let by_itself = group
            .0
            .iter()
            .any(|relation| Database::fulfilling(std::slice::from_ref(new), relation, architecture).next().is_some());
        if by_itself || found.iter().any(|package| package.status.is_installed()) {
            continue;
        }
        if let Some(half) = found.first() {
            let detail = format!("{} needs {group}, but {} is {}", new.label(), half.label(), half.status);
            return refuse(Reason::PackagesUnfinished, detail);
        }
        missing.push(describe_missing(after, group));
        let is_bound = |name: &&str| before.is_some_and(|before| needs_exactly(before, name));
        bound.extend(group.0.iter().map(|relation| &*relation.name).filter(is_bound));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!("{} needs {}{}", new.label(), missing.join("; "), change_together(&new.name, &bound));
    refuse(Reason::DependencyMissing, detail)
}

/// Whether a package needs one version of another, so that neither can change without the other.
fn needs_exactly(package: &Package, name: &str) -> bool {
    package.depends.iter().flat_map(|group| &group.0).any(|relation| relation.name == name && relation.is_exact())
}

/// Says what an administrator can do about packages that must change in one run of dpkg. Empty when there are none.
fn change_together(new: &str, others: &BTreeSet<&str>) -> String {
    if others.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = [new].into_iter().chain(others.iter().copied().filter(|other| *other != new)).collect();
    let files = names.iter().map(|name| format!("./{name}.deb")).collect::<Vec<_>>().join(" ");
    format!(
        "; {} must change together, and Banyan installs one package at a time: install their debs in one run on the \
         machine (`apt-get install {files}`), then run `banyan retry`",
        names.join(" and ")
    )
}

/// Names a dependency, and the version that is installed instead.
fn describe_missing(after: &[Package], group: &Alternatives) -> String {
    let named =
        |package: &&Package| package.status.has_files() && group.0.iter().any(|relation| relation.name == package.name);
    let instead: Vec<&Package> = after.iter().filter(named).collect();
    if instead.is_empty() { group.to_string() } else { format!("{group} ({} is installed)", labels(instead)) }
}

/// Returns the packages whose files the new one takes over, and refuses a file that it may not take.
fn overwritten(
    after: &[Package],
    new: &Package,
    given: &Circumstances<'_>,
) -> Result<Vec<OverwrittenFiles>, InstallError> {
    let mut found: BTreeMap<String, OverwrittenFiles> = BTreeMap::new();
    for (path, FileOwner { package, path: own_path }) in given.owners {
        let Some(owner) = after.iter().find(|other| other.id() == *package && other.name != new.name) else { continue };
        if !new.replaces.iter().any(|relation| excludes(new, relation, owner)) {
            if given.diverts_files {
                continue;
            }
            let detail = format!("{} contains {path}, which belongs to {}", new.label(), owner.label());
            return refuse(Reason::PackageConflict, detail);
        }
        let of_owner = || OverwrittenFiles { package: owner.clone(), files: Vec::new() };
        found.entry(package.clone()).or_insert_with(of_owner).files.push(own_path.clone());
    }
    Ok(found.into_values().collect())
}

/// Refuses what takes away something that an installed package depends on.
fn check_dependants(
    database: &Database,
    after: &[Package],
    new: &Package,
    architecture: &impl Fn(&Package) -> String,
) -> Result<(), InstallError> {
    let mut broken = Vec::new();
    let mut bound = BTreeSet::new();
    for package in after.iter().filter(|package| package.status.has_files() && package.id() != new.id()) {
        let own = architecture(package);
        let is_met = |packages: &[Package], group: &Alternatives| {
            group
                .0
                .iter()
                .any(|relation| Database::fulfilling(packages, relation, &own).any(|found| found.status.has_files()))
        };
        for group in &package.depends {
            if is_met(&database.packages, group) && !is_met(after, group) {
                broken.push(format!("{} needs {group}", package.label()));
                if group.0.iter().any(|relation| relation.name == new.name && relation.is_exact()) {
                    bound.insert(&*package.name);
                }
            }
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let together = change_together(&new.name, &bound);
    refuse(Reason::BreaksOthers, format!("with {}: {}{together}", new.label(), broken.join("; ")))
}

impl Changes {
    /// Says in one line what the plan changes.
    pub(crate) fn describe(&self, deb: &Deb) -> String {
        let before = match &self.before {
            Some(before) if before.status.has_files() => format!(" (replaces {}, {})", before.version, before.status),
            Some(before) => format!(" ({} of {} are there)", before.status, before.version),
            None => String::new(),
        };
        let removed = match self.removed.as_slice() {
            [] => String::new(),
            removed => format!("; removes {}", labels(removed)),
        };
        let overwritten = match self.overwritten.as_slice() {
            [] => String::new(),
            lose => format!("; replaces files of {}", labels(lose.iter().map(|other| &other.package))),
        };
        let unfinished = match self.unfinished.as_slice() {
            [] => String::new(),
            unfinished => format!("; already unfinished: {}", labels(unfinished)),
        };
        format!("plan: install {}{before}{removed}{overwritten}{unfinished}", deb.package.label())
    }
}

/// Returns the other packages that have files of the deb, by path, and the packages of which the deb has every file.
/// Files are compared by the place where they really are: two folders can be one, such as `/bin` and `/usr/bin`.
pub(crate) fn file_owners(
    database: &Database,
    deb: &Deb,
    root: &Path,
) -> (BTreeMap<String, FileOwner>, BTreeSet<String>) {
    let mut places = Places::new(root);
    let diversions = database.diversions(&deb.package.name);
    let (mut folders, mut files) = (BTreeSet::new(), BTreeMap::new());
    for file in &deb.files {
        let place = places.of(diversions.get(&file.path).unwrap_or(&file.path));
        if file.is_folder {
            folders.insert(place);
        } else {
            files.insert(place, file.path.as_str());
        }
    }
    let (mut owners, mut emptied) = (BTreeMap::new(), BTreeSet::new());
    let others =
        database.packages.iter().filter(|package| package.name != deb.package.name && package.status.has_files());
    for package in others {
        let diversions = database.diversions(&package.name);
        let (mut of_deb, mut own) = (0_u32, 0_u32);
        for path in database.files(package) {
            let place = places.of(diversions.get(&path).unwrap_or(&path));
            if let Some(in_deb) = files.get(&place) {
                of_deb += 1;
                owners.insert((*in_deb).to_owned(), FileOwner { package: package.id(), path });
            } else if !folders.contains(&place) {
                own += 1;
            }
        }
        if of_deb > 0 && own == 0 {
            emptied.insert(package.id());
        }
    }
    (owners, emptied)
}
