//! Derives the kind of a bare file, or says what it is instead.

use crate::{PublisherError, file_name};
use banyan_archive::reader::{is_archive_content, refusal_of_other_format};
use banyan_proto::manifest::Kind;
use std::{
    fs::File,
    io::{Read as _, Seek as _},
    path::Path,
};

/// Returns the kind of file, by its extension or else by its first bytes.
pub(crate) fn kind_of_file(path: &Path) -> Option<Kind> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.ends_with(".deb") {
        return Some(Kind::Deb);
    }
    let mut head = vec![];
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    let is_archive = || read.is_ok() && is_archive_content(&head) && explain_other_format(path).is_none();
    (file_name::without_extension(&name).is_some() || is_archive()).then_some(Kind::Archive)
}

/// The beginning of a Debian package, whatever its name.
const DEBIAN_PACKAGE: &[u8] = b"!<arch>\ndebian-binary";

/// Returns what a file is whose kind cannot be derived, if its format is known and no machine can install it.
pub(crate) fn explain_other_format(path: &Path) -> Option<PublisherError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = File::open(path).ok()?;
    let mut head = vec![];
    file.by_ref().take(DEBIAN_PACKAGE.len() as u64).read_to_end(&mut head).ok()?;
    if head == DEBIAN_PACKAGE {
        return None;
    }
    file.rewind().ok()?;
    let refusal = refusal_of_other_format(&mut file, &name).ok()??;
    Some(PublisherError::UnusableArchive { path: path.to_owned(), source: refusal.into() })
}
