//! Follows changes that publishers sign, even while nothing is being installed: new roots (replaced or revoked keys)
//! and withdrawn releases (rules T7, T8). The server only announces news; the signed metadata proves itself.

use crate::{agent::Agent, orders::lock, server_api::CallError, state::StateError};
use banyan_proto::{
    OrderId, Reason, UnixSeconds,
    api::{Event, PublisherVersions},
};
use banyan_swarm::io::OrderInput;
use banyan_trust::{TrustError, TrustStore, TrustedMetadata};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// Retry interval after a failure to catch up.
const RETRY: Duration = Duration::from_secs(30);

/// Why this machine could not catch up with the publishers.
#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the server's metadata was refused: {0}")]
    Trust(#[from] TrustError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The versions announced by the server, and the time of the last attempt, so that one failure does not make the long
/// poll spin.
#[derive(Default)]
pub(crate) struct Followed {
    told: PublisherVersions,
    tried: Option<Instant>,
}

impl Followed {
    /// Returns the versions to report to the server: those known here, or announced and being fetched.
    pub(crate) fn known(&self, agent: &Agent) -> PublisherVersions {
        let known = agent.publisher_versions();
        PublisherVersions { root: known.root.max(self.told.root), targets: known.targets.max(self.told.targets) }
    }
    /// Takes the versions announced by the server and catches up if they are news.
    pub(crate) async fn hear(&mut self, agent: &Arc<Agent>, there_is: PublisherVersions) {
        self.told = there_is;
        let tried_just_now = self.tried.is_some_and(|at| at.elapsed() < RETRY);
        if !there_is.is_news_to(agent.publisher_versions()) || tried_just_now {
            return;
        }
        self.tried = Some(Instant::now());
        match agent.catch_up().await {
            Ok(()) => self.tried = None,
            Err(error) => warn!(%error, "failed to fetch the publishers' new metadata; trying again later"),
        }
    }
    /// Returns whether an announced version is still unknown here, so that the long poll is kept short.
    pub(crate) fn is_behind(&self, agent: &Agent) -> bool {
        self.told.is_news_to(agent.publisher_versions())
    }
}

impl Agent {
    fn publisher_versions(&self) -> PublisherVersions {
        let versions = lock(&self.offers.trust).versions();
        PublisherVersions { root: versions.root, targets: versions.targets }
    }
    /// Follows the chain of roots to its end, then takes the current metadata. Stores each step, synced.
    async fn catch_up(&self) -> Result<(), CatchUpError> {
        loop {
            let roots = self.server.roots(self.publisher_versions().root).await?.roots;
            let before = self.publisher_versions().root;
            self.learn(|trust| Ok((trust.update_roots(&roots)?, ())))?;
            let now = self.publisher_versions().root;
            if now == before {
                break;
            }
            info!(version = now, "publishers' new root accepted");
        }
        let metadata = match self.server.metadata().await {
            // Nothing was ever published, or the publishers' signatures have expired: there are only roots.
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
    /// Runs a check and stores what it learns before the result is used.
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
    /// Ends the orders of withdrawn releases. Installed software stays; only a newer release changes that.
    fn drop_withdrawn(&self, metadata: &TrustedMetadata) -> Result<(), TrustError> {
        let withdrawn = metadata.withdrawn()?;
        for held in self.orders.all() {
            let name = format!("{}/{}.json", held.order.package, held.order.sequence);
            if withdrawn.contains_key(&name) {
                self.withdrawn(held.order.id, &format!("the publisher has withdrawn {name}"));
            }
        }
        Ok(())
    }
    /// Ends an order whose release was withdrawn: it is no longer installed or forwarded.
    pub(crate) fn withdrawn(&self, order: OrderId, detail: &str) {
        let ended = self.state.order(order).ok().flatten().and_then(|record| record.ended);
        info!(%order, detail, "order ended: release withdrawn");
        lock(&self.leaves).remove(&order);
        if ended.is_none() {
            let (reason, detail) = (Reason::Withdrawn, detail.to_owned());
            self.reporter.report(Some(order), Event::Failed { reason, detail, restored: true });
        }
        if let Some(node) = self.node.get() {
            node.input(OrderInput::Dropped(order, Reason::Withdrawn));
        }
        self.forget(order, Reason::Withdrawn);
    }
}
