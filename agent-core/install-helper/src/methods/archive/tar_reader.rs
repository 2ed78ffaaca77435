//! Reads tar archives. Long names and pax headers are parsed here, because the `tar` crate reads them without any
//! bound. A header whose size different programs would interpret differently is refused.

use crate::error::InstallError;
use crate::{
    error::archive_refusal::ArchiveRefusal,
    methods::archive::reader::{Entry, EntryKind, Visitor, damaged},
};
use std::io::Read;
use tar::{EntryType, Header};

/// Maximum size of an extended header (bytes). It holds a path or two.
const MAX_EXTENDED_HEADER_BYTES: u64 = 64 << 10;

/// Attributes of the next entry, collected from the headers before it.
#[derive(Default)]
struct ExtendedHeaders {
    long_path: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    pax: Pax,
}

#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

pub(super) fn read_entries(input: impl Read, visit: &mut Visitor<'_>) -> Result<(), InstallError> {
    let mut archive = tar::Archive::new(input);
    let mut extended = ExtendedHeaders::default();
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let header = entry.header().clone();
        let size = header.entry_size().map_err(damaged)?;
        match header.entry_type() {
            EntryType::GNULongName => {
                extended.long_path = Some(truncate_at_nul(read_extended_header(&mut entry, size)?));
            }
            EntryType::GNULongLink => {
                extended.long_target = Some(truncate_at_nul(read_extended_header(&mut entry, size)?));
            }
            EntryType::XHeader => extended.pax = Pax::parse(&read_extended_header(&mut entry, size)?)?,
            EntryType::XGlobalHeader => {
                let pax = Pax::parse(&read_extended_header(&mut entry, size)?)?;
                if pax.path.is_some() || pax.target.is_some() || pax.size.is_some() {
                    return Err(ArchiveRefusal::Unsupported("a global header changes paths or sizes".into()).into());
                }
            }
            _ => visit(&to_entry(&header, size, std::mem::take(&mut extended))?, &mut entry)?,
        }
    }
    Ok(())
}

fn to_entry(header: &Header, size: u64, extended: ExtendedHeaders) -> Result<Entry, ArchiveRefusal> {
    let ExtendedHeaders { long_path, long_target, pax } = extended;
    if pax.size.is_some_and(|said| said != size) {
        let text = "a pax header gives a file a different size from the file's own header".to_owned();
        return Err(ArchiveRefusal::Unsupported(text));
    }
    let path = pax.path.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
    let target = pax.target.or(long_target).or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    let mode = header.mode().map_err(damaged)?;
    let kind = match header.entry_type() {
        // Before tar had a type for folders, they were empty files whose names end with a slash.
        EntryType::Regular if path.ends_with(b"/") && size == 0 => EntryKind::Folder,
        EntryType::Regular | EntryType::Continuous => EntryKind::File { size },
        EntryType::Directory => EntryKind::Folder,
        EntryType::Symlink => EntryKind::Symlink(target.unwrap_or_default()),
        EntryType::Link => EntryKind::HardLink(target.unwrap_or_default()),
        EntryType::Char => EntryKind::Special("a character device"),
        EntryType::Block => EntryKind::Special("a block device"),
        EntryType::Fifo => EntryKind::Special("a named pipe"),
        EntryType::GNUSparse => EntryKind::Special("a sparse file, which is not supported"),
        _ => EntryKind::Special("of an unknown type"),
    };
    Ok(Entry { path, kind, mode })
}

fn read_extended_header(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, ArchiveRefusal> {
    if size > MAX_EXTENDED_HEADER_BYTES {
        return Err(ArchiveRefusal::HeaderTooLarge(MAX_EXTENDED_HEADER_BYTES));
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes).map_err(damaged)?;
    Ok(bytes)
}

fn truncate_at_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

impl Pax {
    /// Parses pax records, `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record. Values may contain anything,
    /// including newlines.
    fn parse(mut bytes: &[u8]) -> Result<Self, ArchiveRefusal> {
        let damaged = || ArchiveRefusal::Damaged("a pax header cannot be read".into());
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
            let length = number(&bytes[..space]).and_then(|n| usize::try_from(n).ok()).ok_or_else(damaged)?;
            let record = bytes.get(space + 1..length).and_then(|rest| rest.strip_suffix(b"\n")).ok_or_else(damaged)?;
            bytes = &bytes[length..];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
            let (key, value) = (&record[..equals], record[equals + 1..].to_vec());
            match key {
                b"path" => pax.path = Some(value),
                b"linkpath" => pax.target = Some(value),
                b"size" => pax.size = Some(number(&value).ok_or_else(damaged)?),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(ArchiveRefusal::Unsupported(
                        "it contains a sparse file, which is not supported".into(),
                    ));
                }
                _ => {}
            }
        }
        Ok(pax)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
