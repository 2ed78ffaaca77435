//! Install permits, which a machine must have before it installs (rules A5, A6, A9).

use crate::{
    deadline_clock::DeadlineClock,
    identity::{registry::Registry, secrets::Secrets},
    machines::permit_queue::PermitQueue,
    net::{connections::Connections, wake_ups::WakeUps},
    publishing::repository_cache::RepositoryCache,
    refusal::Refusal,
    store::{AddresseeRow, DeploymentRow, OrderRow, ServerIdentity, Store},
    suspicion_log::{Event, SuspicionLog},
};
use axum::http::StatusCode;
use banyan_proto::{
    InstallPermit, MachineId, OrderId, Reason, Signed, UnixSeconds,
    admin::{DeploymentState, Stage},
    order::Spread,
};
use banyan_swarm::permit_limit::{ReleaseProof, free_places, may_install as may_install_release};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// The shortest time between two looks at the free places. One look serves all machines that report meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How often free places are looked for without a report: permits expire, and machines are excluded or come online.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Issues install permits.
pub(crate) struct InstallPermits {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) suspicions: SuspicionLog,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<DeadlineClock>,
    pub(crate) connections: Connections,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) permit_queue: Arc<PermitQueue>,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
    /// Held while a permit with a limited number is decided.
    pub(crate) limited: tokio::sync::Mutex<()>,
}

impl InstallPermits {
    /// Issues an install permit, while the deployment runs and the publishers still list the release. A machine that
    /// must wait for others is invited when a place becomes free.
    pub(crate) async fn issue(&self, machine: MachineId, id: OrderId) -> Result<Signed<InstallPermit>, Refusal> {
        let issued = self.decide(machine, id).await;
        match &issued {
            Err(refusal) if may_be_invited(refusal.error.reason) => {
                let ring = match self.store.deployment_of(id).await? {
                    Some(deployment) => self.store.target_ring(deployment.id, machine).await?,
                    None => None,
                };
                self.permit_queue.add(id, machine, ring.unwrap_or_default());
            }
            Ok(_) | Err(_) => self.permit_queue.remove(id, machine),
        }
        issued
    }

    /// Invites waiting machines to free places, until the server stops.
    pub(crate) async fn keep_inviting(self: Arc<Self>) {
        let freed = async || {
            drop(tokio::time::timeout(LOOK_EVERY, self.permit_queue.freed_place()).await);
            for order in self.permit_queue.orders() {
                if let Err(refusal) = self.invite(order).await {
                    error!(%order, "failed to look for free places to install: {refusal}");
                }
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        };
        while self.stop.run_until_cancelled(freed()).await.is_some() {}
    }

    async fn invite(&self, order: OrderId) -> Result<(), Refusal> {
        let (row, deployment) = (self.store.order(order).await?, self.store.deployment_of(order).await?);
        let (Some(row), Some(deployment)) = (row, deployment) else {
            self.permit_queue.remove_order(order);
            return Ok(());
        };
        let places = match deployment.state {
            DeploymentState::Running => free_places(row.order.spread, self.proof_of(&row, None).await?.0),
            // They wait until it is resumed.
            DeploymentState::Halted => return Ok(()),
            // They ask once more and learn that it has ended.
            DeploymentState::Superseded | DeploymentState::Finished | DeploymentState::Cancelled => usize::MAX,
        };
        let open_ring = if deployment.state == DeploymentState::Running { deployment.open_ring } else { u32::MAX };
        let is_online = |machine| self.connections.is_online(machine);
        for machine in self.permit_queue.invite(order, places, open_ring, is_online, Instant::now()) {
            self.wake_ups.wake(machine);
        }
        if deployment.state != DeploymentState::Running {
            self.permit_queue.remove_order(order);
        }
        Ok(())
    }

    async fn decide(&self, machine: MachineId, id: OrderId) -> Result<Signed<InstallPermit>, Refusal> {
        let row = self.store.addressee(id, machine).await?;
        let row =
            row.ok_or_else(|| Refusal::forbidden(Reason::NotAddressed, "this machine is not a target of the order"))?;
        if row.is_over() && row.reason == Some(Reason::Withdrawn) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.for_admin().what));
        }
        if self.store.receipt(id, machine).await?.is_none() {
            let detail = "install permit requested without a receipt";
            self.suspicions.record(&Event::of(machine, Some(id), Reason::CodeWrong, detail));
            let detail = "an install permit requires a receipt for the artifact";
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let order = self.store.order(id).await?;
        let order = order.ok_or_else(|| Refusal::not_found(format!("there is no order {id}")))?;
        let deployment = self.store.deployment_of(id).await?;
        let deployment = deployment.ok_or_else(|| Refusal::not_found(format!("order {id} has no deployment")))?;
        if row.reason == Some(Reason::OrderSuperseded) {
            return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.for_admin().what));
        }
        if order.order.epoch < self.server.epoch {
            return Err(Refusal::conflict(Reason::EpochBack, Reason::EpochBack.for_admin().what));
        }
        if order.order.expires <= self.clock.now() {
            return Err(Refusal::conflict(Reason::OrderExpired, Reason::OrderExpired.for_admin().what));
        }
        match deployment.state {
            DeploymentState::Running => {}
            DeploymentState::Halted => return Err(halted(&deployment)),
            // Machines that had a permit may go on.
            DeploymentState::Cancelled if !row.is_over() => {}
            DeploymentState::Cancelled => {
                return Err(Refusal::conflict(Reason::Cancelled, Reason::Cancelled.for_admin().what));
            }
            DeploymentState::Superseded => {
                return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.for_admin().what));
            }
            DeploymentState::Finished => {
                return Err(Refusal::conflict(Reason::WaitsForPermit, "the deployment has ended"));
            }
        }
        if self.repository.has_withdrawn(&order.order.package, order.order.sequence) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.for_admin().what));
        }
        if !self.repository.lists(order.order.manifest) {
            return Err(Refusal::conflict(Reason::NotPublished, "this release is not on the publishers' list"));
        }
        if deployment.rings > 1 {
            self.check_ring(&deployment, machine).await?;
        }
        let limited = match order.order.spread {
            Spread::CutThrough | Spread::Verified => None,
            // Held until the permit is recorded, so that permits never exceed the limit together.
            Spread::Proven | Spread::AfterInstall => Some(self.limited.lock().await),
        };
        if limited.is_some() {
            self.check_limit(&order, machine).await?;
        }
        let versions = self.repository.snapshot().versions.ok_or_else(|| {
            let detail = "the server's signed metadata has expired; see the server's log";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Reason::MetadataExpired, detail)
        })?;
        // Recorded for gated deployments as well: who halts one learns how many may still be installing.
        if limited.is_some() || deployment.request.rollout.is_gated() {
            self.store.record_permit(id, machine, UnixSeconds::now()).await?;
        }
        info!(order = %id, %machine, "install permit issued");
        Ok(self.secrets.orders.sign(&InstallPermit {
            order: id,
            machine,
            issued: UnixSeconds::now(),
            epoch: self.server.epoch,
            timestamp_version: versions.timestamp,
            snapshot_version: versions.snapshot,
        }))
    }

    /// Refuses while the machine's ring is not open.
    async fn check_ring(&self, deployment: &DeploymentRow, machine: MachineId) -> Result<(), Refusal> {
        let ring = self.store.target_ring(deployment.id, machine).await?.unwrap_or(deployment.rings - 1);
        if ring <= deployment.open_ring {
            return Ok(());
        }
        let detail = format!("ring {} of {}; ring {} is open", ring + 1, deployment.rings, deployment.open_ring + 1);
        Err(Refusal::conflict(Reason::WaitsForRing, detail))
    }

    /// Refuses while enough machines install the release unproven, or after it has failed on one (rule A9).
    async fn check_limit(&self, order: &OrderRow, machine: MachineId) -> Result<(), Refusal> {
        let (proof, installing) = self.proof_of(order, Some(machine)).await?;
        may_install_release(order.order.spread, proof).map_err(|reason| {
            let detail = match reason {
                Reason::WaitsForProof => {
                    let names: Vec<String> = installing.iter().take(NAMED).map(|id| self.registry.name(*id)).collect();
                    let more = installing.len().saturating_sub(NAMED);
                    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                    format!("passed on {}; being installed on {}{more}", machines(proof.proven), names.join(", "))
                }
                _ => format!("deployment {}", order.deployment.short()),
            };
            Refusal::conflict(reason, detail)
        })
    }

    /// Returns what is known of the release, and the machines that may be installing it, except one.
    async fn proof_of(
        &self,
        order: &OrderRow,
        except: Option<MachineId>,
    ) -> Result<(ReleaseProof, Vec<MachineId>), Refusal> {
        let evidence = self.store.evidence(order).await?;
        let now = UnixSeconds::now();
        let may_install = |row: &&AddresseeRow| Some(row.machine) != except && self.may_be_installing(row, now);
        let installing: Vec<MachineId> = evidence.permitted.iter().filter(may_install).map(|row| row.machine).collect();
        let proof = ReleaseProof {
            proven: evidence.proven,
            failed: evidence.failures.iter().filter(|reason| reason.tells_against_release()).count(),
            installing: installing.len(),
        };
        Ok((proof, installing))
    }

    /// Returns whether a machine with a permit may be installing. A machine that fell silent after it got the permit
    /// counts until it is heard of again: the release may be what silenced it.
    fn may_be_installing(&self, row: &AddresseeRow, now: UnixSeconds) -> bool {
        let Some(machine) = self.registry.get(row.machine).filter(|machine| machine.exclusion().is_none()) else {
            return false;
        };
        let expiry = row.permitted.unwrap_or_default().plus(InstallPermit::SECONDS);
        row.stage == Stage::Installing || now < expiry || machine.seen < expiry
    }
}

/// Returns whether a machine that was refused for this reason is told when it can ask again with success.
fn may_be_invited(reason: Reason) -> bool {
    matches!(reason, Reason::WaitsForProof | Reason::WaitsForRing | Reason::Halted | Reason::FailedElsewhere)
}

/// Refuses because the deployment is halted: by failures, or by an administrator.
fn halted(deployment: &DeploymentRow) -> Refusal {
    match &deployment.halt {
        Some(halt) if halt.ring.is_some() => Refusal::conflict(Reason::FailedElsewhere, halt.detail.clone()),
        Some(_) | None => Refusal::conflict(Reason::Halted, Reason::Halted.for_admin().what),
    }
}

/// The most machines that a refusal names.
const NAMED: usize = 3;

fn machines(count: usize) -> String {
    if count == 1 { "1 machine".into() } else { format!("{count} machines") }
}
