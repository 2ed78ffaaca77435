//! Reads a stream of server-sent events.

use std::{collections::VecDeque, time::Duration};

/// The longest line that is read (bytes).
const MAX_LINE_BYTES: usize = 64 << 10;

/// The server sends a comment every 15 seconds. Without any for this long, the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// One message of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamMessage {
    /// The event's name.
    pub(crate) name: String,
    /// The number to continue after.
    pub(crate) id: Option<u64>,
    /// The data.
    pub(crate) data: String,
}

/// Puts lines together to messages.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    message: StreamMessage,
    ready: VecDeque<StreamMessage>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < MAX_LINE_BYTES => self.line.push(byte),
                _ => {}
            }
        }
    }
    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if !message.data.is_empty() {
                self.ready.push_back(message);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.name),
            "id" => self.message.id = value.parse().ok(),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            _ => {}
        }
    }
}

/// A stream that is read.
pub(crate) struct EventStream {
    response: reqwest::Response,
    parser: Parser,
}

impl EventStream {
    pub(super) fn new(response: reqwest::Response) -> Self {
        Self { response, parser: Parser::default() }
    }
    /// Returns the next message; `None` when the connection has ended, or is silent for too long.
    pub(crate) async fn next(&mut self) -> Option<StreamMessage> {
        loop {
            if let Some(message) = self.parser.ready.pop_front() {
                return Some(message);
            }
            let arrived = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let bytes = arrived.ok()?.ok()??;
            self.parser.feed(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_whatever_the_pieces_in_which_they_arrive() {
        let text = ": comment\n\nevent: machine.failed\nid: 12\ndata: {\"a\":1}\n\nid: 13\ndata: x\r\ndata:y\n\n";
        for size in [1, 2, 7, text.len()] {
            let mut parser = Parser::default();
            text.as_bytes().chunks(size).for_each(|piece| parser.feed(piece));
            let message =
                |name: &str, id, data: &str| StreamMessage { name: name.into(), id: Some(id), data: data.into() };
            assert_eq!(parser.ready, [message("machine.failed", 12, "{\"a\":1}"), message("", 13, "x\ny")]);
        }
    }
}
