//! Reads zip archives. The central directory is authoritative in both passes; each file's content is checked against
//! it.

use crate::error::InstallError;
use crate::{
    error::archive_refusal::ArchiveRefusal,
    methods::archive::reader::{Entry, EntryKind, SizeBudget, Visitor, damaged},
};
use std::io::{Read, Seek};
use zip::{ZipArchive, result::ZipError};

/// Maximum length of a symbolic link's target (bytes).
const MAX_LINK_TARGET_BYTES: u64 = 4096;

const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_SYMLINK: u32 = 0o120_000;

pub(super) fn read_entries(
    input: impl Read + Seek,
    budget: &SizeBudget,
    visit: &mut Visitor<'_>,
) -> Result<(), InstallError> {
    let mut archive = ZipArchive::new(input).map_err(zip_error)?;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(zip_error)?;
        let path = file.name().as_bytes().to_vec();
        let size = file.size();
        let folder = file.is_dir();
        let mode = file.unix_mode().unwrap_or(if folder { TYPE_FOLDER | 0o755 } else { TYPE_FILE | 0o644 });
        let mut content = budget.count(file);
        let kind = match mode & TYPE_MASK {
            // A trailing slash marks a folder. Some programs set no type for folders, or a file's.
            0 | TYPE_FILE | TYPE_FOLDER if folder => EntryKind::Folder,
            0 | TYPE_FILE => EntryKind::File { size },
            TYPE_SYMLINK if size <= MAX_LINK_TARGET_BYTES => {
                let mut target = Vec::new();
                content.by_ref().take(MAX_LINK_TARGET_BYTES + 1).read_to_end(&mut target).map_err(damaged)?;
                EntryKind::Symlink(target)
            }
            _ => EntryKind::Special("neither a file nor a folder nor a link"),
        };
        visit(&Entry { path, kind, mode: mode & 0o7777 }, &mut content)?;
    }
    Ok(())
}

fn zip_error(error: ZipError) -> ArchiveRefusal {
    match error {
        ZipError::UnsupportedArchive(why) => {
            ArchiveRefusal::Unsupported(format!("it uses an unsupported zip feature: {why}"))
        }
        other => ArchiveRefusal::Damaged(other.to_string()),
    }
}
