//! Rules for TUF roots beyond the specification: separation of the roles' keys, and reset of floors after key rotation.

use crate::TrustError;
use sigstore_tuf::{Root, key::Key};
use std::collections::{BTreeMap, BTreeSet};

/// The names of TUF's top-level roles.
pub(crate) const ROLES: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];
/// The roles whose keys the publishers keep offline.
const OFFLINE: [&str; 2] = ["root", "targets"];

/// Checks that a root keeps its roles apart (rule T1).
///
/// A key that the server holds must not sign roots or targets. Otherwise an attacker who takes over the server decides
/// what is installed. Root keys must not sign targets, so that stolen targets keys can be replaced. One key under two
/// ids would count twice towards a threshold. A threshold above the number of keys could never be reached again.
pub(crate) fn check_sound(root: &Root) -> Result<(), TrustError> {
    let unsound = |why: String| Err(TrustError::UnsoundRoot { version: root.version, why });
    let mut material = BTreeMap::new();
    for (id, key) in &root.keys {
        if let Some(other) = material.insert(key_material(key), id) {
            return unsound(format!("the keys {other} and {id} are the same key"));
        }
    }
    for role in ROLES {
        let Some(keys) = root.role(role) else { return unsound(format!("the {role} role is missing")) };
        let known = role_keys(root, role).len();
        if keys.threshold == 0 || keys.threshold > known {
            return unsound(format!("the {role} role requires {} signatures but has {known} keys", keys.threshold));
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

/// Returns whether the keys of `role` were replaced, so that signatures of the old keys no longer reach the threshold.
/// In that case the versions they reached do not count either. So a thief who signed a huge version has not blocked the
/// role for ever.
pub(crate) fn was_rotated(old: &Root, new: &Root, role: &str) -> bool {
    let kept = role_keys(old, role).intersection(&role_keys(new, role)).count();
    new.role(role).is_none_or(|keys| kept < keys.threshold)
}

/// Returns a role's public keys as bytes. Ids are only names, so they are not compared.
fn role_keys(root: &Root, role: &str) -> BTreeSet<Vec<u8>> {
    let ids = root.role(role).map(|keys| keys.keyids.as_slice()).unwrap_or_default();
    ids.iter().filter_map(|id| root.keys.get(id)).map(key_material).collect()
}

fn key_material(key: &Key) -> Vec<u8> {
    match key.verification_key() {
        Ok(usable) => usable.as_bytes().to_vec(),
        // This version cannot verify keys of this kind, so they sign nothing here. Their text distinguishes them.
        Err(_) => key.keyval.public.trim().to_lowercase().into_bytes(),
    }
}
