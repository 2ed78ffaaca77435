//! Sparse files in tar archives: only the parts between holes are stored. They are unpacked with zeros in the holes.

use super::pax::number;
use crate::refusal::ArchiveRefusal;
use std::io::{self, Read};

/// Maximum number of parts of one file.
const MAX_SEGMENTS: usize = 100_000;
const BLOCK: usize = 512;

/// A stored part of a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it begins in the file (bytes).
    pub(super) offset: u64,
    /// Its length (bytes).
    pub(super) length: u64,
}

/// Verifies that the parts follow one another inside the file and are exactly the stored bytes.
pub(super) fn check(map: &[Segment], real_size: u64, stored: u64) -> Result<(), ArchiveRefusal> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for segment in map {
        let next = segment.offset.checked_add(segment.length).filter(|next| *next <= real_size);
        end = next.filter(|_| segment.offset >= end).ok_or_else(wrong_map)?;
        sum = sum.saturating_add(segment.length);
    }
    if sum == stored { Ok(()) } else { Err(wrong_map()) }
}

fn wrong_map() -> ArchiveRefusal {
    ArchiveRefusal::Damaged("the map of a sparse file contradicts itself".into())
}

/// Reads the map at the beginning of the content (GNU format 1.0): decimal numbers, one a line, filled up to whole
/// blocks. Returns the map and its stored length (bytes).
pub(super) fn read_map(content: &mut dyn Read) -> Result<(Vec<Segment>, u64), ArchiveRefusal> {
    let mut text = Vec::new();
    let mut blocks = 0_u64;
    let mut next = |text: &mut Vec<u8>| -> Result<u64, ArchiveRefusal> {
        loop {
            if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let found = number(&text[..end]).ok_or_else(wrong_map)?;
                text.drain(..=end);
                return Ok(found);
            }
            let mut block = [0; BLOCK];
            content.read_exact(&mut block).map_err(crate::refusal::damaged)?;
            blocks += 1;
            if text.len() > 2 * BLOCK {
                return Err(wrong_map());
            }
            text.extend_from_slice(&block);
        }
    };
    let count = next(&mut text)?;
    if count > MAX_SEGMENTS as u64 {
        return Err(wrong_map());
    }
    let mut map = Vec::new();
    for _ in 0..count {
        map.push(Segment { offset: next(&mut text)?, length: next(&mut text)? });
    }
    Ok((map, blocks * BLOCK as u64))
}

/// Reads a sparse file with zeros in its holes.
pub(super) struct SparseReader<'a> {
    stored: &'a mut dyn Read,
    map: Vec<Segment>,
    /// The part that is being read, or comes next.
    segment: usize,
    position: u64,
    real_size: u64,
}

impl<'a> SparseReader<'a> {
    pub(super) fn new(stored: &'a mut dyn Read, map: Vec<Segment>, real_size: u64) -> Self {
        Self { stored, map, segment: 0, position: 0, real_size }
    }
}

impl Read for SparseReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.map.get(self.segment).is_some_and(|part| self.position >= part.offset + part.length) {
            self.segment += 1;
        }
        let (end, is_hole) = match self.map.get(self.segment) {
            Some(part) if self.position < part.offset => (part.offset, true),
            Some(part) => (part.offset + part.length, false),
            None => (self.real_size, true),
        };
        let wanted = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..wanted];
        let count = if is_hole {
            buffer.fill(0);
            wanted
        } else {
            match self.stored.read(buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}
