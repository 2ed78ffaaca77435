//! The active orders, in memory, for offers, pulls and receipts. An order is active until it expires.

use crate::{
    deployments::{order_flows::OrderFlows, tree::StripeTree},
    publishing::artifacts::ArtifactStore,
    store::OrderRow,
};
use banyan_proto::{AddresseeList, Artifact, MachineId, Manifest, OrderId, Proof, ServerCopies};
use banyan_swarm::{
    io::{StripeId, TrustedOffer},
    source_advisor::SourceAdvisor,
};
use banyan_wire::content::{ArtifactFile, ContentError};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How many copies of an artifact the server sends for machines that starve, when nothing goes wrong. The flow advisor
/// alone decides on more.
const COPIES_FOR_STARVING: f64 = 1.0;
/// An order is being sent if the server has sent some of its content within this time.
const SENT_LATELY: Duration = Duration::from_secs(3);

/// Returns the milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "whole seconds would distort the machines' times after a restart")]
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What the server had sent of an order when that was last asked.
struct LastSent {
    /// Content bytes.
    bytes: u64,
    /// When they were last seen to be more than before.
    risen: Option<Instant>,
}

/// An active order with its lists and its content.
pub(crate) struct ActiveOrder {
    pub(crate) row: OrderRow,
    pub(crate) manifest: String,
    pub(crate) artifact: Artifact,
    pub(crate) trees: Vec<StripeTree>,
    /// The artifact's file; `None` if it is missing from the store.
    content: RwLock<Option<Arc<ArtifactFile>>>,
    /// When this process accepted the order. Monotonic, so that clock changes do not affect the age.
    accepted: Option<Instant>,
    /// How many of the bytes that `content` served are already recorded in the store.
    counted: AtomicU64,
    last_sent: Mutex<Option<LastSent>>,
    path: PathBuf,
    /// The machines whose code was accepted, with the stripe. Only machines on the lists get in.
    proved: Mutex<HashSet<(u8, MachineId)>>,
    /// Who receives from whom, for machines that ask for a better source.
    sources: Mutex<SourceAdvisor>,
    /// What the machines receive.
    flows: Mutex<OrderFlows>,
    /// What is wrong with the artifact's file, once it was noticed.
    damage: Mutex<Option<String>>,
    /// Connected machines that an ancestor could not dial, with the last such ancestor. Only machines on the lists get in.
    undelivered: Mutex<HashMap<MachineId, MachineId>>,
}

impl ActiveOrder {
    /// Assembles an order. `fresh` means that it is being accepted right now. Returns `None` if the manifest lacks the
    /// artifact, which only happens when the data folder is damaged. Opens the file: blocks briefly.
    pub(crate) fn new(
        row: OrderRow,
        manifest: String,
        lists: Vec<AddresseeList>,
        artifacts: &ArtifactStore,
        fresh: bool,
    ) -> Option<Self> {
        let parsed = Manifest::parse(manifest.as_bytes()).ok()?;
        let artifact = parsed.artifacts.into_iter().find(|artifact| artifact.platform == row.order.platform)?;
        let stripes = u8::try_from(lists.len()).ok()?;
        let path = artifacts.path(artifact.digest);
        let mut damage = None;
        let content = match ArtifactFile::complete(&path, artifact.clone(), stripes) {
            Ok(file) => Some(Arc::new(file)),
            Err(error) => {
                tracing::error!(order = %row.order.id, "cannot serve the artifact {}: {error}", path.display());
                damage = Some(format!("{}: {error}", path.display()));
                None
            }
        };
        let sources = Mutex::new(SourceAdvisor::new(&lists, COPIES_FOR_STARVING, !row.order.spread.withholds()));
        let trees = lists.into_iter().zip(0..stripes).map(|(list, stripe)| StripeTree::new(stripe, list)).collect();
        let accepted = fresh.then(Instant::now);
        let (content, damage) = (RwLock::new(content), Mutex::new(damage));
        Some(Self {
            row,
            manifest,
            artifact,
            trees,
            content,
            accepted,
            counted: AtomicU64::new(0),
            last_sent: Mutex::default(),
            path,
            proved: Mutex::default(),
            sources,
            flows: Mutex::default(),
            damage,
            undelivered: Mutex::default(),
        })
    }
    /// Returns who receives from whom.
    pub(crate) fn sources(&self) -> MutexGuard<'_, SourceAdvisor> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns what the machines receive.
    pub(crate) fn flows(&self) -> MutexGuard<'_, OrderFlows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns how many copies of the artifact the server may send when nothing goes wrong.
    pub(crate) fn server_copies(&self) -> ServerCopies {
        self.row.server_copies
    }
    /// Returns whether the server is sending content of this order: whether it has sent some between two of the last calls.
    pub(crate) fn is_being_sent(&self) -> bool {
        let served = self.content().map_or(0, |content| content.served());
        let mut last = self.last_sent.lock().unwrap_or_else(PoisonError::into_inner);
        let LastSent { bytes, risen } = last.get_or_insert(LastSent { bytes: served, risen: None });
        if served > *bytes {
            (*bytes, *risen) = (served, Some(Instant::now()));
        }
        risen.is_some_and(|at| at.elapsed() < SENT_LATELY)
    }
    /// Records that a machine proved its code.
    pub(crate) fn record_proved_code(&self, stripe: u8, machine: MachineId) {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).insert((stripe, machine));
    }
    /// Returns whether a machine proved its code, since this server started.
    pub(crate) fn has_proved_code(&self, stripe: u8, machine: MachineId) -> bool {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).contains(&(stripe, machine))
    }
    /// Records that `by` could not bring a machine its offer.
    pub(crate) fn record_undelivered(&self, machine: MachineId, by: MachineId) {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).insert(machine, by);
    }
    /// Returns, once, the last machine that could not bring this one its offer.
    pub(crate) fn take_undelivered(&self, machine: MachineId) -> Option<MachineId> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).remove(&machine)
    }
    /// Records and logs, once, that the artifact's file cannot be sent.
    pub(crate) fn record_content_failure(&self, error: &ContentError) {
        let path = self.path.display();
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if damage.replace(format!("{path}: {error}")).is_none() {
            tracing::error!(
                order = %self.id(),
                "cannot send the artifact {path}: {error}; check the disk, then publish the release again"
            );
        }
    }
    /// Returns what is wrong with the artifact's file, if that was noticed.
    pub(crate) fn damage(&self) -> Option<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Opens the artifact's file again if it was damaged or missing. Returns whether it is there now.
    pub(crate) fn restore_content(&self) -> bool {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        let stripes = u8::try_from(self.trees.len()).unwrap_or(1);
        if damage.is_none() {
            return false;
        }
        let Ok(file) = ArtifactFile::complete(&self.path, self.artifact.clone(), stripes) else { return false };
        *damage = None;
        *self.content.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
        true
    }
    /// Returns the artifact's file; `None` if it is missing from the store.
    pub(crate) fn content(&self) -> Option<Arc<ArtifactFile>> {
        self.content.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(crate) fn id(&self) -> OrderId {
        self.row.order.id
    }
    pub(crate) fn tree(&self, stripe: u8) -> Option<&StripeTree> {
        self.trees.get(usize::from(stripe))
    }
    /// Returns the milliseconds since the order was accepted.
    pub(crate) fn age_ms(&self) -> u64 {
        match self.accepted {
            Some(accepted) => u64::try_from(accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
            None => now_ms().saturating_sub(self.row.accepted_ms),
        }
    }
    /// Returns the offers for the server's own node. It heads each list, holds every chunk and forwards the parts.
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
    /// Returns how many seconds a machine should wait for an offer before it asks for help. Offers go down hop by hop,
    /// and each unresponsive head costs two seconds.
    pub(crate) fn patience_seconds(&self, id: MachineId) -> u32 {
        let depth = self.trees.iter().map(|tree| tree.depth(id)).max().unwrap_or(0);
        3 + 2 * depth
    }
    /// Returns the content bytes served since the last call.
    pub(crate) fn newly_served(&self) -> u64 {
        let served = self.content().map_or(0, |content| content.served());
        served - self.counted.swap(served, Ordering::Relaxed).min(served)
    }
    /// Returns the content bytes served that the store does not include yet.
    pub(crate) fn uncounted(&self) -> u64 {
        let served = self.content().map_or(0, |content| content.served());
        served.saturating_sub(self.counted.load(Ordering::Relaxed))
    }
}

/// All active orders.
#[derive(Default)]
pub(crate) struct ActiveOrders(RwLock<HashMap<OrderId, Arc<ActiveOrder>>>);

impl ActiveOrders {
    pub(crate) fn add(&self, order: ActiveOrder) -> Arc<ActiveOrder> {
        let order = Arc::new(order);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(order.id(), Arc::clone(&order));
        order
    }
    pub(crate) fn get(&self, id: OrderId) -> Option<Arc<ActiveOrder>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
    pub(crate) fn all(&self) -> Vec<Arc<ActiveOrder>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
    pub(crate) fn remove(&self, id: OrderId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
