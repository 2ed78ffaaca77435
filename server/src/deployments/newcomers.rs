//! Newcomers: machines that a deployment's selection selects only after it began, because they enrolled later, or their
//! groups, tags or facts changed. They join while the deployment is open, with orders of their own, in the last ring.
//!
//! A machine joins the newest deployment of a package that selects it, and never an older one.

use crate::{
    deployments::{
        deploy::{Deployments, SelectedTargets, target},
        order_factory::{Batches, MAX_MACHINES, MadeOrder, Release, batches, unfit_target},
    },
    refusal::Refusal,
    store::{DeploymentRow, NewOrder, TargetRow},
};
use banyan_proto::{DeploymentId, MachineId, Reason, UnixSeconds};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often selections are looked at without a known change: facts of machines change with time.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a change, so that machines that enrol one after the other get one order.
const GATHER: Duration = Duration::from_secs(2);

/// Brings newcomers into deployments.
pub(crate) struct Newcomers {
    pub(crate) deployments: Arc<Deployments>,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl Newcomers {
    /// Looks for newcomers until the server stops.
    pub(crate) async fn keep_looking(self: Arc<Self>) {
        let mut failing = HashSet::new();
        let mut look = async || {
            drop(tokio::time::timeout(LOOK_EVERY, self.deployments.registry.changed()).await);
            tokio::time::sleep(GATHER).await;
            if let Err(refusal) = self.look(&mut failing).await {
                error!("failed to look for machines that join deployments: {refusal}");
            }
        };
        while self.stop.run_until_cancelled(look()).await.is_some() {}
    }

    /// Logs once for each deployment that its selection cannot be evaluated.
    async fn look(&self, failing: &mut HashSet<DeploymentId>) -> Result<(), Refusal> {
        let store = &self.deployments.store;
        let mut known = HashMap::<String, HashSet<MachineId>>::new();
        // Newest first: what a newer deployment has taken, older ones of the package do not get.
        for deployment in store.live_deployments().await? {
            if !deployment.takes_newcomers(UnixSeconds::now()) {
                continue;
            }
            let taken = known.entry(deployment.package.clone()).or_default();
            match self.deployments.add_newcomers(&deployment, taken).await {
                Ok(()) => {
                    failing.remove(&deployment.id);
                }
                // A group or site that its filter names no longer exists, for example. Others go on.
                Err(refusal) if failing.insert(deployment.id) => {
                    warn!(deployment = %deployment.id, "failed to look for machines that join the deployment: {refusal}");
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Deployments {
    /// Gives the machines that a deployment selects and does not have yet an order, except those in `taken`. Adds them
    /// there.
    async fn add_newcomers(&self, deployment: &DeploymentRow, taken: &mut HashSet<MachineId>) -> Result<(), Refusal> {
        if self.repository.has_withdrawn(&deployment.package, deployment.sequence) {
            return Ok(());
        }
        let selected = match self.select(&deployment.request).await {
            Ok(SelectedTargets { machines, .. }) => machines,
            // Nobody is selected at present.
            Err(refusal) if refusal.error.reason == Reason::NotFound => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        let accepting = self.orders.lock().await;
        taken.extend(self.store.machines_since(&deployment.package, deployment.number).await?);
        let new: Vec<_> = selected.into_iter().filter(|row| !taken.contains(&row.id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (manifest, text) = self.release_of(deployment).await?;
        let release = Release { manifest: &manifest, text: &text };
        let Batches { batches, unfit } = batches(&manifest, new, MAX_MACHINES);
        let mut made = Vec::new();
        for batch in batches {
            made.push(self.factory.make(deployment, &release, batch, None).await?);
        }
        let last_ring = deployment.rings - 1;
        let targets: Vec<TargetRow> = made
            .iter()
            .flat_map(|order| order.machines.iter().map(|row| target(row, last_ring, order)))
            .chain(unfit.iter().map(|row| unfit_target(row, last_ring)))
            .collect();
        let orders: Vec<NewOrder<'_>> = made.iter().map(MadeOrder::to_store).collect();
        let superseded = self.store.add_orders(deployment.id, &orders, &targets).await?;
        drop(orders);
        taken.extend(targets.iter().map(|target| target.machine));
        if let Some(superseded) = superseded {
            info!(deployment = %deployment.id, machines = targets.len(), "machines joined the deployment");
            self.start(made, superseded);
        }
        drop(accepting);
        Ok(())
    }
}
