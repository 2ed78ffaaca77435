//! Offers that the server sends itself: to the heads of the first sublists, and to a machine that received none.

use crate::{
    deployments::{order_lifecycle::OrderLifecycle, stop_lists::StopLists},
    identity::{registry::Registry, secrets::Secrets},
    net::connections::Connections,
    publishing::repository_cache::RepositoryCache,
    refusal::Refusal,
    store::{ServerIdentity, Store},
};
use banyan_proto::{
    AddresseeList, MachineId, OrderId, Proof, Reason, RollingCode, UnixSeconds,
    admin::Stage,
    api::Help,
    limits,
    peer::{Offer, ReleaseProof},
};
use banyan_swarm::io::StripeId;
use std::sync::Arc;
use tracing::{error, info};

/// Approximate size of a signed hint in an offer (bytes).
const HINT_BYTES: usize = 600;
/// Size of a name on a list, and of the rest of an offer besides list, hints and release (bytes).
const NAME_BYTES: usize = 64;
const OTHER_BYTES: usize = 64 << 10;
/// How many holders of the content a machine without an offer is told of.
const MAX_HOLDERS: u32 = 3;

/// Makes the server's own offers.
pub(crate) struct DirectOffers {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Connections,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) stop_lists: Arc<StopLists>,
}

impl DirectOffers {
    /// Makes the offer of a sublist to its head, sent by the server itself. Code and path name the server as the
    /// sender, whatever machines are between the two in the tree.
    ///
    /// # Errors
    /// Returns a reason if the order has expired, or if the signed metadata that proves the release is missing.
    pub(crate) fn make_offer(&self, stripe: StripeId, sublist: &AddresseeList, proof: &Proof) -> Result<Offer, Reason> {
        let open = self.orders.active.get(stripe.order).ok_or(Reason::OrderExpired)?;
        let tree = open.tree(stripe.stripe).ok_or(Reason::InternalError)?;
        let subtree = sublist.subtree(stripe.stripe);
        if proof.root(stripe.stripe, subtree) != tree.root() {
            error!(order = %stripe.order, "offer not made: the sublist is not part of the order's list");
            return Err(Reason::InternalError);
        }
        let metadata = self.repository.snapshot().metadata.ok_or(Reason::MetadataExpired)?;
        let release = ReleaseProof { metadata: (*metadata).clone(), manifest: open.manifest.clone() };
        let texts = [&release.metadata.timestamp, &release.metadata.snapshot, &release.metadata.targets];
        let texts = texts.into_iter().chain(&release.metadata.roots).chain([&release.manifest]);
        // In JSON each quotation mark takes two bytes, so metadata texts grow by at most a third.
        let taken =
            texts.map(|text| text.len() + text.len() / 3).sum::<usize>() + sublist.len() * NAME_BYTES + OTHER_BYTES;
        let room = limits::CONTROL_BYTES.saturating_sub(taken);
        if room == 0 {
            error!(order = %stripe.order, "offer not made: its manifest and metadata are too long");
            return Err(Reason::InternalError);
        }
        // Ancestors first, without those whom the head cannot dial: it would wait for them in vain. Without the other
        // hints a head skips its children, which does no harm: they ask for help.
        let (head, now) = (sublist.head(), UnixSeconds::now());
        let ancestors = proof.ancestors().filter(|&ancestor| self.registry.can_dial(head, ancestor, now));
        let names = ancestors.chain(sublist.ids()).take(room / HINT_BYTES);
        let root = RollingCode::root(&self.secrets.master, stripe.order, stripe.stripe, tree.root().hash);
        Ok(Offer {
            order: open.row.signed.clone(),
            stripe: stripe.stripe,
            sublist: sublist.clone(),
            proof: proof.clone(),
            path: vec![self.server.id],
            code: root.child(head, subtree.hash),
            hints: self.registry.hints(names),
            release,
        })
    }

    /// Returns offers directly from the server, one per stripe, to a target machine that received none.
    pub(crate) async fn help(&self, machine: MachineId, id: OrderId) -> Result<Help, Refusal> {
        let open = self.orders.find_active(id, machine).await?;
        let row = self.store.addressee(id, machine).await?;
        let row = row.ok_or_else(|| Refusal::forbidden(Reason::NotAddressed, "the order is not for this machine"))?;
        if let (true, Some(reason)) = (row.is_over(), row.reason) {
            return Err(Refusal::conflict(reason, row.detail.unwrap_or_else(|| reason.for_admin().what.into())));
        }
        if self.stop_lists.is_stopped(id) {
            return Err(Refusal::conflict(Reason::Halted, Reason::Halted.for_admin().what));
        }
        // Both ends say so: the ancestor could not dial it, and it lacks its offers.
        if let Some(by) = open.take_undelivered(machine).filter(|_| row.stage == Stage::Expected) {
            // Stored with the machine's next check-in.
            drop(self.registry.record_dial(machine, by, false, UnixSeconds::now()));
        }
        let mut offers = Vec::new();
        for (tree, stripe) in open.trees.iter().zip(0..) {
            let (sublist, proof) = tree
                .locate(machine)
                .ok_or_else(|| Refusal::forbidden(Reason::WrongPlatform, "the order has no file for this machine"))?;
            let offer = self
                .make_offer(StripeId { order: id, stripe }, &sublist, &proof)
                .map_err(|reason| Refusal::conflict(reason, reason.for_admin().what))?;
            offers.push(offer);
        }
        let mut holders = self.store.holders(id, 4 * MAX_HOLDERS).await?;
        holders.retain(|&holder| holder != machine && self.connections.is_online(holder));
        holders.truncate(MAX_HOLDERS as usize);
        info!(order = %id, %machine, "offers sent directly by the server");
        Ok(Help { offers, holders })
    }
}
