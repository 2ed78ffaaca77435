//! Carries out what publishers send: registers roots, publishes releases, replaces the list of releases.

use crate::{
    publishing::{
        artifacts::ArtifactStore, repository::Repository, repository_cache::RepositoryCache, withdrawal::Withdrawal,
    },
    refusal::Refusal,
    work_progress,
};
use axum::http::StatusCode;
use banyan_proto::{
    Manifest, Reason, UnixSeconds,
    admin::{CurrentTargets, Publish, RegisterRoot, ReplaceTargets, Replaced},
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Changes what is published.
pub(crate) struct Publication {
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) withdrawal: Arc<Withdrawal>,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl Publication {
    /// Registers the first root, or the next one.
    pub(crate) async fn register_root(&self, request: RegisterRoot) -> Result<(), Refusal> {
        let RegisterRoot { root, targets } = request;
        let register =
            move |repository: &mut Repository| repository.register_root(&root, targets.as_deref(), UnixSeconds::now());
        self.repository.with(register).await?;
        info!(version = self.repository.snapshot().publishers.root, "root of trust registered");
        self.withdrawal.apply().await?;
        Ok(())
    }

    /// Returns the newest root and list, for publishers to sign the next ones.
    pub(crate) async fn current_targets(&self) -> Result<CurrentTargets, Refusal> {
        let current = |repository: &mut Repository| {
            let root = repository.newest_root().map(str::to_owned);
            let targets = repository.targets().map(str::to_owned);
            Ok(root.map(|root| CurrentTargets { root, targets, roots: repository.roots().to_vec() }))
        };
        let found = self.repository.with(current).await?;
        let none = || Refusal::conflict(Reason::NoRoot, "no root has been registered yet; run `banyan keys init`");
        found.ok_or_else(none)
    }

    /// Replaces the publishers' list: with a later expiry, or with releases withdrawn.
    pub(crate) async fn replace_targets(&self, request: ReplaceTargets) -> Result<Replaced, Refusal> {
        let replace = move |repository: &mut Repository| repository.replace_list(&request.targets, UnixSeconds::now());
        let withdrawn = self.repository.with(replace).await?;
        info!(?withdrawn, "publishers' list replaced");
        let stopped = self.withdrawal.apply().await?;
        Ok(Replaced { withdrawn, stopped })
    }

    /// Publishes a release. Requires that every one of its files is uploaded and matches its description.
    pub(crate) async fn publish(&self, release: Publish) -> Result<(), Refusal> {
        let Publish { targets, manifest } = release;
        let examine = {
            let (targets, manifest) = (targets.clone(), manifest.clone());
            move |repository: &mut Repository| repository.examine(&targets, &manifest, UnixSeconds::now())
        };
        let parsed: Manifest = self.repository.with(examine).await?;
        let name = format!("{} {}", parsed.package, parsed.version);
        let (store, stop) = (Arc::clone(&self.artifacts), self.stop.clone());
        let size = parsed.artifacts.iter().map(|artifact| artifact.size).sum();
        let progress = work_progress::begin(format!("checking the files of {name}"), size);
        let verify = move || parsed.artifacts.iter().try_for_each(|artifact| store.verify(artifact, &progress, &stop));
        tokio::task::spawn_blocking(verify)
            .await
            .map_err(|error| Refusal::internal(&error))?
            .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, why))?;
        let before = self.repository.snapshot().publishers;
        self.repository.with(move |repository| repository.publish(&targets, &manifest, UnixSeconds::now())).await?;
        info!("release published: {name}");
        // A list that adds a release may withdraw others. Otherwise no machine needs to hear of it: offers carry what
        // they need.
        if self.repository.snapshot().publishers != before {
            self.withdrawal.apply().await?;
        }
        Ok(())
    }
}
