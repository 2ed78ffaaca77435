//! The deployments' status, for administrators.

use crate::{
    deadline_clock::DeadlineClock,
    deployments::{
        active_orders::{ActiveOrder, ActiveOrders},
        reachability::Reachability,
        ring_progress::{RingProgress, count_in, describe_missing, ring_progress, verdict_of},
    },
    identity::registry::Registry,
    net::connections::Connections,
    refusal::Refusal,
    store::{AddresseeRow, DeploymentRow, OrderRow, ServerIdentity, Store, TargetProgress},
};
use banyan_proto::{
    DeploymentId, Digest, MachineId, OrderId, Reason, UnixSeconds,
    admin::{
        AddresseeStatus, Attempt, DeploymentState, DeploymentStatus, OrderStatus, RingStatus, RingVerdict, Stage,
        Totals,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Builds the status of deployments.
pub(crate) struct DeploymentStatuses {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) active_orders: Arc<ActiveOrders>,
    pub(crate) connections: Connections,
    pub(crate) reachability: Arc<Reachability>,
    pub(crate) clock: Arc<DeadlineClock>,
}

/// An order with its trees, as long as it is active.
struct KnownOrder {
    row: OrderRow,
    open: Option<Arc<ActiveOrder>>,
    damage: Option<String>,
}

/// Shows that a machine waits for the administrator. What it said before the halt, or what it lacks, does not matter then.
fn show_halt(machine: &mut AddresseeStatus) {
    let keeps = matches!(machine.reason, Some(Reason::FailedElsewhere | Reason::ServerFileDamaged));
    if machine.stage < Stage::Installing && !keeps {
        (machine.reason, machine.detail) = (Some(Reason::Halted), None);
    }
}

impl DeploymentStatuses {
    /// Returns the status of the newest deployments, or all, without their target machines, newest first.
    pub(crate) async fn newest(&self, limit: Option<u32>) -> Result<Vec<DeploymentStatus>, Refusal> {
        let mut statuses = Vec::new();
        for row in self.store.deployments(limit).await? {
            let (counts, replaced) = self.store.counts(row.id).await?;
            let orders = self.known_orders(row.id).await?;
            // Who is connected matters only while somebody has not finished.
            let targets = if row.state.is_open() { self.store.targets(row.id).await? } else { vec![] };
            let status = self.status_of(&row, &orders, &targets);
            let totals = if row.state.is_open() { status.totals } else { ended_totals(&counts, replaced) };
            statuses.push(DeploymentStatus { replaced, counts, totals, orders: vec![], ..status });
        }
        Ok(statuses)
    }

    /// Returns the status of one deployment with all its target machines. The id can be that of any of its orders, which
    /// machines' logs name.
    pub(crate) async fn get(&self, id: DeploymentId) -> Result<DeploymentStatus, Refusal> {
        let row = match self.store.deployment(id).await? {
            Some(row) => Some(row),
            None => self.store.deployment_of(id.first_order()).await?,
        };
        let row = row.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        let targets = self.store.targets(row.id).await?;
        let mut attempts = HashMap::<MachineId, Vec<Attempt>>::new();
        for (machine, attempt) in self.store.attempts(row.id).await? {
            attempts.entry(machine).or_default().push(attempt);
        }
        let mut counts = BTreeMap::<Stage, u32>::new();
        for target in &targets {
            *counts.entry(target.progress.as_ref().map_or(Stage::Failed, |row| row.stage)).or_default() += 1;
        }
        let is_replaced = |target: &&TargetProgress| target.progress.as_ref().is_some_and(AddresseeRow::is_replaced);
        let replaced = u32::try_from(targets.iter().filter(is_replaced).count()).unwrap_or(u32::MAX);
        let orders = self.known_orders(row.id).await?;
        let status = self.status_of(&row, &orders, &targets);
        let waits = self.describe_ring_wait(&row, &status);
        let by_id: HashMap<OrderId, &KnownOrder> = orders.iter().map(|order| (order.row.order.id, order)).collect();
        let mut addressees: Vec<AddresseeStatus> = targets
            .into_iter()
            .map(|target| {
                let order = target.target.order.and_then(|id| by_id.get(&id).copied());
                let attempts = attempts.remove(&target.target.machine).unwrap_or_default();
                self.addressee(target, order, attempts, waits.as_deref())
            })
            .collect();
        if row.state == DeploymentState::Halted {
            addressees.iter_mut().for_each(show_halt);
        }
        Ok(DeploymentStatus { replaced, counts: counts.into_iter().collect(), addressees, ..status })
    }

    async fn known_orders(&self, id: DeploymentId) -> Result<Vec<KnownOrder>, Refusal> {
        let known = |row: OrderRow| {
            let open = self.active_orders.get(row.order.id);
            let damage = open.as_ref().and_then(|open| open.damage());
            KnownOrder { row, open, damage }
        };
        Ok(self.store.orders_of(id).await?.into_iter().map(known).collect())
    }

    /// Says what the machines of later rings wait for.
    fn describe_ring_wait(&self, row: &DeploymentRow, status: &DeploymentStatus) -> Option<String> {
        let open = status.rings.iter().find(|ring| ring.ring == row.open_ring + 1)?;
        let since = self.clock.now().0.saturating_sub(row.ring_since.0) / 60;
        match &open.verdict {
            RingVerdict::Undecided(missing) => {
                let missing = describe_missing(missing, self.clock.now());
                Some(format!("ring {} of {}: {missing}; open for {since} min", open.ring, row.rings))
            }
            _ => None,
        }
    }

    fn addressee(
        &self,
        target: TargetProgress,
        order: Option<&KnownOrder>,
        attempts: Vec<Attempt>,
        ring_wait: Option<&str>,
    ) -> AddresseeStatus {
        let TargetProgress { target, progress, .. } = target;
        let has_order = progress.is_some();
        let row = progress.unwrap_or_else(|| AddresseeRow {
            stage: Stage::Failed,
            reason: target.reason,
            detail: target.detail.clone(),
            ..AddresseeRow::expected(target.machine)
        });
        let damage = order.and_then(|order| order.damage.as_ref());
        let (reason, detail) = match (damage, row.reason) {
            // Without content at the server, machines only notice that they get none.
            (Some(damage), None | Some(Reason::NoSource | Reason::Unreachable)) if row.stage < Stage::Verified => {
                (Some(Reason::ServerFileDamaged), Some(damage.clone()))
            }
            // What the machine was told is old; the ring before has moved on since.
            (_, Some(Reason::WaitsForRing)) if ring_wait.is_some() => {
                let detail = ring_wait.map(|wait| format!("this machine is in ring {}; {wait}", target.ring + 1));
                (Some(Reason::WaitsForRing), detail)
            }
            (_, reason) => (reason, row.detail.clone()),
        };
        let chunks = order.map_or(0, |order| order.row.chunks);
        AddresseeStatus {
            id: row.machine,
            label: self.registry.name(row.machine),
            stage: row.stage,
            chunks: (if row.verified_after.is_some() { chunks } else { row.held }, chunks),
            reason,
            detail,
            planned: order
                .and_then(|order| order.open.as_ref())
                .iter()
                .flat_map(|open| &open.trees)
                .filter_map(|tree| tree.planned_sender(row.machine))
                .collect(),
            sources: row.sources,
            verified_after: row.verified_after,
            installed_after: row.installed_after,
            ring: target.ring + 1,
            online: self.connections.is_online(row.machine),
            order: target.order.filter(|_| has_order),
            attempts,
        }
    }

    fn status_of(&self, row: &DeploymentRow, orders: &[KnownOrder], targets: &[TargetProgress]) -> DeploymentStatus {
        let is_reachable = |machine| self.reachability.is_reachable(machine);
        let mut totals = Totals::default();
        for target in targets {
            count_in(&mut totals, target.progress.as_ref(), is_reachable(target.target.machine));
        }
        let now = self.clock.now();
        let rings = if row.rings > 1 && !targets.is_empty() {
            let progress = ring_progress(targets, row.rings, is_reachable);
            let ring = |(ring, progress): (u32, &RingProgress)| RingStatus {
                ring: ring + 1,
                totals: progress.totals,
                verdict: verdict_of(row, ring, progress, now),
            };
            (0..row.rings).zip(&progress).map(ring).collect()
        } else {
            vec![]
        };
        let sent = |order: &KnownOrder| order.row.server_sent + order.open.as_ref().map_or(0, |open| open.uncounted());
        let sizes: BTreeMap<Digest, u64> =
            orders.iter().map(|order| (order.row.order.artifact, order.row.size)).collect();
        let order_status = |order: &KnownOrder| OrderStatus {
            id: order.row.order.id,
            platform: order.row.order.platform.clone(),
            size: order.row.size,
            server_sent: sent(order),
            machines: order.row.order.stripes.first().map_or(0, |root| root.size.saturating_sub(1)),
        };
        DeploymentStatus {
            id: row.id,
            package: row.package.clone(),
            version: row.version.clone(),
            state: row.state,
            accepted: UnixSeconds(row.accepted_ms / 1000),
            size: sizes.values().sum(),
            stripes: orders.first().map_or(0, |order| u8::try_from(order.row.order.stripes.len()).unwrap_or(u8::MAX)),
            server: self.server.id,
            counts: vec![],
            replaced: 0,
            server_sent: orders.iter().map(sent).sum(),
            server_copies: row.request.server_copies,
            totals,
            rings,
            halt: row.halt.clone(),
            takes_newcomers: row.takes_newcomers(now),
            orders: orders.iter().map(order_status).collect(),
            addressees: vec![],
        }
    }
}

/// Returns the totals of a deployment in which nobody is left. Replaced machines are the only excluded ones known here.
fn ended_totals(counts: &[(Stage, u32)], replaced: u32) -> Totals {
    let at = |stage| counts.iter().find(|(at, _)| *at == stage).map_or(0, |(_, count)| *count);
    Totals {
        done: at(Stage::Installed),
        failed: at(Stage::Failed).saturating_sub(replaced),
        excluded: replaced,
        ..Totals::default()
    }
}
