//! The repository, for a server that must not wait for its disk: changes run on blocking threads, one at a time; what
//! offers and go-aheads need is kept at hand.

use crate::{
    refusal::Refusal,
    repository::{ReleaseSummary, Repository, RepositoryError},
};
use banyan_proto::{Digest, UnixSeconds, peer::Metadata};
use banyan_trust::Versions;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// What is current.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    pub(crate) metadata: Option<Arc<Metadata>>,
    pub(crate) versions: Option<Versions>,
    pub(crate) releases: Arc<Vec<ReleaseSummary>>,
    /// The first root; its hash is in join codes.
    pub(crate) first_root: Option<Arc<str>>,
}

/// The repository.
pub(crate) struct Desk {
    repository: Arc<Mutex<Repository>>,
    shown: Arc<RwLock<Shown>>,
}

fn show(repository: &Repository) -> Shown {
    Shown {
        metadata: repository.current(),
        versions: repository.versions(),
        releases: Arc::new(repository.releases().into_iter().cloned().collect()),
        first_root: repository.first_root().map(Arc::from),
    }
}

impl Desk {
    /// Opens the folder. Blocks.
    pub(crate) fn open(folder: &Path, now: UnixSeconds) -> Result<Self, RepositoryError> {
        let repository = Repository::open(folder, now)?;
        let shown = Arc::new(RwLock::new(show(&repository)));
        Ok(Self { repository: Arc::new(Mutex::new(repository)), shown })
    }
    /// What is current.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Whether the publishers still list this manifest.
    pub(crate) fn lists(&self, manifest: Digest) -> bool {
        self.shown().releases.iter().any(|release| release.manifest == manifest)
    }
    /// Does something with the repository on a blocking thread.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Repository) -> Result<T, RepositoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (repository, shown) = (Arc::clone(&self.repository), Arc::clone(&self.shown));
        let work = move || {
            let mut repository = repository.lock().unwrap_or_else(PoisonError::into_inner);
            let done = work(&mut repository);
            *shown.write().unwrap_or_else(PoisonError::into_inner) = show(&repository);
            done
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => Ok(done?),
            Err(error) => Err(Refusal::internal(&error)),
        }
    }
}
