//! Creates the next list of releases: with a release added, with some withdrawn, or only signed again.

use crate::{PublisherError, roots::YEAR, verified_state::VerifiedState};
use banyan_proto::{Manifest, UnixSeconds};
use banyan_trust::WITHDRAWN;
use banyan_tuf_signing as signing;
use std::{collections::HashMap, num::NonZeroU64};
use tough::{
    TargetName,
    schema::{Hashes, Signed, Target, Targets},
};

/// An unsigned list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedList {
    /// The targets.json, without signatures.
    pub targets: String,
    /// The text of the manifest that it adds.
    pub manifest: Option<String>,
}

/// Adds a release to the list. Adding an identical release again only renews the signature.
///
/// # Errors
/// Returns an error when the manifest is invalid, or its sequence is not above the last.
pub fn add_release(
    state: &VerifiedState,
    manifest: &Manifest,
    now: UnixSeconds,
) -> Result<UnsignedList, PublisherError> {
    let text = serde_json::to_string(manifest).map_err(|error| unwritable(&error))?;
    Manifest::parse(text.as_bytes())?;
    let (name, highest) = (manifest.target_name(), state.published.highest_sequence(&manifest.package));
    if manifest.sequence <= highest && !state.published.lists(&name, &text) {
        let (package, sequence) = (manifest.package.clone(), manifest.sequence);
        return Err(PublisherError::SequenceTooLow { package, sequence, highest });
    }
    let mut targets = next_version(state, now)?;
    let hashes = Hashes { sha256: signing::sha256(text.as_bytes()).into(), _extra: HashMap::new() };
    let target = Target { length: text.len() as u64, hashes, custom: HashMap::new(), _extra: HashMap::new() };
    targets.add_target(TargetName::new(name.as_str()).map_err(|error| unwritable(&error))?, target);
    Ok(UnsignedList { targets: signing::unsigned(targets)?, manifest: Some(text) })
}

/// Removes releases from the list and records them as withdrawn.
///
/// # Errors
/// Returns an error when a release is not on the list.
pub fn withdraw_releases(
    state: &VerifiedState,
    names: &[String],
    now: UnixSeconds,
) -> Result<UnsignedList, PublisherError> {
    let mut targets = next_version(state, now)?;
    let mut withdrawn = state.published.withdrawn.clone();
    for name in names {
        let found = TargetName::new(name.as_str()).map_err(|error| unwritable(&error))?;
        if targets.targets.remove(&found).is_none() {
            return Err(PublisherError::ReleaseNotListed(name.clone()));
        }
        withdrawn.insert(name.clone(), targets.version.get());
    }
    targets._extra.insert(WITHDRAWN.into(), serde_json::json!(withdrawn));
    Ok(UnsignedList { targets: signing::unsigned(targets)?, manifest: None })
}

/// Renews the list for a year from now, without other changes.
///
/// # Errors
/// Returns an error when the clock is unusable.
pub fn renew_list(state: &VerifiedState, now: UnixSeconds) -> Result<UnsignedList, PublisherError> {
    Ok(UnsignedList { targets: signing::unsigned(next_version(state, now)?)?, manifest: None })
}

/// Copies the list with the next version and a new expiry.
fn next_version(state: &VerifiedState, now: UnixSeconds) -> Result<Targets, PublisherError> {
    let version = NonZeroU64::MIN.saturating_add(state.published.version);
    let mut targets = Targets::new(signing::SPEC.into(), version, signing::time(now.plus(YEAR))?);
    // Machines follow the top-level list only.
    targets.delegations = None;
    if let Some(text) = &state.list {
        let old: Signed<Targets> = serde_json::from_str(text).map_err(|error| unwritable(&error))?;
        (targets.targets, targets._extra) = (old.signed.targets, old.signed._extra);
    }
    Ok(targets)
}

fn unwritable(error: &dyn std::fmt::Display) -> PublisherError {
    PublisherError::Unwritable(error.to_string())
}
