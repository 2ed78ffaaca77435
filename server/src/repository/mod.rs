//! The online half of the TUF repository: what publishers signed, under the server's own snapshot and timestamp.
//!
//! Publishers sign roots and targets offline and send them here. The server adds what says that they are the current
//! ones, and renews that before it expires. It holds no key that could sign a root or targets, and it looks at every set
//! with the machines' own eyes (`banyan-trust`) before it goes live, so that a mistake of a publisher ends here and not
//! on every machine.
//!
//! Releases do not disappear by accident: a new list that lacks a published release, or gives it other contents, is
//! refused unless the list itself names the release as withdrawn. A release that was withdrawn keeps its sequence for ever.
//!
//! Versions of snapshot and timestamp follow the clock (seconds), so that a server restored from a backup does not sign
//! versions that machines have already seen: they would take that for a rollback.
//!
//! All of this blocks on the disk.

mod disk;
mod error;
mod online;
mod publish;
pub mod signing;

#[cfg(test)]
mod tests;

pub use error::RepositoryError;

use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};
use banyan_trust::{Published, TrustError, TrustStore, Versions};
use disk::Disk;
use online::OnlineKeys;
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
    /// What a machine that has followed all roots and every set so far would trust; none before the first root.
    trust: Option<TrustStore>,
    /// The publishers' newest list; none before the first release.
    list: Option<List>,
    /// What machines get; none while it could not be renewed.
    live: Option<Live>,
    /// Every release ever published, by target name.
    releases: BTreeMap<String, ReleaseSummary>,
}

/// A targets.json whose signatures were verified.
struct List {
    text: String,
    published: Published,
}

/// The current set.
struct Live {
    metadata: Arc<Metadata>,
    versions: Versions,
    /// When snapshot and timestamp are signed again.
    renew: UnixSeconds,
}

/// A release as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSummary {
    /// Package.
    pub package: String,
    /// Version.
    pub version: String,
    /// Sequence.
    pub sequence: u64,
    /// What it raises its package's floor to.
    pub min_sequence: u64,
    /// Who publishes, in words, as long as a catalogue shows them.
    pub publisher: String,
    /// Release notes, likewise.
    pub notes: String,
    /// BLAKE3 of the manifest's text.
    pub manifest: Digest,
    /// Its files.
    pub artifacts: Vec<ArtifactSummary>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactSummary {
    /// Platform.
    pub platform: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub digest: Digest,
}

/// A text of so many bytes at most; what was cut off is said by the last character.
fn cut(text: &str, most: usize) -> String {
    const MORE: char = '…';
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(MORE.len_utf8()));
    format!("{}{MORE}", &text[..end])
}

impl ReleaseSummary {
    /// Bytes of the file for a platform: its own, else the one for `any`, as [`Manifest::artifact_for`] chooses.
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
        };
        Self {
            package: manifest.package.clone(),
            version: manifest.version.clone(),
            sequence: manifest.sequence,
            min_sequence: manifest.min_sequence,
            publisher: cut(&manifest.publisher, limits::CATALOGUE_PUBLISHER_BYTES),
            notes: cut(&manifest.notes, limits::CATALOGUE_NOTES_BYTES),
            manifest: Digest::of(text.as_bytes()),
            artifacts: manifest.artifacts.iter().map(artifact).collect(),
        }
    }
}

impl Repository {
    /// Opens the folder, making it and the online keys at the first start, and signs anew what is due.
    ///
    /// # Errors
    /// When the disk fails, or something in the folder was changed by other hands. When only the renewal fails (the
    /// publishers' metadata has expired, say) the repository opens all the same, with nothing current.
    pub fn open(folder: &Path, now: UnixSeconds) -> Result<Self, RepositoryError> {
        let disk = Disk::open(folder)?;
        let keys = OnlineKeys::open(&disk)?;
        let roots = disk.roots()?;
        let mut repository = Self { disk, keys, roots, trust: None, list: None, live: None, releases: BTreeMap::new() };
        let Some(first) = repository.roots.first() else { return Ok(repository) };
        let damaged = |error: TrustError| RepositoryError::Damaged { what: "roots".into(), why: error.to_string() };
        let mut trust = TrustStore::enrol(first, Digest::of(first.as_bytes())).map_err(damaged)?;
        for some in repository.roots.chunks(limits::ROOTS) {
            trust = trust.update_roots(some).map_err(damaged)?;
        }
        for text in repository.disk.manifests()? {
            match Manifest::parse(text.as_bytes()) {
                Ok(manifest) => repository.note(&manifest, &text),
                Err(error) => tracing::error!("a manifest in the repository is damaged and left out: {error}"),
            }
        }
        repository.disk.finish_next(|text| trust.published(text).ok().map(|list| list.version))?;
        if let Some(text) = repository.disk.newest_targets()? {
            let why = |error: TrustError| RepositoryError::Damaged { what: "targets".into(), why: error.to_string() };
            let published = trust.published(&text).map_err(why)?;
            repository.list = Some(List { text, published });
        }
        repository.trust = Some(trust);
        if let Err(error) = repository.refresh(now) {
            tracing::error!("the repository cannot be renewed: {error}");
        }
        Ok(repository)
    }
    /// Public keys of the server's online roles as TUF key objects, snapshot first, for the publishers' root.
    #[must_use]
    pub fn online_keys(&self) -> Vec<serde_json::Value> {
        self.keys.public()
    }
    /// Whether a root has been registered.
    #[must_use]
    pub fn has_root(&self) -> bool {
        !self.roots.is_empty()
    }
    /// The first root; its hash is in join codes.
    #[must_use]
    pub fn first_root(&self) -> Option<&str> {
        self.roots.first().map(String::as_str)
    }
    /// The newest root.
    #[must_use]
    pub fn newest_root(&self) -> Option<&str> {
        self.roots.last().map(String::as_str)
    }
    /// All roots, from the first on.
    #[must_use]
    pub fn roots(&self) -> &[String] {
        &self.roots
    }
    /// Target names of withdrawn releases; the version of the last list that withdrew one.
    #[must_use]
    pub fn withdrawn(&self) -> (BTreeSet<String>, u64) {
        let list = self.list.as_ref().map(|list| &list.published);
        list.map(|list| (list.withdrawn.keys().cloned().collect(), list.last_withdrawal())).unwrap_or_default()
    }
    /// Artifacts that only withdrawn releases have.
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
    /// The publishers' newest targets.json, expired or not; none before the first release.
    #[must_use]
    pub fn targets(&self) -> Option<&str> {
        self.list.as_ref().map(|list| list.text.as_str())
    }
    /// The current set, with the newest roots ([`limits::ROOTS`] at most); none before the first release, and
    /// while the publishers' metadata has expired.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Metadata>> {
        self.live.as_ref().map(|live| live.metadata.clone())
    }
    /// When the first of the publishers' signatures, on root and list, expires; none before the first root. Only they can renew it: to be warned of in good time.
    #[must_use]
    pub fn publisher_expires(&self) -> Option<UnixSeconds> {
        let root = signing::parse_root(self.roots.last()?).ok()?.expires.as_second();
        let root = UnixSeconds(u64::try_from(root).unwrap_or(0));
        Some(self.list.as_ref().map_or(root, |list| list.published.expires.min(root)))
    }
    /// Versions of the current set.
    #[must_use]
    pub fn versions(&self) -> Option<Versions> {
        self.live.as_ref().map(|live| live.versions)
    }
    /// The text of a manifest that was ever published.
    ///
    /// # Errors
    /// [`RepositoryError::NoSuchRelease`], or when the disk fails.
    pub fn manifest(&self, package: &str, sequence: u64) -> Result<String, RepositoryError> {
        let missing = || RepositoryError::NoSuchRelease { package: package.to_owned(), sequence };
        // The index holds only names that passed the checks, so nothing else reaches the file system.
        let known = self.releases.get(&format!("{package}/{sequence}.json")).ok_or_else(missing)?;
        let text = self.disk.manifest(&known.package, sequence)?;
        if Digest::of(text.as_bytes()) == known.manifest {
            Ok(text)
        } else {
            let what = format!("manifest of {package} {sequence}");
            Err(RepositoryError::Damaged { what, why: "it is not what was published".into() })
        }
    }
    /// The sequence of the release of this package that has this manifest, of all that were ever published.
    #[must_use]
    pub fn sequence_of(&self, package: &str, manifest: Digest) -> Option<u64> {
        let mut of = self.releases.values().filter(|one| one.package == package && one.manifest == manifest);
        of.next().map(|release| release.sequence)
    }
    /// A current release with what proves it, as offers carry it.
    ///
    /// # Errors
    /// [`RepositoryError::NoSuchRelease`] (also for a withdrawn one), or when the disk fails.
    pub fn proof(&self, package: &str, sequence: u64) -> Result<ReleaseProof, RepositoryError> {
        let missing = || RepositoryError::NoSuchRelease { package: package.to_owned(), sequence };
        let live = self.live.as_ref().ok_or_else(missing)?;
        let manifest = self.manifest(package, sequence)?;
        let name = format!("{package}/{sequence}.json");
        if !self.list.as_ref().is_some_and(|list| list.published.lists(&name, &manifest)) {
            return Err(missing());
        }
        Ok(ReleaseProof { metadata: Metadata::clone(&live.metadata), manifest })
    }
    /// Releases on the current list, by package and sequence.
    #[must_use]
    pub fn releases(&self) -> Vec<&ReleaseSummary> {
        let listed = |name: &String| self.list.as_ref().is_some_and(|list| list.published.targets.contains_key(name));
        let mut releases: Vec<_> = self.releases.iter().filter(|(name, _)| listed(name)).map(|(_, one)| one).collect();
        releases.sort_by(|a, b| (&a.package, a.sequence).cmp(&(&b.package, b.sequence)));
        releases
    }

    fn note(&mut self, manifest: &Manifest, text: &str) {
        self.releases.insert(manifest.target_name(), ReleaseSummary::new(manifest, text));
    }
}
