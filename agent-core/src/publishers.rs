//! Hearing of what publishers changed, also when nothing is being installed: new roots (keys were replaced or revoked) and
//! withdrawn releases (rules T7, T8). The server only says that there is news; what is believed proves itself.

use crate::{agent::Agent, orders::lock, server_api::CallError, state::StateError};
use banyan_machine::io::Input;
use banyan_proto::{
    DeploymentId, Reason, UnixSeconds,
    api::{Event, PublisherVersions},
};
use banyan_trust::{TrustError, TrustStore, TrustedMetadata};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// When catching up did not succeed it is tried again after this.
const RETRY: Duration = Duration::from_secs(30);

/// Why this machine could not catch up with the publishers.
#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("what the server sent is not believed: {0}")]
    Trust(#[from] TrustError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// What has been said to be new, and when it was last looked for: one failure must not make the long poll spin.
#[derive(Default)]
pub(crate) struct Followed {
    told: PublisherVersions,
    tried: Option<Instant>,
}

impl Followed {
    /// What to tell the server: what is known here, or was told and is being looked for.
    pub(crate) fn known(&self, agent: &Agent) -> PublisherVersions {
        let known = agent.publisher_versions();
        PublisherVersions { root: known.root.max(self.told.root), targets: known.targets.max(self.told.targets) }
    }
    /// The server says what there is.
    pub(crate) async fn hear(&mut self, agent: &Arc<Agent>, there_is: PublisherVersions) {
        self.told = there_is;
        let tried_just_now = self.tried.is_some_and(|at| at.elapsed() < RETRY);
        if !there_is.is_news_to(agent.publisher_versions()) || tried_just_now {
            return;
        }
        self.tried = Some(Instant::now());
        match agent.catch_up().await {
            Ok(()) => self.tried = None,
            Err(error) => warn!(%error, "this machine could not catch up with what publishers signed; it tries again"),
        }
    }
    /// Whether something that was told is not known yet: then the long poll is kept short.
    pub(crate) fn is_behind(&self, agent: &Agent) -> bool {
        self.told.is_news_to(agent.publisher_versions())
    }
}

impl Agent {
    fn publisher_versions(&self) -> PublisherVersions {
        let versions = lock(&self.offers.trust).versions();
        PublisherVersions { root: versions.root, targets: versions.targets }
    }
    /// Follows the chain of roots to its end, then takes the current metadata; each step is kept, synced.
    async fn catch_up(&self) -> Result<(), CatchUpError> {
        loop {
            let roots = self.server.roots(self.publisher_versions().root).await?.roots;
            let before = self.publisher_versions().root;
            self.learn(|trust| Ok((trust.update_roots(&roots)?, ())))?;
            let now = self.publisher_versions().root;
            if now == before {
                break;
            }
            info!(version = now, "follows the publishers' new root");
        }
        let metadata = match self.server.metadata().await {
            // Nothing was ever published, or the publishers' signatures have expired: the roots were all there is.
            Err(CallError::Refused(error)) if error.reason == Reason::NotPublished => return Ok(()),
            other => other?,
        };
        let trusted = self.learn(|trust| {
            let (trusted, learned) = trust.refresh(&metadata, UnixSeconds::now())?;
            Ok((learned, trusted))
        })?;
        self.state.set_metadata(&metadata)?;
        self.drop_withdrawn(&trusted)?;
        Ok(())
    }
    /// Keeps what a check teaches before anything is done because of it.
    fn learn<T>(
        &self,
        check: impl FnOnce(&TrustStore) -> Result<(TrustStore, T), TrustError>,
    ) -> Result<T, CatchUpError> {
        let mut trust = lock(&self.offers.trust);
        let (learned, found) = check(&trust)?;
        if learned != *trust {
            self.state.set_trust(&learned)?;
            *trust = learned;
        }
        Ok(found)
    }
    /// Ends the orders of releases that publishers have withdrawn. What is installed stays: only publishers' newer
    /// releases change that.
    fn drop_withdrawn(&self, metadata: &TrustedMetadata) -> Result<(), TrustError> {
        let withdrawn = metadata.withdrawn()?;
        for held in self.orders.all() {
            let name = format!("{}/{}.json", held.order.package, held.order.sequence);
            if withdrawn.contains_key(&name) {
                self.withdrawn(held.order.id, &format!("the publishers have withdrawn {name}"));
            }
        }
        Ok(())
    }
    /// An order's release was withdrawn: nothing of it is installed or passed on any more.
    pub(crate) fn withdrawn(&self, order: DeploymentId, detail: &str) {
        let ended = self.state.order(order).ok().flatten().and_then(|record| record.ended);
        info!(%order, detail, "an order is over: its release was withdrawn");
        lock(&self.leaves).remove(&order);
        if ended.is_none() {
            let (reason, detail) = (Reason::Withdrawn, detail.to_owned());
            self.reporter.report(Some(order), Event::Failed { reason, detail, restored: true });
        }
        if let Some(node) = self.node.get() {
            node.input(Input::Dropped(order, Reason::Withdrawn));
        }
        self.forget(order, Reason::Withdrawn);
    }
}
