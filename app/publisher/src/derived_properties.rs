//! Derives the kind of a bare file.

use crate::file_name;
use banyan_archive::reader::is_archive_content;
use banyan_proto::manifest::Kind;
use std::{fs::File, io::Read as _, path::Path};

/// Returns the kind of file, by its extension or else by its first bytes.
pub(crate) fn kind_of_file(path: &Path) -> Option<Kind> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.ends_with(".deb") {
        return Some(Kind::Deb);
    }
    let mut head = vec![];
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    if file_name::without_extension(&name).is_some() || (read.is_ok() && is_archive_content(&head)) {
        Some(Kind::Archive)
    } else {
        None
    }
}
