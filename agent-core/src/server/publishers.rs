//! Follows changes that publishers sign, even while nothing is being installed: new roots (replaced or revoked keys)
//! and withdrawn releases (rules T7, T8). The server only announces news; the signed metadata proves itself.

use super::api::{CallError, ServerApi};
use crate::{
    database::{Database, DatabaseError},
    publisher_trust::PublisherTrust,
};
use banyan_proto::{Reason, UnixSeconds, api::PublisherVersions};
use banyan_trust::TrustError;
use std::{
    collections::BTreeSet,
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
    Database(#[from] DatabaseError),
}

/// Follows the publishers' metadata. Remembers the versions announced by the server, and the time of the last attempt,
/// so that one failure does not make the long poll spin.
pub(crate) struct PublisherFollower {
    database: Arc<Database>,
    trust: Arc<PublisherTrust>,
    server: Arc<ServerApi>,
    announced: PublisherVersions,
    last_attempt: Option<Instant>,
}

impl PublisherFollower {
    pub(crate) fn new(database: Arc<Database>, trust: Arc<PublisherTrust>, server: Arc<ServerApi>) -> Self {
        Self { database, trust, server, announced: PublisherVersions::default(), last_attempt: None }
    }
    /// Returns the versions to report to the server: those known here, or announced and being fetched.
    pub(crate) fn versions_to_report(&self) -> PublisherVersions {
        let known = self.trust.versions();
        PublisherVersions {
            root: known.root.max(self.announced.root),
            targets: known.targets.max(self.announced.targets),
        }
    }
    /// Returns whether an announced version is still unknown here, so that the long poll is kept short.
    pub(crate) fn is_behind(&self) -> bool {
        self.announced.is_news_to(self.trust.versions())
    }
    /// Takes the versions announced by the server and catches up if they are news. Returns the target names of the
    /// releases that are withdrawn according to new metadata.
    pub(crate) async fn follow(&mut self, announced: PublisherVersions) -> BTreeSet<String> {
        self.announced = announced;
        let has_tried_just_now = self.last_attempt.is_some_and(|at| at.elapsed() < RETRY);
        if !self.is_behind() || has_tried_just_now {
            return BTreeSet::new();
        }
        self.last_attempt = Some(Instant::now());
        match self.catch_up().await {
            Ok(withdrawn) => {
                self.last_attempt = None;
                withdrawn
            }
            Err(error) => {
                warn!(%error, "failed to fetch the publishers' new metadata; trying again later");
                BTreeSet::new()
            }
        }
    }
    /// Follows the chain of roots to its end, then takes the current metadata. Stores each step, synced. Returns the
    /// withdrawn releases.
    async fn catch_up(&self) -> Result<BTreeSet<String>, CatchUpError> {
        loop {
            let before = self.trust.versions().root;
            let roots = self.server.roots(before).await?.roots;
            let mut trust = self.trust.lock();
            let learnt = trust.update_roots(&roots)?;
            trust.learn(learnt)?;
            drop(trust);
            let now = self.trust.versions().root;
            if now == before {
                break;
            }
            info!(version = now, "publishers' new root accepted");
        }
        let metadata = match self.server.metadata().await {
            // Nothing was ever published, or the publishers' signatures have expired: there are only roots.
            Err(CallError::Refused(error)) if error.reason == Reason::NotPublished => return Ok(BTreeSet::new()),
            other => other?,
        };
        let mut trust = self.trust.lock();
        let (trusted, learnt) = trust.refresh(&metadata, UnixSeconds::now())?;
        trust.learn(learnt)?;
        drop(trust);
        self.database.store_metadata(&metadata)?;
        Ok(trusted.withdrawn()?.into_keys().collect())
    }
}
