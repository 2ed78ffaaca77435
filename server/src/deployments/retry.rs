//! Retries: a new order in the same deployment for exactly the machines that failed.

use crate::{
    deployments::{
        deploy::{Deployments, target},
        order_factory::{Batches, MAX_MACHINES, MadeOrder, Release, batches},
    },
    refusal::Refusal,
    store::{DeploymentRow, InstalledRow, MachineRow, NewOrder, TargetProgress, TargetRow},
};
use banyan_proto::{
    DeploymentId, MachineId, Manifest, Reason, UnixSeconds,
    admin::{DeploymentState, Retried, Stage},
};
use std::collections::HashMap;
use tracing::info;

/// Returns whether the machine's last attempt failed, and no other deployment took it over.
fn has_failed(target: &TargetProgress) -> bool {
    target.progress.as_ref().is_some_and(|row| row.stage == Stage::Failed && !row.is_replaced())
}

impl Deployments {
    /// Gives the machines that failed a new attempt, if `may_retry` says so. Machines that have the release now by other
    /// means are left out.
    pub(crate) async fn retry(
        &self,
        id: DeploymentId,
        may_retry: impl Fn(MachineId) -> bool,
    ) -> Result<Retried, Refusal> {
        // No other deployment is accepted meanwhile.
        let accepting = self.orders.lock().await;
        let missing = || Refusal::not_found(format!("there is no deployment {id}"));
        let deployment = self.store.deployment(id).await?.ok_or_else(missing)?;
        let mut targets = self.store.targets(id).await?;
        targets.retain(|target| may_retry(target.target.machine));
        let failed: HashMap<MachineId, u32> = targets
            .iter()
            .filter(|target| has_failed(target))
            .map(|target| (target.target.machine, target.target.ring))
            .collect();
        if failed.is_empty() {
            return Err(why_nothing_to_retry(&targets));
        }
        check_open(&deployment)?;
        let (manifest, text) = self.release_of(&deployment).await?;
        let taken: Vec<MachineId> = self.store.machines_since(&deployment.package, deployment.number + 1).await?;
        let repaired = self.repaired(&deployment).await?;
        let is_repaired = |row: &MachineRow| repaired.contains(&row.id);
        let all: Vec<MachineRow> = self
            .registry
            .all()
            .into_iter()
            .filter(|row| failed.contains_key(&row.id) && row.exclusion().is_none())
            .collect();
        let (repaired, mut again): (Vec<MachineRow>, Vec<MachineRow>) = all.into_iter().partition(is_repaired);
        again.retain(|row| !taken.contains(&row.id));
        let repaired: Vec<String> = repaired.iter().map(|row| row.name().to_owned()).collect();
        if again.is_empty() {
            let detail = if repaired.is_empty() {
                "the machines that failed are revoked, replaced, quarantined or taken over by a newer deployment, so they \
                 cannot be targets"
                    .to_owned()
            } else {
                format!("the machines that failed have the release now by other means: {}", repaired.join(", "))
            };
            return Err(Refusal::conflict(Reason::BadRequest, detail));
        }
        let release = Release { manifest: &manifest, text: &text };
        let Batches { batches, .. } = batches(&manifest, again, MAX_MACHINES);
        let mut made = Vec::new();
        for batch in batches {
            made.push(self.factory.make(&deployment, &release, batch, None).await?);
        }
        if deployment.state == DeploymentState::Halted {
            for row in made.iter_mut().flat_map(|order| &mut order.addressees) {
                row.reason = Some(Reason::Halted);
            }
        }
        let ring = |row: &MachineRow| failed.get(&row.id).copied().unwrap_or(deployment.rings - 1);
        let targets: Vec<TargetRow> =
            made.iter().flat_map(|order| order.machines.iter().map(|row| target(row, ring(row), order))).collect();
        let orders: Vec<NewOrder<'_>> = made.iter().map(MadeOrder::to_store).collect();
        let Some(superseded) = self.store.add_orders(id, &orders, &targets).await? else {
            return Err(Refusal::conflict(Reason::BadRequest, "the deployment has ended meanwhile"));
        };
        drop(orders);
        let retried = Retried {
            id,
            orders: made.iter().map(|order| order.row.order.id).collect(),
            machines: u32::try_from(targets.len()).unwrap_or(u32::MAX),
            repaired,
            is_halted: deployment.state == DeploymentState::Halted,
        };
        if deployment.state == DeploymentState::Halted {
            // The new orders wait, too, until the deployment is resumed.
            self.stop_lists.renew().await?;
        }
        self.start(made, superseded);
        drop(accepting);
        info!(deployment = %id, machines = retried.machines, repaired = retried.repaired.len(), "failed machines try again");
        Ok(retried)
    }

    /// Returns the machines that have the deployment's release.
    async fn repaired(&self, deployment: &DeploymentRow) -> Result<Vec<MachineId>, Refusal> {
        let installed = self.store.installed(&deployment.package).await?;
        let has_it = |row: &InstalledRow| row.version == deployment.version;
        Ok(installed.into_iter().filter(has_it).map(|row| row.machine).collect())
    }

    /// Returns the manifest of a deployment's release, and its text.
    pub(super) async fn release_of(&self, deployment: &DeploymentRow) -> Result<(Manifest, String), Refusal> {
        let DeploymentRow { package, sequence, version, .. } = deployment;
        let sequence = *sequence;
        if self.repository.has_withdrawn(package, sequence) {
            let detail = format!("{package} {version} has been withdrawn by its publisher");
            return Err(Refusal::conflict(Reason::Withdrawn, detail));
        }
        let name = package.clone();
        let text = self.repository.with(move |repository| repository.manifest(&name, sequence)).await?;
        let manifest = Manifest::parse(text.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        Ok((manifest, text))
    }
}

fn check_open(deployment: &DeploymentRow) -> Result<(), Refusal> {
    let why = match deployment.state {
        _ if deployment.expires <= UnixSeconds::now() => "has expired",
        DeploymentState::Superseded => "has been superseded by a newer one",
        DeploymentState::Cancelled => "has been cancelled",
        DeploymentState::Running | DeploymentState::Halted | DeploymentState::Finished => return Ok(()),
    };
    Err(Refusal::conflict(Reason::BadRequest, format!("the deployment {why}; run `banyan deploy` again instead")))
}

/// Says why a deployment has no machine that can be tried again.
fn why_nothing_to_retry(targets: &[TargetProgress]) -> Refusal {
    let replaced = targets.iter().filter_map(|target| target.progress.as_ref()).find(|row| row.is_replaced());
    match replaced {
        Some(row) => {
            let why = row.detail.as_deref().unwrap_or(Reason::OrderSuperseded.for_admin().what);
            Refusal::conflict(Reason::OrderSuperseded, format!("no machine has failed: {why}"))
        }
        None => Refusal::conflict(Reason::BadRequest, "no machine has failed in this deployment"),
    }
}
