//! Creates roots: the first one, and each next one from its predecessor. Only this module changes which keys a role
//! has.

use crate::{
    PublisherError,
    keys::{self, PublicKeys, Role},
};
use banyan_proto::{UnixSeconds, admin::Info};
use banyan_tuf_signing as signing;
use std::{collections::HashMap, num::NonZeroU64};
use tough::schema::{RoleKeys, RoleType, Root, key::Key};

/// How long roots and lists of releases are valid (seconds).
pub const YEAR: u64 = 365 * 24 * 3600;

/// One change in a new root. Every new root also renews its expiry.
#[derive(Debug, Clone)]
pub enum RootChange {
    /// Adds a key.
    Add(Role, Key),
    /// Removes a key: its id in hexadecimal, or a prefix of it.
    Remove(String),
    /// Sets how many keys of a role must sign from now on.
    Threshold(Role, u64),
    /// Replaces the server's online keys.
    Online([Key; 2]),
}

/// Creates the first root: root and targets roles for the publisher's keys, snapshot and timestamp roles for the
/// server's.
///
/// # Errors
/// Returns an error when keys are missing, the threshold cannot be met, or the server's keys are unusable.
pub fn create_first_root(
    public: &[PublicKeys],
    threshold: NonZeroU64,
    info: &Info,
    now: UnixSeconds,
) -> Result<Root, PublisherError> {
    let [snapshot, timestamp] = parse_online_keys(info)?;
    let mut root = Root {
        spec_version: signing::SPEC.into(),
        consistent_snapshot: false,
        version: NonZeroU64::MIN,
        expires: signing::time(now.plus(YEAR))?,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    for role in [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp] {
        let keys = RoleKeys { keyids: vec![], threshold: NonZeroU64::MIN, _extra: HashMap::new() };
        root.roles.insert(role, keys);
    }
    for public in public {
        public.root.iter().try_for_each(|key| add_key(&mut root, RoleType::Root, key.clone()))?;
        public.targets.iter().try_for_each(|key| add_key(&mut root, RoleType::Targets, key.clone()))?;
    }
    add_key(&mut root, RoleType::Snapshot, snapshot)?;
    add_key(&mut root, RoleType::Timestamp, timestamp)?;
    for role in [Role::Root, Role::Targets] {
        set_threshold(&mut root, role, threshold.get())?;
    }
    Ok(root)
}

/// Creates the next root with the given changes, valid for a year from now.
///
/// # Errors
/// Returns an error when a key is unknown or already present, or too few keys are left.
pub fn create_next_root(root: &Root, changes: &[RootChange], now: UnixSeconds) -> Result<Root, PublisherError> {
    let mut root = root.clone();
    root.version = root.version.saturating_add(1);
    root.expires = signing::time(now.plus(YEAR))?;
    for change in changes {
        match change {
            RootChange::Add(role, key) => add_key(&mut root, role.role_type(), key.clone())?,
            RootChange::Remove(id) => remove_key(&mut root, id)?,
            // Applied last, because it depends on the number of keys.
            RootChange::Threshold(..) => {}
            RootChange::Online([snapshot, timestamp]) => {
                for (role, key) in [(RoleType::Snapshot, snapshot), (RoleType::Timestamp, timestamp)] {
                    if let Some(keys) = root.roles.get_mut(&role) {
                        keys.keyids.clear();
                    }
                    add_key(&mut root, role, key.clone())?;
                }
            }
        }
    }
    for change in changes {
        if let RootChange::Threshold(role, threshold) = change {
            set_threshold(&mut root, *role, *threshold)?;
        }
    }
    for role in [Role::Root, Role::Targets] {
        let threshold = root.roles.get(&role.role_type()).map_or(1, |keys| keys.threshold.get());
        set_threshold(&mut root, role, threshold)?;
    }
    let used: Vec<_> = root.roles.values().flat_map(|keys| keys.keyids.clone()).collect();
    root.keys.retain(|id, _| used.contains(id));
    Ok(root)
}

/// The keys of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleKeyIds {
    /// Their ids (hexadecimal).
    pub ids: Vec<String>,
    /// How many of them must sign.
    pub threshold: u64,
}

/// Returns the keys that a root gives to a role.
pub fn keys_of_role(root: &Root, role: RoleType) -> RoleKeyIds {
    root.roles.get(&role).map_or_else(RoleKeyIds::default, |keys| RoleKeyIds {
        ids: keys.keyids.iter().map(|id| data_encoding::HEXLOWER.encode(id)).collect(),
        threshold: keys.threshold.get(),
    })
}

/// Parses the server's online keys: snapshot, timestamp.
///
/// # Errors
/// Returns an error when there are not exactly two valid keys.
pub fn parse_online_keys(info: &Info) -> Result<[Key; 2], PublisherError> {
    let parse = |key: &serde_json::Value| {
        serde_json::from_value::<Key>(key.clone()).map_err(|error| PublisherError::OnlineKeys(error.to_string()))
    };
    let keys = info.online_keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    <[Key; 2]>::try_from(keys)
        .map_err(|keys| PublisherError::OnlineKeys(format!("there are {}, but two are needed", keys.len())))
}

fn add_key(root: &mut Root, role: RoleType, key: Key) -> Result<(), PublisherError> {
    let id = key.key_id().map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    if root.roles.values().any(|keys| keys.keyids.contains(&id)) {
        return Err(PublisherError::KeyInUse(keys::key_id(&key)?));
    }
    root.keys.insert(id.clone(), key);
    if let Some(keys) = root.roles.get_mut(&role) {
        keys.keyids.push(id);
    }
    Ok(())
}

fn remove_key(root: &mut Root, wanted: &str) -> Result<(), PublisherError> {
    let wanted = wanted.to_lowercase();
    let offline = [RoleType::Root, RoleType::Targets];
    let all = offline.iter().flat_map(|role| keys_of_role(root, *role).ids);
    let found: Vec<String> = all.filter(|id| id.starts_with(&wanted)).collect();
    let [id] = found.as_slice() else {
        return Err(PublisherError::NoUniqueKey { wanted, found: found.len() });
    };
    for role in offline {
        if let Some(keys) = root.roles.get_mut(&role) {
            keys.keyids.retain(|state| data_encoding::HEXLOWER.encode(state) != *id);
        }
    }
    Ok(())
}

fn set_threshold(root: &mut Root, role: Role, threshold: u64) -> Result<(), PublisherError> {
    let Some(found) = root.roles.get_mut(&role.role_type()) else { return Ok(()) };
    let keys = found.keyids.len();
    match NonZeroU64::new(threshold) {
        Some(number) if threshold <= keys as u64 => found.threshold = number,
        _ if keys == 0 => return Err(PublisherError::NoKeysLeft { role: role.name() }),
        _ => return Err(PublisherError::TooFewKeys { role: role.name(), threshold, keys }),
    }
    Ok(())
}
