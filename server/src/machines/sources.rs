//! Answers machines that ask for another source of a stripe, because nothing arrives (rules P12, P13).

use crate::{
    deployments::order_lifecycle::OrderLifecycle, identity::registry::Registry, machines::site_budgets::SiteBudgets,
    net::connections::Connections, refusal::Refusal,
};
use banyan_proto::{
    MachineId, UnixSeconds,
    api::{SourcesReply, SourcesRequest},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// How long reports are collected before one is answered: what holds machines up shows only in several of them.
const COLLECTING: Duration = Duration::from_millis(500);
/// The most requests that wait for an answer. Others are told that there is no better source, and ask again.
const MAX_WAITING: usize = 64;

/// Answers requests for better sources.
pub(crate) struct Sources {
    registry: Arc<Registry>,
    connections: Connections,
    orders: Arc<OrderLifecycle>,
    site_budgets: Arc<SiteBudgets>,
    waiting: Semaphore,
    started: Instant,
}

impl Sources {
    pub(crate) fn new(
        registry: Arc<Registry>,
        connections: Connections,
        orders: Arc<OrderLifecycle>,
        site_budgets: Arc<SiteBudgets>,
    ) -> Self {
        Self {
            registry,
            connections,
            orders,
            site_budgets,
            waiting: Semaphore::new(MAX_WAITING),
            started: Instant::now(),
        }
    }

    /// Names a machine that may be a better source for `machine`.
    pub(crate) async fn answer(&self, machine: MachineId, request: &SourcesRequest) -> Result<SourcesReply, Refusal> {
        let open = self.orders.find_active(request.order, machine).await?;
        open.sources().record_holdup(self.started.elapsed(), machine, request);
        let Ok(_place) = self.waiting.try_acquire() else { return Ok(SourcesReply::default()) };
        tokio::time::sleep(COLLECTING).await;
        let now = UnixSeconds::now();
        let is_available = |id| {
            let is_there = || self.connections.is_online(id) && self.registry.exclusion(id).is_none();
            // A machine that gets nothing at all may use the uplink of its site.
            let may_cross = request.starves || self.site_budgets.may_cross(machine, request.source, id);
            may_cross && (id == open.row.order.server || is_there() && self.registry.can_dial(machine, id, now))
        };
        let named = open.sources().advise(self.started.elapsed(), machine, request.stripe, is_available);
        if let Some(named) = named {
            let (label, named) = (self.registry.name(machine), self.registry.name(named));
            tracing::debug!(order = %request.order, machine = label, named, "a better source was named");
        }
        Ok(SourcesReply { machines: Vec::from_iter(named), hints: self.registry.hints(named.into_iter()) })
    }
}
