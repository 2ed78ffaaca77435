//! The places below another root that packages were installed to.
//!
//! A place that was used before and is missing now is a disk that is not mounted. An install would fill the folder
//! below the mount point, and the machine's packages would be gone from sight when the disk is back.

use crate::{
    error::InstallError,
    storage::{
        files::{read_json, write_synced},
        layout::Layout,
    },
    sys,
};
use banyan_proto::Reason;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Verifies that the root is there, and the place in it if packages were installed to it before.
pub(crate) fn require(layout: &Layout) -> Result<(), InstallError> {
    require_folder(layout.root(), "so nothing can be installed there")?;
    match layout.place() {
        Some(place) if load(layout)?.contains(&place) => {
            require_folder(&place, "although packages were installed there: is its disk mounted?")
        }
        _ => Ok(()),
    }
}

/// Remembers that packages are installed to the layout's place.
pub(crate) fn record(layout: &Layout) -> Result<(), InstallError> {
    // What the publisher's own command found installed may be elsewhere.
    let Some(place) = layout.place().filter(|place| place.is_dir()) else { return Ok(()) };
    let mut places = load(layout)?;
    if !places.insert(place) {
        return Ok(());
    }
    let json =
        serde_json::to_vec(&places).map_err(|error| InstallError::new(Reason::InternalError, error.to_string()))?;
    write_synced(&layout.places(), &json)
}

/// Verifies that the disk where `folder` is or will be is not mounted read-only.
pub(crate) fn require_writable(folder: &Path) -> Result<(), InstallError> {
    let Some(existing) = folder.ancestors().find(|path| path.exists()) else { return Ok(()) };
    if !sys::is_read_only(existing) {
        return Ok(());
    }
    let detail = format!("the disk of {} is mounted read-only; nothing was changed", existing.display());
    Err(InstallError::new(Reason::ReadOnly, detail))
}

fn load(layout: &Layout) -> Result<BTreeSet<PathBuf>, InstallError> {
    Ok(read_json(&layout.places())?.unwrap_or_default())
}

fn require_folder(path: &Path, consequence: &str) -> Result<(), InstallError> {
    let why = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "is not a folder".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing".to_owned(),
        // A network disk that lost its server, or a disk that was pulled out.
        Err(error) => format!("cannot be reached ({error})"),
    };
    Err(InstallError::new(Reason::PlaceMissing, format!("{} {why}, {consequence}", path.display())))
}
