//! The life of an order: forwarded by the server's own node, resumed after a restart, and ended when it expires or its
//! release is withdrawn.

use crate::{
    deadline_clock::DeadlineClock,
    deployments::active_orders::{ActiveOrder, ActiveOrders},
    net::peer_node::PeerNode,
    publishing::{artifacts::ArtifactStore, repository_cache::RepositoryCache, withdrawal::OpenDeployments},
    refusal::Refusal,
    store::{ServerIdentity, Store},
};
use async_trait::async_trait;
use banyan_proto::{DeploymentId, Digest, MachineId, OrderId, Reason, admin::Stage};
use banyan_swarm::io::OrderInput;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::MutexGuard;
use tracing::{error, info};

/// What happened to the machines that had not finished when an order expired.
const EXPIRED: &str = "the machine had not finished by then";
/// What happened to the machines that had not finished when a release was withdrawn.
const WITHDRAWN: &str = "the machine had not installed it before";

/// Starts, resumes and ends orders.
pub(crate) struct OrderLifecycle {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) active: Arc<ActiveOrders>,
    pub(crate) node: PeerNode,
    pub(crate) clock: Arc<DeadlineClock>,
    /// Held while a deployment is accepted, so that order numbers and superseding follow one sequence.
    pub(crate) accepting: tokio::sync::Mutex<()>,
}

impl OrderLifecycle {
    /// Waits until no deployment is being accepted. None is accepted while the guard lives.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, ()> {
        self.accepting.lock().await
    }

    /// Starts forwarding an order. Also called after a restart: offers are idempotent.
    pub(crate) fn start_forwarding(&self, open: &ActiveOrder) {
        let Some(node) = self.node.get() else { return };
        if open.content().is_none() {
            error!(order = %open.id(), "order not forwarded: its artifact is missing from the store");
            return;
        }
        open.offers().into_iter().for_each(|offer| node.input(OrderInput::StartRoot(offer)));
    }

    /// Opens an artifact again that was damaged or missing and has been uploaded since.
    pub(crate) fn restore_content(&self, digest: Digest) {
        for open in self.active.all().iter().filter(|open| open.artifact.digest == digest) {
            if open.restore_content() {
                info!(order = %open.id(), "the artifact was uploaded again; forwarding it");
                self.start_forwarding(open);
            }
        }
    }

    /// Stops forwarding an order.
    pub(crate) fn stop_forwarding(&self, id: OrderId, reason: Reason) {
        if let Some(node) = self.node.get() {
            node.input(OrderInput::Dropped(id, reason));
        }
    }

    /// Loads all unexpired orders after a start, and resumes forwarding those that are still open.
    pub(crate) async fn resume_all(&self) -> Result<(), Refusal> {
        let now = self.clock.now();
        let stopped: HashSet<OrderId> = self.store.stopped_orders(now).await?.into_iter().collect();
        for row in self.store.orders().await? {
            let (id, is_open) = (row.order.id, row.is_open);
            // Machines refuse an order of an earlier epoch; raising the epoch has already ended it.
            if row.order.epoch < self.server.epoch {
                continue;
            }
            if row.order.expires <= now {
                if is_open {
                    self.store.end_order(id, Reason::OrderExpired, EXPIRED).await?;
                }
                continue;
            }
            if self.repository.has_withdrawn(&row.order.package, row.order.sequence) {
                self.store.end_order(id, Reason::Withdrawn, WITHDRAWN).await?;
                continue;
            }
            let lists = self.store.lists(id).await?;
            let (package, sequence) = (row.order.package.clone(), row.order.sequence);
            let Ok(text) = self.repository.with(move |repository| repository.manifest(&package, sequence)).await else {
                continue;
            };
            let Some(open) = ActiveOrder::new(row, text, lists, &self.artifacts, false) else {
                error!(order = %id, "order not resumed: its manifest lacks its artifact; deploy again");
                continue;
            };
            let open = self.active.add(open);
            if is_open && !stopped.contains(&open.id()) {
                self.start_forwarding(&open);
            }
        }
        Ok(())
    }

    /// Returns an active order, or an error that says why it is not active.
    pub(crate) async fn find_active(&self, id: OrderId, machine: MachineId) -> Result<Arc<ActiveOrder>, Refusal> {
        if let Some(open) = self.active.get(id) {
            return Ok(open);
        }
        let order = self.store.order(id).await?;
        if order.is_some_and(|row| row.order.epoch < self.server.epoch) {
            return Err(Refusal::conflict(Reason::EpochBack, Reason::EpochBack.for_admin().what));
        }
        Err(self.why_not_active(id, machine).await)
    }

    /// Ends an order that has expired.
    pub(crate) async fn expire(&self, open: &Arc<ActiveOrder>) -> Result<(), Refusal> {
        self.store.end_order(open.id(), Reason::OrderExpired, EXPIRED).await?;
        self.stop_forwarding(open.id(), Reason::OrderExpired);
        self.active.remove(open.id());
        Ok(())
    }

    /// Explains why an order is not active, to a machine that asks about it.
    async fn why_not_active(&self, id: OrderId, machine: MachineId) -> Refusal {
        match self.store.addressee(id, machine).await {
            Ok(Some(row)) if row.stage == Stage::Failed => {
                let reason = row.reason.unwrap_or(Reason::OrderExpired);
                Refusal::conflict(reason, row.detail.unwrap_or_else(|| reason.for_admin().what.into()))
            }
            Ok(_) => Refusal::not_found(format!("there is no open order {id}")),
            Err(error) => error.into(),
        }
    }

    /// Adds the bytes that the server sent since the last call to the stored totals.
    pub(crate) async fn store_bytes_sent(&self) -> Result<(), Refusal> {
        for open in self.active.all() {
            let bytes = open.newly_served();
            if bytes > 0 {
                self.store.add_server_sent(open.id(), bytes).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl OpenDeployments for OrderLifecycle {
    /// Waits while a deployment is being accepted, so that none is missed.
    async fn end_withdrawn(&self) -> Result<Vec<DeploymentId>, Refusal> {
        let _one = self.lock().await;
        let mut ended = Vec::new();
        for open in self.active.all() {
            let (id, order) = (open.id(), &open.row.order);
            if !self.repository.has_withdrawn(&order.package, order.sequence) {
                continue;
            }
            if let Some(deployment) = self.store.end_order(id, Reason::Withdrawn, WITHDRAWN).await? {
                info!(order = %id, package = order.package, version = open.row.version, "order ended: release withdrawn");
                if !ended.contains(&deployment) {
                    ended.push(deployment);
                }
            }
            self.stop_forwarding(id, Reason::Withdrawn);
            self.active.remove(id);
        }
        Ok(ended)
    }
    fn needed_artifacts(&self) -> HashSet<Digest> {
        self.active.all().iter().map(|open| open.artifact.digest).collect()
    }
}
