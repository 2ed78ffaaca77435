//! Recognises formats by their first bytes. Where those are inconclusive, the file name's extension decides.

use super::compression::Compression;
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
    let found = by_content(&head).or_else(|| by_name(&head, name));
    Ok(found.ok_or_else(|| refuse(&head)))
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

/// Whether these bytes are text. The last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let whole = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    whole.len() + 4 > head.len() && !whole.chars().any(|c| c.is_control() && !c.is_whitespace())
}

/// Says what else the file is, and what to do.
fn refuse(head: &[u8]) -> ArchiveRefusal {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!", "a RAR archive"),
        (b"LZIP", "compressed with lzip"),
        (b"\x04\x22\x4d\x18", "compressed with LZ4"),
        (b"\x1f\x9d", "compressed with compress"),
        (b"\x5d\0\0", "compressed with LZMA, an older format than xz"),
        (b"\x89LZO", "compressed with lzop"),
        (b"MSCF", "a cabinet file"),
        (b"!<arch>\ndebian", "a Debian package (pass --kind deb)"),
        (b"!<arch>", "an ar archive"),
        (b"\xed\xab\xee\xdb", "an RPM package"),
        (b"0707", "a cpio archive"),
        (b"\xd0\xcf\x11\xe0", "a Windows installer or an Office file"),
        (b"MZ", "a program for Windows"),
        (b"\x7fELF", "a program"),
        (b"#!", "a script"),
        (b"version https://git-lfs", "a Git LFS pointer without its content"),
        (b"xar!", "a macOS package"),
        (b"hsqs", "a SquashFS image"),
    ];
    let text = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    let is_page = text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml");
    let what = match KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, what)) => format!("it is {what}, not an archive"),
        None if is_page => "it is a web page, not an archive".into(),
        None if head.iter().all(|byte| *byte == 0) => "it is full of zeros, not an archive".into(),
        None if is_text(head) => "it is a text, not an archive".into(),
        None => return ArchiveRefusal::UnknownFormat,
    };
    let text = format!("{what} that machines can unpack; use tar (plain, gzip, xz, bzip2 or zstd) or zip");
    ArchiveRefusal::Unsupported(text)
}
