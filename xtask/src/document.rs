//! Writes results into documents.

use anyhow::{Context, Result};
use std::{fs, path::Path};

/// Replaces the section under a heading of the second level (`## NAME`) in the document of real packages, or adds it at
/// the end. `section` begins with that heading.
pub(crate) fn replace_section(path: &Path, heading: &str, section: &str) -> Result<()> {
    let before = fs::read_to_string(path).unwrap_or_else(|_| "# Real packages\n".into());
    let after = match before.find(heading) {
        None => format!("{}\n\n{section}", before.trim_end()),
        Some(start) => {
            let rest = &before[start + heading.len()..];
            let next = rest.find("\n## ").map_or("", |next| &rest[next..]);
            format!("{}{}\n{next}", &before[..start], section.trim_end())
        }
    };
    fs::write(path, format!("{}\n", after.trim_end())).with_context(|| format!("cannot write {}", path.display()))
}
