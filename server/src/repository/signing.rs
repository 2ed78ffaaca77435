//! How a TUF role becomes a signed text. The server signs its online roles with it and the publisher's tool the offline
//! ones; the keys are the callers' business.
//!
//! Roles and their canonical form are `tough`'s, another implementation than the one that machines check with: what one
//! of them writes wrongly the other refuses.

pub use aws_lc_rs::signature::Ed25519KeyPair;
use banyan_proto::UnixSeconds;
use serde::{Serialize, de::DeserializeOwned};
use tough::{
    schema::{Role, RoleType, Root, Signature, Signed},
    sign::Sign as _,
};

/// Version of the TUF specification that is written into roles.
pub const SPEC: &str = "1.0.0";

/// Why a role could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Fewer of the right keys than the root asks for.
    #[error("the root asks for {wanted} signatures on {role}, and {found} of the keys at hand may sign it")]
    NotEnoughKeys {
        /// Which role.
        role: String,
        /// Signatures asked for.
        wanted: u64,
        /// Keys at hand that may sign.
        found: usize,
    },
    /// The root is not of TUF's form.
    #[error("root.json cannot be read: {0}")]
    UnreadableRoot(serde_json::Error),
    /// A role has no canonical form.
    #[error("the {role} metadata cannot be written: {why}")]
    Unwritable {
        /// Which role.
        role: String,
        /// What is wrong.
        why: String,
    },
    /// A time beyond what TUF can write.
    #[error("the time {0} cannot be written into metadata; check this machine's clock")]
    Time(UnixSeconds),
}

/// The body of a root.json. Its signatures are **not** checked here.
///
/// # Errors
/// [`SigningError::UnreadableRoot`].
pub fn parse_root(text: &str) -> Result<Root, SigningError> {
    serde_json::from_str::<Signed<Root>>(text).map(|root| root.signed).map_err(SigningError::UnreadableRoot)
}

/// Signs a role with those of `pairs` that the root lets sign it.
///
/// # Errors
/// [`SigningError::NotEnoughKeys`] when these are fewer than the root asks for; [`SigningError::Unwritable`].
pub fn sign<T: Role + Serialize>(root: &Root, role: T, pairs: &[&Ed25519KeyPair]) -> Result<String, SigningError> {
    let may = may_sign(root, T::TYPE, pairs);
    let wanted = root.roles.get(&T::TYPE).map_or(1, |keys| keys.threshold.get());
    if (may.len() as u64) < wanted {
        return Err(SigningError::NotEnoughKeys { role: T::TYPE.to_string(), wanted, found: may.len() });
    }
    let unwritable = |why: String| SigningError::Unwritable { role: T::TYPE.to_string(), why };
    let text = role.canonical_form().map_err(|error| unwritable(error.to_string()))?;
    let signature =
        |(keyid, pair): (_, &Ed25519KeyPair)| Signature { keyid, sig: pair.sign(&text).as_ref().to_vec().into() };
    let signed = Signed { signed: role, signatures: may.into_iter().map(signature).collect() };
    serde_json::to_string(&signed).map_err(|error| unwritable(error.to_string()))
}

/// A role that nobody has signed yet, as text; [`add`] adds signatures.
///
/// # Errors
/// [`SigningError::Unwritable`].
pub fn unsigned<T: Role + Serialize>(role: T) -> Result<String, SigningError> {
    serde_json::to_string(&Signed { signed: role, signatures: vec![] })
        .map_err(|error| SigningError::Unwritable { role: T::TYPE.to_string(), why: error.to_string() })
}

/// Adds the signatures of those of `pairs` that one of these roots lets sign the role. The other signatures stay. Gives
/// the text and how many were added or made anew.
///
/// # Errors
/// [`SigningError::Unwritable`], also for a text that is no such role.
pub fn add<T: Role + Serialize + DeserializeOwned>(
    text: &str,
    roots: &[&Root],
    pairs: &[&Ed25519KeyPair],
) -> Result<(String, usize), SigningError> {
    let unwritable = |why: String| SigningError::Unwritable { role: T::TYPE.to_string(), why };
    let mut signed: Signed<T> = serde_json::from_str(text).map_err(|error| unwritable(error.to_string()))?;
    let form = signed.signed.canonical_form().map_err(|error| unwritable(error.to_string()))?;
    let mut may: Vec<_> = roots.iter().flat_map(|root| may_sign(root, T::TYPE, pairs)).collect();
    // A key that both roots name signs once: twice would make the whole text invalid.
    may.sort_by(|(a, _), (b, _)| a.cmp(b));
    may.dedup_by(|(a, _), (b, _)| a == b);
    let mut added = 0;
    for (keyid, pair) in &may {
        let signature =
            Signature { keyid: keyid.clone(), sig: Ed25519KeyPair::sign(pair, &form).as_ref().to_vec().into() };
        if !signed.signatures.contains(&signature) {
            signed.signatures.retain(|other| other.keyid != *keyid);
            signed.signatures.push(signature);
            added += 1;
        }
    }
    // Hashes of a first root are in join codes: a text that gains nothing stays as it is.
    if added == 0 {
        return Ok((text.to_owned(), 0));
    }
    let text = serde_json::to_string(&signed).map_err(|error| unwritable(error.to_string()))?;
    Ok((text, added))
}

/// Whether these keys are enough to sign a role.
#[must_use]
pub fn can_sign(root: &Root, role: RoleType, pairs: &[&Ed25519KeyPair]) -> bool {
    root.roles.get(&role).is_some_and(|keys| may_sign(root, role, pairs).len() as u64 >= keys.threshold.get())
}

/// A time as TUF writes it.
///
/// # Errors
/// [`SigningError::Time`] beyond the year 9999.
pub fn time(at: UnixSeconds) -> Result<jiff::Timestamp, SigningError> {
    let seconds = i64::try_from(at.0).map_err(|_| SigningError::Time(at))?;
    jiff::Timestamp::from_second(seconds).map_err(|_| SigningError::Time(at))
}

/// SHA-256, by which TUF pins files.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

type KeyId = tough::schema::decoded::Decoded<tough::schema::decoded::Hex>;

/// Those of the keys that the root names for a role, with their ids.
fn may_sign<'a>(root: &Root, role: RoleType, pairs: &[&'a Ed25519KeyPair]) -> Vec<(KeyId, &'a Ed25519KeyPair)> {
    let Some(keys) = root.roles.get(&role) else { return vec![] };
    let id_of = |pair: &Ed25519KeyPair| {
        let public = pair.tuf_key();
        keys.keyids.iter().find(|id| root.keys.get(*id) == Some(&public)).cloned()
    };
    pairs.iter().filter_map(|pair| Some((id_of(pair)?, *pair))).collect()
}
