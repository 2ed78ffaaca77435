//! The join code, which an administrator gives to a machine so that it can enrol and verify the server.
//!
//! The code contains the server's addresses, the fingerprint of the server's CA, the hash of the publishers' TUF root and
//! a secret of limited use. The root's hash comes from the administrator's profile, not from the server. The text form
//! is one word without spaces.

use crate::{Address, Digest, limits};
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
impl FromStr for JoinCode {
    type Err = JoinCodeError;
    fn from_str(text: &str) -> Result<Self, JoinCodeError> {
        let text = text.trim();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_round_trips_and_a_mistyped_one_says_so() {
        let code = JoinCode {
            servers: ["[::1]:7700", "server.example.org:7700"].map(|text| text.parse().unwrap()).to_vec(),
            ca: Digest([1; 32]),
            root: Digest([2; 32]),
            secret: [3; 16],
        };
        let text = code.to_string();
        assert_eq!(format!(" {text}\n").parse::<JoinCode>().unwrap(), code);
        assert_eq!("hello".parse::<JoinCode>(), Err(JoinCodeError::NotOne));
        assert_eq!(text.replacen('1', "2", 1).parse::<JoinCode>(), Err(JoinCodeError::Newer));
        for cut in [PREFIX.len(), 20, text.len() - 1] {
            assert_eq!(text[..cut].parse::<JoinCode>(), Err(JoinCodeError::Damaged));
        }
        let swapped = if text.ends_with('a') { "b" } else { "a" };
        assert_eq!(format!("{}{swapped}", &text[..text.len() - 1]).parse::<JoinCode>(), Err(JoinCodeError::Damaged));
    }
}
