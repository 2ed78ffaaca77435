//! Identifiers and digests: fixed-size bytes, written as lower-case hexadecimal wherever a person may see them.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A text that should have been an identifier or a digest, and was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits, found {found:?}")]
pub struct IdError {
    /// How many hexadecimal digits were expected.
    pub expected: usize,
    /// The text (its first 80 characters).
    pub found: String,
}

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&HEXLOWER.encode(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", &HEXLOWER.encode(&self.0)[..8])
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                HEXLOWER
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| <[u8; $len]>::try_from(bytes).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { expected: $len * 2, found: text.chars().take(80).collect() })
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
        impl $name {
            /// From the system's random number generator.
            ///
            /// # Panics
            /// When the system has no random numbers: nothing can be done safely then.
            #[must_use]
            pub fn random() -> Self {
                let mut bytes = [0; $len];
                aws_lc_rs::rand::fill(&mut bytes).expect("the system's random number generator works");
                Self(bytes)
            }
            /// The first eight digits: enough for a person to tell two apart in a table, never used to decide anything.
            #[must_use]
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..4])
            }
        }
    };
}

hex_bytes!(
    /// A machine's identity: 16 random bytes given by the server at enrolment and written into the machine's
    /// certificate. Never an address, never a label. The server has one too: it is the root of every tree.
    MachineId,
    16
);
hex_bytes!(
    /// One deployment; the id of its order.
    DeploymentId,
    16
);
hex_bytes!(
    /// A BLAKE3 hash (32 bytes).
    Digest,
    32
);

impl Digest {
    /// The BLAKE3 hash of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
    /// In sixteen groups of four digits: for people who compare two of them, on a screen or on the phone. All of it, since
    /// a part of a hash can be forged.
    #[must_use]
    pub fn grouped(&self) -> String {
        let groups: Vec<String> = self.0.chunks(2).map(|pair| HEXLOWER.encode(pair)).collect();
        groups.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_compare_all_of_a_digest_in_groups() {
        let digest = Digest::of(b"a root");
        let grouped = digest.grouped();
        assert!(grouped.split(' ').all(|group| group.len() == 4), "{grouped}");
        assert_eq!(grouped.replace(' ', ""), digest.to_string());
    }

    #[test]
    fn text_form_round_trips_and_refuses_what_is_not_one() {
        let id = MachineId::random();
        assert_eq!(id.to_string().parse::<MachineId>(), Ok(id));
        for bad in ["", "00", &"0".repeat(31), &"G".repeat(32), &"AB".repeat(16)] {
            assert!(bad.parse::<MachineId>().is_err(), "{bad:?} was taken for an id");
        }
    }
}
