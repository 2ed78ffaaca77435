//! Reads zip archives. The central directory is authoritative in both passes; each file's content is checked against
//! it. Of two entries with one name the last counts, as for other programs.

use super::{Entry, EntryKind, Metadata, Visitor, unusable};
use crate::{
    budget::{MAX_ENTRIES, SizeBudget},
    refusal::{ArchiveError, ArchiveRefusal, damaged},
};
use std::{
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom},
};
use zip::{CompressionMethod, ZipArchive, read::ZipFile, result::ZipError};

/// Maximum length of a symbolic link's target (bytes).
const MAX_LINK_TARGET_BYTES: u64 = 4096;

const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_SYMLINK: u32 = 0o120_000;

/// The length of a header of the central directory without its variable fields (bytes).
const HEADER_BYTES: usize = 46;

/// What the central directory says and the crate does not tell.
struct Directory {
    by_name: HashMap<Vec<u8>, DirectoryEntry>,
    /// The first name that is there twice.
    repeated: Option<String>,
}

#[derive(Clone, Copy)]
struct DirectoryEntry {
    /// The system that made the entry: 0 is DOS or Windows, 3 Unix, 19 macOS.
    system: u8,
    /// Whether the name is marked as UTF-8.
    is_utf8: bool,
}

impl DirectoryEntry {
    fn is_from_unix(self) -> bool {
        matches!(self.system, 3 | 19)
    }
}

pub(super) fn read_entries<E: From<ArchiveError>>(
    mut input: impl Read + Seek,
    budget: &SizeBudget,
    visit: &mut Visitor<'_, E>,
) -> Result<Metadata, E> {
    if is_part_of_split(&mut input).map_err(|error| ArchiveError::from(damaged(error)))? {
        return Err(ArchiveError::from(unusable::refuse_part()).into());
    }
    let start = ZipArchive::new(&mut input).map_err(refuse)?.central_directory_start();
    let directory = read_directory(&mut input, start).map_err(|error| ArchiveError::from(damaged(error)))?;
    let mut archive = ZipArchive::new(input).map_err(refuse)?;
    // Finder on macOS counts to 65,535 only and begins again.
    if directory.by_name.len() > archive.len() {
        let (found, said) = (directory.by_name.len(), archive.len());
        let text = format!(
            "the zip has {found} entries or more, but its end says {said}, so programs would leave out the rest; make it \
             with the program zip, or make a tar archive"
        );
        return Err(ArchiveError::from(ArchiveRefusal::Unsupported(text)).into());
    }
    if archive.len() as u64 > MAX_ENTRIES {
        return Err(ArchiveError::from(ArchiveRefusal::TooManyEntries(MAX_ENTRIES)).into());
    }
    for index in 0..archive.len() {
        let name = archive.by_index_raw(index).map_err(refuse).and_then(|file| entry_name(&file, &directory))?;
        let file = archive.by_index(index).map_err(refuse)?;
        read_entry(file, name, budget, visit)?;
    }
    Ok(Metadata { repeated: directory.repeated, ..Metadata::default() })
}

/// The end of a zip: its signature, and its length without the comment (bytes).
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
/// What stands before it in a large zip, and its length (bytes).
const LARGE_END: &[u8] = b"PK\x06\x07";
const LARGE_END_BYTES: usize = 20;
/// With what the first part of a split zip begins.
const SPLIT_START: &[u8] = b"PK\x07\x08";

/// Whether this is one part of a zip that was split: the first one without an end, or the last one, whose end says that
/// there are others. The crate reads the entries at wrong places then.
pub(super) fn is_part_of_split(input: &mut (impl Read + Seek)) -> io::Result<bool> {
    let length = input.seek(SeekFrom::End(0))?;
    let longest = (LARGE_END_BYTES + END_BYTES + usize::from(u16::MAX)) as u64;
    input.seek(SeekFrom::Start(length.saturating_sub(longest)))?;
    let mut tail = Vec::new();
    input.by_ref().take(longest).read_to_end(&mut tail)?;
    input.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    input.by_ref().take(SPLIT_START.len() as u64).read_to_end(&mut head)?;
    input.seek(SeekFrom::Start(0))?;
    let at = tail.windows(END_BYTES).rposition(|window| window.starts_with(END));
    let Some(at) = at else { return Ok(head == SPLIT_START) };
    let is_large = |at: usize| tail[at..].starts_with(LARGE_END);
    if let Some(large) = at.checked_sub(LARGE_END_BYTES).filter(|large| is_large(*large)) {
        let parts: [u8; 4] = tail[large + 16..large + 20].try_into().unwrap_or_default();
        return Ok(u32::from_le_bytes(parts) > 1);
    }
    // A zip that counts further says so in the part for large ones.
    Ok(!matches!(tail[at + 4..at + 6], [0, 0] | [0xff, 0xff]))
}

/// The name of an entry, and what is known about it.
struct EntryName {
    path: Vec<u8>,
    is_old: bool,
    is_from_unix: bool,
}

/// Returns the name with `/` between folders. Refuses what cannot be decompressed.
fn entry_name<R: Read + Seek>(file: &ZipFile<'_, R>, directory: &Directory) -> Result<EntryName, ArchiveError> {
    let raw = file.name_raw();
    let known = directory.by_name.get(raw).copied().unwrap_or(DirectoryEntry { system: 3, is_utf8: true });
    // Programs on Unix write UTF-8 without saying so. Text in code page 437 is practically never valid UTF-8.
    let is_utf8 = std::str::from_utf8(raw).is_ok();
    let mut path = if is_utf8 || known.is_utf8 { raw.to_vec() } else { file.name().as_bytes().to_vec() };
    let shown = String::from_utf8_lossy(&path).into_owned();
    if file.encrypted() {
        let text = format!("{shown:?} is encrypted; make the zip without a password");
        return Err(ArchiveRefusal::Unsupported(text).into());
    }
    if let Some(method) = unsupported_method(file.compression()) {
        let text = format!("{shown:?} is compressed with {method}; make the zip with the usual method, Deflate");
        return Err(ArchiveRefusal::Unsupported(text).into());
    }
    // Windows programs before 2016 wrote backslashes.
    if !known.is_from_unix() {
        path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    }
    Ok(EntryName { path, is_old: !is_utf8 && !known.is_utf8, is_from_unix: known.is_from_unix() })
}

/// Returns the name of a compression method that is not supported.
fn unsupported_method(method: CompressionMethod) -> Option<String> {
    #[expect(deprecated, reason = "the only way to get the number of an unknown method")]
    let number = match method {
        CompressionMethod::Stored
        | CompressionMethod::Deflated
        | CompressionMethod::Deflate64
        | CompressionMethod::Bzip2 => return None,
        CompressionMethod::Unsupported(number) => number,
        other => return Some(other.to_string()),
    };
    Some(match number {
        1 => "Shrink".into(),
        2..=5 => "Reduce".into(),
        6 => "Implode".into(),
        14 => "LZMA".into(),
        93 => "zstd".into(),
        95 => "xz".into(),
        98 => "PPMd".into(),
        99 => "AES encryption".into(),
        other => format!("method {other}"),
    })
}

fn read_entry<R: Read, E: From<ArchiveError>>(
    file: ZipFile<'_, R>,
    name: EntryName,
    budget: &SizeBudget,
    visit: &mut Visitor<'_, E>,
) -> Result<(), E> {
    let size = file.size();
    let is_folder = name.path.ends_with(b"/") || file.is_dir();
    let mode = file.unix_mode().unwrap_or(0);
    // A program on Windows knows no modes, and some on Unix write a mode without a type that nobody set.
    let has_modes = name.is_from_unix && mode & TYPE_MASK != 0;
    let executable = if has_modes || mode & 0o111 != 0 { Some(mode & 0o111 != 0) } else { None };
    let mut content = budget.count(file);
    let kind = match mode & TYPE_MASK {
        // A trailing slash marks a folder. Some programs set no type for folders, or a file's.
        0 | TYPE_FILE | TYPE_FOLDER if is_folder => EntryKind::Folder,
        0 | TYPE_FILE => EntryKind::File { size, executable },
        TYPE_SYMLINK if size <= MAX_LINK_TARGET_BYTES => {
            let mut target = Vec::new();
            let read = content.by_ref().take(MAX_LINK_TARGET_BYTES + 1).read_to_end(&mut target);
            read.map_err(|error| ArchiveError::from(damaged(error)))?;
            EntryKind::Symlink(target)
        }
        TYPE_FOLDER => EntryKind::Folder,
        _ => EntryKind::Special("neither a file nor a folder nor a link"),
    };
    let sets_id = mode & 0o6000 != 0 && matches!(kind, EntryKind::File { .. });
    visit(&Entry { path: name.path, kind, sets_id, has_old_name: name.is_old }, &mut content)
}

/// Reads the headers of the central directory.
fn read_directory(input: &mut (impl Read + Seek), start: u64) -> io::Result<Directory> {
    input.seek(SeekFrom::Start(start))?;
    let mut directory = Directory { by_name: HashMap::new(), repeated: None };
    for _ in 0..=MAX_ENTRIES {
        let mut header = [0; HEADER_BYTES];
        match input.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other?,
        }
        if !header.starts_with(b"PK\x01\x02") {
            break;
        }
        let length = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let mut name = vec![0; length(28)];
        input.read_exact(&mut name)?;
        input.seek_relative(i64::try_from(length(30) + length(32)).unwrap_or_default())?;
        let entry = DirectoryEntry { system: header[5], is_utf8: header[9] & 0x08 != 0 };
        let shown = String::from_utf8_lossy(&name).into_owned();
        if directory.by_name.insert(name, entry).is_some() {
            directory.repeated.get_or_insert(shown);
        }
    }
    Ok(directory)
}

fn refuse(error: ZipError) -> ArchiveError {
    match error {
        ZipError::UnsupportedArchive(why) => ArchiveRefusal::Unsupported(format!(
            "it uses an unsupported zip feature: {why}; make the zip with the usual options"
        )),
        other => ArchiveRefusal::Damaged(other.to_string()),
    }
    .into()
}
