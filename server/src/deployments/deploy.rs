//! Deployments: turns an administrator's request into signed, stored orders and sends them down their trees.

use crate::{
    deployments::{
        active_orders::now_ms,
        order_factory::{Batches, MAX_MACHINES, MadeOrder, OrderFactory, Release, batches, unfit_target},
        order_lifecycle::OrderLifecycle,
        rings::{RingCandidate, assign_rings},
        selections::{Selected, Selections, describe_names, group_names},
        stop_lists::StopLists,
    },
    identity::registry::Registry,
    net::wake_ups::WakeUps,
    publishing::repository_cache::RepositoryCache,
    refusal::Refusal,
    store::{DeploymentRow, MachineRow, NewDeployment, NewOrder, Store, TargetRow},
};
use axum::http::StatusCode;
use banyan_proto::{
    DeploymentId, MachineId, Manifest, OrderId, Reason, Site, UnixSeconds,
    admin::{Deploy, Deployed, DeploymentState, SelectedMachines, Selection},
    assignments::PROTECTED_TAG,
    order::Spread,
    rollout::{FailureLimit, Rollout},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::MutexGuard;
use tracing::info;

const DAY: u64 = 24 * 3600;
/// Lifetime of a deployment and its orders (seconds). Machines do not act on them afterwards.
const LIFETIME_SECONDS: u64 = 30 * DAY;

pub(super) fn unprocessable(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
}

/// Accepts deployments.
pub(crate) struct Deployments {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) selections: Arc<Selections>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) stop_lists: Arc<StopLists>,
    pub(crate) factory: Arc<OrderFactory>,
}

/// The machines that a request selects.
pub(super) struct SelectedTargets {
    pub(super) machines: Vec<MachineRow>,
    pub(super) counts: SelectedMachines,
}

impl Deployments {
    /// Accepts a deployment. When this returns, the deployment is on disk and under way.
    pub(crate) async fn deploy(&self, request: Deploy) -> Result<Deployed, Refusal> {
        if !(1..=2).contains(&request.stripes) {
            return Err(Refusal::bad(format!("{} stripes requested; the number must be 1 or 2", request.stripes)));
        }
        if request.stripes > 1 && request.spread.withholds() {
            let detail = format!(
                "{} stripes do not work with this spread: machines would wait for each other, since each withholds \
                 the content until it has all of it",
                request.stripes
            );
            return Err(unprocessable(Reason::NeedsOneStripe, detail));
        }
        if !request.server_copies.is_one() && request.spread.withholds() {
            return Err(Refusal::bad(
                "more than one copy from the server (--server-copies) does not work with this spread: each machine \
                 withholds the content until it has all of it, so the server cannot see who lacks a source; leave one of \
                 the two out",
            ));
        }
        if request.deadline.is_some_and(|deadline| deadline > UnixSeconds::now().plus(LIFETIME_SECONDS)) {
            let days = LIFETIME_SECONDS / DAY;
            return Err(Refusal::bad(format!(
                "a deployment ends after {days} days, so a later deadline has no effect; choose an earlier one"
            )));
        }
        if matches!(request.spread, Spread::Proven | Spread::AfterInstall)
            && request.rollout.gates.max_failures.is_some_and(|limit| limit != FailureLimit::Machines(0))
        {
            return Err(Refusal::bad(
                "with this spread, one failure stops all further installations, so more failures cannot be allowed; leave \
                 out --max-failures, or use --spread cut-through",
            ));
        }
        request.rollout.check().map_err(|error| Refusal::bad(error.to_string()))?;
        let accepting = self.orders.lock().await;
        let (manifest, text) = self.find_release(&request.package, request.version.as_deref()).await?;
        self.accept(&accepting, request, &manifest, text).await
    }

    /// Accepts a deployment of this release. The guard ensures that one is accepted at a time.
    pub(crate) async fn accept(
        &self,
        _: &MutexGuard<'_, ()>,
        request: Deploy,
        manifest: &Manifest,
        text: String,
    ) -> Result<Deployed, Refusal> {
        let SelectedTargets { machines, counts } = self.select(&request).await?;
        let first_order = OrderId::random();
        let (id, now) = (DeploymentId::of_first_order(first_order), UnixSeconds::now());
        let Batches { batches, unfit } = batches(manifest, machines, MAX_MACHINES);
        if batches.is_empty() {
            let detail = format!("{} {} has no file for any of these machines", manifest.package, manifest.version);
            return Err(unprocessable(Reason::WrongPlatform, detail));
        }
        let candidates: Vec<RingCandidate> =
            batches.iter().flat_map(|batch| &batch.machines).map(ring_candidate).collect();
        let rings = assign_rings(id, request.rollout.ring_sizes(), &candidates);
        check_gates(&request.rollout, &rings)?;
        let ring_count = u32::try_from(request.rollout.ring_sizes().len()).unwrap_or(u32::MAX);
        let is_live = !request.rollout.fixed && !matches!(request.to, Selection::Machines(_));
        let mut deployment = DeploymentRow {
            id,
            number: 0,
            package: manifest.package.clone(),
            sequence: manifest.sequence,
            version: manifest.version.clone(),
            state: DeploymentState::Running,
            accepted_ms: now_ms(),
            expires: now.plus(LIFETIME_SECONDS),
            request,
            is_live,
            rings: ring_count,
            open_ring: 0,
            ring_since: now,
            halt: None,
        };
        let release = Release { manifest, text: &text };
        let mut made = Vec::new();
        for (number, batch) in batches.into_iter().enumerate() {
            let order_id = (number == 0).then_some(first_order);
            made.push(self.factory.make(&deployment, &release, batch, order_id).await?);
        }
        deployment.number = made.first().map_or(0, |order| order.row.order.number);
        let ring = |machine: &MachineId| rings.get(machine).copied().unwrap_or(ring_count - 1);
        let targets: Vec<TargetRow> = made
            .iter()
            .flat_map(|order| order.machines.iter().map(|row| target(row, ring(&row.id), order)))
            .chain(unfit.iter().map(|row| unfit_target(row, ring_count - 1)))
            .collect();
        let orders: Vec<NewOrder<'_>> = made.iter().map(MadeOrder::to_store).collect();
        let new = NewDeployment { row: &deployment, orders: &orders, targets: &targets };
        let superseded = self.store.add_deployment(new).await?;
        info!(
            deployment = %id, package = deployment.package, version = deployment.version, machines = targets.len(),
            orders = orders.len(), rings = ring_count, "deployment accepted"
        );
        drop(orders);
        let in_ring = |ring: u32| u32::try_from(rings.values().filter(|of| **of == ring).count()).unwrap_or(u32::MAX);
        let sizes = if ring_count > 1 { (0..ring_count).map(in_ring).collect() } else { vec![] };
        self.start(made, superseded);
        Ok(Deployed { id, selected: Some(counts), rings: sizes })
    }

    /// Starts orders that are stored, and stops those in which nobody is left because of them.
    pub(super) fn start(&self, made: Vec<MadeOrder>, superseded: Vec<OrderId>) {
        superseded.into_iter().for_each(|id| self.orders.stop_forwarding(id, Reason::OrderSuperseded));
        for order in made {
            let open = self.orders.active.add(order.open);
            if !self.stop_lists.is_stopped(open.id()) {
                self.orders.start_forwarding(&open);
            }
            order.machines.iter().for_each(|row| self.wake_ups.wake(row.id));
        }
    }

    /// Finds the requested release and its manifest. Without a version, picks the highest sequence.
    async fn find_release(&self, package: &str, version: Option<&str>) -> Result<(Manifest, String), Refusal> {
        let releases = self.repository.snapshot().releases;
        let of_package = releases.iter().filter(|release| release.package == package);
        let wanted = of_package.filter(|release| version.is_none_or(|version| release.version == version));
        let Some(found) = wanted.max_by_key(|release| release.sequence).cloned() else {
            let withdrawn = {
                let (package, version) = (package.to_owned(), version.map(str::to_owned));
                self.repository
                    .with(move |repository| Ok(repository.has_withdrawn(&package, version.as_deref())))
                    .await?
            };
            let version = version.map(|version| format!(" {version}")).unwrap_or_default();
            return Err(if withdrawn {
                let detail = format!("{package}{version} has been withdrawn by its publisher");
                Refusal::conflict(Reason::Withdrawn, detail)
            } else {
                let detail = format!("{package}{version} has not been published");
                Refusal::new(StatusCode::NOT_FOUND, Reason::NotPublished, detail)
            });
        };
        let text = self.repository.with(move |repository| repository.manifest(&found.package, found.sequence)).await?;
        let manifest = Manifest::parse(text.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        Ok((manifest, text))
    }

    /// Returns the selected machines, and how many were left out. Never includes one that is revoked or quarantined, and a
    /// protected one only if the request names it.
    pub(super) async fn select(&self, request: &Deploy) -> Result<SelectedTargets, Refusal> {
        let Selected { mut machines, mut unknown, names_protected } = self.selections.find(&request.to).await?;
        if let Selection::Machines(_) = &request.to
            && let Some((row, reason)) = machines.iter().find_map(|row| Some((row, row.exclusion()?)))
        {
            return Err(unprocessable(reason, self.describe_excluded(row.name(), row, reason)));
        }
        machines.retain(|row| row.exclusion().is_none());
        unknown.retain(|row| row.exclusion().is_none());
        let all = machines.len();
        if !names_protected && !request.include_protected {
            machines.retain(|row| !row.assigned.is_protected());
        }
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let selected = SelectedMachines {
            machines: count(machines.len()),
            unknown: count(unknown.len()),
            protected: count(all - machines.len()),
        };
        if machines.is_empty() {
            return Err(unprocessable(Reason::NotFound, self.describe_empty(&request.to, selected)));
        }
        Ok(SelectedTargets { machines, counts: selected })
    }

    /// Says why a named machine cannot be a target, and what can be done about it.
    fn describe_excluded(&self, name: &str, row: &MachineRow, reason: Reason) -> String {
        match (reason, row.replaced_by) {
            (Reason::Retired, Some(new)) => {
                let label = self.registry.name(new);
                format!("{name} has been replaced by {label} ({}), which can be a target instead", new.short())
            }
            (Reason::Revoked | Reason::Retired, _) => {
                format!("{name} is revoked, so it cannot be a target; leave it out")
            }
            _ => {
                format!("{name} is quarantined; leave it out, or readmit it with `banyan machines readmit {name}`")
            }
        }
    }

    /// Says why a selection has no machine.
    fn describe_empty(&self, to: &Selection, selected: SelectedMachines) -> String {
        let SelectedMachines { unknown, protected, .. } = selected;
        if protected > 0 {
            return format!(
                "all selected machines ({protected}) are protected; name their tag in a filter, such as \
                 `tag:{PROTECTED_TAG}`, or use --include-protected"
            );
        }
        match to {
            Selection::Group(group) => {
                let groups = group_names(&self.registry.all());
                let others = describe_names(groups.iter().map(String::as_str));
                let nor = if groups.is_empty() { ", nor in any other" } else { "" };
                format!("no machine is in the group {group:?}{nor}{others}")
            }
            Selection::Filter(_) if unknown > 0 => format!(
                "the filter selects no machine; for {unknown} it has no answer, because something about them is not \
                 known (`banyan machines --where FILTER --unknown` lists them)"
            ),
            Selection::Filter(_) => "the filter selects no machine".into(),
            Selection::All | Selection::Machines(_) => "no machine is enrolled, or all are revoked".into(),
        }
    }
}

fn ring_candidate(row: &MachineRow) -> RingCandidate {
    RingCandidate { machine: row.id, site: Site::of(&row.addresses), platform: row.platform.clone() }
}

/// Returns the target of a machine with an order.
pub(super) fn target(row: &MachineRow, ring: u32, order: &MadeOrder) -> TargetRow {
    TargetRow { machine: row.id, ring, order: Some(order.row.order.id), reason: None, detail: None }
}

/// Refuses a minimum of reports that a ring can never reach.
fn check_gates(rollout: &Rollout, rings: &BTreeMap<MachineId, u32>) -> Result<(), Refusal> {
    let Some(needed) = rollout.gates.min_reports else { return Ok(()) };
    let gated = rollout.rings.len().saturating_sub(1);
    for ring in 0..u32::try_from(gated).unwrap_or(0) {
        let machines = rings.values().filter(|of| **of == ring).count();
        if machines > 0 && machines < usize::try_from(needed).unwrap_or(usize::MAX) {
            return Err(Refusal::bad(format!(
                "{needed} reports are needed, but ring {} has only {machines} of these machines, so the next one would \
                 never open; give a smaller minimum or larger rings",
                ring + 1
            )));
        }
    }
    Ok(())
}
