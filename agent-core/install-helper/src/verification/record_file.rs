//! Reads the helper's records. A damaged file is never treated as a missing one.

use crate::error::{Doing, Trouble};
use banyan_proto::Reason;
use serde::de::DeserializeOwned;
use std::{fs, io, path::Path};

/// Reads a record; `None` when the file does not exist. `way` tells an administrator how to replace a damaged one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, way: impl FnOnce() -> String) -> Result<Option<T>, Trouble> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(damaged(&format!("{}: {error}", path.display()), &way())),
        },
    }
}

/// Returns the error for a damaged record.
pub(crate) fn damaged(what: &str, way: &str) -> Trouble {
    let detail = format!("the installer's trust record is damaged ({what}), so it accepts no job; {way}");
    Trouble::because(Reason::InternalError, detail)
}
