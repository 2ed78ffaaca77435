//! Folders that become links with an update, and links that become folders. dpkg leaves both as they are, so packages
//! change them with scripts (`dpkg-maintscript-helper`), and only on the way to the newer version.
//!
//! On the way back, dpkg would unpack the older files through the link, over those of another package. So the link is
//! removed before dpkg runs. A folder in the place of a link stays until dpkg has removed the newer files from it.

use crate::{
    error::{InstallError, IoContext},
    methods::deb::{contents::Deb, database::Database, root_path::Places, saved_files::look_at},
    storage::journal::{FolderOrLink, KindBefore},
    sys,
};
use banyan_proto::Reason;
use std::{fs, io, path::Path};

/// Finds the places where the deb has a folder instead of a link, or a link instead of a folder.
///
/// # Errors
/// When a place cannot be read.
pub(crate) fn find(deb: &Deb, database: &Database, root: &Path) -> Result<Vec<FolderOrLink>, InstallError> {
    let diversions = database.diversions(&deb.package.name);
    let mut places = Places::new(root);
    let mut found = Vec::new();
    for file in deb.files.iter().filter(|file| !file.is_plain) {
        let path = diversions.get(&file.path).unwrap_or(&file.path);
        let place = places.of(path);
        let before = match look_at(&place)? {
            Some(now) if now.is_dir() && !file.is_folder => KindBefore::Folder,
            Some(now) if now.is_symlink() && file.is_folder => {
                let target = fs::read_link(&place).context(|| format!("reading {}", place.display()))?;
                KindBefore::Link { target }
            }
            _ => continue,
        };
        found.push(FolderOrLink { path: path.clone(), before });
    }
    Ok(found)
}

/// Removes the links where folders were. dpkg creates the folders again.
///
/// # Errors
/// When a link cannot be removed.
pub(crate) fn remove_links(changed: &[FolderOrLink], root: &Path) -> Result<(), InstallError> {
    let mut places = Places::new(root);
    for FolderOrLink { path, .. } in changed.iter().filter(|changed| changed.before == KindBefore::Folder) {
        let place = places.of(path);
        if look_at(&place)?.is_some_and(|now| now.is_symlink()) {
            fs::remove_file(&place).context(|| format!("removing the link {}", place.display()))?;
        }
    }
    Ok(())
}

/// Puts links back in place of empty folders, and verifies that every place is what it was.
///
/// # Errors
/// [`Reason::UndoFailed`] with the place that is not.
pub(crate) fn put_back_links(changed: &[FolderOrLink], root: &Path) -> Result<(), InstallError> {
    // The places are looked up one by one: one can be below another.
    for FolderOrLink { path, before } in changed {
        let place = Places::new(root).of(path);
        let now = look_at(&place)?;
        match before {
            KindBefore::Folder if now.as_ref().is_some_and(fs::Metadata::is_dir) => {}
            KindBefore::Folder => {
                return Err(InstallError::new(Reason::UndoFailed, format!("{} was a folder before", place.display())));
            }
            KindBefore::Link { target } => put_back_link(&place, target, now.as_ref())?,
        }
    }
    Ok(())
}

fn put_back_link(place: &Path, target: &Path, now: Option<&fs::Metadata>) -> Result<(), InstallError> {
    if fs::read_link(place).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let removed = match now {
        None => Ok(()),
        Some(now) if now.is_dir() => fs::remove_dir(place),
        Some(_) => fs::remove_file(place),
    };
    match removed.and_then(|()| sys::make_symlink(target, place)) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let detail = format!(
                "{} was a link to {} before, and is now a folder with files that belong to no package",
                place.display(),
                target.display()
            );
            Err(InstallError::new(Reason::UndoFailed, detail))
        }
        done => done.context(|| format!("restoring the link {}", place.display())),
    }
}
