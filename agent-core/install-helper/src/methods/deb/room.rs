//! The room that a deb needs, on each disk that its files go to.
//!
//! dpkg writes all new files beside the old ones before it replaces any. `Installed-Size` is not used: it is an estimate
//! of the publisher's build, for one disk of an unknown block size.

use crate::{
    error::{InstallError, IoContext},
    methods::deb::{contents::Deb, database::Database, root_path::folder_place},
    storage::{free_space::RoomNeed, places},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

/// Files take whole blocks of this size (bytes); a folder takes one.
const BLOCK: u64 = 4096;
/// What dpkg itself writes beside its copies of the database (bytes).
const DATABASE_EXTRA: u64 = 64 << 10;
/// How many files dpkg writes for a package in its database, about.
const DATABASE_FILES: u64 = 16;

/// Verifies that the disks are writable that files go to. A folder that is there already is not written.
///
/// # Errors
/// [`banyan_proto::Reason::ReadOnly`] with the place.
pub(crate) fn check_writable(deb: &Deb, root: &Path, database: &Database) -> Result<(), InstallError> {
    let diversions = database.diversions(&deb.package.name);
    let paths =
        deb.files.iter().filter(|file| !file.is_folder).map(|file| diversions.get(&file.path).unwrap_or(&file.path));
    let folders: BTreeSet<&str> = paths.map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
    folders.into_iter().try_for_each(|folder| places::require_writable(&folder_place(root, folder)))
}

/// Returns what goes where.
///
/// # Errors
/// When dpkg's database cannot be read.
pub(crate) fn needs(deb: &Deb, root: &Path, database: &Database) -> Result<Vec<RoomNeed>, InstallError> {
    let diversions = database.diversions(&deb.package.name);
    let mut by_folder: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for file in &deb.files {
        let path = diversions.get(&file.path).unwrap_or(&file.path);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let blocks = if file.is_folder { 1 } else { file.size.div_ceil(BLOCK) };
        let (bytes, files) = by_folder.entry(folder).or_default();
        *bytes = bytes.saturating_add(blocks.saturating_mul(BLOCK));
        // What is there stays until dpkg has written the new one beside it; a folder is not written again.
        *files += u64::from(!file.is_folder || !folder_place(root, &file.path).is_dir());
    }
    let need =
        |(folder, (bytes, files)): (&str, (u64, u64))| RoomNeed { folder: folder_place(root, folder), bytes, files };
    let mut needs: Vec<RoomNeed> = by_folder.into_iter().map(need).collect();
    // dpkg writes its whole database anew, beside the old one.
    let status = root.join("var/lib/dpkg/status");
    let size = match status.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).context(|| format!("looking at {}", status.display())),
    };
    let bytes = size.saturating_add(DATABASE_EXTRA);
    needs.push(RoomNeed { folder: root.join("var/lib/dpkg"), bytes, files: DATABASE_FILES });
    Ok(needs)
}
