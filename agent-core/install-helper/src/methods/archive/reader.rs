//! Reads archives as a sequence of entries. `tar`, `zip` and `zstd` serve as parsers only: nothing here writes.

use crate::error::{Doing, Trouble};
use crate::{
    error::archive_refusal::Refusal,
    methods::archive::{tar_reader, validation::most_bytes, zip_reader},
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
    pub(super) what: What,
    /// The Unix mode bits.
    pub(super) mode: u32,
}

/// The entry's declared type.
#[derive(Debug)]
pub(super) enum What {
    File { size: u64 },
    Folder,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Special(&'static str),
}

/// A callback that receives each entry and its content, in the archive's order.
pub(super) type Visit<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Trouble> + 'a;

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
pub(super) fn walk(archive: &Path, file_name: &str, visit: &mut Visit<'_>) -> Result<(), Trouble> {
    let doing = || format!("reading {}", archive.display());
    let mut file = File::open(archive).doing(doing)?;
    let size = file.metadata().doing(doing)?.len();
    let format = recognise(&mut file, file_name).doing(doing)??;
    let budget = Budget::new(most_bytes(size));
    let input = BufReader::with_capacity(128 << 10, file);
    let walked = match format {
        Format::Zip => zip_reader::walk(input, &budget, visit),
        Format::Tar => tar(input, &budget, visit),
        Format::TarGz => tar(MultiGzDecoder::new(input), &budget, visit),
        Format::TarZst => match zstd::Decoder::with_buffer(input) {
            Ok(decoder) => tar(decoder, &budget, visit),
            Err(error) => Err(broken(error).into()),
        },
    };
    // The parsers wrap the budget's error in a message of their own.
    if budget.is_spent() { Err(Refusal::TooLarge(budget.0.limit).into()) } else { walked }
}

fn tar(input: impl Read, budget: &Budget, visit: &mut Visit<'_>) -> Result<(), Trouble> {
    let mut counted = budget.count(input);
    tar_reader::walk(&mut counted, visit)?;
    io::copy(&mut counted, &mut io::sink()).map_err(broken)?;
    Ok(())
}

fn recognise(file: &mut File, name: &str) -> io::Result<Result<Format, Refusal>> {
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
    Ok(by_content.or_else(by_name).ok_or_else(|| Refusal::Unsupported(known.into())))
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub(super) fn broken(error: io::Error) -> Refusal {
    Refusal::Broken(error.to_string())
}

/// The number of bytes that may still be decompressed.
#[derive(Clone)]
pub(super) struct Budget(Rc<Counter>);

struct Counter {
    limit: u64,
    used: Cell<u64>,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self(Rc::new(Counter { limit, used: Cell::new(0) }))
    }
    fn is_spent(&self) -> bool {
        self.0.used.get() > self.0.limit
    }
    /// Wraps a reader: counts all bytes read through it, and fails once the limit is reached.
    pub(super) fn count<R: Read>(&self, inner: R) -> Counted<R> {
        Counted { inner, budget: self.clone() }
    }
}

pub(super) struct Counted<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Counted<R> {
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
    fn a_bomb_is_not_read_to_its_end() {
        let budget = Budget::new(100_000);
        let read = io::copy(&mut budget.count(io::repeat(0).take(1 << 30)), &mut io::sink());
        assert!(read.is_err() && budget.is_spent());
        assert!(budget.0.used.get() < 1 << 20, "{} bytes were read", budget.0.used.get());
    }
}
