//! How many copies of an artifact the server may send in a deployment.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Hundredths in a copy.
const WHOLE: u32 = 100;
/// The highest number that can be set. More machines cannot be on a list.
const MOST: u32 = crate::limits::ADDRESSEES as u32;

/// How many copies of an artifact the server may send, as it is typed and sent: a number with at most two decimals, such
/// as `1.5`, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ServerCopies {
    /// At most this many.
    AtMost(CopyCount),
    /// As many as the server's own link leaves, while that helps.
    Auto,
}

/// A number of copies, at least one, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyCount(u32);

impl ServerCopies {
    /// One copy: the machines send everything else.
    pub const ONE: Self = Self::AtMost(CopyCount(WHOLE));

    /// Returns the number of copies; infinite for `auto`.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::AtMost(CopyCount(hundredths)) => f64::from(hundredths) / f64::from(WHOLE),
            Self::Auto => f64::INFINITY,
        }
    }
    /// Returns whether it is one copy, as in requests that do not say it.
    #[must_use]
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }
}

impl Default for ServerCopies {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for ServerCopies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::AtMost(CopyCount(hundredths)) = *self else { return out.write_str("auto") };
        let (whole, rest) = (hundredths / WHOLE, hundredths % WHOLE);
        match (rest, rest % 10) {
            (0, _) => write!(out, "{whole}"),
            (_, 0) => write!(out, "{whole}.{}", rest / 10),
            _ => write!(out, "{whole}.{rest:02}"),
        }
    }
}

/// Why a text is not a number of copies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerCopiesError {
    /// It is neither a number nor `auto`.
    #[error("{0:?} is not a number of copies; write a number such as 1, 1.5 or 4, or auto")]
    Syntax(String),
    /// It is less than one.
    #[error("the server must send at least one copy, so {0} is too few; write 1 or more, or auto")]
    TooFew(String),
    /// It is more than a deployment can have machines.
    #[error("{0} copies are more than a deployment can have machines; write at most {MOST}, or auto")]
    TooMany(String),
}

impl FromStr for ServerCopies {
    type Err = ServerCopiesError;
    fn from_str(text: &str) -> Result<Self, ServerCopiesError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let wrong = || ServerCopiesError::Syntax(text.to_owned());
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        if !is_number(whole) || !is_number(rest) || rest.len() > 2 {
            return Err(wrong());
        }
        let rest: u32 = format!("{rest:0<2}").parse().map_err(|_| wrong())?;
        let hundredths = whole.parse::<u32>().ok().filter(|whole| *whole <= MOST).map(|whole| whole * WHOLE + rest);
        match hundredths {
            None => Err(ServerCopiesError::TooMany(text.to_owned())),
            Some(hundredths) if hundredths > MOST * WHOLE => Err(ServerCopiesError::TooMany(text.to_owned())),
            Some(hundredths) if hundredths < WHOLE => Err(ServerCopiesError::TooFew(text.to_owned())),
            Some(hundredths) => Ok(Self::AtMost(CopyCount(hundredths))),
        }
    }
}

impl From<ServerCopies> for String {
    fn from(copies: ServerCopies) -> Self {
        copies.to_string()
    }
}

impl TryFrom<String> for ServerCopies {
    type Error = ServerCopiesError;
    fn try_from(text: String) -> Result<Self, ServerCopiesError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_decimals_and_auto_are_read_and_written() {
        for (text, copies, written) in [
            ("1", 1.0, "1"),
            ("1.0", 1.0, "1"),
            ("1.5", 1.5, "1.5"),
            ("1.50", 1.5, "1.5"),
            ("2.05", 2.05, "2.05"),
            ("16", 16.0, "16"),
            ("auto", f64::INFINITY, "auto"),
        ] {
            let parsed: ServerCopies = text.parse().unwrap();
            assert!((parsed.as_f64() - copies).abs() < 1e-9 || parsed.as_f64() == copies, "{text}");
            assert_eq!(parsed.to_string(), written);
            let json = serde_json::to_string(&parsed).unwrap();
            assert_eq!(json, format!("{written:?}"));
            assert_eq!(serde_json::from_str::<ServerCopies>(&json).unwrap(), parsed);
        }
        assert!(ServerCopies::default().is_one() && "1.00".parse() == Ok(ServerCopies::ONE));
    }

    #[test]
    fn other_texts_are_refused_with_what_to_write() {
        for text in ["", "many", "Auto", "-1", "+2", "1,5", "1.", ".5", "1.555", "1e3", "NaN", "inf", " 1"] {
            let error = text.parse::<ServerCopies>().unwrap_err();
            assert_eq!(error, ServerCopiesError::Syntax(text.into()));
            assert!(error.to_string().contains("or auto"), "{error}");
        }
        for text in ["0", "0.99"] {
            assert_eq!(text.parse::<ServerCopies>(), Err(ServerCopiesError::TooFew(text.into())));
        }
        for text in ["65537.5", "99999999", "99999999999999999999"] {
            assert_eq!(text.parse::<ServerCopies>(), Err(ServerCopiesError::TooMany(text.into())));
        }
    }
}
