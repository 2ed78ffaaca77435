//! Making roots: the first one, and each next one from the one before. Who holds which keys is only ever changed here.

use super::{
    PublisherError,
    keys::{self, Public, Role},
};
use banyan_proto::{UnixSeconds, admin::Info};
use banyan_server::repository::signing;
use std::{collections::HashMap, num::NonZeroU64};
use tough::schema::{RoleKeys, RoleType, Root, key::Key};

/// How long roots and lists of releases are believed (seconds).
pub(crate) const YEAR: u64 = 365 * 24 * 3600;

/// One thing that a new root changes. Each renews the root's own time, too.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A further key.
    Add(Role, Key),
    /// A key is not to sign any more: its id in hexadecimal, or the beginning of it.
    Remove(String),
    /// How many keys of a role must sign from now on.
    Threshold(Role, u64),
    /// The server's online keys were made anew.
    Online([Key; 2]),
}

/// The root that machines begin with: root and targets for the publishers' keys, snapshot and timestamp for the server's.
///
/// # Errors
/// When keys are missing, the threshold cannot be met, or the server's keys cannot be used.
pub(crate) fn first(
    public: &[Public],
    threshold: NonZeroU64,
    info: &Info,
    now: UnixSeconds,
) -> Result<Root, PublisherError> {
    let [snapshot, timestamp] = online_keys(info)?;
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
        public.root.iter().try_for_each(|key| put(&mut root, RoleType::Root, key.clone()))?;
        public.targets.iter().try_for_each(|key| put(&mut root, RoleType::Targets, key.clone()))?;
    }
    put(&mut root, RoleType::Snapshot, snapshot)?;
    put(&mut root, RoleType::Timestamp, timestamp)?;
    for role in [Role::Root, Role::Targets] {
        set_threshold(&mut root, role, threshold.get())?;
    }
    Ok(root)
}

/// The root that follows this one, with changes; believed for a year from now.
///
/// # Errors
/// When a key is unknown or there already, or too few are left.
pub(crate) fn next(root: &Root, changes: &[Change], now: UnixSeconds) -> Result<Root, PublisherError> {
    let mut root = root.clone();
    root.version = root.version.saturating_add(1);
    root.expires = signing::time(now.plus(YEAR))?;
    for change in changes {
        match change {
            Change::Add(role, key) => put(&mut root, kind(*role), key.clone())?,
            Change::Remove(id) => remove(&mut root, id)?,
            // After all others, since it depends on how many keys there are.
            Change::Threshold(..) => {}
            Change::Online([snapshot, timestamp]) => {
                for (role, key) in [(RoleType::Snapshot, snapshot), (RoleType::Timestamp, timestamp)] {
                    if let Some(keys) = root.roles.get_mut(&role) {
                        keys.keyids.clear();
                    }
                    put(&mut root, role, key.clone())?;
                }
            }
        }
    }
    for change in changes {
        if let Change::Threshold(role, threshold) = change {
            set_threshold(&mut root, *role, *threshold)?;
        }
    }
    for role in [Role::Root, Role::Targets] {
        let threshold = root.roles.get(&kind(role)).map_or(1, |keys| keys.threshold.get());
        set_threshold(&mut root, role, threshold)?;
    }
    let used: Vec<_> = root.roles.values().flat_map(|keys| keys.keyids.clone()).collect();
    root.keys.retain(|id, _| used.contains(id));
    Ok(root)
}

/// TUF's name of a role.
pub(crate) fn kind(role: Role) -> RoleType {
    match role {
        Role::Root => RoleType::Root,
        Role::Targets => RoleType::Targets,
    }
}

/// Ids (hexadecimal) and threshold of a role.
pub(crate) fn holders(root: &Root, role: RoleType) -> (Vec<String>, u64) {
    root.roles.get(&role).map_or((vec![], 0), |keys| {
        (keys.keyids.iter().map(|id| data_encoding::HEXLOWER.encode(id)).collect(), keys.threshold.get())
    })
}

/// The server's keys: snapshot, timestamp.
///
/// # Errors
/// When it shows something else than two keys.
pub(crate) fn online_keys(info: &Info) -> Result<[Key; 2], PublisherError> {
    let parse = |key: &serde_json::Value| {
        serde_json::from_value::<Key>(key.clone()).map_err(|error| PublisherError::OnlineKeys(error.to_string()))
    };
    let keys = info.online_keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    <[Key; 2]>::try_from(keys)
        .map_err(|keys| PublisherError::OnlineKeys(format!("it shows {}, two are needed", keys.len())))
}

fn put(root: &mut Root, role: RoleType, key: Key) -> Result<(), PublisherError> {
    let id = key.key_id().map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    if root.roles.values().any(|keys| keys.keyids.contains(&id)) {
        return Err(PublisherError::KeyInUse(keys::id(&key)?));
    }
    root.keys.insert(id.clone(), key);
    if let Some(keys) = root.roles.get_mut(&role) {
        keys.keyids.push(id);
    }
    Ok(())
}

fn remove(root: &mut Root, wanted: &str) -> Result<(), PublisherError> {
    let wanted = wanted.to_lowercase();
    let offline = [RoleType::Root, RoleType::Targets];
    let all = offline.iter().flat_map(|role| holders(root, *role).0);
    let found: Vec<String> = all.filter(|id| id.starts_with(&wanted)).collect();
    let [id] = found.as_slice() else {
        return Err(PublisherError::NotOneKey { wanted, found: found.len() });
    };
    for role in offline {
        if let Some(keys) = root.roles.get_mut(&role) {
            keys.keyids.retain(|known| data_encoding::HEXLOWER.encode(known) != *id);
        }
    }
    Ok(())
}

fn set_threshold(root: &mut Root, role: Role, threshold: u64) -> Result<(), PublisherError> {
    let Some(found) = root.roles.get_mut(&kind(role)) else { return Ok(()) };
    let keys = found.keyids.len();
    match NonZeroU64::new(threshold) {
        Some(number) if threshold <= keys as u64 => found.threshold = number,
        _ if keys == 0 => return Err(PublisherError::NoKeysLeft { role: role.name() }),
        _ => return Err(PublisherError::TooFewKeys { role: role.name(), threshold, keys }),
    }
    Ok(())
}
