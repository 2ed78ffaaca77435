//! The text of an access token: a prefix that scanners for leaked secrets find, 240 random bits, and a checksum.

use crate::{Digest, Secret};
use std::fmt;

/// What every access token begins with.
const PREFIX: &str = "banyan_pat_";
/// The random part (bytes).
const RANDOM_BYTES: usize = 30;
/// The checksum (bytes): the beginning of a BLAKE3 hash of what stands before it.
const CHECKSUM_BYTES: usize = 5;

/// A text that looks like an access token and is not whole: it was cut or mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not whole: it has a wrong length or checksum")]
pub struct BadAccessToken;

/// An access token.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Secret);

impl AccessToken {
    /// Creates a token.
    ///
    /// # Panics
    /// When the system cannot provide random numbers.
    #[must_use]
    pub fn random() -> Self {
        let random = Digest::random();
        let body = format!("{PREFIX}{}", encode(&random.0[..RANDOM_BYTES]));
        Self(format!("{body}{}", checksum(&body)).into())
    }
    /// Reads a token. Returns `None` for a text of another kind.
    ///
    /// # Errors
    /// When the text begins as a token and its length or checksum is wrong.
    pub fn parse(text: &str) -> Result<Option<Self>, BadAccessToken> {
        if !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let at = text.len().checked_sub(CHECKSUM_BYTES * 8 / 5).ok_or(BadAccessToken)?;
        let (body, found) = text.split_at_checked(at).ok_or(BadAccessToken)?;
        let is_whole = body.len() == PREFIX.len() + RANDOM_BYTES * 8 / 5 && checksum(body) == found;
        if is_whole { Ok(Some(Self(text.into()))) } else { Err(BadAccessToken) }
    }
    /// Returns the secret text.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
    /// Returns what the server stores: a hash, which does not lead to the token, because that is random.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(self.0.expose().as_bytes())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn encode(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes).to_lowercase()
}

fn checksum(body: &str) -> String {
    encode(&Digest::of(body.as_bytes()).0[..CHECKSUM_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_and_a_damaged_one_is_noticed() {
        let token = AccessToken::random();
        let text = token.secret().expose();
        assert_eq!((text.len(), format!("{token:?}").as_str()), (67, "[secret]"));
        assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
        assert_eq!(AccessToken::parse(text), Ok(Some(token.clone())));
        assert_ne!(token, AccessToken::random());
        assert_eq!(AccessToken::parse("0123abcd"), Ok(None));
        for at in PREFIX.len()..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(AccessToken::parse(std::str::from_utf8(&wrong).unwrap()), Err(BadAccessToken));
        }
        for wrong in [PREFIX, &text[..66], &format!("{text}a"), "banyan_pat_ü", "banyan_pat_üüüüüü"] {
            assert_eq!(AccessToken::parse(wrong), Err(BadAccessToken), "{wrong}");
        }
    }
}
