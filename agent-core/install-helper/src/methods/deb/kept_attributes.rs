//! Owner, mode and extended attributes of what dpkg itself puts back: the files of the versions before, and folders.
//!
//! dpkg gives files what the deb says. It knows nothing of the capabilities that a script or an administrator gave them,
//! of access lists, and of folders that it removes when they are empty.

use crate::{
    error::{InstallError, IoContext},
    file_attributes::FileAttributes,
    methods::deb::{contents::Deb, database::Database, package::Package, root_path::Places, saved_files::look_at},
    storage::files::{read_json, write_synced},
    sys,
};
use banyan_proto::Reason;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, path::Path};

/// One file or folder.
#[derive(Debug, Serialize, Deserialize)]
struct KeptAttributes {
    /// Its absolute path below the root.
    path: String,
    is_folder: bool,
    #[serde(flatten)]
    attributes: FileAttributes,
}

/// Writes down the attributes of the files and folders of the versions before, and of the deb's folders. `to` is the
/// file for them. What another package has, too, is left out: dpkg leaves it in place.
///
/// # Errors
/// When attributes cannot be read or written.
pub(crate) fn keep(
    deb: &Deb,
    before: &[&Package],
    database: &Database,
    root: &Path,
    to: &Path,
) -> Result<(), InstallError> {
    let mut paths: BTreeSet<String> = BTreeSet::new();
    let diversions = database.diversions(&deb.package.name);
    for file in deb.files.iter().filter(|file| file.is_folder) {
        paths.insert(diversions.get(&file.path).unwrap_or(&file.path).clone());
    }
    // Scripts give a package that is not configured its attributes when dpkg configures it on the way back.
    for package in before.iter().filter(|package| package.status.is_installed()) {
        let diversions = database.diversions(&package.name);
        let files = database.files(package).into_iter();
        paths.extend(files.map(|path| diversions.get(&path).cloned().unwrap_or(path)));
    }
    let is_other = |package: &&Package| {
        package.status.has_files()
            && package.name != deb.package.name
            && !before.iter().any(|before| before.id() == package.id())
    };
    for package in database.packages.iter().filter(is_other) {
        for path in database.files(package) {
            paths.remove(&path);
        }
    }
    let mut places = Places::new(root);
    let mut kept = Vec::new();
    for path in paths {
        let place = places.of(&path);
        let Some(found) = look_at(&place)?.filter(|found| found.is_dir() || found.is_file()) else { continue };
        let attributes = sys::read_attributes(&place).context(|| format!("reading {}", place.display()))?;
        kept.push(KeptAttributes {
            path,
            is_folder: found.is_dir(),
            attributes: FileAttributes { times: None, ..attributes },
        });
    }
    let json =
        serde_json::to_vec(&kept).map_err(|error| InstallError::new(Reason::InternalError, error.to_string()))?;
    write_synced(to, &json)
}

/// Gives files and folders the attributes that they had. What is no longer there, or is something else, is left alone.
///
/// # Errors
/// When the attributes cannot be read or set.
pub(crate) fn put_back(from: &Path, root: &Path) -> Result<(), InstallError> {
    let Some(kept) = read_json::<Vec<KeptAttributes>>(from)? else {
        let detail = format!("{}, where the attributes of files were kept, is missing or damaged", from.display());
        return Err(InstallError::new(Reason::UndoFailed, detail));
    };
    let mut places = Places::new(root);
    for KeptAttributes { path, is_folder, attributes } in kept {
        let place = places.of(&path);
        let context = || format!("restoring owner, permissions and attributes of {}", place.display());
        let now = look_at(&place)?;
        // dpkg removes empty folders, whoever made them.
        if is_folder && now.is_none() {
            fs::create_dir_all(&place).and_then(|()| sys::correct_attributes(&place, &attributes)).context(context)?;
        }
        let is_same = |now: &fs::Metadata| match is_folder {
            true => now.is_dir(),
            // Another name can be a file elsewhere that someone wants to have other permissions.
            false => now.is_file() && sys::count_links(now) <= attributes.links,
        };
        if now.as_ref().is_some_and(is_same) {
            sys::correct_attributes(&place, &attributes).context(context)?;
        }
    }
    Ok(())
}
