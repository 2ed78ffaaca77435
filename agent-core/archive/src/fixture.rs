//! Builds archives by hand, entry by entry, because the writers of the usual crates refuse to make invalid ones.

use flate2::{Compression, write::GzEncoder};
use std::io::{Cursor, Write};
use tar::{EntryType, Header};
use zip::write::{SimpleFileOptions, ZipWriter};

/// A tar file with arbitrary headers.
pub struct Tar(tar::Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Self::new()
    }
}

impl Tar {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
    /// Appends an arbitrary entry.
    pub fn raw(mut self, name: impl AsRef<[u8]>, kind: EntryType, mode: u32, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        let (fields, name) = (header.as_gnu_mut().unwrap(), name.as_ref());
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }
    /// Appends an entry whose header gives `said` as its size, whatever follows it.
    pub fn sized(mut self, name: &str, kind: EntryType, link: &str, said: u64, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_link_name_literal(link).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(said);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }
    /// Appends an entry with this header.
    pub fn header(mut self, header: &Header, data: &[u8]) -> Self {
        self.0.append(header, data).unwrap();
        self
    }
    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(name, EntryType::Regular, 0o644, "", data)
    }
    pub fn program(self, name: &str, script: &str) -> Self {
        self.raw(name, EntryType::Regular, 0o755, "", script.as_bytes())
    }
    pub fn folder(self, name: &str) -> Self {
        self.raw(name, EntryType::Directory, 0o755, "", b"")
    }
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(name, EntryType::Symlink, 0o777, target, b"")
    }
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(name, EntryType::Link, 0o644, target, b"")
    }
    /// Appends a pax header for the next entry.
    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        self.raw("pax", EntryType::XHeader, 0o644, "", &pax_records(records))
    }
    pub fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
    pub fn gz(self) -> Vec<u8> {
        gz(&self.tar())
    }
}

/// Returns a plain tar archive with one file. Its length depends only on the length of the content.
pub fn archive_of(content: &[u8]) -> Vec<u8> {
    Tar::new().file("content", content).tar()
}

/// Encodes pax records, `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
pub fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        let length = (rest.len()..).find(|total| total.to_string().len() + rest.len() == *total).unwrap();
        format!("{length}{rest}")
    };
    records.iter().map(record).collect::<String>().into_bytes()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Builds a zip file from entries of name, Unix mode with type bits, and content.
pub fn zip(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, _, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    // The writer makes every entry a plain file, so the modes are patched into the central directory afterwards.
    let mut at = 0;
    for (_, mode, _) in entries {
        at += bytes[at..].windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        bytes[at + 5] = 3; // made on Unix
        bytes[at + 38..at + 42].copy_from_slice(&(mode << 16).to_le_bytes());
        at += 46;
    }
    bytes
}
