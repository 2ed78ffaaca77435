//! The online half of the TUF repository: what publishers signed, with the server's own snapshot and timestamp.
//!
//! Publishers sign roots and targets offline and send them here. The server adds the signatures that mark them as
//! current, and renews these before they expire. It has no key that could sign a root or targets. It verifies every set
//! as machines do (`banyan-trust`) before the set goes live, so that a publisher's mistake is rejected here and does
//! not reach machines.
//!
//! Releases do not disappear by accident. A new list that lacks a published release, or changes its contents, is
//! refused unless the list itself names the release as withdrawn. The sequence of a withdrawn release is never reused.
//!
//! Versions of snapshot and timestamp follow the clock (seconds). A server restored from a backup therefore does not
//! sign versions that machines have already seen, which they would reject as a rollback.
//!
//! All functions block on the disk.

mod disk;
mod error;
mod online_keys;
mod publish;

#[cfg(test)]
mod tests;

pub use error::RepositoryError;

use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    manifest::Kind,
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{ReleaseList, TrustError, TrustStore, Versions};
use disk::Disk;
use online_keys::OnlineKeys;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// The repository.
pub struct Repository {
    disk: Disk,
    keys: OnlineKeys,
    /// All roots, from version 1.
    roots: Vec<String>,
    /// What a machine would trust that has followed all roots and sets so far; `None` before the first root.
    trust: Option<TrustStore>,
    /// The publishers' newest list; `None` before the first release.
    list: Option<TargetsList>,
    /// What machines receive; `None` while it cannot be renewed.
    current_set: Option<SignedSet>,
    /// Every release ever published, by target name.
    releases: BTreeMap<String, ReleaseSummary>,
}

/// A targets.json with verified signatures.
struct TargetsList {
    text: String,
    published: ReleaseList,
}

/// The current signed set.
struct SignedSet {
    metadata: Arc<Metadata>,
    versions: Versions,
    /// When snapshot and timestamp were signed, by the server's clock.
    signed: UnixSeconds,
}

/// A release, as shown in lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSummary {
    /// The package.
    pub package: String,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The minimum accepted sequence that the release sets for its package.
    pub min_sequence: u64,
    /// The publisher's name, cut to the length that the catalogue shows.
    pub publisher: String,
    /// The release notes, cut likewise.
    pub notes: String,
    /// The BLAKE3 hash of the manifest's text.
    pub manifest: Digest,
    /// The release's files.
    pub artifacts: Vec<ArtifactSummary>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactSummary {
    /// The platform.
    pub platform: String,
    /// The size in bytes.
    pub size: u64,
    /// The BLAKE3 hash.
    pub digest: Digest,
    /// The kind of the file.
    pub kind: Kind,
}

/// How far the clock may be set back before signatures are made again (seconds).
const SLEW_SECONDS: u64 = 60;

/// Returns whether snapshot and timestamp that were signed at `signed` must be signed again. Signatures from the future
/// were made while the clock was ahead; they would live too long.
#[must_use]
pub fn is_renewal_due(signed: UnixSeconds, now: UnixSeconds) -> bool {
    now >= signed.plus(online_keys::TIMESTAMP_SECONDS / 2) || now.plus(SLEW_SECONDS) < signed
}

/// Cuts a text to at most `most` bytes. A cut text ends with "…".
fn truncate(text: &str, most: usize) -> String {
    const MORE: char = '…';
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(MORE.len_utf8()));
    format!("{}{MORE}", &text[..end])
}

impl ReleaseSummary {
    /// Returns the size in bytes of the file for a platform: its own, else that for `any`, as
    /// [`Manifest::artifact_for`] picks.
    #[must_use]
    pub fn size_for(&self, platform: &str) -> Option<u64> {
        let of = |wanted: &str| self.artifacts.iter().find(|artifact| artifact.platform == wanted);
        of(platform).or_else(|| of("any")).map(|artifact| artifact.size)
    }
    fn new(manifest: &Manifest, text: &str) -> Self {
        let artifact = |artifact: &banyan_proto::Artifact| ArtifactSummary {
            platform: artifact.platform.clone(),
            size: artifact.size,
            digest: artifact.digest,
            kind: artifact.install.kind,
        };
        Self {
            package: manifest.package.clone(),
            version: manifest.version.clone(),
            sequence: manifest.sequence,
            min_sequence: manifest.min_sequence,
            publisher: truncate(&manifest.publisher, limits::CATALOGUE_PUBLISHER_BYTES),
            notes: truncate(&manifest.notes, limits::CATALOGUE_NOTES_BYTES),
            manifest: Digest::of(text.as_bytes()),
            artifacts: manifest.artifacts.iter().map(artifact).collect(),
        }
    }
}

impl Repository {
    /// Opens the folder, creates it and the online keys at the first start, and renews signatures that are due.
    ///
    /// # Errors
    /// Returns an error if the disk fails, or if the folder's contents were changed by something else. If only the
    /// renewal fails (for example because the publishers' metadata has expired), the repository opens without a current
    /// set.
    pub fn open(folder: &Path, now: UnixSeconds) -> Result<Self, RepositoryError> {
        let disk = Disk::open(folder)?;
        let keys = OnlineKeys::open(&disk)?;
        let roots = disk.roots()?;
        let mut repository =
            Self { disk, keys, roots, trust: None, list: None, current_set: None, releases: BTreeMap::new() };
        let Some(first) = repository.roots.first() else { return Ok(repository) };
        let damaged = |error: TrustError| RepositoryError::Damaged { what: "roots".into(), why: error.to_string() };
        let mut trust = TrustStore::enrol(first, Digest::of(first.as_bytes())).map_err(damaged)?;
        for some in repository.roots.chunks(limits::ROOTS) {
            trust = trust.update_roots(some).map_err(damaged)?;
        }
        for text in repository.disk.manifests()? {
            match Manifest::parse(text.as_bytes()) {
                Ok(manifest) => repository.index(&manifest, &text),
                Err(error) => tracing::error!("damaged manifest in the repository ignored: {error}"),
            }
        }
        repository.disk.finish_next(|text| trust.published(text).ok().map(|list| list.version))?;
        if let Some(text) = repository.disk.newest_targets()? {
            let why = |error: TrustError| RepositoryError::Damaged { what: "targets".into(), why: error.to_string() };
            let published = trust.published(&text).map_err(why)?;
            repository.list = Some(TargetsList { text, published });
        }
        repository.trust = Some(trust);
        if let Err(error) = repository.refresh(now) {
            tracing::error!("failed to renew the repository's signatures: {error}");
        }
        Ok(repository)
    }
    /// Returns the public keys of the server's online roles as TUF key objects, snapshot first, for the publishers'
    /// root.
    #[must_use]
    pub fn online_keys(&self) -> Vec<serde_json::Value> {
        self.keys.public()
    }
    /// Returns whether a root is registered.
    #[must_use]
    pub fn has_root(&self) -> bool {
        !self.roots.is_empty()
    }
    /// Returns the first root; join codes contain its hash.
    #[must_use]
    pub fn first_root(&self) -> Option<&str> {
        self.roots.first().map(String::as_str)
    }
    /// Returns the newest root.
    #[must_use]
    pub fn newest_root(&self) -> Option<&str> {
        self.roots.last().map(String::as_str)
    }
    /// Returns all roots, starting with the first.
    #[must_use]
    pub fn roots(&self) -> &[String] {
        &self.roots
    }
    /// Returns the target names of withdrawn releases, and the version of the last list that withdrew one.
    #[must_use]
    pub fn withdrawn(&self) -> (BTreeSet<String>, u64) {
        let list = self.list.as_ref().map(|list| &list.published);
        list.map(|list| (list.withdrawn.keys().cloned().collect(), list.last_withdrawal())).unwrap_or_default()
    }
    /// Returns whether the package's release with this version has been withdrawn; any of its releases without one.
    #[must_use]
    pub fn has_withdrawn(&self, package: &str, version: Option<&str>) -> bool {
        let Some(list) = self.list.as_ref().map(|list| &list.published) else { return false };
        self.releases.iter().any(|(name, release)| {
            list.withdrawn.contains_key(name)
                && release.package == package
                && version.is_none_or(|version| release.version == version)
        })
    }
    /// Returns the artifacts that only withdrawn releases have.
    #[must_use]
    pub fn only_withdrawn(&self) -> BTreeSet<Digest> {
        let Some(list) = self.list.as_ref().map(|list| &list.published) else { return BTreeSet::new() };
        let of = |wanted: &dyn Fn(&String) -> bool| -> BTreeSet<Digest> {
            let releases = self.releases.iter().filter(|(name, _)| wanted(name)).map(|(_, release)| release);
            releases.flat_map(|release| &release.artifacts).map(|artifact| artifact.digest).collect()
        };
        let withdrawn = of(&|name| list.withdrawn.contains_key(name));
        withdrawn.difference(&of(&|name| !list.withdrawn.contains_key(name))).copied().collect()
    }
    /// Returns the publishers' newest targets.json, expired or not; `None` before the first release.
    #[must_use]
    pub fn targets(&self) -> Option<&str> {
        self.list.as_ref().map(|list| list.text.as_str())
    }
    /// Returns the current set with the newest roots, at most [`limits::ROOTS`]. Returns `None` before the first
    /// release and while the publishers' metadata has expired.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Metadata>> {
        self.current_set.as_ref().map(|set| set.metadata.clone())
    }
    /// Returns when the first of the publishers' signatures on root and list expires; `None` before the first root.
    /// Only publishers can renew these signatures, so callers should warn early.
    #[must_use]
    pub fn publisher_expires(&self) -> Option<UnixSeconds> {
        let root = banyan_tuf_signing::parse_root(self.roots.last()?).ok()?.expires.as_second();
        let root = UnixSeconds(u64::try_from(root).unwrap_or(0));
        Some(self.list.as_ref().map_or(root, |list| list.published.expires.min(root)))
    }
    /// Returns when snapshot and timestamp were signed, by the server's clock; `None` without a current set.
    #[must_use]
    pub fn signed_at(&self) -> Option<UnixSeconds> {
        self.current_set.as_ref().map(|set| set.signed)
    }
    fn is_renewal_due(&self, now: UnixSeconds) -> bool {
        self.signed_at().is_some_and(|signed| is_renewal_due(signed, now))
    }
    /// Returns the versions of the current set.
    #[must_use]
    pub fn versions(&self) -> Option<Versions> {
        self.current_set.as_ref().map(|set| set.versions)
    }
    /// Returns the text of a manifest, including that of a withdrawn release.
    ///
    /// # Errors
    /// Returns [`RepositoryError::NoSuchRelease`] if it was never published, or an error if the disk fails.
    pub fn manifest(&self, package: &str, sequence: u64) -> Result<String, RepositoryError> {
        let missing = || RepositoryError::NoSuchRelease { package: package.to_owned(), sequence };
        // The index has only names that passed the checks, so no other name reaches the file system.
        let known = self.releases.get(&format!("{package}/{sequence}.json")).ok_or_else(missing)?;
        let text = self.disk.manifest(&known.package, sequence)?;
        if Digest::of(text.as_bytes()) == known.manifest {
            Ok(text)
        } else {
            let what = format!("manifest of {package} {sequence}");
            Err(RepositoryError::Damaged { what, why: "it differs from what was published".into() })
        }
    }
    /// Returns the sequence of the package's release with this manifest, among all that were ever published.
    #[must_use]
    pub fn sequence_of(&self, package: &str, manifest: Digest) -> Option<u64> {
        let mut of = self.releases.values().filter(|one| one.package == package && one.manifest == manifest);
        of.next().map(|release| release.sequence)
    }
    /// Returns a current release with its proof, as offers carry it.
    ///
    /// # Errors
    /// Returns [`RepositoryError::NoSuchRelease`], also for a withdrawn release, or an error if the disk fails.
    pub fn proof(&self, package: &str, sequence: u64) -> Result<ReleaseProof, RepositoryError> {
        let missing = || RepositoryError::NoSuchRelease { package: package.to_owned(), sequence };
        let set = self.current_set.as_ref().ok_or_else(missing)?;
        let manifest = self.manifest(package, sequence)?;
        let name = format!("{package}/{sequence}.json");
        if !self.list.as_ref().is_some_and(|list| list.published.lists(&name, &manifest)) {
            return Err(missing());
        }
        Ok(ReleaseProof { metadata: Metadata::clone(&set.metadata), manifest })
    }
    /// Returns the releases on the current list, sorted by package and sequence.
    #[must_use]
    pub fn releases(&self) -> Vec<&ReleaseSummary> {
        let listed = |name: &String| self.list.as_ref().is_some_and(|list| list.published.targets.contains_key(name));
        let mut releases: Vec<_> = self.releases.iter().filter(|(name, _)| listed(name)).map(|(_, one)| one).collect();
        releases.sort_by(|a, b| (&a.package, a.sequence).cmp(&(&b.package, b.sequence)));
        releases
    }

    fn index(&mut self, manifest: &Manifest, text: &str) {
        self.releases.insert(manifest.target_name(), ReleaseSummary::new(manifest, text));
    }
}
