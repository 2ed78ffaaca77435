//! Reads archives as a sequence of entries. The crates for the formats serve as parsers only: nothing here writes.

mod compression;
mod deb_control;
mod deb_reader;
mod format;
mod pax;
mod sparse;
mod tar_reader;
mod unusable;
mod zip_reader;

use crate::{
    budget::SizeBudget,
    refusal::{ArchiveError, ArchiveRefusal},
};
use format::Format;
use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

pub use deb_reader::{DebDescription, read_deb};
pub use format::{ARCHIVE_EXTENSIONS, is_archive_content, refusal_of_other_format};

/// One entry as the archive describes it, not yet validated.
#[derive(Debug)]
pub struct Entry {
    /// The name.
    pub path: Vec<u8>,
    /// The type.
    pub kind: EntryKind,
    /// Whether it has a set-user-id or set-group-id bit. It is never unpacked with one.
    pub sets_id: bool,
    /// Whether the name is in the code page 437, which zip programs used before UTF-8.
    pub has_old_name: bool,
}

/// The entry's declared type.
#[derive(Debug)]
pub enum EntryKind {
    /// A file.
    File {
        /// Its size (bytes).
        size: u64,
        /// Whether its mode makes it a program; `None` if the archive has no modes.
        executable: Option<bool>,
    },
    /// A folder.
    Folder,
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A hard link and the earlier entry.
    HardLink(Vec<u8>),
    /// What is never unpacked, with an article.
    Special(&'static str),
}

/// A callback that receives each entry and its content, in the archive's order.
pub type Visitor<'a, E> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), E> + 'a;

/// What is known at the end of an archive.
#[derive(Debug, Default)]
pub struct Metadata {
    /// The bytes that came out of the decompressor.
    pub read_bytes: u64,
    /// Whether data follow the end of a tar archive.
    pub has_data_after_end: bool,
    /// The first name that a zip archive has twice. Its last entry counts.
    pub repeated: Option<String>,
}

/// Reads the whole archive to its last byte, so that check sums at the end are verified too.
///
/// `limit` is the number of bytes that it may unpack to. Decompressed bytes are counted as they are read, whatever the
/// headers claim.
///
/// # Errors
/// Any error of `visit`. Also when the archive is damaged or unpacks to too much.
pub fn read_entries<E: From<ArchiveError>>(
    archive: &Path,
    file_name: &str,
    limit: u64,
    visit: &mut Visitor<'_, E>,
) -> Result<Metadata, E> {
    let reading = |source| ArchiveError::Io { context: format!("reading {}", archive.display()), source };
    let mut file = File::open(archive).map_err(reading)?;
    let format = format::detect(&mut file, file_name).map_err(reading)?.map_err(ArchiveError::from)?;
    let budget = SizeBudget::new(limit);
    let input = BufReader::with_capacity(128 << 10, file);
    let result = match format {
        Format::Zip => zip_reader::read_entries(input, &budget, visit),
        Format::Tar(compression) => {
            let name = compression.name();
            compression
                .decompress(input)
                .map_err(|error| ArchiveError::from(crate::refusal::damaged(error)).into())
                .and_then(|stream| tar_reader::read_entries(&mut budget.count(stream), name, visit))
        }
    };
    // The parsers wrap the budget's error in a message of their own.
    if budget.is_spent() {
        return Err(ArchiveError::from(ArchiveRefusal::TooLarge(budget.limit())).into());
    }
    result.map(|metadata| Metadata { read_bytes: budget.used(), ..metadata })
}

/// The most programs in a universal Mach-O file. A Java class begins with the same bytes; its version stands where the
/// number of programs would.
const MAX_UNIVERSAL_PROGRAMS: u8 = 16;

/// Whether content begins like a program that a system starts: ELF, Mach-O or a script.
#[must_use]
pub fn is_program(head: &[u8]) -> bool {
    match head {
        [0x7f, b'E', b'L', b'F', ..] | [b'#', b'!', ..] => true,
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => true,
        [0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, count, ..] => (1..=MAX_UNIVERSAL_PROGRAMS).contains(count),
        _ => false,
    }
}
