//! Finds the other programs of Banyan, which are installed in the same folder as this one.

use std::path::PathBuf;

/// Returns the path of another program; only its name when the folder of this one is unknown.
pub(crate) fn sibling_program(name: &str) -> PathBuf {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(|folder| folder.join(&name)));
    beside.unwrap_or_else(|| name.into())
}
