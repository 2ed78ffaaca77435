//! Applies the gates of rings: opens the next ring, or halts the deployment. Each step is one transaction, so a server
//! that was killed continues where it was.

use crate::{
    audit::AuditLog,
    deadline_clock::DeadlineClock,
    deployments::{
        gate::GateFailure,
        reachability::Reachability,
        ring_progress::{GateStep, RingProgress, next_step, ring_progress},
        stop_lists::StopLists,
    },
    identity::registry::Registry,
    machines::permit_queue::PermitQueue,
    refusal::Refusal,
    store::{DeploymentRow, NewEvent, StateChange, Store},
};
use banyan_proto::{
    DeploymentId, OrderId, Reason,
    admin::{DeploymentState, Halt},
    rollout::SAME_FAILURES,
    server_events::EventKind,
};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often gates are looked at without a report: machines connect and disconnect.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The shortest time between two looks. One look serves all machines that report meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Applies the gates of rings.
pub(crate) struct RingGates {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) reachability: Arc<Reachability>,
    pub(crate) clock: Arc<DeadlineClock>,
    pub(crate) permit_queue: Arc<PermitQueue>,
    pub(crate) stop_lists: Arc<StopLists>,
    /// The rings of which administrators know that their gates cannot pass by themselves.
    pub(crate) blocked: Mutex<HashMap<DeploymentId, u32>>,
    pub(crate) audit: Arc<AuditLog>,
    /// Fires when a machine has reported the end of an installation.
    pub(crate) reported: Notify,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl RingGates {
    /// Looks at the gates of all running deployments, until the server stops.
    pub(crate) async fn keep_looking(self: Arc<Self>) {
        // A server that was killed may have stored a failure without looking at it.
        if let Err(refusal) = self.look_after_start().await {
            error!("failed to look at the gates of the rings: {refusal}");
        }
        let look = async || {
            let started = Instant::now();
            let next = match self.look().await {
                Ok(next) => next,
                Err(refusal) => {
                    error!("failed to look at the gates of the rings: {refusal}");
                    LOOK_EVERY
                }
            };
            // With many machines a look takes long; it must not take all of the server's time.
            tokio::time::sleep(LOOK_PAUSE.max(4 * started.elapsed())).await;
            drop(tokio::time::timeout(next, self.reported.notified()).await);
        };
        while self.stop.run_until_cancelled(look()).await.is_some() {}
    }

    /// Looks at the gates of deployments that have finished and take newcomers.
    async fn look_after_start(&self) -> Result<(), Refusal> {
        for deployment in self.store.live_deployments().await? {
            if deployment.request.rollout.is_gated() {
                self.evaluate(deployment).await?;
            }
        }
        Ok(())
    }

    /// Looks at all gates. Returns when to look again.
    async fn look(&self) -> Result<Duration, Refusal> {
        let mut next = LOOK_EVERY;
        for deployment in self.store.running_deployments().await? {
            if deployment.request.rollout.is_gated() {
                next = next.min(self.evaluate(deployment).await?);
            }
        }
        Ok(next)
    }

    /// Looks at the gates of an order's deployment, because a machine has reported that the release failed there.
    pub(crate) async fn on_failure(&self, order: OrderId) -> Result<(), Refusal> {
        if let Some(deployment) = self.store.deployment_of(order).await?
            && deployment.request.rollout.is_gated()
        {
            self.evaluate(deployment).await?;
        }
        Ok(())
    }

    /// Takes all steps that are due. Returns when to look again.
    async fn evaluate(&self, mut deployment: DeploymentRow) -> Result<Duration, Refusal> {
        while matches!(deployment.state, DeploymentState::Running | DeploymentState::Finished)
            && deployment.halt.is_none()
        {
            let targets = self.store.targets(deployment.id).await?;
            let is_reachable = |machine| self.reachability.is_reachable(machine);
            let progress = ring_progress(&targets, deployment.rings, is_reachable);
            let now = self.clock.now();
            match next_step(&deployment, &progress, now) {
                GateStep::Halt(ring, failure) => {
                    self.halt(&deployment, ring, failure, &progress).await?;
                    break;
                }
                GateStep::OpenNext => {
                    let from = deployment.open_ring;
                    if !self.store.open_ring(deployment.id, from, now).await? {
                        break;
                    }
                    info!(deployment = %deployment.id, ring = from + 2, of = deployment.rings, "ring opened");
                    let (object, ring) = (format!("deployment:{}", deployment.id), json!({ "ring": from + 2 }));
                    self.audit.record_system("gate", "open_ring", object, None, Some(ring)).await;
                    (deployment.open_ring, deployment.ring_since) = (from + 1, now);
                    self.permit_queue.record_freed_place();
                }
                GateStep::Wait(Some(until)) => {
                    return Ok(Duration::from_secs(until.0.saturating_sub(now.0)).clamp(LOOK_PAUSE, LOOK_EVERY));
                }
                GateStep::Wait(None) => {
                    self.blocked.lock().unwrap_or_else(PoisonError::into_inner).remove(&deployment.id);
                    break;
                }
                GateStep::Blocked => {
                    self.tell_blocked(&deployment).await?;
                    break;
                }
            }
        }
        Ok(LOOK_EVERY)
    }

    /// Tells administrators, once for each ring, that a gate cannot pass without them.
    async fn tell_blocked(&self, deployment: &DeploymentRow) -> Result<(), Refusal> {
        let ring = deployment.open_ring + 1;
        let known = self.blocked.lock().unwrap_or_else(PoisonError::into_inner).insert(deployment.id, ring);
        if known != Some(ring) {
            warn!(deployment = %deployment.id, ring, "nobody is left who could report, so the gate cannot pass by itself");
            let detail = format!("ring {ring} of {}", deployment.rings);
            let event = NewEvent { detail, ..NewEvent::of_deployment(EventKind::GateBlocked, deployment.id) };
            self.store.record_event(event).await?;
        }
        Ok(())
    }

    async fn halt(
        &self,
        deployment: &DeploymentRow,
        ring: u32,
        failure: GateFailure,
        progress: &[RingProgress],
    ) -> Result<(), Refusal> {
        let of_ring = usize::try_from(ring).ok().and_then(|ring| progress.get(ring));
        let machines = of_ring.map(RingProgress::first_failed).unwrap_or_default();
        let names: Vec<String> = machines.iter().map(|machine| self.registry.name(*machine)).collect();
        let GateFailure { failed, of, reason, is_same } = failure;
        let why = if is_same { format!("; {SAME_FAILURES} failed alike") } else { String::new() };
        let halt = Halt {
            at: self.clock.now(),
            ring: Some(ring + 1),
            failed,
            of,
            reason: Some(reason),
            machines,
            detail: format!(
                "ring {} of {}: halted when the release had failed on {failed} of {of} machines, first on {}{why}: {reason}",
                ring + 1,
                deployment.rings,
                names.join(", "),
            ),
        };
        if matches!(self.store.halt(deployment.id, &halt, halt.at).await?, StateChange::Changed(_)) {
            warn!(deployment = %deployment.id, ring = ring + 1, failed, of, "deployment halted by its gate: {reason}");
            self.stop_lists.stop(deployment.id).await?;
            let after = serde_json::to_value(&halt).ok();
            self.audit
                .record_system("gate", "halt_deployment", format!("deployment:{}", deployment.id), None, after)
                .await;
        }
        Ok(())
    }

    /// Opens the ring after the open one although its gate has not passed. Returns the number of the ring that is open
    /// now; `None` if there is no further one, or the deployment is not running.
    pub(crate) async fn open_next(&self, id: DeploymentId) -> Result<Option<u32>, Refusal> {
        let Some(deployment) = self.store.deployment(id).await? else {
            return Err(Refusal::not_found(format!("there is no deployment {id}")));
        };
        let why = match deployment.state {
            DeploymentState::Halted => Some("is halted; resume it first"),
            DeploymentState::Superseded => Some("has been superseded by a newer one"),
            DeploymentState::Cancelled => Some("has been cancelled"),
            DeploymentState::Finished => Some("has ended"),
            DeploymentState::Running if deployment.rings == 1 => Some("has no rings"),
            DeploymentState::Running if deployment.open_ring + 1 >= deployment.rings => Some("has its last ring open"),
            DeploymentState::Running => None,
        };
        if let Some(why) = why {
            return Err(Refusal::conflict(Reason::BadRequest, format!("the deployment {why}")));
        }
        let opened = self.store.open_ring(id, deployment.open_ring, self.clock.now()).await?;
        if opened {
            info!(deployment = %id, ring = deployment.open_ring + 2, "ring opened by an administrator");
            self.permit_queue.record_freed_place();
            self.reported.notify_one();
        }
        Ok(opened.then_some(deployment.open_ring + 2))
    }
}
