//! The wire format of messages on a connection: `length (u32, big endian) · kind (u8) · body` (rule P1).
//!
//! The length counts the kind and the body. It is checked against the kind's limit before any of the body is stored.

use crate::{
    MachineId, Reason,
    format::{self, FormatError},
    limits,
    peer::Control,
};

use serde::{Deserialize, Serialize};

/// One message on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A control message.
    Control(Control),
    /// A chunk of content. It is untrusted until its hash has been verified.
    Chunk {
        /// The chunk's index in the file, not in the stripe.
        index: u32,
        /// The chunk's bytes.
        bytes: Vec<u8>,
    },
    /// A heartbeat, which the serving side sends regularly.
    Heartbeat(Heartbeat),
}

/// Proves that a machine that serves a stripe is alive, and says what it has and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// The number of consecutive chunks of the stripe, from the first one on, that the sender has.
    pub watermark: u32,
    /// Where the sender's own chunks come from.
    pub upstream: Upstream,
}

/// Where a machine's chunks of a stripe come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upstream {
    /// How far the most advanced machine is that the sender knows of: chunks of any stripe of the order.
    pub front: u32,
    /// Whether the sender gets much less than others, and where it is held up.
    pub holdup: Option<Holdup>,
    /// The machine's source, that machine's source, and so on up to the server; at most [`limits::LIST_DEPTH`]. Empty at
    /// the server, and while there is no source.
    pub path: Vec<MachineId>,
}

/// Where a stripe is held up that arrives much more slowly than elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holdup {
    /// Between the machine and its source: the source has more than the machine.
    Here,
    /// Above the source, which has nothing more itself.
    Above,
}

/// The reason why received bytes are not a valid frame. The other side is at fault.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than its kind allows.
    #[error("a frame of kind {kind} is too long: {length} bytes")]
    TooLong {
        /// The kind byte.
        kind: u8,
        /// The stated length in bytes.
        length: usize,
    },
    /// The kind is unknown.
    #[error("a frame has the unknown kind {0}")]
    UnknownKind(u8),
    /// The frame has a value that does not exist.
    #[error("a frame of kind {0} has an unknown value")]
    UnknownValue(u8),
    /// The frame is too short for its kind.
    #[error("a frame of kind {0} is too short")]
    TooShort(u8),
    /// The control message cannot be read, or a newer version wrote it.
    #[error(transparent)]
    Control(#[from] FormatError),
}

impl FrameError {
    /// Returns the entry of the table of reasons.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Control(error) if error.is_newer() => Reason::NotUnderstood,
            Self::Control(_)
            | Self::TooLong { .. }
            | Self::UnknownKind(_)
            | Self::UnknownValue(_)
            | Self::TooShort(_) => Reason::ProtocolBroken,
        }
    }
}

/// Bytes before the body of every frame: length and kind.
pub const HEADER: usize = 5;
const CONTROL: u8 = 0;
const CHUNK: u8 = 1;
const HEARTBEAT: u8 = 2;
/// The longest heartbeat: watermark, front, hold-up, and one identifier for each machine of the path.
const HEARTBEAT_BYTES: usize = 9 + 16 * limits::LIST_DEPTH;

/// Parses a frame header and returns the kind and the body's length in bytes. `most` is the longest control message
/// expected at this point of the connection (bytes), at most [`limits::CONTROL_BYTES`].
///
/// # Errors
/// When the kind is unknown, or when the length is impossible or above the kind's limit.
pub fn parse_header(header: [u8; HEADER], most: usize) -> Result<(u8, usize), FrameError> {
    let [a, b, c, d, kind] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let limit = match kind {
        CONTROL => most.min(limits::CONTROL_BYTES),
        CHUNK => limits::CHUNK_BYTES + 4,
        HEARTBEAT => HEARTBEAT_BYTES,
        other => return Err(FrameError::UnknownKind(other)),
    };
    match length.checked_sub(1) {
        None => Err(FrameError::TooShort(kind)),
        Some(body) if body > limit => Err(FrameError::TooLong { kind, length }),
        Some(body) => Ok((kind, body)),
    }
}

/// Returns whether frames of this kind carry content.
#[must_use]
pub fn is_chunk(kind: u8) -> bool {
    kind == CHUNK
}

/// Parses a frame's body.
///
/// # Errors
/// When the body is not valid for this kind.
pub fn parse_body(kind: u8, mut body: Vec<u8>) -> Result<Frame, FrameError> {
    let number = |body: &[u8]| body.first_chunk().copied().map(u32::from_be_bytes).ok_or(FrameError::TooShort(kind));
    match kind {
        CONTROL => {
            let length = body.len() + 1;
            Ok(Frame::Control(Control::read(&body)?.ok_or(FrameError::TooLong { kind, length })?))
        }
        CHUNK => {
            let index = number(&body)?;
            body.drain(..4);
            Ok(Frame::Chunk { index, bytes: body })
        }
        HEARTBEAT => {
            let watermark = number(&body)?;
            let front = number(body.get(4..).unwrap_or_default())?;
            let (holdup, path) = body.get(8..).and_then(<[u8]>::split_first).ok_or(FrameError::TooShort(kind))?;
            let holdup = match holdup {
                0 => None,
                1 => Some(Holdup::Here),
                2 => Some(Holdup::Above),
                _ => return Err(FrameError::UnknownValue(kind)),
            };
            let (ids, rest) = path.as_chunks::<16>();
            if !rest.is_empty() {
                return Err(FrameError::TooShort(kind));
            }
            let path = ids.iter().map(|id| MachineId(*id)).collect();
            Ok(Frame::Heartbeat(Heartbeat { watermark, upstream: Upstream { front, holdup, path } }))
        }
        other => Err(FrameError::UnknownKind(other)),
    }
}

/// Returns the header and the four index bytes that precede a chunk's bytes.
///
/// # Panics
/// When the chunk is longer than the limit, which is a bug in the caller.
#[must_use]
pub fn chunk_header(index: u32, chunk_bytes: usize) -> [u8; HEADER + 4] {
    assert!(chunk_bytes <= limits::CHUNK_BYTES, "a chunk of {chunk_bytes} bytes");
    let mut header = [0; HEADER + 4];
    header[..4].copy_from_slice(&(chunk_bytes as u32 + 5).to_be_bytes());
    header[4] = CHUNK;
    header[5..].copy_from_slice(&index.to_be_bytes());
    header
}

impl Frame {
    /// Encodes the frame for a connection.
    ///
    /// # Panics
    /// When a control message is too long or has no JSON form, which is a bug in the caller.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Control(control) => (CONTROL, format::write(control).into_bytes()),
            Self::Chunk { index, bytes } => return [chunk_header(*index, bytes.len()).as_slice(), bytes].concat(),
            Self::Heartbeat(Heartbeat { watermark, upstream }) => {
                let mut body = watermark.to_be_bytes().to_vec();
                body.extend(upstream.front.to_be_bytes());
                body.push(match upstream.holdup {
                    None => 0,
                    Some(Holdup::Here) => 1,
                    Some(Holdup::Above) => 2,
                });
                body.extend(upstream.path.iter().take(limits::LIST_DEPTH).flat_map(|id| id.0));
                (HEARTBEAT, body)
            }
        };
        assert!(body.len() <= limits::CONTROL_BYTES, "a control message of {} bytes", body.len());
        let length = body.len() as u32 + 1;
        [&length.to_be_bytes(), [kind].as_slice(), &body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip() {
        for frame in [
            Frame::Control(Control::Bye { reason: Reason::Revoked }),
            Frame::Chunk { index: 7, bytes: vec![1, 2, 3] },
            Frame::Heartbeat(Heartbeat { watermark: 9, ..Heartbeat::default() }),
            Frame::Heartbeat(Heartbeat {
                watermark: 9,
                upstream: Upstream { front: 12, holdup: Some(Holdup::Here), path: vec![MachineId([7; 16]); 2] },
            }),
        ] {
            let bytes = frame.encode();
            let (kind, length) = parse_header(*bytes.first_chunk().unwrap(), limits::CONTROL_BYTES).unwrap();
            assert_eq!(length, bytes.len() - HEADER);
            assert_eq!(parse_body(kind, bytes[HEADER..].to_vec()).unwrap(), frame);
        }
    }

    #[test]
    fn a_heartbeat_with_an_unknown_place_is_refused() {
        let mut bytes = Frame::Heartbeat(Heartbeat::default()).encode();
        *bytes.last_mut().unwrap() = 3;
        assert!(matches!(parse_body(HEARTBEAT, bytes[HEADER..].to_vec()), Err(FrameError::UnknownValue(HEARTBEAT))));
    }

    #[test]
    fn a_message_that_requires_something_unknown_is_refused_by_name() {
        let body = |more: &str| format!(r#"{{"type":"parts-accepted"{more}}}"#).into_bytes();
        assert!(matches!(parse_body(CONTROL, body(r#","hint":1"#)), Ok(Frame::Control(Control::PartsAccepted))));
        for more in [r#","must_understand":["sealed"]"#, r#","format":2"#] {
            assert_eq!(parse_body(CONTROL, body(more)).unwrap_err().reason(), Reason::NotUnderstood, "{more}");
        }
        assert_eq!(parse_body(CONTROL, b"{}".to_vec()).unwrap_err().reason(), Reason::ProtocolBroken);
    }

    #[test]
    fn lengths_are_limited_before_anything_is_read() {
        let parse = |header| parse_header(header, limits::CONTROL_BYTES);
        assert!(matches!(parse([0xff, 0xff, 0xff, 0xff, CONTROL]), Err(FrameError::TooLong { .. })));
        assert!(matches!(parse([0, 8, 0, 0, CHUNK]), Err(FrameError::TooLong { .. })));
        assert!(matches!(parse([0, 0, 0, 0, CONTROL]), Err(FrameError::TooShort(_))));
        assert!(matches!(parse([0, 0, 0, 1, 9]), Err(FrameError::UnknownKind(9))));
        let greeting = [0, 1, 0, 0, CONTROL];
        assert!(parse(greeting).is_ok());
        assert!(matches!(parse_header(greeting, limits::HELLO_BYTES), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn only_offers_and_revocation_lists_may_be_long_and_errors_repeat_little_of_what_was_sent() {
        let long = "A".repeat(limits::SMALL_CONTROL_BYTES);
        let unknown = parse_body(CONTROL, format!(r#"{{"type":"{long}"}}"#).into_bytes()).unwrap_err();
        assert!(matches!(unknown, FrameError::TooLong { .. }), "{unknown}");
        let confirm = format!(r#"{{"type":"parts-accepted","more":"{long}"}}"#).into_bytes();
        assert!(matches!(parse_body(CONTROL, confirm), Err(FrameError::TooLong { .. })));
        let list = format!(r#"{{"type":"crl","der":"{long}"}}"#).into_bytes();
        assert!(matches!(parse_body(CONTROL, list), Ok(Frame::Control(Control::Crl { .. }))));
        let short = format!("{{\"type\":\"\u{1b}[31m\u{202e}{}\"}}", "B".repeat(9000));
        let error = parse_body(CONTROL, short.into_bytes()).unwrap_err().to_string();
        assert!(error.len() < 500 && !crate::text::has_hidden(&error), "{error:?}");
    }

    #[test]
    fn texts_in_messages_are_escaped_and_cut_when_they_are_read() {
        let hello = |software: &str| {
            let hello =
                crate::peer::Hello { versions: vec![1], software: software.into(), crl_number: 1, stop_number: None };
            let bytes = Frame::Control(Control::Hello(hello)).encode();
            parse_body(CONTROL, bytes[HEADER..].to_vec())
        };
        let Ok(Frame::Control(Control::Hello(read))) = hello(&"\u{202e}evil".repeat(90)) else { panic!("not read") };
        assert!(read.software.len() <= limits::LABEL_BYTES && !crate::text::has_hidden(&read.software));
    }
}
