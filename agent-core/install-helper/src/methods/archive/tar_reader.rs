//! Reads tar archives. Long names and pax headers are parsed here, because the `tar` crate reads them without any
//! bound. A header whose size different programs would interpret differently is refused.

use crate::error::Trouble;
use crate::{
    error::archive_refusal::Refusal,
    methods::archive::reader::{Entry, Visit, What, broken},
};
use std::io::Read;
use tar::{EntryType, Header};

/// Maximum size of an extended header (bytes). It holds a path or two.
const EXTENDED_BYTES: u64 = 64 << 10;

/// Attributes of the next entry, collected from the headers before it.
#[derive(Default)]
struct Extended {
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

pub(super) fn walk(input: impl Read, visit: &mut Visit<'_>) -> Result<(), Trouble> {
    let mut archive = tar::Archive::new(input);
    let mut extended = Extended::default();
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let header = entry.header().clone();
        let size = header.entry_size().map_err(broken)?;
        match header.entry_type() {
            EntryType::GNULongName => extended.long_path = Some(until_nul(small(&mut entry, size)?)),
            EntryType::GNULongLink => extended.long_target = Some(until_nul(small(&mut entry, size)?)),
            EntryType::XHeader => extended.pax = Pax::parse(&small(&mut entry, size)?)?,
            EntryType::XGlobalHeader => {
                let pax = Pax::parse(&small(&mut entry, size)?)?;
                if pax.path.is_some() || pax.target.is_some() || pax.size.is_some() {
                    return Err(Refusal::Unsupported("a global header changes paths or sizes".into()).into());
                }
            }
            _ => visit(&describe(&header, size, std::mem::take(&mut extended))?, &mut entry)?,
        }
    }
    Ok(())
}

fn describe(header: &Header, size: u64, extended: Extended) -> Result<Entry, Refusal> {
    let Extended { long_path, long_target, pax } = extended;
    if pax.size.is_some_and(|said| said != size) {
        let text = "a pax header gives a file a different size from the file's own header".to_owned();
        return Err(Refusal::Unsupported(text));
    }
    let path = pax.path.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
    let target = pax.target.or(long_target).or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    let mode = header.mode().map_err(broken)?;
    let what = match header.entry_type() {
        // Before tar had a type for folders, they were empty files whose names end with a slash.
        EntryType::Regular if path.ends_with(b"/") && size == 0 => What::Folder,
        EntryType::Regular | EntryType::Continuous => What::File { size },
        EntryType::Directory => What::Folder,
        EntryType::Symlink => What::Symlink(target.unwrap_or_default()),
        EntryType::Link => What::HardLink(target.unwrap_or_default()),
        EntryType::Char => What::Special("a character device"),
        EntryType::Block => What::Special("a block device"),
        EntryType::Fifo => What::Special("a named pipe"),
        EntryType::GNUSparse => What::Special("a sparse file, which is not supported"),
        _ => What::Special("of an unknown type"),
    };
    Ok(Entry { path, what, mode })
}

fn small(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, Refusal> {
    if size > EXTENDED_BYTES {
        return Err(Refusal::HeaderTooLarge(EXTENDED_BYTES));
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes).map_err(broken)?;
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

impl Pax {
    /// Parses pax records, `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record. Values may contain anything,
    /// including newlines.
    fn parse(mut bytes: &[u8]) -> Result<Self, Refusal> {
        let damaged = || Refusal::Broken("a pax header cannot be read".into());
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
                    return Err(Refusal::Unsupported("it contains a sparse file, which is not supported".into()));
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
