//! Parses the extended headers of tar archives. The `tar` crate reads them without any bound.

use super::sparse::Segment;
use crate::refusal::ArchiveRefusal;

/// Maximum size of an extended header (bytes). It holds a path or two, attributes, and the map of a sparse file.
pub(super) const MAX_EXTENDED_HEADER_BYTES: u64 = 1 << 20;

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
    /// Adds the records of a header, `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record. Values may contain
    /// anything, including newlines. Later records override earlier ones.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveRefusal> {
        self.is_present = true;
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(unreadable)?;
            let length = number(&bytes[..space]).and_then(|n| usize::try_from(n).ok()).ok_or_else(unreadable)?;
            let record =
                bytes.get(space + 1..length).and_then(|rest| rest.strip_suffix(b"\n")).ok_or_else(unreadable)?;
            bytes = &bytes[length..];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(unreadable)?;
            self.add_record(&record[..equals], &record[equals + 1..])?;
        }
        Ok(())
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

fn unreadable() -> ArchiveRefusal {
    ArchiveRefusal::Damaged("a pax header cannot be read".into())
}

/// Parses a decimal number without sign.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
