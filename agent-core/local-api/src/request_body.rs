//! The bytes of a file that follow a request: counted, and read with time limits.

use crate::framing::Lines;
use interprocess::local_socket::tokio::Stream;
use std::{io, time::Duration};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout, timeout_at},
};

/// A caller that sends nothing for this long is dropped.
const STUCK: Duration = Duration::from_secs(10);
/// How long to keep reading unwanted bytes, so that the caller reaches the reply.
const DRAIN: Duration = Duration::from_secs(5);

/// The bytes still to be read from a caller.
pub struct Body<'a> {
    lines: &'a mut Lines,
    from: &'a Stream,
    left: u64,
}

impl<'a> Body<'a> {
    pub(super) fn new(lines: &'a mut Lines, from: &'a Stream, left: u64) -> Self {
        Self { lines, from, left }
    }
    /// Returns the number of bytes still to be read.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }
    /// Fills the buffer with the next bytes.
    ///
    /// # Errors
    /// When fewer bytes remain, or they do not arrive in time.
    pub async fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let wanted = buffer.len() as u64;
        if wanted > self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut got = self.lines.take(buffer);
        while got < buffer.len() {
            let mut from = self.from;
            match timeout(STUCK, from.read(&mut buffer[got..]))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
            {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => got += more,
            }
        }
        self.left -= wanted;
        Ok(())
    }
    /// Reads all remaining bytes, up to `most`. Memory grows as bytes arrive, so a false length costs nothing.
    ///
    /// # Errors
    /// When more than `most` bytes remain, or they do not arrive in time.
    pub async fn all(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.left > most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes are announced than allowed"));
        }
        let mut all = Vec::new();
        while self.left > 0 {
            let (before, more) = (all.len(), usize::try_from(self.left.min(64 << 10)).unwrap_or(64 << 10));
            all.resize(before + more, 0);
            self.fill(&mut all[before..]).await?;
        }
        Ok(all)
    }
    /// Reads and discards this many bytes.
    ///
    /// # Errors
    /// When fewer bytes remain, or they do not arrive in time.
    pub async fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while bytes > 0 {
            let some = usize::try_from(bytes.min(buffer.len() as u64)).unwrap_or(buffer.len());
            self.fill(&mut buffer[..some]).await?;
            bytes -= some as u64;
        }
        Ok(())
    }
    /// Reads and discards the rest for a while, until the caller disconnects.
    pub(super) async fn drain(mut self) {
        let end = Instant::now() + DRAIN;
        let left = self.left;
        drop(timeout_at(end, self.skip(left)).await);
    }
}
