//! The repository cache: runs repository changes on blocking threads, one at a time, and keeps what offers and install
//! permits need in memory, so that the server never waits for the disk.

use crate::{
    private_files,
    publishing::repository::{ReleaseSummary, Repository, RepositoryError, is_renewal_due},
    refusal::Refusal,
};
use axum::http::StatusCode;
use banyan_proto::{Digest, UnixSeconds, api::PublisherVersions, limits, peer::Metadata};
use banyan_trust::Versions;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

impl From<RepositoryError> for Refusal {
    fn from(error: RepositoryError) -> Self {
        if error.is_callers_fault() {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.reason(), error.to_string())
        } else {
            match &error {
                RepositoryError::Disk { source, path, .. } if private_files::is_disk_full(source) => {
                    Self::disk_full(Some(path))
                }
                _ => Self::internal(&error),
            }
        }
    }
}

/// A snapshot of the repository's current state.
#[derive(Clone, Default)]
pub(crate) struct RepositorySnapshot {
    pub(crate) metadata: Option<Arc<Metadata>>,
    pub(crate) versions: Option<Versions>,
    pub(crate) releases: Arc<Vec<ReleaseSummary>>,
    /// The first root of trust. Join codes contain its hash.
    pub(crate) first_root: Option<Arc<str>>,
    /// All roots, starting with the first.
    pub(crate) roots: Arc<[String]>,
    /// Target names of withdrawn releases.
    pub(crate) withdrawn: Arc<BTreeSet<String>>,
    /// The newest root's version, and that of the last list that withdrew a release. Every machine should have seen
    /// both.
    pub(crate) publishers: PublisherVersions,
    /// When the first of the publishers' signatures expires.
    pub(crate) publishers_expire: Option<UnixSeconds>,
    /// When snapshot and timestamp were signed.
    pub(crate) signed: Option<UnixSeconds>,
}

/// The repository and the snapshot of its current state.
pub(crate) struct RepositoryCache {
    repository: Arc<Mutex<Repository>>,
    snapshot: Arc<RwLock<RepositorySnapshot>>,
}

fn take_snapshot(repository: &Repository) -> RepositorySnapshot {
    let (withdrawn, last_withdrawal) = repository.withdrawn();
    RepositorySnapshot {
        metadata: repository.current(),
        versions: repository.versions(),
        releases: Arc::new(repository.releases().into_iter().cloned().collect()),
        first_root: repository.first_root().map(Arc::from),
        roots: repository.roots().into(),
        withdrawn: Arc::new(withdrawn),
        publishers: PublisherVersions { root: repository.roots().len() as u64, targets: last_withdrawal },
        publishers_expire: repository.publisher_expires(),
        signed: repository.signed_at(),
    }
}

impl RepositoryCache {
    /// Opens the repository's folder. Blocks.
    pub(crate) fn open(folder: &Path, now: UnixSeconds) -> Result<Self, RepositoryError> {
        let repository = Repository::open(folder, now)?;
        let snapshot = Arc::new(RwLock::new(take_snapshot(&repository)));
        Ok(Self { repository: Arc::new(Mutex::new(repository)), snapshot })
    }
    /// Returns the current snapshot.
    pub(crate) fn snapshot(&self) -> RepositorySnapshot {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Returns whether snapshot and timestamp must be signed again.
    pub(crate) fn is_renewal_due(&self, now: UnixSeconds) -> bool {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        snapshot.signed.is_some_and(|signed| is_renewal_due(signed, now))
    }
    /// Returns whether the publishers still list this manifest.
    pub(crate) fn lists(&self, manifest: Digest) -> bool {
        self.snapshot().releases.iter().any(|release| release.manifest == manifest)
    }
    /// Returns whether the publishers have withdrawn this release.
    pub(crate) fn has_withdrawn(&self, package: &str, sequence: u64) -> bool {
        self.snapshot().withdrawn.contains(&format!("{package}/{sequence}.json"))
    }
    /// Returns the roots that follow this version, at most [`limits::ROOTS`], which a machine can follow in one step.
    pub(crate) fn roots_after(&self, version: u64) -> Vec<String> {
        let roots = self.snapshot().roots;
        let after = usize::try_from(version).unwrap_or(usize::MAX).min(roots.len());
        roots[after..].iter().take(limits::ROOTS).cloned().collect()
    }
    /// Runs `work` on the repository on a blocking thread, then updates the snapshot.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Repository) -> Result<T, RepositoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (repository, snapshot) = (Arc::clone(&self.repository), Arc::clone(&self.snapshot));
        let work = move || {
            let mut repository = repository.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut repository);
            *snapshot.write().unwrap_or_else(PoisonError::into_inner) = take_snapshot(&repository);
            result
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Refusal::internal(&error)),
        }
    }
}
