//! All orders that this machine has accepted.

use crate::{
    database::{Database, DatabaseError},
    identity::Identity,
    pipeline::{active_order::ActiveOrder, address_hints::AddressHints},
};
use banyan_proto::{
    AddresseeList, Digest, MachineId, Membership, OrderId, Proof, Reason, limits,
    peer::{Offer, Pull, PullReply},
};
use banyan_swarm::io::StripeId;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

type OrderTable = HashMap<OrderId, Arc<ActiveOrder>>;

/// All accepted orders.
pub struct ActiveOrders {
    identity: Arc<Identity>,
    orders: RwLock<OrderTable>,
    /// The addresses of the machines in the orders.
    pub(crate) address_hints: AddressHints,
}

impl ActiveOrders {
    /// Creates an empty collection.
    #[must_use]
    pub fn new(identity: Arc<Identity>) -> Self {
        let address_hints = AddressHints::new(Arc::clone(&identity));
        Self { identity, orders: RwLock::default(), address_hints }
    }
    fn read(&self) -> RwLockReadGuard<'_, OrderTable> {
        self.orders.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, OrderTable> {
        self.orders.write().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns one order.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Arc<ActiveOrder>> {
        self.read().get(&id).cloned()
    }
    /// Returns all orders.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ActiveOrder>> {
        self.read().values().cloned().collect()
    }
    /// Returns the missing content of all orders (bytes; the last chunk of each counts as a full one).
    pub(crate) fn missing_bytes(&self) -> u64 {
        self.read().values().map(|active| active.missing_bytes()).sum()
    }
    /// Returns whether an order is for this artifact.
    pub(crate) fn has_order_for(&self, digest: Digest) -> bool {
        self.read().values().any(|active| active.content.artifact().digest == digest)
    }
    pub(crate) fn insert(&self, active: Arc<ActiveOrder>) {
        self.write().insert(active.order.id, active);
    }
    pub(crate) fn remove(&self, id: OrderId) -> Option<Arc<ActiveOrder>> {
        self.write().remove(&id)
    }
    /// Creates the offer of a part of this machine's sublist, for the part's head (rule L5).
    ///
    /// # Errors
    /// When the order is no longer here.
    pub fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        let active = self.get(stripe.order).ok_or(Reason::OrderExpired)?;
        let mine = active.offer(stripe.stripe).ok_or(Reason::OrderExpired)?;
        Ok(Offer {
            order: active.signed.clone(),
            stripe: stripe.stripe,
            sublist: sublist.clone(),
            proof: proof.clone(),
            path: mine.path.iter().copied().chain([self.identity.machine]).collect(),
            code: mine.code.child(sublist.head(), sublist.subtree(stripe.stripe).hash),
            hints: self.address_hints.signed(sublist.ids().chain(proof.ancestors())),
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
        if proof.0.len() > limits::LIST_DEPTH || pull.membership.root(pull.stripe, peer) != *root {
            return Err(refused(Reason::NotAddressed));
        }
        Ok(proof.ancestors().any(|id| id == self.identity.machine))
    }
    /// Returns this machine's own membership.
    #[must_use]
    pub fn membership(&self, stripe: StripeId) -> Option<Membership> {
        let offer = self.get(stripe.order)?.offer(stripe.stripe)?;
        Some(offer.sublist.membership(stripe.stripe, &offer.proof))
    }
    /// Returns the orders with an epoch below this one.
    pub(crate) fn below_epoch(&self, epoch: u64) -> Vec<OrderId> {
        self.read().values().filter(|active| active.order.epoch < epoch).map(|active| active.order.id).collect()
    }
    /// Stores how an order ended here.
    pub(crate) fn store_outcome(
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
