//! Creates the first root of a key folder. It is created once, for one server, and never changes afterwards.

use crate::{
    PublisherError, SigningRequest,
    keys::{self, PublicKeys},
    roots::{self, parse_online_keys},
    verified_state,
};
use banyan_proto::{UnixSeconds, admin::Info};
use banyan_tuf_signing as signing;
use std::{num::NonZeroU64, path::PathBuf};
use tough::schema::RoleType;

/// Additional signers, and the threshold.
#[derive(Debug, Default)]
pub struct RootOptions<'a> {
    /// Files with the public keys of the other signers.
    pub with: &'a [PathBuf],
    /// The threshold of each role; `None` for the one given to `banyan keys generate`.
    pub threshold: Option<u64>,
}

/// Returns the first root stored in the first folder, if it is for this server; otherwise a new, unsigned one.
///
/// # Errors
/// Returns an error when keys are missing or damaged, the server's keys are unusable, or root.json belongs to another
/// server.
pub fn request_first_root(
    folders: &[PathBuf],
    wanted: &RootOptions<'_>,
    info: &Info,
    now: UnixSeconds,
) -> Result<SigningRequest, PublisherError> {
    let Some(folder) = folders.first() else { return Err(PublisherError::NoRoot(PathBuf::new())) };
    let [snapshot, timestamp] = parse_online_keys(info)?;
    if let Some(text) = verified_state::read_first_root(folder)? {
        let root = signing::parse_root(&text)?;
        let names = |role, key| root.keys(role).any(|state| state == key);
        if !names(RoleType::Snapshot, &snapshot) || !names(RoleType::Timestamp, &timestamp) {
            return Err(PublisherError::RootOfOtherServer(folder.join("root.json")));
        }
        return Ok(SigningRequest::for_signed_first_root(text));
    }
    let public = folders.iter().chain(wanted.with).map(|path| PublicKeys::read(path));
    let public = public.collect::<Result<Vec<_>, _>>()?;
    let threshold = wanted.threshold.and_then(NonZeroU64::new);
    let threshold = threshold.map_or_else(|| keys::read_threshold(folder), Ok)?;
    SigningRequest::for_first_root(roots::create_first_root(&public, threshold, info, now)?)
}
