//! Whether data of a package are on the machine before its first installation, from an installation in another way.
//!
//! Undoing that first installation purges the package, and `postrm purge` of many packages deletes such folders.

use crate::{
    methods::deb::{contents::Deb, database::Database, package::Package, root_path::Places},
    package_state::Status,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where packages keep folders of their own name.
const PLACES: [&str; 8] =
    ["/etc", "/opt", "/srv", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/usr/local/share"];

/// Folders in which many packages have folders.
const SHARED: [&str; 7] = ["/var/cache", "/var/lib", "/var/log", "/var/mail", "/var/opt", "/var/spool", "/var/www"];
/// Where data are, below any name.
const DATA: [&str; 5] = ["/etc/", "/home/", "/opt/", "/srv/", "/var/"];

/// Whether a folder of the package, by the name of the package or from its deb, has files of no package.
pub(crate) fn is_there(deb: &Deb, before: Option<&Package>, database: &Database, root: &Path) -> bool {
    if before.is_some_and(|package| package.status != Status::NotInstalled) {
        return false;
    }
    let mut places = Places::new(root);
    let mut of_others: BTreeSet<PathBuf> = BTreeSet::new();
    for package in database.packages.iter().filter(|package| package.status.has_files()) {
        of_others.extend(database.files(package).iter().map(|path| places.of(path)));
    }
    let by_name = PLACES.iter().map(|place| format!("{place}/{}", deb.package.name));
    let may_be_data = |path: &str| DATA.iter().any(|place| path.starts_with(place)) && !SHARED.contains(&path);
    let in_deb = deb.files.iter().filter(|file| file.is_folder && may_be_data(&file.path));
    let in_deb = in_deb.map(|file| file.path.clone());
    let own: BTreeSet<PathBuf> =
        by_name.chain(in_deb).map(|path| places.of(&path)).filter(|place| !of_others.contains(place)).collect();
    own.iter().any(|folder| has_foreign_files(folder, &of_others))
}

fn has_foreign_files(folder: &Path, of_others: &BTreeSet<PathBuf>) -> bool {
    let is_foreign = |entry: fs::DirEntry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => has_foreign_files(&path, of_others),
            _ => !of_others.contains(&path),
        }
    };
    fs::read_dir(folder).into_iter().flatten().flatten().any(is_foreign)
}
