//! The join code, which an administrator gives to a machine so that it can enrol and verify the server.
//!
//! The code contains the server's addresses, the fingerprint of the server's CA, the hash of the publishers' TUF root and
//! a secret of limited use. The root's hash comes from the administrator's profile, not from the server. The text form
//! is one word without spaces. A reader forgives what copying adds: quotation marks, line breaks, invisible characters.

use crate::{Address, Digest, limits, text::is_hidden};
use std::{fmt, str::FromStr};

/// A join code.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinCode {
    /// The server's addresses, tried in turn: at least one, and at most [`limits::ADDRESSES_PER_MACHINE`].
    pub servers: Vec<Address>,
    /// BLAKE3 of the CA certificate (DER).
    pub ca: Digest,
    /// BLAKE3 of the first TUF root's JSON text.
    pub root: Digest,
    /// The secret that proves the right to enrol.
    pub secret: [u8; 16],
}

/// The reason why a text is not a valid join code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinCodeError {
    /// There is no text.
    #[error("the join code is empty; create one with `banyan tokens create`")]
    Empty,
    /// The text does not start with the prefix of a join code.
    #[error("this is not a join code: a join code starts with \"banyan1-\"; create one with `banyan tokens create`")]
    NotOne,
    /// A newer version of Banyan made the code.
    #[error("this join code needs a newer version of Banyan on this machine")]
    Newer,
    /// The text is incomplete or mistyped.
    #[error("the join code is incomplete or mistyped (its check digits do not match); copy the whole code again")]
    Damaged,
}

/// The prefix names the format of the code.
const PREFIX: &str = "banyan1-";

impl fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinCode({}, secret)", Address::list(&self.servers))
    }
}
impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.servers.iter().map(Address::to_string).collect::<Vec<_>>().join(",");
        let mut bytes = [self.ca.0.as_slice(), &self.root.0, &self.secret, servers.as_bytes()].concat();
        let check = blake3::hash(&bytes);
        bytes.extend(&check.as_bytes()[..4]);
        write!(f, "{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase())
    }
}
impl JoinCode {
    /// Most bytes of a file with a join code that are read.
    pub const MAX_FILE_BYTES: u64 = 64 << 10;

    /// Parses the content of a file: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it.
    ///
    /// # Errors
    /// When it is not a valid join code.
    pub fn parse_file(bytes: &[u8]) -> Result<Self, JoinCodeError> {
        let units = |decode: fn([u8; 2]) -> u16| {
            let (pairs, _) = bytes.as_chunks::<2>();
            String::from_utf16_lossy(&pairs.iter().map(|&pair| decode(pair)).collect::<Vec<_>>())
        };
        let text = match bytes {
            [0xff, 0xfe, ..] => units(u16::from_le_bytes),
            [0xfe, 0xff, ..] => units(u16::from_be_bytes),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        text.parse()
    }
}
impl FromStr for JoinCode {
    type Err = JoinCodeError;
    fn from_str(text: &str) -> Result<Self, JoinCodeError> {
        let text = without_copying_marks(text);
        if text.is_empty() {
            return Err(JoinCodeError::Empty);
        }
        let body = text.strip_prefix(PREFIX).ok_or_else(|| {
            match text.strip_prefix("banyan").map(|rest| rest.split_once('-')) {
                Some(Some((format, _))) if format.parse::<u32>().is_ok() => JoinCodeError::Newer,
                _ => JoinCodeError::NotOne,
            }
        })?;
        let bytes =
            data_encoding::BASE32_NOPAD.decode(body.to_uppercase().as_bytes()).map_err(|_| JoinCodeError::Damaged)?;
        let (bytes, check) = bytes.split_last_chunk::<4>().ok_or(JoinCodeError::Damaged)?;
        if blake3::hash(bytes).as_bytes()[..4] != *check {
            return Err(JoinCodeError::Damaged);
        }
        let take32 = |bytes: &[u8]| bytes.first_chunk::<32>().copied().map(Digest).ok_or(JoinCodeError::Damaged);
        let ca = take32(bytes)?;
        let root = take32(&bytes[32..])?;
        let (secret, servers) = bytes[64..].split_first_chunk::<16>().ok_or(JoinCodeError::Damaged)?;
        let servers = std::str::from_utf8(servers).map_err(|_| JoinCodeError::Damaged)?;
        let servers: Result<Vec<Address>, _> = servers.split(',').map(str::parse).collect();
        let servers = servers.map_err(|_| JoinCodeError::Damaged)?;
        if servers.len() > limits::ADDRESSES_PER_MACHINE {
            return Err(JoinCodeError::Damaged);
        }
        Ok(Self { servers, ca, root, secret: *secret })
    }
}

/// Returns the text in lower case, without what mail programs, editors and shells add to a code: white space, line
/// breaks, hidden characters, quotation marks around it and longer dashes.
fn without_copying_marks(text: &str) -> String {
    let is_mark = |c: char| c.is_whitespace() || is_hidden(c) || "\"'`<>‘’‚“”„«»‹›".contains(c);
    let plain = |c: char| if "‐‑‒–—−".contains(c) { '-' } else { c.to_ascii_lowercase() };
    text.chars().filter(|&c| !is_mark(c)).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> JoinCode {
        JoinCode {
            servers: ["[::1]:7700", "server.example.org:7700"].map(|text| text.parse().unwrap()).to_vec(),
            ca: Digest([1; 32]),
            root: Digest([2; 32]),
            secret: [3; 16],
        }
    }

    #[test]
    fn what_copying_adds_is_forgiven() {
        let text = code().to_string();
        let (start, end) = text.split_at(70);
        for copied in [
            format!(" {text}\r\n"),
            format!("\u{feff}{text}\n"),
            format!("'{text}'"),
            format!("“{text}”\n"),
            format!("<{text}>"),
            format!("{start}\r\n  {end}\r\n"),
            format!("{start}\u{200b}{end}"),
            text.replace('-', "–"),
            text.to_uppercase(),
        ] {
            assert_eq!(copied.parse::<JoinCode>().as_ref(), Ok(&code()), "{copied:?}");
        }
        let utf16 = |mark: [u8; 2], encode: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain(format!("{text}\r\n").encode_utf16().flat_map(encode)).collect::<Vec<u8>>()
        };
        for file in [utf16([0xff, 0xfe], u16::to_le_bytes), utf16([0xfe, 0xff], u16::to_be_bytes), text.clone().into()]
        {
            assert_eq!(JoinCode::parse_file(&file).as_ref(), Ok(&code()));
        }
        assert_eq!(JoinCode::parse_file(&[0xff, 0xfe, 0]), Err(JoinCodeError::Empty));
        for empty in ["", " \r\n", "\u{feff}", "\"\""] {
            assert_eq!(empty.parse::<JoinCode>(), Err(JoinCodeError::Empty), "{empty:?}");
        }
        assert_eq!(format!("{text} {text}").parse::<JoinCode>(), Err(JoinCodeError::Damaged));
    }

    #[test]
    fn a_code_round_trips_and_a_mistyped_one_says_so() {
        let code = code();
        let text = code.to_string();
        assert_eq!(text.parse::<JoinCode>().unwrap(), code);
        assert_eq!("hello".parse::<JoinCode>(), Err(JoinCodeError::NotOne));
        assert_eq!(text.replacen('1', "2", 1).parse::<JoinCode>(), Err(JoinCodeError::Newer));
        for cut in [PREFIX.len(), 20, text.len() - 1] {
            assert_eq!(text[..cut].parse::<JoinCode>(), Err(JoinCodeError::Damaged));
        }
        let swapped = if text.ends_with('a') { "b" } else { "a" };
        assert_eq!(format!("{}{swapped}", &text[..text.len() - 1]).parse::<JoinCode>(), Err(JoinCodeError::Damaged));
    }
}
