//! The envelope of every document that the server signs. The exact signed text travels with its signature.
//!
//! A receiver verifies that text and never serialises the document again, so two implementations cannot disagree about
//! the bytes. Each kind of document has its own context, which is part of the signed bytes. So a signature for one kind
//! is invalid for every other kind (rule S1).

use crate::{
    Reason,
    format::{self, Format, FormatError},
};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

/// A kind of document that the server signs. Its header says what a reader must understand (rule S3).
pub trait Document: Format + Clone + Serialize + DeserializeOwned {
    /// The kind's name and version, signed together with the text.
    const CONTEXT: &'static str;
}

/// A document with the server's signature. Its contents can be read only through [`Signed::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    /// The id of the signing key ([`PublicKey::id`]).
    key: String,
    /// The document's JSON text, exactly as signed.
    payload: String,
    /// The Ed25519 signature in base64.
    signature: String,
    #[serde(skip)]
    kind: PhantomData<T>,
}

/// The reason why a signed document was rejected. Either the sender is at fault, or this machine's keys are out of
/// date.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The machine does not trust the key. Either the document is forged, or the server's keys changed after enrolment.
    #[error("the document is signed with key {0:?}, which this machine does not trust")]
    UnknownKey(String),
    /// The signature does not match the text. Either the text was altered in transit, or the document is forged.
    #[error("the signature does not match the document")]
    WrongSignature,
    /// The signature is valid, but this version does not understand the text.
    #[error("the signature is valid, but {0}")]
    NotUnderstood(#[from] FormatError),
}

impl SignatureError {
    /// Returns the entry of the table of reasons: `forged`, unless the signature is valid and a newer version wrote the
    /// text.
    #[must_use]
    pub fn reason(&self, forged: Reason) -> Reason {
        match self {
            Self::NotUnderstood(error) if error.is_newer() => Reason::NotUnderstood,
            Self::UnknownKey(_) | Self::WrongSignature | Self::NotUnderstood(_) => forged,
        }
    }
}

impl<T: Document> Signed<T> {
    /// Verifies the signature and returns the document, if one of `keys` signed exactly this text as this kind of
    /// document.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify(&self, keys: &KeyRing) -> Result<T, SignatureError> {
        let key = keys
            .0
            .iter()
            .find(|key| key.id() == self.key)
            .ok_or_else(|| SignatureError::UnknownKey(self.key.chars().take(80).collect()))?;
        let signature = base64(&self.signature).ok_or(SignatureError::WrongSignature)?;
        UnparsedPublicKey::new(&ED25519, &key.0)
            .verify(&signed_bytes::<T>(&self.payload), &signature)
            .map_err(|_| SignatureError::WrongSignature)?;
        Ok(format::read(self.payload.as_bytes())?)
    }
    /// Returns a hash of the key id, text and signature, for caches of verified documents.
    #[must_use]
    pub fn fingerprint(&self) -> crate::Digest {
        crate::Digest::of(
            &[self.key.as_bytes(), b"\0", self.payload.as_bytes(), b"\0", self.signature.as_bytes()].concat(),
        )
    }
}

fn signed_bytes<T: Document>(payload: &str) -> Vec<u8> {
    [T::CONTEXT.as_bytes(), b"\0", payload.as_bytes()].concat()
}

/// Decodes base64 and accepts only the canonical text. The decoder alone also accepts concatenated padded pieces, so
/// one signature, key or hash list would have several text forms.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = data_encoding::BASE64.decode(text.as_bytes()).ok()?;
    (data_encoding::BASE64.encode(&bytes) == text).then_some(bytes)
}

/// A public Ed25519 key of the server. Its text form is base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Returns a short name for the key: the first 16 hexadecimal digits of its hash.
    #[must_use]
    pub fn id(&self) -> String {
        crate::Digest::of(&self.0).to_string()[..16].to_owned()
    }
}
impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        data_encoding::BASE64.encode(&key.0)
    }
}
impl TryFrom<String> for PublicKey {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match base64(&text) {
            Some(bytes) if bytes.len() == 32 => Ok(Self(bytes)),
            _ => Err("an Ed25519 public key is 32 bytes in base64"),
        }
    }
}

/// The public keys that this machine trusts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyRing(pub Vec<PublicKey>);

/// The server's private signing key.
pub struct SigningKey(Ed25519KeyPair);

/// The error for a stored signing key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the signing key is damaged: it is not an Ed25519 key in PKCS#8 form; restore it from a backup")]
pub struct BadSigningKey;

impl SigningKey {
    /// Generates a key and returns it with the PKCS#8 bytes to store.
    ///
    /// # Panics
    /// When the system cannot provide random numbers.
    #[must_use]
    pub fn generate() -> (Self, Vec<u8>) {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
            .expect("the system's random number generator failed");
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a newly generated key must be valid");
        (Self(key), pkcs8.as_ref().to_vec())
    }
    /// Loads a key from its PKCS#8 bytes.
    ///
    /// # Errors
    /// When the bytes are not an Ed25519 key in PKCS#8 form.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, BadSigningKey> {
        Ed25519KeyPair::from_pkcs8(bytes).map(Self).map_err(|_| BadSigningKey)
    }
    /// Returns the public key, with which others verify signatures of this key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }
    /// Signs a document and returns it in its envelope.
    ///
    /// # Panics
    /// Never for the documents of this crate, because each of them has a JSON form.
    #[must_use]
    pub fn sign<T: Document>(&self, document: &T) -> Signed<T> {
        let payload = format::write(document);
        let signature = data_encoding::BASE64.encode(self.0.sign(&signed_bytes::<T>(&payload)).as_ref());
        Signed { key: self.public().id(), payload, signature, kind: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct A {
        number: u32,
    }
    impl Format for A {
        const KIND: &'static str = "a";
    }
    impl Document for A {
        const CONTEXT: &'static str = "test a";
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct B {
        number: u32,
    }
    impl Format for B {
        const KIND: &'static str = "b";
    }
    impl Document for B {
        const CONTEXT: &'static str = "test b";
    }

    #[test]
    fn only_the_very_text_of_the_very_kind_by_a_known_key_is_believed() {
        let (key, _) = SigningKey::generate();
        let (other, _) = SigningKey::generate();
        let ring = KeyRing(vec![key.public()]);
        let signed = key.sign(&A { number: 7 });
        assert_eq!(signed.verify(&ring).unwrap(), A { number: 7 });
        assert!(matches!(other.sign(&A { number: 7 }).verify(&ring), Err(SignatureError::UnknownKey(_))));
        let altered = Signed { payload: "8".into(), ..signed.clone() };
        assert!(matches!(altered.verify(&ring), Err(SignatureError::WrongSignature)));
        assert_eq!(base64("AAA="), Some(vec![0, 0]));
        for pieces in ["AA==AA==", "AAA=AAAA"] {
            assert_eq!(base64(pieces), None, "these bytes have a different canonical text");
        }
        let other_kind: Signed<B> = serde_json::from_value(serde_json::to_value(&signed).unwrap()).unwrap();
        assert!(matches!(other_kind.verify(&ring), Err(SignatureError::WrongSignature)));
    }

    /// Signs a text as a document, as a newer version of the server may.
    fn sign_text<T: Document>(key: &SigningKey, payload: &str) -> Signed<T> {
        let signature = data_encoding::BASE64.encode(key.0.sign(&signed_bytes::<T>(payload)).as_ref());
        Signed { key: key.public().id(), payload: payload.to_owned(), signature, kind: PhantomData }
    }

    fn newer_is_refused_by_name<T: Document>() {
        let (key, _) = SigningKey::generate();
        let ring = KeyRing(vec![key.public()]);
        let refused = |payload: &str| sign_text::<T>(&key, payload).verify(&ring).err().expect("it is refused");
        let item = refused(r#"{"format":1,"must_understand":["self-destruct"]}"#);
        assert_eq!(item.reason(Reason::OrderForged), Reason::NotUnderstood);
        assert!(item.to_string().contains(T::KIND) && item.to_string().contains("self-destruct"), "{item}");
        let newer = refused(r#"{"format":9}"#);
        assert_eq!(newer.reason(Reason::OrderForged), Reason::NotUnderstood);
        assert!(newer.to_string().contains("format 9"), "{newer}");
        assert_eq!(refused("{}").reason(Reason::OrderForged), Reason::OrderForged, "a text without its fields");
    }

    #[test]
    fn every_document_that_requires_something_unknown_is_refused_by_name() {
        newer_is_refused_by_name::<crate::Order>();
        newer_is_refused_by_name::<crate::AddressHint>();
        newer_is_refused_by_name::<crate::Receipt>();
        newer_is_refused_by_name::<crate::ServerEpoch>();
        newer_is_refused_by_name::<crate::InstallPermit>();
    }

    #[test]
    fn a_policy_that_requires_something_unknown_is_refused_by_name() {
        let (key, _) = SigningKey::generate();
        let newer = sign_text::<crate::schedule::Policy>(&key, r#"{"format":1,"must_understand":["sealed"]}"#);
        let error = newer.verify(&KeyRing(vec![key.public()])).unwrap_err();
        assert_eq!(error.reason(Reason::OrderForged), Reason::NotUnderstood, "{error}");
    }
}
