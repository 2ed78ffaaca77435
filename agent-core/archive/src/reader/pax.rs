//! Parses the extended headers of tar archives. The `tar` crate reads them without any bound.
//!
//! Records pass as a stream, and only what is needed is kept: extended attributes can be many megabytes.

use super::sparse::Segment;
use crate::refusal::{ArchiveRefusal, damaged};
use std::io::{self, Read, Take};

/// Maximum size of what is kept of an extended header (bytes): a path or two, and the map of a sparse file.
pub(super) const MAX_EXTENDED_HEADER_BYTES: u64 = 1 << 20;
/// Longest number before a record (digits).
const MAX_DIGITS: usize = 20;
/// Longest name of a record that is needed (bytes).
const MAX_KEY_BYTES: usize = 64;

/// Attributes of the next entry from pax headers.
#[derive(Debug, Default)]
pub(super) struct Pax {
    /// Whether there was a pax header at all.
    pub(super) is_present: bool,
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: PaxSparse,
}

/// The records of a sparse file. GNU tar has three versions of them.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) map: Vec<Segment>,
    /// The offset that waits for its length (version 0.0).
    offset: Option<u64>,
    is_present: bool,
}

impl PaxSparse {
    pub(super) fn is_present(&self) -> bool {
        self.is_present
    }
}

impl Pax {
    /// Reads a header of `size` bytes and adds its records, `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.
    /// Values may contain anything, including newlines. Later records override earlier ones.
    pub(super) fn read(&mut self, input: &mut dyn Read, size: u64) -> Result<(), ArchiveRefusal> {
        self.is_present = true;
        let mut header = input.take(size);
        let mut kept_bytes = 0;
        while header.limit() > 0 {
            self.read_record(&mut header, &mut kept_bytes)?;
        }
        Ok(())
    }

    fn read_record(&mut self, header: &mut Take<&mut dyn Read>, kept_bytes: &mut u64) -> Result<(), ArchiveRefusal> {
        let (digits, _) = read_until(header, b' ', MAX_DIGITS)?;
        let length = number(&digits).and_then(|length| length.checked_sub(digits.len() as u64 + 1));
        let length = length.filter(|length| *length <= header.limit()).ok_or_else(unreadable)?;
        let mut record = header.take(length);
        let (key, is_whole) = read_until(&mut record, b'=', MAX_KEY_BYTES)?;
        if !is_whole || !is_needed(&key) {
            return skip(&mut record);
        }
        *kept_bytes += record.limit();
        if *kept_bytes > MAX_EXTENDED_HEADER_BYTES {
            return Err(ArchiveRefusal::HeaderTooLarge(MAX_EXTENDED_HEADER_BYTES));
        }
        let mut value = Vec::new();
        record.read_to_end(&mut value).map_err(damaged)?;
        self.add_record(&key, value.strip_suffix(b"\n").ok_or_else(unreadable)?)
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveRefusal> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or_else(unreadable)?),
            b"SCHILY.realsize" => {
                return Err(ArchiveRefusal::Unsupported(
                    "it contains a sparse file in star's format; make the archive with GNU tar or bsdtar".into(),
                ));
            }
            _ => {
                if let Some(rest) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.add_record(rest, value)?;
                }
            }
        }
        Ok(())
    }
}

impl PaxSparse {
    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveRefusal> {
        self.is_present = true;
        let amount = || number(value).ok_or_else(unreadable);
        match key {
            b"major" => self.major = Some(amount()?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(amount()?),
            b"offset" => self.offset = Some(amount()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(unreadable)?;
                self.map.push(Segment { offset, length: amount()? });
            }
            b"map" => {
                let numbers: Option<Vec<u64>> =
                    value.split(|byte| *byte == b',').filter(|text| !text.is_empty()).map(number).collect();
                let numbers = numbers.ok_or_else(unreadable)?;
                let (pairs, rest) = numbers.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(unreadable());
                }
                self.map = pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a record says something about names, sizes or holes.
fn is_needed(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"size" | b"SCHILY.realsize") || key.starts_with(b"GNU.sparse.")
}

/// Reads up to a delimiter, which is dropped, or to `max` bytes. Returns the bytes, and whether the delimiter was there.
fn read_until(input: &mut impl Read, delimiter: u8, max: usize) -> Result<(Vec<u8>, bool), ArchiveRefusal> {
    let mut bytes = Vec::new();
    while bytes.len() < max {
        let mut byte = [0];
        input.read_exact(&mut byte).map_err(|_| unreadable())?;
        if byte[0] == delimiter {
            return Ok((bytes, true));
        }
        bytes.push(byte[0]);
    }
    Ok((bytes, false))
}

fn skip(record: &mut Take<impl Read>) -> Result<(), ArchiveRefusal> {
    io::copy(record, &mut io::sink()).map_err(damaged)?;
    if record.limit() == 0 { Ok(()) } else { Err(unreadable()) }
}

fn unreadable() -> ArchiveRefusal {
    ArchiveRefusal::Damaged("a pax header cannot be read".into())
}

/// Parses a decimal number without sign.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
