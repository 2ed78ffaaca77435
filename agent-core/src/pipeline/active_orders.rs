//! The orders that this machine has accepted, and the last known addresses of the machines in them.

use crate::database::{Database, DatabaseError, OrderRecord, StripeOffer};
use banyan_proto::{
    AddressHint, AddresseeList, Artifact, KeyRing, MachineId, Membership, Order, OrderId, Proof, Reason, Receipt,
    Signed,
    api::ByteSource,
    order::Spread,
    peer::{Offer, Pull, PullReply, ReleaseProof},
};
use banyan_swarm::io::{StripeId, TrustedOffer};
use banyan_wire::{content::ArtifactFile, verify::VerifiedArtifact};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Instant,
};

/// The publisher's description of a release, for people.
#[derive(Debug, Clone, Default)]
pub struct ReleaseDescription {
    /// The version.
    pub version: String,
    /// The publisher's name.
    pub publisher: String,
    /// The release notes.
    pub notes: String,
}

/// Content that came from or went to machines: bytes, and the time of the last transfer if it was since the start.
pub(crate) type Moved = Vec<(MachineId, u64, Option<Instant>)>;

/// One accepted order.
pub struct ActiveOrder {
    /// The verified order.
    pub order: Order,
    /// The order as signed, for forwarding.
    pub signed: Signed<Order>,
    /// The proof of the release, for forwarding.
    pub release: ReleaseProof,
    /// The artifact's file.
    pub content: Arc<ArtifactFile>,
    offers: Mutex<BTreeMap<u8, StripeOffer>>,
    sources: Mutex<BTreeMap<MachineId, u64>>,
    /// When content last came from each machine.
    came: Mutex<BTreeMap<MachineId, Instant>>,
    /// Bytes sent to each machine since the start, and the time of the last transfer.
    went: Mutex<BTreeMap<MachineId, (u64, Instant)>>,
    described: OnceLock<ReleaseDescription>,
    verified: Mutex<Option<VerifiedArtifact>>,
    receipt: Mutex<Option<Signed<Receipt>>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ActiveOrder {
    /// Opens the file of an order that passed every check, and counts the chunks already here.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(
        folder: &Path,
        order: Order,
        signed: Signed<Order>,
        release: ReleaseProof,
        artifact: Artifact,
    ) -> std::io::Result<Self> {
        // One file per artifact, not per order: chunks from an earlier order are not downloaded again.
        let path = folder.join(artifact.digest.to_string());
        let stripes = u8::try_from(order.stripes.len()).unwrap_or(1);
        let content = Arc::new(ArtifactFile::resume(&path, artifact, stripes)?);
        if order.spread != Spread::CutThrough {
            content.hold_back();
        }
        Ok(Self {
            order,
            signed,
            release,
            content,
            offers: Mutex::default(),
            sources: Mutex::default(),
            came: Mutex::default(),
            went: Mutex::default(),
            described: OnceLock::new(),
            verified: Mutex::default(),
            receipt: Mutex::default(),
        })
    }
    /// Returns the offer of one stripe.
    #[must_use]
    pub fn offer(&self, stripe: u8) -> Option<StripeOffer> {
        lock(&self.offers).get(&stripe).cloned()
    }
    /// Returns all offers, by stripe.
    #[must_use]
    pub fn offers(&self) -> BTreeMap<u8, StripeOffer> {
        lock(&self.offers).clone()
    }
    pub(crate) fn add_offer(&self, stripe: u8, offer: StripeOffer) {
        lock(&self.offers).insert(stripe, offer);
    }
    /// Returns whether every stripe has been offered.
    #[must_use]
    pub fn is_fully_offered(&self) -> bool {
        lock(&self.offers).len() == self.order.stripes.len()
    }
    pub(crate) fn add_bytes(&self, peer: MachineId, bytes: u64) {
        *lock(&self.sources).entry(peer).or_default() += bytes;
    }
    /// Records content that has just arrived from this machine.
    pub(crate) fn came_from(&self, peer: MachineId, bytes: u64) {
        self.add_bytes(peer, bytes);
        lock(&self.came).insert(peer, Instant::now());
    }
    /// Records content that was just sent to this machine.
    pub(crate) fn went_to(&self, peer: MachineId, bytes: u64) {
        let mut went = lock(&self.went);
        let (before, at) = went.entry(peer).or_insert((0, Instant::now()));
        (*before, *at) = (*before + bytes, Instant::now());
    }
    /// Returns the machines that content came from, and those it went to.
    pub(crate) fn partners(&self) -> (Moved, Moved) {
        let came = lock(&self.came).clone();
        let from = lock(&self.sources).iter().map(|(id, bytes)| (*id, *bytes, came.get(id).copied())).collect();
        let to = lock(&self.went).iter().map(|(id, (bytes, at))| (*id, *bytes, Some(*at))).collect();
        (from, to)
    }
    /// Returns the publisher's description, from the verified manifest.
    pub(crate) fn described(&self) -> &ReleaseDescription {
        self.described.get_or_init(|| {
            let manifest = banyan_proto::Manifest::parse(self.release.manifest.as_bytes());
            manifest.map_or_else(
                |_| ReleaseDescription::default(),
                |found| ReleaseDescription { version: found.version, publisher: found.publisher, notes: found.notes },
            )
        })
    }
    /// Returns the machines that the bytes came from.
    #[must_use]
    pub fn sources(&self) -> Vec<ByteSource> {
        lock(&self.sources).iter().map(|(&machine, &bytes)| ByteSource { machine, bytes }).collect()
    }
    pub(crate) fn set_verified(&self, artifact: VerifiedArtifact) {
        *lock(&self.verified) = Some(artifact);
    }
    /// Returns the verified artifact, with a file handle of its own.
    ///
    /// # Errors
    /// When the artifact is not verified, or the system has no more file handles.
    pub fn verified(&self) -> std::io::Result<VerifiedArtifact> {
        match &*lock(&self.verified) {
            Some(artifact) => artifact.try_clone(),
            None => Err(std::io::Error::other("the artifact has not been verified")),
        }
    }
    pub(crate) fn set_receipt(&self, receipt: Signed<Receipt>) {
        *lock(&self.receipt) = Some(receipt);
    }
    /// Returns the server's receipt, if it has arrived.
    #[must_use]
    pub fn receipt(&self) -> Option<Signed<Receipt>> {
        lock(&self.receipt).clone()
    }
    /// Returns the offer of one stripe for the database machine.
    #[must_use]
    pub fn trusted(&self, stripe: u8) -> Option<TrustedOffer> {
        let offer = self.offer(stripe)?;
        Some(TrustedOffer {
            stripe: StripeId { order: self.order.id, stripe },
            revision: self.order.revision,
            stripes: self.content.stripes(),
            chunks: self.content.chunks(stripe),
            sublist: offer.sublist,
            proof: offer.proof,
            held: self.content.held(stripe).unwrap_or(0),
        })
    }
    /// Returns the record for the database.
    #[must_use]
    pub fn record(&self) -> OrderRecord {
        OrderRecord {
            order: self.signed.clone(),
            release: self.release.clone(),
            offers: self.offers(),
            receipt: self.receipt(),
            ended: None,
            sources: self.sources(),
        }
    }
}

/// All accepted orders.
pub struct ActiveOrders {
    me: MachineId,
    server: MachineId,
    server_address: SocketAddr,
    keys: KeyRing,
    held: RwLock<HashMap<OrderId, Arc<ActiveOrder>>>,
    hints: Mutex<HashMap<MachineId, (AddressHint, Signed<AddressHint>)>>,
}

impl ActiveOrders {
    /// Creates an empty collection.
    #[must_use]
    pub fn new(me: MachineId, server: MachineId, server_address: SocketAddr, keys: KeyRing) -> Self {
        Self { me, server, server_address, keys, held: RwLock::default(), hints: Mutex::default() }
    }
    /// Returns one order.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Arc<ActiveOrder>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
    /// Returns all orders.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ActiveOrder>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
    /// Returns the missing content of all orders (bytes; the last chunk counts as a full one).
    pub(crate) fn still_to_come(&self) -> u64 {
        let missing = |active: &Arc<ActiveOrder>| {
            let content = &active.content;
            let here: u32 = (0..content.stripes()).filter_map(|stripe| content.held(stripe)).sum();
            let artifact = content.artifact();
            u64::from(artifact.chunk_count().saturating_sub(here)) * u64::from(artifact.chunk_size)
        };
        self.held.read().unwrap_or_else(PoisonError::into_inner).values().map(missing).sum()
    }
    pub(crate) fn insert(&self, order: Arc<ActiveOrder>) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).insert(order.order.id, order);
    }
    pub(crate) fn remove(&self, id: OrderId) -> Option<Arc<ActiveOrder>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
    /// Stores address hints that came with an offer. Hints without a valid signature are ignored.
    pub(crate) fn learn(&self, hints: &[Signed<AddressHint>]) {
        for signed in hints {
            let Ok(mut hint) = signed.verify(&self.keys) else { continue };
            hint.addresses.truncate(banyan_proto::limits::ADDRESSES_PER_MACHINE);
            let mut known = lock(&self.hints);
            if known.get(&hint.machine).is_none_or(|(older, _)| older.issued <= hint.issued) {
                known.insert(hint.machine, (hint, signed.clone()));
            }
        }
    }
    /// Returns the last known addresses of a machine.
    #[must_use]
    pub fn addresses(&self, peer: MachineId) -> Vec<SocketAddr> {
        let mut addresses = lock(&self.hints).get(&peer).map(|(hint, _)| hint.addresses.clone()).unwrap_or_default();
        if peer == self.server && !addresses.contains(&self.server_address) {
            addresses.insert(0, self.server_address);
        }
        addresses
    }
    /// Creates the offer of a part of this machine's sublist, for the part's head (rule L5).
    ///
    /// # Errors
    /// When the order is no longer here.
    pub fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        let active = self.get(stripe.order).ok_or(Reason::OrderExpired)?;
        let mine = active.offer(stripe.stripe).ok_or(Reason::OrderExpired)?;
        let code = mine.code.child(sublist.head(), sublist.subtree(stripe.stripe).hash);
        let hints = lock(&self.hints);
        let hints = sublist.ids().chain(proof.ancestors()).filter_map(|id| Some(hints.get(&id)?.1.clone())).collect();
        Ok(Offer {
            order: active.signed.clone(),
            stripe: stripe.stripe,
            sublist: sublist.clone(),
            proof: proof.clone(),
            path: mine.path.iter().copied().chain([self.me]).collect(),
            code,
            hints,
            release: active.release.clone(),
        })
    }
    /// Checks that a puller is on the order's list. Returns whether this machine is one of its ancestors (rules P6,
    /// P7).
    ///
    /// # Errors
    /// The reply, when the order is not here or the puller is not on the list.
    pub fn check_pull(&self, peer: MachineId, pull: &Pull) -> Result<bool, PullReply> {
        let refused = |reason| PullReply::Refused { reason };
        let active = self.get(pull.order).ok_or(PullReply::NotHere)?;
        let root = active.order.stripes.get(usize::from(pull.stripe)).ok_or(refused(Reason::ProtocolBroken))?;
        let proof = &pull.membership.proof;
        if proof.0.len() > banyan_proto::limits::LIST_DEPTH || pull.membership.root(pull.stripe, peer) != *root {
            return Err(refused(Reason::NotAddressed));
        }
        Ok(proof.ancestors().any(|id| id == self.me))
    }
    /// Returns this machine's own membership.
    #[must_use]
    pub fn membership(&self, stripe: StripeId) -> Option<Membership> {
        let offer = self.get(stripe.order)?.offer(stripe.stripe)?;
        Some(offer.sublist.membership(stripe.stripe, &offer.proof))
    }
    /// Returns the orders with an epoch below this one.
    pub(crate) fn below(&self, epoch: u64) -> Vec<OrderId> {
        self.all().iter().filter(|active| active.order.epoch < epoch).map(|active| active.order.id).collect()
    }
    /// Stores how an order ended here.
    pub(crate) fn ended(
        &self,
        database: &Database,
        id: OrderId,
        result: Result<(), Reason>,
    ) -> Result<(), DatabaseError> {
        database.update_order(id, |record| {
            record.ended = Some(result);
            if let Some(active) = self.get(id) {
                record.receipt = active.receipt();
                record.sources = active.sources();
            }
        })
    }
}
