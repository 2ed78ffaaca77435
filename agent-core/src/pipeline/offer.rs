//! The offer stage: every check that an offer must pass before the first byte of content is requested (rules O1–O10).
//!
//! The checks run in a fixed order, cheapest and most telling first. Each is marked with the number of its rule. An
//! accepted offer is stored in the database, synced, before it is answered, so it survives a crash.

use crate::{
    database::{Database, DatabaseError, OrderRecord, StripeOffer},
    identity::{Identity, epoch::EpochError},
    pipeline::{active_order::ActiveOrder, active_orders::ActiveOrders},
    platform,
    publisher_trust::{LockedTrust, PublisherTrust},
};
use banyan_proto::{
    Digest, MachineId, Order, OrderId, Reason, Signed, UnixSeconds, limits,
    manifest::Manifest,
    peer::{Offer, OfferReply, ReleaseProof},
};
use banyan_swarm::io::TrustedOffer;
use banyan_trust::TrustError;
use std::{path::PathBuf, sync::Arc};

/// Why an offer was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// A check failed.
    #[error("{detail}")]
    Refused {
        /// The entry of the reason table.
        reason: Reason,
        /// The explanation for people.
        detail: String,
    },
    /// The publisher's signed metadata does not allow the release.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The offer is valid but cannot be accepted now.
    #[error("{detail}")]
    Deferred {
        /// The entry of the reason table.
        reason: Reason,
        /// The explanation for people.
        detail: String,
    },
    /// The order was signed before the server was restored.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// This machine's database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// This machine's disk failed.
    #[error("cannot open the artifact's file {0}")]
    Disk(#[from] std::io::Error),
}

impl OfferError {
    fn refused(reason: Reason, detail: &str) -> Self {
        Self::Refused { reason, detail: detail.to_owned() }
    }
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused { reason, .. } | Self::Deferred { reason, .. } => *reason,
            Self::Trust(error) => error.reason(),
            Self::Epoch(EpochError::Lower { .. }) => Reason::EpochBack,
            Self::Epoch(EpochError::Database(error)) | Self::Database(error) => error.reason(),
            Self::Disk(error) => Reason::of_disk_error(error),
        }
    }
    /// Returns the reply to the sender.
    #[must_use]
    pub fn reply(&self) -> OfferReply {
        match self {
            Self::Refused { .. } | Self::Trust(_) | Self::Epoch(EpochError::Lower { .. }) => {
                OfferReply::Refused { reason: self.reason(), detail: self.to_string() }
            }
            Self::Deferred { .. } | Self::Epoch(EpochError::Database(_)) | Self::Database(_) | Self::Disk(_) => {
                OfferReply::Deferred { reason: self.reason() }
            }
        }
    }
}

/// The offer stage.
pub struct OfferStage {
    /// This machine and its server.
    pub identity: Arc<Identity>,
    /// This machine's platform.
    pub platform: String,
    /// The folder for artifact files.
    pub folder: PathBuf,
    /// The database.
    pub database: Arc<Database>,
    /// The accepted orders.
    pub orders: Arc<ActiveOrders>,
    /// What this machine has learnt from publishers' metadata. Locked while an offer is checked.
    pub trust: Arc<PublisherTrust>,
}

/// An accepted offer.
pub struct AcceptedOffer {
    /// The offer for the state machine.
    pub trusted: TrustedOffer,
    /// Older orders of the package, now superseded.
    pub superseded: Vec<OrderId>,
}

impl OfferStage {
    /// Checks an offer from `sender`, who is identified by its certificate. Blocks: it reads the disk and verifies
    /// signatures.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(&self, sender: MachineId, offer: Offer, now: UnixSeconds) -> Result<AcceptedOffer, OfferError> {
        let refused = OfferError::refused;
        // O1: the server signed the order.
        let order: Order = offer.order.verify(&self.identity.keys).map_err(|error| {
            refused(error.reason(Reason::OrderForged), &format!("the order is not accepted: {error}"))
        })?;
        if order.server != self.identity.server {
            return Err(refused(Reason::OrderForged, "the order comes from another server"));
        }
        let mut trust = self.trust.lock();
        // O2: the order is of the current epoch and has not expired.
        self.identity.epoch.check(order.epoch)?;
        if order.expires <= trust.time(now) {
            return Err(refused(Reason::OrderExpired, &format!("the order expired at {}", order.expires)));
        }
        // O3–O5: the list belongs to the order, this machine is its head, and the sender is an ancestor.
        self.check_list(sender, &offer, &order)?;
        // O6: no newer order of this package is here. A restored server continues counting from its backup, so epochs
        // come first.
        let others = self.orders.all().into_iter().filter(|active| active.order.package == order.package);
        let (newer, older): (Vec<_>, Vec<_>) = others
            .filter(|active| active.order.id != order.id)
            .partition(|active| (active.order.epoch, active.order.number) > (order.epoch, order.number));
        if let Some(newer) = newer.first() {
            return Err(refused(Reason::OrderSuperseded, &format!("order {} is newer", newer.order.number)));
        }
        self.orders.address_hints.learn(&offer.hints);
        let stripe = offer.stripe;
        let (sublist, proof, path, code) = (offer.sublist, offer.proof, offer.path, offer.code);
        let heads = sublist.parts().into_iter().flatten().map(|part| part.head());
        let hints = self.orders.address_hints.signed(proof.ancestors().chain(heads));
        let part = StripeOffer { sublist, proof, path, code, hints };
        let active = match self.orders.get(order.id).filter(|active| active.signed == offer.order) {
            // The release was checked with the first stripe's offer and is checked again before installing.
            Some(active) => active,
            None => Arc::new(self.open(&mut trust, order, offer.order, offer.release, now)?),
        };
        // A code that came from the server itself is not replaced by one that passed through others.
        let has_servers_own = active.offer(stripe).is_some_and(|offer| offer.path == [self.identity.server]);
        let keeps = has_servers_own && sender != self.identity.server;
        if !keeps && active.offer(stripe).as_ref() != Some(&part) {
            active.add_offer(stripe, part);
            self.database.store_order(active.order.id, &active.to_record())?;
        }
        self.orders.insert(Arc::clone(&active));
        let trusted = active
            .trusted_offer(stripe)
            .ok_or_else(|| refused(Reason::InternalError, "the accepted offer is missing"))?;
        Ok(AcceptedOffer { trusted, superseded: older.iter().map(|active| active.order.id).collect() })
    }

    fn check_list(&self, sender: MachineId, offer: &Offer, order: &Order) -> Result<(), OfferError> {
        let refused = OfferError::refused;
        let forged = |detail: &'static str| refused(Reason::ListForged, detail);
        // O3: the offer is for this machine.
        if offer.sublist.head() != self.identity.machine {
            return Err(refused(Reason::NotAddressed, "this machine is not the head of the offered sublist"));
        }
        // O4: the list was not altered in transit.
        let root =
            order.stripes.get(usize::from(offer.stripe)).ok_or_else(|| forged("the order has no such stripe"))?;
        if offer.proof.0.len() > limits::LIST_DEPTH {
            return Err(forged("the proof is longer than the maximum depth of a list"));
        }
        if offer.proof.root(offer.stripe, offer.sublist.subtree(offer.stripe)) != *root {
            return Err(forged("the sublist and its proof do not match the order's list root"));
        }
        // O5: the sender is an ancestor, and the offer's stated path runs down the tree from the server to the sender.
        let ancestors: Vec<MachineId> = offer.proof.ancestors().collect();
        if ancestors.first() != Some(&self.identity.server) {
            return Err(forged("the server is not the head of the list"));
        }
        if !ancestors.contains(&sender) {
            return Err(refused(Reason::NotAncestor, "the sender is not upstream of this machine in the tree"));
        }
        let mut above = ancestors.iter();
        let goes_down = offer.path.iter().all(|hop| above.any(|ancestor| ancestor == hop));
        if offer.path.first() != Some(&self.identity.server) || offer.path.last() != Some(&sender) || !goes_down {
            return Err(refused(Reason::NotAncestor, "the offer's path does not lead down the tree to the sender"));
        }
        Ok(())
    }

    /// Opens a new order (O7–O10): a trusted publisher signed the release, it fits this platform, is not below the
    /// version floor, and fits on the disk.
    fn open(
        &self,
        trust: &mut LockedTrust<'_>,
        order: Order,
        signed: Signed<Order>,
        mut release: ReleaseProof,
        now: UnixSeconds,
    ) -> Result<ActiveOrder, OfferError> {
        let cached = self.database.load_metadata();
        let (trusted, mut learnt) = trust.check_or_cached(&release, cached.as_ref(), order.manifest, now)?;
        learnt.record_signed_time(order.issued, now);
        trust.learn(learnt)?;
        match cached {
            Some(cached) if trusted.from_cache() => release.metadata = cached,
            _ => self.database.store_metadata(&release.metadata)?,
        }
        let artifact = trusted.artifact_for(&order)?.clone();
        if artifact.platform != "any" && artifact.platform != self.platform {
            let detail = format!("the file is for {}, but this machine is {}", artifact.platform, self.platform);
            return Err(OfferError::refused(Reason::WrongPlatform, &detail));
        }
        // Chunks that are here from an earlier order take no more room.
        let here = platform::stored_bytes(&ActiveOrder::content_path(&self.folder, &artifact));
        platform::check_free_space(&self.folder, artifact.size.saturating_sub(here))
            .map_err(|detail| OfferError::Deferred { reason: Reason::DiskFull, detail })?;
        Ok(ActiveOrder::open(&self.folder, order, signed, release, artifact)?)
    }

    /// Reopens an order accepted before a restart. The order's signature and the manifest's hash are checked again.
    /// Everything else was checked before and is checked again before installing.
    ///
    /// # Errors
    /// When the record no longer passes these checks, or the disk fails.
    pub fn restore(&self, record: &OrderRecord, now: UnixSeconds) -> Result<Arc<ActiveOrder>, OfferError> {
        let refused = OfferError::refused;
        let order = record
            .order
            .verify(&self.identity.keys)
            .map_err(|error| refused(error.reason(Reason::OrderForged), &error.to_string()))?;
        if order.keep_until <= now {
            return Err(refused(Reason::OrderExpired, "the order has expired"));
        }
        let text = record.release.manifest.as_bytes();
        let manifest = Manifest::parse(text).map_err(|error| refused(Reason::NotPublished, &error.to_string()))?;
        let artifact = manifest.artifact_for(&order.platform).filter(|artifact| artifact.digest == order.artifact);
        let artifact = artifact.filter(|_| Digest::of(text) == order.manifest);
        let artifact =
            artifact.ok_or_else(|| refused(Reason::NotPublished, "the manifest does not match the order"))?.clone();
        let active = ActiveOrder::open(&self.folder, order, record.order.clone(), record.release.clone(), artifact)?;
        for (&stripe, offer) in &record.offers {
            self.orders.address_hints.learn(&offer.hints);
            active.add_offer(stripe, offer.clone());
        }
        for source in &record.sources {
            active.restore_source(source);
        }
        if let Some(receipt) = &record.receipt {
            active.set_receipt(receipt.clone());
        }
        let active = Arc::new(active);
        self.orders.insert(Arc::clone(&active));
        Ok(active)
    }
}
