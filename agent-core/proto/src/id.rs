//! Identifiers and digests: fixed-size bytes, displayed as lower-case hexadecimal digits.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A text that is not a valid identifier or digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits, found {found:?}")]
pub struct IdError {
    /// The expected number of hexadecimal digits.
    pub expected: usize,
    /// The first 80 characters of the text.
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
            /// Returns a random value from the system's random number generator.
            ///
            /// # Panics
            /// When the system cannot provide random numbers, because nothing can be done safely without them.
            #[must_use]
            pub fn random() -> Self {
                let mut bytes = [0; $len];
                aws_lc_rs::rand::fill(&mut bytes).expect("the system's random number generator failed");
                Self(bytes)
            }
            /// Returns the first eight digits. They let people tell two ids apart in a table; code must not decide
            /// anything by them.
            #[must_use]
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..4])
            }
        }
    };
}

hex_bytes!(
    /// A machine's identity: 16 random bytes that the server assigns at enrolment and writes into the machine's
    /// certificate. It is independent of address and label. The server has an identity too: it is the root of every
    /// tree.
    MachineId,
    16
);
hex_bytes!(
    /// The identifier of an order.
    OrderId,
    16
);
hex_bytes!(
    /// The identifier of a deployment. It is the id of the deployment's first order; later orders have ids of their own.
    DeploymentId,
    16
);
hex_bytes!(
    /// A BLAKE3 hash (32 bytes).
    Digest,
    32
);

impl DeploymentId {
    /// Returns the identifier of the deployment that begins with this order.
    #[must_use]
    pub fn of_first_order(OrderId(bytes): OrderId) -> Self {
        Self(bytes)
    }
    /// Returns the identifier of the deployment's first order.
    #[must_use]
    pub fn first_order(self) -> OrderId {
        OrderId(self.0)
    }
}

impl Digest {
    /// Returns the BLAKE3 hash of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
    /// Formats the digest as sixteen groups of four digits, for people who compare two digests on a screen or by phone.
    /// It includes every digit, because an attacker can forge a partial match.
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
            assert!(bad.parse::<MachineId>().is_err(), "{bad:?} was accepted as an id");
        }
    }
}
