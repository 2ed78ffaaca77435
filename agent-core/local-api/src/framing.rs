//! Framing of the local API: one JSON value per line, with a maximum length.

use banyan_proto::local::Message;
use interprocess::local_socket::tokio::Stream;
use serde::Serialize;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// A caller that neither sends nor reads for this long is disconnected.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;

/// Splits received bytes into reader. Waiting for a line is cancel-safe.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    read: Vec<u8>,
}

impl LineReader {
    /// Takes bytes after the last line that were already read. Returns how count.
    pub(crate) fn take_buffered(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.read.len());
        into[..count].copy_from_slice(&self.read[..count]);
        self.read.drain(..count);
        count
    }
    /// Returns the next line without its line feed; `None` when the other side has closed the connection.
    pub(crate) async fn next_line(
        &mut self,
        mut from: impl AsyncRead + Unpin,
        max_bytes: u64,
    ) -> io::Result<Option<String>> {
        let invalid = |detail: &str| io::Error::new(io::ErrorKind::InvalidData, detail.to_owned());
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return String::from_utf8(line).map(Some).map_err(|_| invalid("the line is not valid UTF-8"));
            }
            searched = self.read.len();
            if searched as u64 >= max_bytes {
                return Err(invalid("the line exceeds the maximum message length"));
            }
            self.read.reserve(READ_BYTES);
            if from.read_buf(&mut self.read).await? == 0 {
                return if self.read.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }
}

/// Writes one value as a line.
pub(crate) async fn write_value(to: impl AsyncWrite + Unpin, value: &impl Serialize) -> io::Result<()> {
    write_line(to, serde_json::to_string(value)?).await
}

/// Writes a text without line breaks as a line.
pub(crate) async fn write_line(mut to: impl AsyncWrite + Unpin, mut line: String) -> io::Result<()> {
    line.push('\n');
    to.write_all(line.as_bytes()).await?;
    to.flush().await
}

/// Sends a message to a caller, who must read it in time.
pub(crate) async fn send(to: &Stream, message: Message) -> io::Result<()> {
    timeout(STALL_TIMEOUT, write_value(to, &message)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_received_in_pieces_survives_a_cancelled_wait() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut near, mut reader) = (near, LineReader::default());
        far.write_all(b"{\"a\"").await.unwrap();
        let none = tokio::time::timeout(std::time::Duration::from_millis(20), reader.next_line(&mut near, 100)).await;
        assert!(none.is_err());
        far.write_all(b":1}\nnext\n").await.unwrap();
        assert_eq!(reader.next_line(&mut near, 100).await.unwrap().unwrap(), "{\"a\":1}");
        assert_eq!(reader.next_line(&mut near, 100).await.unwrap().unwrap(), "next");
        drop(far);
        assert!(reader.next_line(&mut near, 100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let (near, mut far) = tokio::io::duplex(256);
        far.write_all(&[b'x'; 200]).await.unwrap();
        assert_eq!(LineReader::default().next_line(near, 100).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
