//! How much an archive may unpack to. Bytes are counted as they are read, whatever the headers claim.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// Maximum number of entries of an archive.
pub const MAX_ENTRIES: u64 = 200_000;
/// Bytes that any archive may unpack to, however small it is.
const ALWAYS_ALLOWED_BYTES: u64 = 64 << 20;
/// The maximum ratio of unpacked to packed size, beyond [`ALWAYS_ALLOWED_BYTES`]. Programs reach 2 to 10, text 20;
/// deflate allows at most 1032, zstd a million.
const MAX_RATIO: u64 = 100;
/// Maximum bytes that an archive may unpack to, whatever its publisher says.
pub const MAX_UNPACKED_BYTES: u64 = 256 << 30;

/// Returns how much an archive of `archive` bytes may unpack to (bytes, including the archive's own headers), unless
/// its publisher states more.
#[must_use]
pub fn usual_unpacked_bytes(archive: u64) -> u64 {
    archive.saturating_mul(MAX_RATIO).saturating_add(ALWAYS_ALLOWED_BYTES).min(MAX_UNPACKED_BYTES)
}

/// Returns the limit for an archive of `archive` bytes whose publisher signed that it needs `stated` bytes.
#[must_use]
pub fn max_unpacked_bytes(archive: u64, stated: u64) -> u64 {
    usual_unpacked_bytes(archive).max(stated).min(MAX_UNPACKED_BYTES)
}

/// The number of bytes that may still be decompressed.
#[derive(Clone)]
pub(crate) struct SizeBudget(Rc<Counter>);

struct Counter {
    limit: u64,
    used: Cell<u64>,
}

impl SizeBudget {
    pub(crate) fn new(limit: u64) -> Self {
        Self(Rc::new(Counter { limit, used: Cell::new(0) }))
    }
    pub(crate) fn limit(&self) -> u64 {
        self.0.limit
    }
    pub(crate) fn used(&self) -> u64 {
        self.0.used.get()
    }
    pub(crate) fn is_spent(&self) -> bool {
        self.used() > self.0.limit
    }
    /// Wraps a reader: counts all bytes read through it, and fails once the limit is reached.
    pub(crate) fn count<R: Read>(&self, inner: R) -> CountedReader<R> {
        CountedReader { inner, budget: self.clone() }
    }
}

/// A reader whose bytes are counted.
pub(crate) struct CountedReader<R> {
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
        assert!(budget.used() < 1 << 20, "{} bytes were read", budget.used());
    }

    #[test]
    fn a_publisher_can_state_more_but_not_without_end() {
        assert_eq!(max_unpacked_bytes(1, 0), ALWAYS_ALLOWED_BYTES + 100);
        assert_eq!(max_unpacked_bytes(1, 1 << 30), 1 << 30);
        assert_eq!(max_unpacked_bytes(1, u64::MAX), MAX_UNPACKED_BYTES);
    }
}
