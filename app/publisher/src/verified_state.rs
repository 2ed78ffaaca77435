//! The publisher's verified view of the server. Everything must follow from the root in the key folder.

use crate::{PublisherError, ReleaseList, private_files};
use banyan_proto::{Digest, admin::CurrentTargets, limits};
use banyan_trust::TrustStore;
use banyan_tuf_signing as signing;
use std::path::Path;
use tough::schema::{Root, Signed, Targets};

/// The current signed state, verified against the root in the key folder.
#[derive(Debug, Clone)]
pub struct VerifiedState {
    /// All roots, beginning with the first.
    pub roots: Vec<String>,
    /// The content of the newest root.
    pub root: Root,
    /// The text of the list; `None` before the first release.
    pub list: Option<String>,
    /// The content of the list.
    pub published: ReleaseList,
}

/// Verifies what the server shows against the root in the folder, and against the state recorded there.
///
/// # Errors
/// Returns an error when the folder has no root, a signature is invalid, or the server shows an older state than it
/// accepted before.
pub fn verify_state(keys: &Path, current: &CurrentTargets) -> Result<VerifiedState, PublisherError> {
    let first = read_first_root(keys)?.ok_or_else(|| PublisherError::NoRoot(keys.to_owned()))?;
    // If the server does not show the chain, its root is the first one or directly follows it.
    let shown = if current.roots.is_empty() { std::slice::from_ref(&current.root) } else { current.roots.as_slice() };
    let roots: Vec<String> =
        std::iter::once(first.clone()).chain(shown.iter().filter(|root| **root != first).cloned()).collect();
    let trust = follow_roots(&first, &roots).map_err(|error| match error {
        PublisherError::Untrusted(source) => PublisherError::ServerUntrusted(source),
        other => other,
    })?;
    let accepted = read_recorded_roots(keys)?.len() as u64;
    let shown = trust.versions().root;
    if shown < accepted {
        return Err(PublisherError::ServerRootOutdated { shown, accepted });
    }
    let published = match &current.targets {
        Some(targets) => trust.published(targets).map_err(PublisherError::ServerUntrusted)?,
        None => ReleaseList::default(),
    };
    let path = keys.join("published.json");
    if let Some(text) = private_files::read_optional(&path)? {
        let recorded: Signed<Targets> =
            serde_json::from_str(&text).map_err(|error| PublisherError::Damaged { path, why: error.to_string() })?;
        let (shown, accepted) = (published.version, recorded.signed.version.get());
        if shown < accepted {
            return Err(PublisherError::ServerListOutdated { shown, accepted });
        }
    }
    let root = signing::parse_root(trust.root())?;
    Ok(VerifiedState { roots, root, list: current.targets.clone(), published })
}

/// Returns the same from the folder alone: the state that the server accepted when this folder was last used.
///
/// # Errors
/// The same as [`verify_state`].
pub fn load_recorded_state(keys: &Path) -> Result<VerifiedState, PublisherError> {
    let mut roots = read_recorded_roots(keys)?;
    if roots.is_empty() {
        roots.extend(read_first_root(keys)?);
    }
    let root = roots.last().cloned().ok_or_else(|| PublisherError::NoRoot(keys.to_owned()))?;
    let targets = private_files::read_optional(&keys.join("published.json"))?;
    verify_state(keys, &CurrentTargets { root, targets, roots })
}

/// Records the state that the server accepted, so that it cannot show an older one later. Keeps a newer list that another
/// command has recorded meanwhile.
///
/// # Errors
/// Returns an error when the disk fails.
pub fn record_state(keys: &Path, roots: &[String], list: Option<&str>) -> Result<(), PublisherError> {
    let unwritable = |error: serde_json::Error| PublisherError::Unwritable(error.to_string());
    if let Some(first) = roots.first().filter(|_| !keys.join("root.json").exists()) {
        private_files::write_atomically(&keys.join("root.json"), first.as_bytes())?;
    }
    if read_recorded_roots(keys)?.len() < roots.len() {
        private_files::write_atomically(&keys.join("roots.json"), &serde_json::to_vec(roots).map_err(unwritable)?)?;
    }
    let Some(list) = list else { return Ok(()) };
    let path = keys.join("published.json");
    let recorded = private_files::read_optional(&path)?;
    if recorded.as_deref().and_then(list_version) > list_version(list) {
        return Ok(());
    }
    private_files::write_atomically(&path, list.as_bytes())
}

fn list_version(text: &str) -> Option<u64> {
    serde_json::from_str::<Signed<Targets>>(text).ok().map(|list| list.signed.version.get())
}

/// Returns the first root, if the folder has it.
pub fn read_first_root(keys: &Path) -> Result<Option<String>, PublisherError> {
    private_files::read_optional(&keys.join("root.json"))
}

/// Follows a chain of roots from the first one.
pub(crate) fn follow_roots(first: &str, roots: &[String]) -> Result<TrustStore, PublisherError> {
    let mut trust = TrustStore::enrol(first, Digest::of(first.as_bytes())).map_err(PublisherError::Untrusted)?;
    for some in roots.chunks(limits::ROOTS) {
        trust = trust.update_roots(some).map_err(PublisherError::Untrusted)?;
    }
    Ok(trust)
}

fn read_recorded_roots(keys: &Path) -> Result<Vec<String>, PublisherError> {
    let path = keys.join("roots.json");
    let Some(text) = private_files::read_optional(&path)? else { return Ok(vec![]) };
    serde_json::from_str(&text).map_err(|error| PublisherError::Damaged { path, why: error.to_string() })
}
