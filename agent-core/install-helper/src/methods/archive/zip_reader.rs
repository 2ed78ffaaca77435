//! Reads zip archives. The central directory is authoritative in both passes; each file's content is checked against
//! it.

use crate::error::Trouble;
use crate::{
    error::archive_refusal::Refusal,
    methods::archive::reader::{Budget, Entry, Visit, What, broken},
};
use std::io::{Read, Seek};
use zip::{ZipArchive, result::ZipError};

/// Maximum length of a symbolic link's target (bytes).
const TARGET_BYTES: u64 = 4096;

const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

pub(super) fn walk(input: impl Read + Seek, budget: &Budget, visit: &mut Visit<'_>) -> Result<(), Trouble> {
    let mut archive = ZipArchive::new(input).map_err(damaged)?;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(damaged)?;
        let path = file.name().as_bytes().to_vec();
        let size = file.size();
        let folder = file.is_dir();
        let mode = file.unix_mode().unwrap_or(if folder { FOLDER | 0o755 } else { FILE | 0o644 });
        let mut content = budget.count(file);
        let what = match mode & KIND {
            // A trailing slash marks a folder. Some programs set no type for folders, or a file's.
            0 | FILE | FOLDER if folder => What::Folder,
            0 | FILE => What::File { size },
            SYMLINK if size <= TARGET_BYTES => {
                let mut target = Vec::new();
                content.by_ref().take(TARGET_BYTES + 1).read_to_end(&mut target).map_err(broken)?;
                What::Symlink(target)
            }
            _ => What::Special("neither a file nor a folder nor a link"),
        };
        visit(&Entry { path, what, mode: mode & 0o7777 }, &mut content)?;
    }
    Ok(())
}

fn damaged(error: ZipError) -> Refusal {
    match error {
        ZipError::UnsupportedArchive(why) => Refusal::Unsupported(format!("it uses an unsupported zip feature: {why}")),
        other => Refusal::Broken(other.to_string()),
    }
}
