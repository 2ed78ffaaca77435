//! D-Bus messages, as far as this client needs them: calls with text arguments, replies and signals.

use super::value::{Reader, Value};

/// Maximum message length (bytes). A longer one ends the connection. The bus allows 128 MiB, but the replies here have
/// a few KiB.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Length of the start of a message, which contains the lengths of its parts (bytes).
pub(super) const HEADER_BYTES: usize = 16;

const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
/// Flag: do not start the service for this call, so a machine that runs none is not affected.
const NO_AUTO_START: u8 = 2;

/// A method call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) to: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) arguments: &'a [&'a str],
}

impl Call<'_> {
    /// Encodes the call.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        self.arguments.iter().for_each(|text| string(&mut body, text));
        let mut bytes = vec![b'l', CALL, NO_AUTO_START, 1];
        bytes.extend(length(body.len()));
        bytes.extend(serial.to_le_bytes());
        bytes.extend([0; 4]);
        let field = |bytes: &mut Vec<u8>, code: u8, kind: u8, text: &str| {
            pad(bytes, 8);
            bytes.extend([code, 1, kind, 0]);
            string(bytes, text);
        };
        field(&mut bytes, 1, b'o', self.path);
        field(&mut bytes, 2, b's', self.interface);
        field(&mut bytes, 3, b's', self.member);
        field(&mut bytes, 6, b's', self.to);
        if !self.arguments.is_empty() {
            pad(&mut bytes, 8);
            bytes.extend([8, 1, b'g', 0]);
            bytes.push(u8::try_from(self.arguments.len()).expect("at most two arguments"));
            bytes.extend(self.arguments.iter().map(|_| b's'));
            bytes.push(0);
        }
        let fields = length(bytes.len() - HEADER_BYTES);
        bytes[12..HEADER_BYTES].copy_from_slice(&fields);
        pad(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("the request is short").to_le_bytes()
}
fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}
fn string(bytes: &mut Vec<u8>, text: &str) {
    pad(bytes, 4);
    bytes.extend(length(text.len()));
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// A received message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// The reply to a call; `None` when it is an error.
    Answer { to: u32, values: Option<Vec<Value>> },
    /// A signal.
    Signal,
    /// A message of no interest here.
    Other,
}

/// Returns the total length of a message from its first [`HEADER_BYTES`] bytes; `None` when it is too long or invalid.
pub(super) fn total_length(head: &[u8]) -> Option<usize> {
    let big_endian = *head.first()? == b'B';
    let mut reader = Reader::new(head, big_endian);
    for _ in 0..4 {
        reader.u8()?;
    }
    let (body, _serial, fields) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let fields = usize::try_from(fields).ok().filter(|fields| *fields <= MAX_BYTES)?;
    let body = usize::try_from(body).ok().filter(|body| *body <= MAX_BYTES)?;
    Some((HEADER_BYTES + fields).next_multiple_of(8) + body).filter(|whole| *whole <= MAX_BYTES)
}

/// Parses one complete message.
pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
    let big_endian = *bytes.first()? == b'B';
    let kind = *bytes.get(1)?;
    let fields_length = usize::try_from(Reader::new(bytes.get(12..HEADER_BYTES)?, big_endian).u32()?).ok()?;
    // The fields are `a(yv)`: their length is aligned to four bytes, the first entry to eight.
    let fields = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(fields_length)?)?;
    let (mut path, mut member, mut answers, mut signature) = (None, None, None, String::new());
    let mut reader = Reader::new(fields, big_endian);
    while reader.align(8).is_some() {
        let Some(code) = reader.u8() else { break };
        match (code, reader.read_all("v")?.pop()?) {
            (1, Value::Text(text)) => path = Some(text),
            (3, Value::Text(text)) => member = Some(text),
            (5, Value::Number(serial)) => answers = u32::try_from(serial).ok(),
            (8, Value::Text(text)) => signature = text,
            _ => {}
        }
    }
    let body = bytes.get((HEADER_BYTES + fields_length).next_multiple_of(8)..)?;
    Some(match (kind, answers, path, member) {
        (RETURN, Some(to), ..) => Message::Answer { to, values: Reader::new(body, big_endian).read_all(&signature) },
        (ERROR, Some(to), ..) => Message::Answer { to, values: None },
        (SIGNAL, _, Some(_), Some(_)) => Message::Signal,
        _ => Message::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Vec<u8> {
        let place = ("org.freedesktop.UPower", "/org/freedesktop/UPower");
        let interface = "org.freedesktop.DBus.Properties";
        Call { to: place.0, path: place.1, interface, member: "GetAll", arguments: &[place.0] }.encode(7)
    }

    #[test]
    fn a_call_states_its_length_and_starts_no_service() {
        let bytes = call();
        assert_eq!(total_length(&bytes[..HEADER_BYTES]), Some(bytes.len()));
        assert_eq!((bytes[1], bytes[2]), (CALL, NO_AUTO_START));
    }

    #[test]
    fn a_signal_is_parsed_and_a_damaged_one_rejected_without_a_panic() {
        // Only its type distinguishes this signal from a call.
        let mut bytes = call();
        bytes[1] = SIGNAL;
        assert_eq!(parse(&bytes), Some(Message::Signal));
        for cut in 0..bytes.len() {
            drop(parse(&bytes[..cut]));
        }
        for at in 0..bytes.len() {
            for byte in [0, 1, 0x42, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                drop(parse(&changed));
                assert!(total_length(&changed[..HEADER_BYTES]).is_none_or(|length| length <= MAX_BYTES));
            }
        }
    }

    #[test]
    fn an_overlong_message_is_not_waited_for() {
        let mut head = call()[..HEADER_BYTES].to_vec();
        head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(total_length(&head), None);
    }
}
