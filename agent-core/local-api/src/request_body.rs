//! The bytes of a file that follow a request: counted, and read with time limits.

use crate::framing::{LineReader, STALL_TIMEOUT};
use interprocess::local_socket::tokio::Stream;
use std::{io, time::Duration};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout, timeout_at},
};

/// How long to keep reading unwanted bytes, so that the caller reaches the reply.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The bytes still to be read from a caller.
pub struct RequestBody<'a> {
    lines: &'a mut LineReader,
    from: &'a Stream,
    remaining: u64,
}

impl<'a> RequestBody<'a> {
    pub(crate) fn new(lines: &'a mut LineReader, from: &'a Stream, remaining: u64) -> Self {
        Self { lines, from, remaining }
    }
    /// Returns the number of bytes still to be read.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }
    /// Fills the buffer with the next bytes.
    ///
    /// # Errors
    /// When fewer bytes remain, or they do not arrive in time.
    pub async fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let wanted = buffer.len() as u64;
        if wanted > self.remaining {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut got = self.lines.take_buffered(buffer);
        while got < buffer.len() {
            let mut from = self.from;
            match timeout(STALL_TIMEOUT, from.read(&mut buffer[got..]))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
            {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => got += more,
            }
        }
        self.remaining -= wanted;
        Ok(())
    }
    /// Reads all remaining bytes, up to `max_bytes`. Memory grows as bytes arrive, so a false length costs nothing.
    ///
    /// # Errors
    /// When more than `max_bytes` bytes remain, or they do not arrive in time.
    pub async fn read_all(&mut self, max_bytes: u64) -> io::Result<Vec<u8>> {
        if self.remaining > max_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes are announced than allowed"));
        }
        let mut all = Vec::new();
        while self.remaining > 0 {
            let (before, more) = (all.len(), usize::try_from(self.remaining.min(64 << 10)).unwrap_or(64 << 10));
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
    pub(crate) async fn drain(mut self) {
        let end = Instant::now() + DRAIN_TIME;
        let remaining = self.remaining;
        drop(timeout_at(end, self.skip(remaining)).await);
    }
}
