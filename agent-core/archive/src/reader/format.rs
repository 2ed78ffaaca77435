//! Recognises formats by their first bytes. Where those are inconclusive, the file name's extension decides.

use super::{compression::Compression, unusable, zip_reader};
use crate::refusal::ArchiveRefusal;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

/// The extensions of archives, the longer ones first.
pub const ARCHIVE_EXTENSIONS: [&str; 16] = [
    ".tar.bz2", ".tar.zst", ".tar.gz", ".tar.xz", ".crate", ".nupkg", ".tbz2", ".tzst", ".jar", ".tar", ".tbz", ".tgz",
    ".txz", ".vsix", ".whl", ".zip",
];

/// An archive format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Tar(Compression),
    Zip,
}

/// Whether a file that begins like this is an archive, whatever its name.
#[must_use]
pub fn is_archive_content(head: &[u8]) -> bool {
    by_content(head).is_some()
}

pub(super) fn detect(file: &mut File, name: &str) -> io::Result<Result<Format, ArchiveRefusal>> {
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    if unusable::is_part_name(name) {
        return Ok(Err(unusable::refuse_part()));
    }
    if let Some(found) = by_content(&head).or_else(|| by_name(&head, name)) {
        return Ok(Ok(found));
    }
    // The last part of a split zip begins in the middle of an entry.
    let is_part = zip_reader::is_part_of_split(file)?;
    Ok(Err(if is_part { unusable::refuse_part() } else { unusable::refuse(&head, name) }))
}

/// Returns why a file is no archive, if its format is known.
///
/// # Errors
/// When it cannot be read.
pub fn refusal_of_other_format(file: &mut File, name: &str) -> io::Result<Option<ArchiveRefusal>> {
    Ok(detect(file, name)?.err().filter(|refusal| *refusal != ArchiveRefusal::UnknownFormat))
}

fn by_content(head: &[u8]) -> Option<Format> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    if begins(&[0x1f, 0x8b]) {
        Some(Format::Tar(Compression::Gzip))
    } else if is_zstd(head) {
        Some(Format::Tar(Compression::Zstd))
    } else if begins(b"\xfd7zXZ\0") {
        Some(Format::Tar(Compression::Xz))
    } else if begins(b"BZh") && head.get(3).is_some_and(u8::is_ascii_digit) {
        Some(Format::Tar(Compression::Bzip2))
    } else if [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08PK", b"PK00PK"].iter().any(|magic| begins(magic)) {
        Some(Format::Zip)
    } else if head.get(257..262) == Some(b"ustar") {
        Some(Format::Tar(Compression::None))
    } else {
        None
    }
}

/// A frame of content, or one that readers skip, with which some programs begin.
fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Very old tar files have no magic number, and a program may stand before a zip file. What is something else goes by
/// its content.
fn by_name(head: &[u8], name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let is_zip = [".zip", ".whl", ".jar"].iter().any(|ending| name.ends_with(ending));
    if name.ends_with(".tar") && is_tar_header(head) {
        Some(Format::Tar(Compression::None))
    } else if is_zip && [&b"MZ"[..], b"#!", b"\x7fELF"].iter().any(|program| head.starts_with(program)) {
        Some(Format::Zip)
    } else {
        None
    }
}

/// Whether the check sum of a tar header is right.
fn is_tar_header(head: &[u8]) -> bool {
    head.len() == 512 && super::tar_reader::has_valid_checksum(tar::Header::from_byte_slice(head))
}
