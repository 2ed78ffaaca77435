//! Fuzz target: documents signed by the server. Only what it signed may be accepted, and only as the kind it signed
//! (rule S1).

use super::{Check, ensure, json};
use crate::corpus::{self, Seed};
use banyan_proto::{
    AddressHint, InstallPermit, KeyRing, Order, Receipt, Signed,
    signed::{Document, SignatureError},
};
use std::fmt::Debug;

/// Reads the keys, and the documents that were signed with them.
pub(super) fn prepare(seeds: &[Seed]) -> Result<Check, String> {
    let keys: KeyRing = corpus::json(seeds, "keys.json")?;
    let order = Kind::<Order>::read(seeds, "order.json", &keys)?;
    let hint = Kind::<AddressHint>::read(seeds, "hint.json", &keys)?;
    let receipt = Kind::<Receipt>::read(seeds, "receipt.json", &keys)?;
    let install_permit = Kind::<InstallPermit>::read(seeds, "go-ahead.json", &keys)?;
    Ok(Box::new(move |input| {
        let ring = json::<KeyRing>(input)?.is_some();
        let documents = order.check(input, &keys)? | hint.check(input, &keys)?;
        let permits = receipt.check(input, &keys)? | install_permit.check(input, &keys)?;
        Ok(ring | documents | permits)
    }))
}

/// The one valid document of a kind.
struct Kind<T> {
    signed: Signed<T>,
    document: T,
}

impl<T: Document + PartialEq + Debug> Kind<T> {
    fn read(seeds: &[Seed], name: &str, keys: &KeyRing) -> Result<Self, String> {
        let signed: Signed<T> = corpus::json(seeds, name)?;
        let document = signed.verify(keys).map_err(|error| format!("{name} in the corpus: {error}"))?;
        Ok(Self { signed, document })
    }
    fn check(&self, input: &[u8], keys: &KeyRing) -> Result<bool, String> {
        let Some(signed) = json::<Signed<T>>(input)? else { return Ok(false) };
        match signed.verify(keys) {
            Ok(document) => {
                ensure(document == self.document, "a forged document is accepted")?;
                ensure(signed.fingerprint() == self.signed.fingerprint(), "a modified envelope is accepted")?;
            }
            // Documents of the other kinds in the corpus fail at the signature, because the signature covers the kind.
            Err(SignatureError::NotUnderstood(_)) => return Err("a forged signature is accepted".into()),
            Err(SignatureError::UnknownKey(_) | SignatureError::WrongSignature) => {}
        }
        Ok(true)
    }
}
