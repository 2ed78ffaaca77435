//! The join code, which an administrator gives to a machine so that it can enrol and verify the server.
//!
//! The code contains the server's address, the fingerprint of the server's CA, the hash of the publishers' TUF root and
//! a secret of limited use. The root's hash comes from the administrator's profile, not from the server. The text form
//! is one word without spaces.

use crate::Digest;
use std::{fmt, net::SocketAddr, str::FromStr};

/// A join code.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinCode {
    /// The server's address.
    pub server: SocketAddr,
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
    /// The text does not start with the prefix of a join code.
    #[error("this is not a join code: a join code starts with \"banyan1-\"; create one with `banyan tokens create`")]
    NotOne,
    /// The text is incomplete or mistyped.
    #[error("the join code is incomplete or mistyped (its check digits do not match); copy the whole code again")]
    Damaged,
}

const PREFIX: &str = "banyan1-";

impl fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinCode({}, secret)", self.server)
    }
}
impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server.to_string();
        let mut bytes = [self.ca.0.as_slice(), &self.root.0, &self.secret, server.as_bytes()].concat();
        let check = blake3::hash(&bytes);
        bytes.extend(&check.as_bytes()[..4]);
        write!(f, "{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase())
    }
}
impl FromStr for JoinCode {
    type Err = JoinCodeError;
    fn from_str(text: &str) -> Result<Self, JoinCodeError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(JoinCodeError::NotOne)?;
        let bytes =
            data_encoding::BASE32_NOPAD.decode(body.to_uppercase().as_bytes()).map_err(|_| JoinCodeError::Damaged)?;
        let (bytes, check) = bytes.split_last_chunk::<4>().ok_or(JoinCodeError::Damaged)?;
        if blake3::hash(bytes).as_bytes()[..4] != *check {
            return Err(JoinCodeError::Damaged);
        }
        let take32 = |bytes: &[u8]| bytes.first_chunk::<32>().copied().map(Digest).ok_or(JoinCodeError::Damaged);
        let ca = take32(bytes)?;
        let root = take32(&bytes[32..])?;
        let (secret, server) = bytes[64..].split_first_chunk::<16>().ok_or(JoinCodeError::Damaged)?;
        let server =
            std::str::from_utf8(server).ok().and_then(|text| text.parse().ok()).ok_or(JoinCodeError::Damaged)?;
        Ok(Self { server, ca, root, secret: *secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_round_trips_and_a_mistyped_one_says_so() {
        let code = JoinCode {
            server: "[::1]:7700".parse().unwrap(),
            ca: Digest([1; 32]),
            root: Digest([2; 32]),
            secret: [3; 16],
        };
        let text = code.to_string();
        assert_eq!(format!(" {text}\n").parse::<JoinCode>().unwrap(), code);
        assert_eq!("hello".parse::<JoinCode>(), Err(JoinCodeError::NotOne));
        for cut in [PREFIX.len(), 20, text.len() - 1] {
            assert_eq!(text[..cut].parse::<JoinCode>(), Err(JoinCodeError::Damaged));
        }
        let swapped = if text.ends_with('a') { "b" } else { "a" };
        assert_eq!(format!("{}{swapped}", &text[..text.len() - 1]).parse::<JoinCode>(), Err(JoinCodeError::Damaged));
    }
}
