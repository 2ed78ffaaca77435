//! Reads archives as a sequence of entries. `tar`, `zip` and `zstd` serve as parsers only: nothing here writes.

use crate::error::{InstallError, IoContext};
use crate::{
    error::archive_refusal::ArchiveRefusal,
    methods::archive::{tar_reader, validation::max_unpacked_bytes, zip_reader},
};
use flate2::read::MultiGzDecoder;
use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    rc::Rc,
};

/// One entry as the archive describes it, not yet validated.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    /// The Unix mode bits.
    pub(super) mode: u32,
}

/// The entry's declared type.
#[derive(Debug)]
pub(super) enum EntryKind {
    File { size: u64 },
    Folder,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Special(&'static str),
}

/// A callback that receives each entry and its content, in the archive's order.
pub(super) type Visitor<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), InstallError> + 'a;

/// The archive format, detected from the first bytes, or from the file name's extension where those are inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Tar,
    TarGz,
    TarZst,
    Zip,
}

/// Reads the whole archive to its last byte, so that check sums at the end are verified too.
///
/// # Errors
/// Any error of `visit`. Also when the archive is damaged or unpacks to too much: decompressed bytes are counted as
/// they are read, whatever the headers claim.
pub(super) fn read_entries(archive: &Path, file_name: &str, visit: &mut Visitor<'_>) -> Result<(), InstallError> {
    let context = || format!("reading {}", archive.display());
    let mut file = File::open(archive).context(context)?;
    let size = file.metadata().context(context)?.len();
    let format = detect_format(&mut file, file_name).context(context)??;
    let budget = SizeBudget::new(max_unpacked_bytes(size));
    let input = BufReader::with_capacity(128 << 10, file);
    let result = match format {
        Format::Zip => zip_reader::read_entries(input, &budget, visit),
        Format::Tar => read_tar(input, &budget, visit),
        Format::TarGz => read_tar(MultiGzDecoder::new(input), &budget, visit),
        Format::TarZst => match zstd::Decoder::with_buffer(input) {
            Ok(decoder) => read_tar(decoder, &budget, visit),
            Err(error) => Err(damaged(error).into()),
        },
    };
    // The parsers wrap the budget's error in a message of their own.
    if budget.is_spent() { Err(ArchiveRefusal::TooLarge(budget.0.limit).into()) } else { result }
}

fn read_tar(input: impl Read, budget: &SizeBudget, visit: &mut Visitor<'_>) -> Result<(), InstallError> {
    let mut counted = budget.count(input);
    tar_reader::read_entries(&mut counted, visit)?;
    io::copy(&mut counted, &mut io::sink()).map_err(damaged)?;
    Ok(())
}

fn detect_format(file: &mut File, name: &str) -> io::Result<Result<Format, ArchiveRefusal>> {
    let mut start = Vec::new();
    file.by_ref().take(512).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    let by_content = if start.starts_with(&[0x1f, 0x8b]) {
        Some(Format::TarGz)
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Format::TarZst)
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Some(Format::Zip)
    } else if start.get(257..262) == Some(b"ustar") {
        Some(Format::Tar)
    } else {
        None
    };
    // Very old tar files have no magic number.
    let by_name = || name.to_ascii_lowercase().ends_with(".tar").then_some(Format::Tar);
    let known = "it is not a tar, tar.gz, tar.zst or zip file";
    Ok(by_content.or_else(by_name).ok_or_else(|| ArchiveRefusal::Unsupported(known.into())))
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub(super) fn damaged(error: io::Error) -> ArchiveRefusal {
    ArchiveRefusal::Damaged(error.to_string())
}

/// The number of bytes that may still be decompressed.
#[derive(Clone)]
pub(super) struct SizeBudget(Rc<Counter>);

struct Counter {
    limit: u64,
    used: Cell<u64>,
}

impl SizeBudget {
    fn new(limit: u64) -> Self {
        Self(Rc::new(Counter { limit, used: Cell::new(0) }))
    }
    fn is_spent(&self) -> bool {
        self.0.used.get() > self.0.limit
    }
    /// Wraps a reader: counts all bytes read through it, and fails once the limit is reached.
    pub(super) fn count<R: Read>(&self, inner: R) -> CountedReader<R> {
        CountedReader { inner, budget: self.clone() }
    }
}

pub(super) struct CountedReader<R> {
    inner: R,
    budget: SizeBudget,
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let counter = &self.budget.0;
        counter.used.set(counter.used.get().saturating_add(count as u64));
        if self.budget.is_spent() { Err(io::Error::other("it unpacks to too many bytes")) } else { Ok(count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decompression_bomb_is_not_read_to_its_end() {
        let budget = SizeBudget::new(100_000);
        let read = io::copy(&mut budget.count(io::repeat(0).take(1 << 30)), &mut io::sink());
        assert!(read.is_err() && budget.is_spent());
        assert!(budget.0.used.get() < 1 << 20, "{} bytes were read", budget.0.used.get());
    }
}
