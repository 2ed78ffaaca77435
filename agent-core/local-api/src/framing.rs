//! Framing of the local API: one JSON value per line, with a maximum length.

use serde::Serialize;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes read at once.
const READ: usize = 8 << 10;

/// Splits received bytes into lines. Waiting for a line is cancel-safe.
#[derive(Debug, Default)]
pub(super) struct Lines {
    read: Vec<u8>,
}

impl Lines {
    /// Takes bytes after the last line that were already read. Returns how many.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let many = into.len().min(self.read.len());
        into[..many].copy_from_slice(&self.read[..many]);
        self.read.drain(..many);
        many
    }
    /// Returns the next line without its line feed; `None` when the other side has closed the connection.
    pub(super) async fn next(&mut self, mut from: impl AsyncRead + Unpin, most: u64) -> io::Result<Option<String>> {
        let invalid = |detail: &str| io::Error::new(io::ErrorKind::InvalidData, detail.to_owned());
        let mut looked = 0;
        loop {
            if let Some(end) = self.read[looked..].iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(looked + end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return String::from_utf8(line).map(Some).map_err(|_| invalid("the line is not valid UTF-8"));
            }
            looked = self.read.len();
            if looked as u64 >= most {
                return Err(invalid("the line exceeds the maximum message length"));
            }
            self.read.reserve(READ);
            if from.read_buf(&mut self.read).await? == 0 {
                return if self.read.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }
}

pub(super) async fn write(mut to: impl AsyncWrite + Unpin, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_received_in_pieces_survives_a_cancelled_wait() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut near, mut lines) = (near, Lines::default());
        far.write_all(b"{\"a\"").await.unwrap();
        let none = tokio::time::timeout(std::time::Duration::from_millis(20), lines.next(&mut near, 100)).await;
        assert!(none.is_err());
        far.write_all(b":1}\nnext\n").await.unwrap();
        assert_eq!(lines.next(&mut near, 100).await.unwrap().unwrap(), "{\"a\":1}");
        assert_eq!(lines.next(&mut near, 100).await.unwrap().unwrap(), "next");
        drop(far);
        assert!(lines.next(&mut near, 100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let (near, mut far) = tokio::io::duplex(256);
        far.write_all(&[b'x'; 200]).await.unwrap();
        assert_eq!(Lines::default().next(near, 100).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
