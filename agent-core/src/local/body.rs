//! The bytes of a file that come behind a request, as a caller sends them: counted, and never waited for without end.

use super::line::Lines;
use interprocess::local_socket::tokio::Stream;
use std::{io, time::Duration};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout, timeout_at},
};

/// A caller that sends nothing for so long is given up.
const STUCK: Duration = Duration::from_secs(10);
/// What is not wanted any more is read for so long, so that the caller gets to its answer.
const DRAIN: Duration = Duration::from_secs(5);

/// What is still to come.
pub struct Body<'a> {
    lines: &'a mut Lines,
    from: &'a Stream,
    left: u64,
}

impl<'a> Body<'a> {
    pub(super) fn new(lines: &'a mut Lines, from: &'a Stream, left: u64) -> Self {
        Self { lines, from, left }
    }
    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }
    /// The next bytes, as many as fit.
    ///
    /// # Errors
    /// When there are fewer, or they do not come.
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
    /// All that is left, of which `most` bytes are accepted. Grows as bytes come: a length that is a lie costs nothing.
    ///
    /// # Errors
    /// When there are fewer or more, or they do not come.
    pub async fn all(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.left > most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there are more bytes than any such part has"));
        }
        let mut all = Vec::new();
        while self.left > 0 {
            let (before, more) = (all.len(), usize::try_from(self.left.min(64 << 10)).unwrap_or(64 << 10));
            all.resize(before + more, 0);
            self.fill(&mut all[before..]).await?;
        }
        Ok(all)
    }
    /// Passes over so many bytes.
    ///
    /// # Errors
    /// When there are fewer, or they do not come.
    pub async fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while bytes > 0 {
            let some = usize::try_from(bytes.min(buffer.len() as u64)).unwrap_or(buffer.len());
            self.fill(&mut buffer[..some]).await?;
            bytes -= some as u64;
        }
        Ok(())
    }
    /// Reads on for a while until the caller hangs up.
    pub(super) async fn drain(mut self) {
        let end = Instant::now() + DRAIN;
        let left = self.left;
        drop(timeout_at(end, self.skip(left)).await);
    }
}
