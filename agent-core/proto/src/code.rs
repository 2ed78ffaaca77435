//! The rolling code: an authentication code that every hop derives from the previous one (rules A1–A4).
//!
//! The server's code is `c0 = HKDF(master, order ‖ stripe ‖ list root)`. A sender gives its child the code
//! `c(child) = HMAC(c(sender), child id ‖ sublist root)`. The server can recalculate every code from the path alone.
//! A code proves which path the *offer* took. It is not a signature, and it does not prove where bytes came from.

use crate::{Digest, MachineId, OrderId};
use aws_lc_rs::{constant_time, hkdf, hmac};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A 32-byte secret known only to the server, the sender and the receiver of one offer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RollingCode([u8; 32]);

impl Drop for RollingCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
impl std::fmt::Debug for RollingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RollingCode(secret)")
    }
}
impl From<RollingCode> for String {
    fn from(code: RollingCode) -> String {
        HEXLOWER.encode(&code.0)
    }
}
impl TryFrom<String> for RollingCode {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or("a rolling code must have 64 hexadecimal digits")
    }
}

struct Len32;
impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

impl RollingCode {
    /// Derives the server's own code for one stripe of one order (rule A1).
    ///
    /// # Panics
    /// Never: HKDF-SHA-256 can always produce 32 bytes.
    #[must_use]
    pub fn root(master: &[u8; 32], order: OrderId, stripe: u8, list_root: Digest) -> Self {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"banyan v1 rolling code").extract(master);
        let info = [order.0.as_slice(), &[stripe], &list_root.0];
        let mut code = [0; 32];
        key.expand(&info, Len32).and_then(|okm| okm.fill(&mut code)).expect("HKDF-SHA-256 can produce 32 bytes");
        Self(code)
    }
    /// Derives the code for a child that is offered the sublist with this root (rule A2).
    #[must_use]
    pub fn child(&self, child: MachineId, sublist_root: Digest) -> Self {
        Self(self.mac(&[b"child", &child.0, &sublist_root.0]))
    }
    /// Calculates the proof that a machine sends to the server instead of its code. It is bound to the TLS session that
    /// carries it (rule A3).
    #[must_use]
    pub fn prove(&self, exporter: &[u8; 32], order: OrderId, artifact: Digest) -> Digest {
        Digest(self.mac(&[b"proof", exporter, &order.0, &artifact.0]))
    }
    /// Returns whether `proof` equals the result of [`Self::prove`]; compares in constant time.
    #[must_use]
    pub fn proves(&self, proof: Digest, exporter: &[u8; 32], order: OrderId, artifact: Digest) -> bool {
        constant_time::verify_slices_are_equal(&proof.0, &self.prove(exporter, order, artifact).0).is_ok()
    }
    /// Calculates HMAC-SHA-256 over the parts, each preceded by its length, so that different lists of parts never give
    /// the same bytes.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

/// The label with which both ends of a TLS session derive the exporter that a proof is bound to (RFC 9266 style).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-banyan-v1-receipt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_another_machine_or_another_session_gives_another_proof() {
        let order = OrderId([1; 16]);
        let root = RollingCode::root(&[7; 32], order, 0, Digest([2; 32]));
        let (a, b) = (MachineId([3; 16]), MachineId([4; 16]));
        let code = root.child(a, Digest([5; 32]));
        let proof = code.prove(&[6; 32], order, Digest([8; 32]));
        assert!(code.proves(proof, &[6; 32], order, Digest([8; 32])));
        assert!(!code.proves(proof, &[9; 32], order, Digest([8; 32])), "another session");
        assert!(!root.child(b, Digest([5; 32])).proves(proof, &[6; 32], order, Digest([8; 32])), "another machine");
        assert!(
            !root.child(b, Digest([0; 32])).child(a, Digest([5; 32])).proves(proof, &[6; 32], order, Digest([8; 32])),
            "another way"
        );
        assert!(
            !RollingCode::root(&[7; 32], order, 1, Digest([2; 32])).child(a, Digest([5; 32])).proves(
                proof,
                &[6; 32],
                order,
                Digest([8; 32])
            ),
            "another stripe"
        );
    }
}
