//! Handles withdrawn releases: ends their deployments, informs machines, and deletes content that can no longer be
//! installed.

use crate::{
    net::wake_ups::WakeUps,
    publishing::{artifacts::ArtifactStore, repository_cache::RepositoryCache},
    refusal::Refusal,
};
use async_trait::async_trait;
use banyan_proto::{DeploymentId, Digest};
use std::{collections::HashSet, sync::Arc};
use tracing::{info, warn};

/// The deployments, as far as a withdrawal concerns them.
#[async_trait]
pub(crate) trait OpenDeployments: Send + Sync + 'static {
    /// Ends the deployments of withdrawn releases. Returns those that were open and have now ended.
    async fn end_withdrawn(&self) -> Result<Vec<DeploymentId>, Refusal>;
    /// Returns the artifacts that active orders need.
    fn needed_artifacts(&self) -> HashSet<Digest>;
}

/// Applies withdrawals.
pub(crate) struct Withdrawal {
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) deployments: Arc<dyn OpenDeployments>,
}

impl Withdrawal {
    /// Applies a changed root or list: ends deployments of withdrawn releases and wakes machines. Call it after every
    /// such change. Returns the deployments that were open and have now ended.
    pub(crate) async fn apply(&self) -> Result<Vec<DeploymentId>, Refusal> {
        let ended = self.deployments.end_withdrawn().await?;
        self.wake_ups.wake_all();
        self.prune().await;
        Ok(ended)
    }

    /// Deletes artifacts of withdrawn releases that no other release has and no active order needs.
    pub(crate) async fn prune(&self) {
        let Ok(mut candidates) = self.repository.with(|repository| Ok(repository.only_withdrawn())).await else {
            return;
        };
        let needed = self.deployments.needed_artifacts();
        candidates.retain(|digest| !needed.contains(digest));
        for digest in candidates {
            match self.artifacts.remove(digest) {
                Ok(0) => {}
                Ok(bytes) => info!(artifact = %digest, bytes, "artifact of withdrawn releases removed"),
                // On some systems a file cannot be removed while it is being read; the next hourly run tries again.
                Err(error) => warn!(artifact = %digest, %error, "failed to remove the artifact of a withdrawn release"),
            }
        }
    }
}
