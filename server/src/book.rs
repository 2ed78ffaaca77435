//! The orders whose time is not over, in memory, as offers, pulls and receipts ask for them.

use crate::{artifacts::Artifacts, store::DeploymentRow, tree::Tree};
use banyan_machine::io::{StripeId, TrustedOffer};
use banyan_proto::{AddresseeList, Artifact, DeploymentId, MachineId, Manifest, Proof};
use banyan_wire::content::ArtifactFile;
use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "in seconds, machines would seem faster or slower after a restart")]
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An order, its lists and its content.
pub(crate) struct OpenOrder {
    pub(crate) row: DeploymentRow,
    pub(crate) manifest: String,
    pub(crate) artifact: Artifact,
    pub(crate) trees: Vec<Tree>,
    /// The artifact's file; none when it is gone from the store.
    pub(crate) content: Option<Arc<ArtifactFile>>,
    /// Set when this process accepted it: steady, whatever happens to the clock.
    accepted: Option<Instant>,
    /// Of the bytes that `content` served, those which the store knows.
    counted: AtomicU64,
}

impl OpenOrder {
    /// Puts an order together. `fresh` when it is being accepted right now. `None` when the manifest does not have the
    /// artifact, which only a damaged folder explains. Opens the file: blocks a little.
    pub(crate) fn new(
        row: DeploymentRow,
        manifest: String,
        lists: Vec<AddresseeList>,
        artifacts: &Artifacts,
        fresh: bool,
    ) -> Option<Self> {
        let parsed = Manifest::parse(manifest.as_bytes()).ok()?;
        let artifact = parsed.artifacts.into_iter().find(|artifact| artifact.platform == row.order.platform)?;
        let stripes = u8::try_from(lists.len()).ok()?;
        let path = artifacts.path(artifact.digest);
        let content = match ArtifactFile::complete(&path, artifact.clone(), stripes) {
            Ok(file) => Some(Arc::new(file)),
            Err(error) => {
                tracing::error!(order = %row.order.id, "the artifact {} cannot be served: {error}", path.display());
                None
            }
        };
        let trees = lists.into_iter().zip(0..stripes).map(|(list, stripe)| Tree::new(stripe, list)).collect();
        let accepted = fresh.then(Instant::now);
        Some(Self { row, manifest, artifact, trees, content, accepted, counted: AtomicU64::new(0) })
    }
    pub(crate) fn id(&self) -> DeploymentId {
        self.row.order.id
    }
    pub(crate) fn tree(&self, stripe: u8) -> Option<&Tree> {
        self.trees.get(usize::from(stripe))
    }
    /// Milliseconds since it was accepted.
    pub(crate) fn age_ms(&self) -> u64 {
        match self.accepted {
            Some(accepted) => u64::try_from(accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
            None => now_ms().saturating_sub(self.row.accepted_ms),
        }
    }
    /// What the server's own node is told: it heads each list, holds everything, and hands the parts on.
    pub(crate) fn offers(&self) -> Vec<TrustedOffer> {
        let stripes = u8::try_from(self.trees.len()).unwrap_or(0);
        let offer = |stripe: u8| {
            let chunks = self.artifact.stripe_len(stripes, stripe);
            Some(TrustedOffer {
                stripe: StripeId { order: self.id(), stripe },
                revision: self.row.order.revision,
                stripes,
                chunks,
                sublist: self.tree(stripe)?.list().clone(),
                proof: Proof::default(),
                held: chunks,
            })
        };
        (0..stripes).filter_map(offer).collect()
    }
    /// Seconds that a machine shall wait for an offer before it asks for help: offers go down hop by hop, and a head
    /// that does not answer costs two seconds.
    pub(crate) fn patience(&self, id: MachineId) -> u32 {
        let depth = self.trees.iter().map(|tree| tree.depth(id)).max().unwrap_or(0);
        3 + 2 * depth
    }
    /// Content bytes served since the last time this was asked.
    pub(crate) fn newly_served(&self) -> u64 {
        let served = self.content.as_ref().map_or(0, |content| content.served());
        served - self.counted.swap(served, Ordering::Relaxed).min(served)
    }
    /// Content bytes served that the store does not know yet.
    pub(crate) fn uncounted(&self) -> u64 {
        let served = self.content.as_ref().map_or(0, |content| content.served());
        served.saturating_sub(self.counted.load(Ordering::Relaxed))
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Book(RwLock<HashMap<DeploymentId, Arc<OpenOrder>>>);

impl Book {
    pub(crate) fn add(&self, order: OpenOrder) -> Arc<OpenOrder> {
        let order = Arc::new(order);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(order.id(), Arc::clone(&order));
        order
    }
    pub(crate) fn get(&self, id: DeploymentId) -> Option<Arc<OpenOrder>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
    pub(crate) fn all(&self) -> Vec<Arc<OpenOrder>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
    pub(crate) fn remove(&self, id: DeploymentId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
