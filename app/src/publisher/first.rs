//! The first root of a key folder: made once, for one server, and the same ever after.

use super::{
    PublisherError, Request,
    keys::{self, Public},
    roots::{self, online_keys},
    trusted,
};
use banyan_proto::{UnixSeconds, admin::Info};
use banyan_server::repository::signing;
use std::{num::NonZeroU64, path::PathBuf};
use tough::schema::RoleType;

/// Who may sign besides the folders at hand, and how many must.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Files with the public keys of others.
    pub(crate) with: &'a [PathBuf],
    /// Signatures that each role asks for; what `generate` was told when it is not said.
    pub(crate) threshold: Option<u64>,
}

/// The first root as it is in the first folder, if it is for this server; else a new one, not signed yet.
///
/// # Errors
/// When keys are missing or damaged, the server's cannot be used, or root.json belongs to another server.
pub(crate) fn first(
    folders: &[PathBuf],
    wanted: &Wanted<'_>,
    info: &Info,
    now: UnixSeconds,
) -> Result<Request, PublisherError> {
    let Some(folder) = folders.first() else { return Err(PublisherError::NoRoot(PathBuf::new())) };
    let [snapshot, timestamp] = online_keys(info)?;
    if let Some(text) = trusted::first_root(folder)? {
        let root = signing::parse_root(&text)?;
        let names = |role, key| root.keys(role).any(|known| known == key);
        if !names(RoleType::Snapshot, &snapshot) || !names(RoleType::Timestamp, &timestamp) {
            return Err(PublisherError::OtherServer(folder.join("root.json")));
        }
        return Ok(Request::first_again(text));
    }
    let public = folders.iter().chain(wanted.with).map(|path| Public::read(path));
    let public = public.collect::<Result<Vec<_>, _>>()?;
    let threshold = wanted.threshold.and_then(NonZeroU64::new);
    let threshold = threshold.map_or_else(|| keys::threshold(folder), Ok)?;
    Request::first(roots::first(&public, threshold, info, now)?)
}
