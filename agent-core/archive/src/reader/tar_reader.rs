//! Reads tar archives of GNU tar, bsdtar, Python, macOS and others. The `tar` crate parses single headers only: it has
//! no bound for long names, and does not read sparse files and pax sizes as their writers meant them.

use super::{
    Entry, EntryKind, Metadata, Visitor,
    compression::Compression,
    pax::{MAX_EXTENDED_HEADER_BYTES, Pax},
    sparse::{self, Segment, SparseReader},
};
use crate::refusal::{ArchiveError, ArchiveRefusal, damaged};
use std::io::{self, Read};
use tar::{EntryType, GnuExtSparseHeader, Header};

const BLOCK: usize = 512;
/// Maximum number of header blocks with the map of one sparse file.
const MAX_MAP_BLOCKS: usize = 4096;

/// Attributes of the next entry, collected from the headers before it.
#[derive(Default)]
struct ExtendedHeaders {
    long_path: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    pax: Pax,
}

/// Reads all entries and then the rest of the stream. `compression` is its name, for people.
pub(super) fn read_entries<E: From<ArchiveError>>(
    input: &mut dyn Read,
    compression: &str,
    visit: &mut Visitor<'_, E>,
) -> Result<Metadata, E> {
    let mut extended = ExtendedHeaders::default();
    let mut is_first = true;
    loop {
        let header = match next_header(input, is_first, compression).map_err(ArchiveError::from)? {
            Next::Header(header) => *header,
            Next::EndMark => break,
            // Some programs write no mark. What is compressed has an end of its own, which was verified.
            Next::EndOfStream if compression != Compression::None.name() => break,
            Next::EndOfStream => {
                let why = "it ends without the mark at the end of a tar archive";
                return Err(refused(ArchiveRefusal::Damaged(why.into())).into());
            }
        };
        is_first = false;
        let size = header_size(&header).map_err(ArchiveError::from)?;
        if read_extended(input, &header, size, &mut extended).map_err(ArchiveError::from)? {
            continue;
        }
        read_entry(input, &header, size, std::mem::take(&mut extended), visit)?;
    }
    let has_data_after_end = drain(input).map_err(|error| refused(damaged(error)))?;
    Ok(Metadata { has_data_after_end, ..Metadata::default() })
}

fn refused(refusal: ArchiveRefusal) -> ArchiveError {
    refusal.into()
}

fn unreadable(what: &str) -> ArchiveRefusal {
    ArchiveRefusal::Damaged(format!("{what} cannot be read"))
}

/// What follows an entry.
enum Next {
    Header(Box<Header>),
    /// A block of zeros.
    EndMark,
    /// Nothing. The archive itself does not tell whether something is missing.
    EndOfStream,
}

/// Reads the next header.
fn next_header(input: &mut dyn Read, is_first: bool, compression: &str) -> Result<Next, ArchiveRefusal> {
    let mut header = Header::new_old();
    let block = header.as_mut_bytes();
    let mut filled = 0;
    while filled < BLOCK {
        match input.read(&mut block[filled..]) {
            Ok(0) if is_first && filled > 0 => break,
            Ok(0) if !is_first && filled == 0 => return Ok(Next::EndOfStream),
            Ok(0) => return Err(ArchiveRefusal::Damaged("it ends in the middle of a header".into())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(stream_error(&error)),
        }
    }
    if filled == BLOCK && header.as_bytes().iter().all(|byte| *byte == 0) {
        return Ok(Next::EndMark);
    }
    if filled == BLOCK && has_valid_checksum(&header) {
        return Ok(Next::Header(Box::new(header)));
    }
    Err(if is_first {
        let text = format!("what is compressed with {compression} in it is not a tar archive; pack it with tar first");
        ArchiveRefusal::Unsupported(text)
    } else {
        unreadable("a header")
    })
}

/// Returns the size in a header. Some programs leave the field empty where there is no content.
fn header_size(header: &Header) -> Result<u64, ArchiveRefusal> {
    if header.as_old().size.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    header.entry_size().map_err(|_| unreadable("the size of an entry"))
}

/// Some decompressors refuse a stream at its beginning, which needs another answer than damage.
fn stream_error(error: &io::Error) -> ArchiveRefusal {
    let text = error.to_string();
    if text.contains("too much memory") || text.contains("mem_limit") {
        return ArchiveRefusal::Unsupported(
            "it needs a window of more than 128 MiB to decompress; compress it again with a smaller one (zstd --long=27, \
             xz -9)"
                .into(),
        );
    }
    ArchiveRefusal::Damaged(text)
}

/// Whether the check sum fits: the sum of all bytes. Some old programs summed signed bytes.
pub(super) fn has_valid_checksum(header: &Header) -> bool {
    let Ok(expected) = header.cksum() else { return false };
    let bytes = header.as_bytes();
    let in_field = |index: usize| (148..156).contains(&index);
    let byte = |(index, byte): (usize, &u8)| if in_field(index) { b' ' } else { *byte };
    let unsigned: u32 = bytes.iter().enumerate().map(|each| u32::from(byte(each))).sum();
    let signed: i32 = bytes.iter().enumerate().map(|each| i32::from(byte(each).cast_signed())).sum();
    unsigned == expected || signed.cast_unsigned() == expected
}

/// Reads a header that says more about the next entry. Returns whether it was one.
fn read_extended(
    input: &mut dyn Read,
    header: &Header,
    size: u64,
    extended: &mut ExtendedHeaders,
) -> Result<bool, ArchiveRefusal> {
    match header.entry_type().as_byte() {
        b'L' => extended.long_path = Some(truncate_at_nul(read_extended_header(input, size)?)),
        b'K' => extended.long_target = Some(truncate_at_nul(read_extended_header(input, size)?)),
        // Solaris writes its own letter.
        b'x' | b'X' => read_pax(input, size, &mut extended.pax)?,
        b'g' => {
            let mut pax = Pax::default();
            read_pax(input, size, &mut pax)?;
            if pax.path.is_some() || pax.target.is_some() || pax.size.is_some() || pax.sparse.is_present() {
                let text = "a global header changes the names or sizes of all entries; make the archive with GNU tar";
                return Err(ArchiveRefusal::Unsupported(text.into()));
            }
        }
        // The archive's label, and access lists of Solaris.
        b'V' | b'A' => drop(read_extended_header(input, size)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn read_pax(input: &mut dyn Read, size: u64, pax: &mut Pax) -> Result<(), ArchiveRefusal> {
    pax.read(input, size)?;
    skip_padding(input, size).map_err(damaged)
}

fn read_extended_header(input: &mut dyn Read, size: u64) -> Result<Vec<u8>, ArchiveRefusal> {
    if size > MAX_EXTENDED_HEADER_BYTES {
        return Err(ArchiveRefusal::HeaderTooLarge(MAX_EXTENDED_HEADER_BYTES));
    }
    let mut bytes = vec![0; usize::try_from(size.next_multiple_of(BLOCK as u64)).unwrap_or_default()];
    input.read_exact(&mut bytes).map_err(damaged)?;
    bytes.truncate(usize::try_from(size).unwrap_or_default());
    Ok(bytes)
}

fn truncate_at_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// Reads one entry with its content.
fn read_entry<E: From<ArchiveError>>(
    input: &mut dyn Read,
    header: &Header,
    header_size: u64,
    extended: ExtendedHeaders,
    visit: &mut Visitor<'_, E>,
) -> Result<(), E> {
    let ExtendedHeaders { long_path, long_target, pax } = extended;
    let path = pax.sparse.name.clone().or_else(|| pax.path.clone()).or(long_path);
    let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
    let target = pax.target.clone().or(long_target).or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    let size = stored_size(header, header_size, &pax, &path).map_err(ArchiveError::from)?;
    let mut old_map = None;
    if header.entry_type() == EntryType::GNUSparse {
        old_map = Some(read_old_sparse_map(input, header).map_err(ArchiveError::from)?);
    }
    let mut content = Content(input.take(size));
    let mut sparse_file = None;
    if let Some((map, real_size)) = old_map {
        sparse::check(&map, real_size, size).map_err(ArchiveError::from)?;
        sparse_file = Some((map, real_size));
    } else if pax.sparse.is_present() {
        sparse_file = Some(pax_sparse_map(&pax, &mut content, size).map_err(ArchiveError::from)?);
    }
    let real_size = sparse_file.as_ref().map_or(size, |(_, real_size)| *real_size);
    // An unreadable mode is none.
    let mode = header.mode().unwrap_or(0);
    let kind = entry_kind(header, &path, target, real_size, mode, &pax);
    let entry = Entry { path, sets_id: mode & 0o6000 != 0 && is_file(&kind), kind, has_old_name: false };
    match sparse_file {
        Some((map, real_size)) => visit(&entry, &mut SparseReader::new(&mut content, map, real_size))?,
        None => visit(&entry, &mut content)?,
    }
    skip_rest(content, size).map_err(|error| E::from(refused(cut_off(&entry.path, &error))))
}

fn is_file(kind: &EntryKind) -> bool {
    matches!(kind, EntryKind::File { .. })
}

fn cut_off(path: &[u8], error: &io::Error) -> ArchiveRefusal {
    ArchiveRefusal::Damaged(format!("{:?}: {error}", String::from_utf8_lossy(path)))
}

/// Returns the number of bytes that follow the header. A pax size overrides the header's, which is too small for large
/// files. Links have no content whatever their size says, except in pax archives.
fn stored_size(header: &Header, header_size: u64, pax: &Pax, path: &[u8]) -> Result<u64, ArchiveRefusal> {
    let size = pax.size.unwrap_or(header_size);
    match header.entry_type() {
        EntryType::Link if !pax.is_present => Ok(0),
        EntryType::Directory | EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo
            if size > 0 =>
        {
            let path = String::from_utf8_lossy(path);
            let text = format!("{path:?} has content although it is not a file; make the archive with GNU tar");
            Err(ArchiveRefusal::Unsupported(text))
        }
        _ => Ok(size),
    }
}

fn entry_kind(header: &Header, path: &[u8], target: Option<Vec<u8>>, size: u64, mode: u32, pax: &Pax) -> EntryKind {
    let file = EntryKind::File { size, executable: Some(mode & 0o111 != 0) };
    match header.entry_type() {
        // Before tar had a type for folders, they were empty files whose names end with a slash.
        EntryType::Regular if path.ends_with(b"/") && size == 0 => EntryKind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => file,
        EntryType::Directory => EntryKind::Folder,
        EntryType::Symlink => EntryKind::Symlink(target.unwrap_or_default()),
        // In a pax archive, a hard link can bring the content again.
        EntryType::Link if pax.is_present && size > 0 => file,
        EntryType::Link => EntryKind::HardLink(target.unwrap_or_default()),
        EntryType::Char => EntryKind::Special("a character device"),
        EntryType::Block => EntryKind::Special("a block device"),
        EntryType::Fifo => EntryKind::Special("a named pipe"),
        other => match other.as_byte() {
            // A folder of an incremental archive; its content is a list of names.
            b'D' => EntryKind::Folder,
            b'M' => EntryKind::Special("the continuation of another volume; make one archive of all volumes"),
            _ => EntryKind::Special("of an unknown type"),
        },
    }
}

/// Reads the map in and after the header of the old GNU format. Returns it with the real size.
fn read_old_sparse_map(input: &mut dyn Read, header: &Header) -> Result<(Vec<Segment>, u64), ArchiveRefusal> {
    let wrong = || unreadable("the map of a sparse file");
    let gnu = header.as_gnu().ok_or_else(wrong)?;
    let segment = |part: &tar::GnuSparseHeader| -> Result<Option<Segment>, ArchiveRefusal> {
        if part.is_empty() {
            return Ok(None);
        }
        let (offset, length) = (part.offset().map_err(|_| wrong())?, part.length().map_err(|_| wrong())?);
        Ok(Some(Segment { offset, length }))
    };
    let mut map = Vec::new();
    for part in &gnu.sparse {
        map.extend(segment(part)?);
    }
    let mut is_extended = gnu.is_extended();
    for _ in 0..MAX_MAP_BLOCKS {
        if !is_extended {
            return Ok((map, gnu.real_size().map_err(|_| wrong())?));
        }
        let mut more = GnuExtSparseHeader::new();
        input.read_exact(more.as_mut_bytes()).map_err(damaged)?;
        for part in more.sparse() {
            map.extend(segment(part)?);
        }
        is_extended = more.is_extended();
    }
    Err(wrong())
}

/// Returns the map of the newer GNU formats, and the real size.
fn pax_sparse_map(pax: &Pax, content: &mut dyn Read, size: u64) -> Result<(Vec<Segment>, u64), ArchiveRefusal> {
    let Some(real_size) = pax.sparse.real_size else { return Err(unreadable("the size of a sparse file")) };
    let (map, map_bytes) = match pax.sparse.major {
        Some(1) => sparse::read_map(content)?,
        None | Some(0) => (pax.sparse.map.clone(), 0),
        Some(_) => {
            let text = "it contains a sparse file in an unknown format; make the archive with tar --sparse-version=1.0";
            return Err(ArchiveRefusal::Unsupported(text.into()));
        }
    };
    sparse::check(&map, real_size, size.saturating_sub(map_bytes))?;
    Ok((map, real_size))
}

/// An entry of an archive inside a Debian package.
pub(super) struct DpkgEntry {
    pub(super) name: String,
    pub(super) is_folder: bool,
}

/// Who unpacks an archive inside a Debian package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unpacker {
    /// dpkg itself. It knows the formats of GNU tar and ustar, without sparse files.
    Dpkg,
    /// The program tar, which dpkg calls for `control.tar`.
    Tar,
}

/// Reads an archive inside a Debian package, and refuses what cannot be unpacked on machines.
pub(super) fn read_dpkg_entries(
    input: &mut dyn Read,
    compression: &str,
    unpacker: Unpacker,
    visit: &mut dyn FnMut(&DpkgEntry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), ArchiveRefusal> {
    let (mut is_first, mut long_name) = (true, None);
    while let Next::Header(header) = next_header(input, is_first, compression)? {
        is_first = false;
        let size = header_size(&header)?;
        let kind = header.entry_type().as_byte();
        match kind {
            b'L' => {
                long_name = Some(truncate_at_nul(read_extended_header(input, size)?));
                continue;
            }
            b'K' => {
                read_extended_header(input, size)?;
                continue;
            }
            0 | b'0'..=b'7' => {}
            b'x' | b'g' if unpacker == Unpacker::Tar => {
                read_extended_header(input, size)?;
                continue;
            }
            _ => {
                let what = match kind {
                    b'x' | b'g' | b'X' => "pax headers".into(),
                    b'S' => "a sparse file".into(),
                    other => format!("an entry of type {:?}", char::from(other)),
                };
                let text =
                    format!("dpkg does not read {what} in a package; build it with dpkg-deb, or tar --format=gnu");
                return Err(ArchiveRefusal::Unsupported(text));
            }
        }
        let name = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
        if name.contains(&b'\n') {
            let path = String::from_utf8_lossy(&name).into_owned();
            return Err(ArchiveRefusal::Name { path, why: "dpkg refuses a newline in a name" });
        }
        let name = String::from_utf8(name).map_err(|error| ArchiveRefusal::Name {
            path: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            why: "the name is not UTF-8, and machines could not restore such a file; rename it",
        })?;
        // Only files have content, whatever the size of others says.
        let stored = if matches!(kind, 0 | b'0' | b'7') { size } else { 0 };
        let entry = DpkgEntry { is_folder: kind == b'5' || name.ends_with('/'), name };
        let rest: &mut dyn Read = &mut *input;
        let mut content = Content(rest.take(stored));
        visit(&entry, &mut content)
            .and_then(|()| skip_rest(content, stored))
            .map_err(|error| cut_off(entry.name.as_bytes(), &error))?;
    }
    drain(input).map(drop).map_err(damaged)
}

/// The content of one entry. An archive that ends before it does is an error.
struct Content<'a>(io::Take<&'a mut dyn Read>);

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if self.0.limit() > 0 && !buffer.is_empty() => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends in the middle of it"))
            }
            count => Ok(count),
        }
    }
}

/// Skips what the visitor left of an entry, and the padding to a whole block.
fn skip_rest(mut content: Content<'_>, size: u64) -> io::Result<()> {
    io::copy(&mut content, &mut io::sink())?;
    skip_padding(content.0.into_inner(), size)
}

fn skip_padding(input: &mut dyn Read, size: u64) -> io::Result<()> {
    let padding = size.next_multiple_of(BLOCK as u64) - size;
    io::copy(&mut Content(input.take(padding)), &mut io::sink()).map(drop)
}

/// Reads to the end of the stream. Returns whether anything but zeros was there.
fn drain(input: &mut dyn Read) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let mut has_data = false;
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(has_data);
        }
        has_data |= buffer[..count].iter().any(|byte| *byte != 0);
    }
}
