//! Signs TUF roles. The server uses it for its online roles, the publisher's tool for the offline ones; callers manage
//! the keys.
//!
//! Roles and their canonical form come from `tough`, a different implementation from the one that machines verify with.
//! An error in what one writes is caught by the other.

pub use aws_lc_rs::signature::Ed25519KeyPair;
use banyan_proto::UnixSeconds;
use serde::{Serialize, de::DeserializeOwned};
use tough::{
    schema::{Role, RoleType, Root, Signature, Signed},
    sign::Sign as _,
};

/// Version of the TUF specification, as written into roles.
pub const SPEC: &str = "1.0.0";

/// Why a role could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Too few of the available keys may sign the role.
    #[error("the root requires {wanted} signatures on {role}, but {found} of the available keys may sign it")]
    NotEnoughKeys {
        /// The role.
        role: String,
        /// The number of signatures required.
        wanted: u64,
        /// The number of available keys that may sign.
        found: usize,
    },
    /// The root is not a valid TUF document.
    #[error("root.json cannot be read: {0}")]
    UnreadableRoot(serde_json::Error),
    /// A role has no canonical form.
    #[error("the {role} metadata cannot be written: {why}")]
    Unwritable {
        /// The role.
        role: String,
        /// The serialisation error.
        why: String,
    },
    /// The time is outside the range that TUF can represent.
    #[error("the time {0} cannot be written into metadata; check this machine's clock")]
    Time(UnixSeconds),
}

/// Parses the body of a root.json. Does **not** verify its signatures.
///
/// # Errors
/// Returns [`SigningError::UnreadableRoot`].
pub fn parse_root(text: &str) -> Result<Root, SigningError> {
    serde_json::from_str::<Signed<Root>>(text).map(|root| root.signed).map_err(SigningError::UnreadableRoot)
}

/// Signs a role with those of `pairs` that the root permits to sign it.
///
/// # Errors
/// Returns [`SigningError::NotEnoughKeys`] if these are fewer than the root requires, or [`SigningError::Unwritable`].
pub fn sign<T: Role + Serialize>(root: &Root, role: T, pairs: &[&Ed25519KeyPair]) -> Result<String, SigningError> {
    let permitted = permitted_pairs(root, T::TYPE, pairs);
    let wanted = root.roles.get(&T::TYPE).map_or(1, |keys| keys.threshold.get());
    if (permitted.len() as u64) < wanted {
        return Err(SigningError::NotEnoughKeys { role: T::TYPE.to_string(), wanted, found: permitted.len() });
    }
    let unwritable = |why: String| SigningError::Unwritable { role: T::TYPE.to_string(), why };
    let text = role.canonical_form().map_err(|error| unwritable(error.to_string()))?;
    let signature =
        |(keyid, pair): (_, &Ed25519KeyPair)| Signature { keyid, sig: pair.sign(&text).as_ref().to_vec().into() };
    let signed = Signed { signed: role, signatures: permitted.into_iter().map(signature).collect() };
    serde_json::to_string(&signed).map_err(|error| unwritable(error.to_string()))
}

/// Returns an unsigned role as text; [`add`] adds signatures.
///
/// # Errors
/// Returns [`SigningError::Unwritable`].
pub fn unsigned<T: Role + Serialize>(role: T) -> Result<String, SigningError> {
    serde_json::to_string(&Signed { signed: role, signatures: vec![] })
        .map_err(|error| SigningError::Unwritable { role: T::TYPE.to_string(), why: error.to_string() })
}

/// Adds the signatures of those of `pairs` that one of these roots permits to sign the role. Other signatures stay.
/// Returns the text, and how many signatures were added or replaced.
///
/// # Errors
/// Returns [`SigningError::Unwritable`], also if the text is not such a role.
pub fn add<T: Role + Serialize + DeserializeOwned>(
    text: &str,
    roots: &[&Root],
    pairs: &[&Ed25519KeyPair],
) -> Result<(String, usize), SigningError> {
    let unwritable = |why: String| SigningError::Unwritable { role: T::TYPE.to_string(), why };
    let mut signed: Signed<T> = serde_json::from_str(text).map_err(|error| unwritable(error.to_string()))?;
    let form = signed.signed.canonical_form().map_err(|error| unwritable(error.to_string()))?;
    let mut permitted: Vec<_> = roots.iter().flat_map(|root| permitted_pairs(root, T::TYPE, pairs)).collect();
    // A key that both roots name must sign once: a duplicate signature would make the whole text invalid.
    permitted.sort_by(|(a, _), (b, _)| a.cmp(b));
    permitted.dedup_by(|(a, _), (b, _)| a == b);
    let mut added = 0;
    for (keyid, pair) in &permitted {
        let signature =
            Signature { keyid: keyid.clone(), sig: Ed25519KeyPair::sign(pair, &form).as_ref().to_vec().into() };
        if !signed.signatures.contains(&signature) {
            signed.signatures.retain(|other| other.keyid != *keyid);
            signed.signatures.push(signature);
            added += 1;
        }
    }
    // Join codes contain the hash of the first root, so a text that gains no signature must not change.
    if added == 0 {
        return Ok((text.to_owned(), 0));
    }
    let text = serde_json::to_string(&signed).map_err(|error| unwritable(error.to_string()))?;
    Ok((text, added))
}

/// Returns whether these keys are enough to sign a role.
#[must_use]
pub fn can_sign(root: &Root, role: RoleType, pairs: &[&Ed25519KeyPair]) -> bool {
    root.roles.get(&role).is_some_and(|keys| permitted_pairs(root, role, pairs).len() as u64 >= keys.threshold.get())
}

/// Converts a time to TUF's form.
///
/// # Errors
/// Returns [`SigningError::Time`] for times beyond the year 9999.
pub fn time(at: UnixSeconds) -> Result<jiff::Timestamp, SigningError> {
    let seconds = i64::try_from(at.0).map_err(|_| SigningError::Time(at))?;
    jiff::Timestamp::from_second(seconds).map_err(|_| SigningError::Time(at))
}

/// Computes the SHA-256 hash with which TUF pins files.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

type KeyId = tough::schema::decoded::Decoded<tough::schema::decoded::Hex>;

/// Returns those of the keys that the root names for a role, with their ids.
fn permitted_pairs<'a>(root: &Root, role: RoleType, pairs: &[&'a Ed25519KeyPair]) -> Vec<(KeyId, &'a Ed25519KeyPair)> {
    let Some(keys) = root.roles.get(&role) else { return vec![] };
    let id_of = |pair: &Ed25519KeyPair| {
        let public = pair.tuf_key();
        keys.keyids.iter().find(|id| root.keys.get(*id) == Some(&public)).cloned()
    };
    pairs.iter().filter_map(|pair| Some((id_of(pair)?, *pair))).collect()
}
