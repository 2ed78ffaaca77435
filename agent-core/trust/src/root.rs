//! Rules for roots that go beyond TUF's own: who may hold which role's key, and when floors begin anew.

use crate::TrustError;
use sigstore_tuf::{Root, key::Key};
use std::collections::{BTreeMap, BTreeSet};

/// Names of TUF's top-level roles.
pub(crate) const ROLES: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];
/// The roles whose keys stay with the publishers, offline.
const OFFLINE: [&str; 2] = ["root", "targets"];

/// Whether a root's roles are apart from each other (rule T1).
///
/// A key that the server holds must not sign roots or targets: else whoever steals the server says what is installed.
/// Root keys must not sign targets, so that stolen targets keys can be replaced. One key under two ids would count twice
/// towards a threshold. A threshold above the number of keys could never be met again.
pub(crate) fn check_sound(root: &Root) -> Result<(), TrustError> {
    let unsound = |why: String| Err(TrustError::UnsoundRoot { version: root.version, why });
    let mut material = BTreeMap::new();
    for (id, key) in &root.keys {
        if let Some(other) = material.insert(key_material(key), id) {
            return unsound(format!("the keys {other} and {id} are the same key"));
        }
    }
    for role in ROLES {
        let Some(keys) = root.role(role) else { return unsound(format!("it has no {role} role")) };
        let known = role_keys(root, role).len();
        if keys.threshold == 0 || keys.threshold > known {
            return unsound(format!("the {role} role asks for {} signatures and has {known} keys", keys.threshold));
        }
    }
    for offline in OFFLINE {
        for other in ROLES.into_iter().filter(|other| *other != offline) {
            if !role_keys(root, offline).is_disjoint(&role_keys(root, other)) {
                return unsound(format!("one key signs both {offline} and {other}"));
            }
        }
    }
    Ok(())
}

/// Whether the keys of `role` were replaced so that what the old ones signed does not count any more: then the versions
/// they reached do not count either, and a thief who had signed a huge version has not stopped the role for ever.
pub(crate) fn was_rotated(old: &Root, new: &Root, role: &str) -> bool {
    let kept = role_keys(old, role).intersection(&role_keys(new, role)).count();
    new.role(role).is_none_or(|keys| kept < keys.threshold)
}

/// The public keys of a role, as bytes: ids are only names.
fn role_keys(root: &Root, role: &str) -> BTreeSet<Vec<u8>> {
    let ids = root.role(role).map(|keys| keys.keyids.as_slice()).unwrap_or_default();
    ids.iter().filter_map(|id| root.keys.get(id)).map(key_material).collect()
}

fn key_material(key: &Key) -> Vec<u8> {
    match key.verification_key() {
        Ok(usable) => usable.as_bytes().to_vec(),
        // Of a kind this version cannot check: it signs nothing here, and is told apart by its text.
        Err(_) => key.keyval.public.trim().to_lowercase().into_bytes(),
    }
}
