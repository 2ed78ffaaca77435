//! Reads the helper's records. A damaged file is never treated as a missing one.

use crate::error::{InstallError, IoContext};
use banyan_proto::Reason;
use serde::de::DeserializeOwned;
use std::{fs, io, path::Path};

/// Reads a record; `None` when the file does not exist. `advice` tells an administrator how to replace a damaged one.
pub(crate) fn read_record<T: DeserializeOwned>(
    path: &Path,
    advice: impl FnOnce() -> String,
) -> Result<Option<T>, InstallError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("reading {}", path.display())),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(damaged(&format!("{}: {error}", path.display()), &advice())),
        },
    }
}

/// Returns the error for a damaged record.
pub(crate) fn damaged(what: &str, advice: &str) -> InstallError {
    let detail = format!("the install helper's trust record is damaged ({what}), so it accepts no job; {advice}");
    InstallError::new(Reason::InternalError, detail)
}
