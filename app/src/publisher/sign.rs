//! Adding a release to the publishers' signed list.

use super::{Published, PublisherError, files, keys};
use banyan_proto::{Digest, Manifest, UnixSeconds, admin::CurrentTargets};
use banyan_server::repository::signing;
use banyan_trust::TrustStore;
use std::{collections::HashMap, num::NonZeroU64, path::Path};
use tough::{
    TargetName,
    schema::{Hashes, Signed, Target, Targets},
};

/// A release that the publishers have signed, for `POST /releases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedRelease {
    /// The new targets.json.
    pub(crate) targets: String,
    /// The manifest's text.
    pub(crate) manifest: String,
}

/// What is published, by the publishers' own signature under the root in the key folder.
///
/// # Errors
/// When the folder has no root, the list is not signed under it, or the server shows an older one than it accepted.
pub(crate) fn published(keys: &Path, current: &CurrentTargets) -> Result<Published, PublisherError> {
    listed(&trust(keys, current)?, keys, current)
}

/// Adds the manifest to the list and signs it with the targets keys in the folder. What is on the list stays on it.
///
/// # Errors
/// As [`published`]; and when the manifest is not allowed or its sequence not above the last.
pub(crate) fn sign_release(
    keys: &Path,
    current: &CurrentTargets,
    manifest: &Manifest,
    now: UnixSeconds,
) -> Result<SignedRelease, PublisherError> {
    let trust = trust(keys, current)?;
    let published = listed(&trust, keys, current)?;
    let unwritable = |why: String| PublisherError::Unwritable(why);
    let text = serde_json::to_string(manifest).map_err(|error| unwritable(error.to_string()))?;
    Manifest::parse(text.as_bytes())?;
    let (name, highest) = (manifest.target_name(), published.highest_sequence(&manifest.package));
    // The very same release again only renews the signature.
    if manifest.sequence <= highest && !published.lists(&name, &text) {
        let (package, sequence) = (manifest.package.clone(), manifest.sequence);
        return Err(PublisherError::NotAboveLast { package, sequence, highest });
    }
    let version = NonZeroU64::MIN.saturating_add(published.version);
    let mut targets = Targets::new(signing::SPEC.into(), version, signing::time(now.plus(keys::YEAR))?);
    // Machines follow the top-level list only.
    targets.delegations = None;
    if let Some(text) = &current.targets {
        let old: Signed<Targets> = serde_json::from_str(text).map_err(|error| unwritable(error.to_string()))?;
        targets.targets = old.signed.targets;
    }
    let hashes = Hashes { sha256: signing::sha256(text.as_bytes()).into(), _extra: HashMap::new() };
    let target = Target { length: text.len() as u64, hashes, custom: HashMap::new(), _extra: HashMap::new() };
    targets.add_target(TargetName::new(name.as_str()).map_err(|error| unwritable(error.to_string()))?, target);
    let pairs = keys::load("targets", keys)?;
    let root = signing::parse_root(trust.root())?;
    let targets = signing::sign(&root, targets, &pairs.iter().collect::<Vec<_>>())?;
    // The other implementation's opinion, before anybody else sees it.
    trust.published(&targets).map_err(PublisherError::ServerUntrusted)?;
    Ok(SignedRelease { targets, manifest: text })
}

/// Keeps the list that the server has accepted, so that it cannot show an older one afterwards.
///
/// # Errors
/// When the disk fails.
pub(crate) fn remember(keys: &Path, targets: &str) -> Result<(), PublisherError> {
    files::write(&keys.join("published.json"), targets.as_bytes())
}

/// The root in the folder, and the server's newer one if it follows it.
fn trust(keys: &Path, current: &CurrentTargets) -> Result<TrustStore, PublisherError> {
    let path = keys.join("root.json");
    let root = files::read(&path)?.ok_or_else(|| PublisherError::NoRoot(keys.to_owned()))?;
    let trust = TrustStore::enrol(&root, Digest::of(root.as_bytes()))
        .map_err(|error| PublisherError::Damaged { path, why: error.to_string() })?;
    trust.update_roots(std::slice::from_ref(&current.root)).map_err(PublisherError::ServerUntrusted)
}

fn listed(trust: &TrustStore, keys: &Path, current: &CurrentTargets) -> Result<Published, PublisherError> {
    let published = match &current.targets {
        Some(targets) => trust.published(targets).map_err(PublisherError::ServerUntrusted)?,
        None => Published::default(),
    };
    let path = keys.join("published.json");
    if let Some(text) = files::read(&path)? {
        let kept: Signed<Targets> =
            serde_json::from_str(&text).map_err(|error| PublisherError::Damaged { path, why: error.to_string() })?;
        let (shown, remembered) = (published.version, kept.signed.version.get());
        if shown < remembered {
            return Err(PublisherError::ServerBehind { shown, remembered });
        }
    }
    Ok(published)
}
