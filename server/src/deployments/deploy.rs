//! Deployments: turns an administrator's request into a signed, stored order and sends it down the tree.

use crate::{
    deployments::{
        active_orders::{ActiveOrder, now_ms},
        order_lifecycle::OrderLifecycle,
        policies::GroupPolicies,
        selections::{Selected, Selections, describe_names, group_names},
        stop_lists::StopLists,
    },
    identity::{registry::Registry, secrets::Secrets},
    net::{connections::Connections, wake_ups::WakeUps},
    publishing::{artifacts::ArtifactStore, repository_cache::RepositoryCache},
    refusal::Refusal,
    store::{AddresseeRow, Counter, DeploymentRow, MachineRow, NewDeployment, ServerIdentity, Store},
};
use axum::http::StatusCode;
use banyan_proto::{
    Artifact, MachineId, Manifest, Order, OrderId, Reason, UnixSeconds,
    admin::{Deploy, Deployed, DeploymentState, SelectedMachines, Selection, Stage},
    assignments::PROTECTED_TAG,
    limits,
    order::OrderAction,
};
use banyan_swarm::{
    known_rates,
    planner::{self, Candidate, Site},
};
use std::{sync::Arc, time::Instant};
use tokio::sync::MutexGuard;
use tracing::{debug, info};

const DAY: u64 = 24 * 3600;
/// Lifetime of an order (seconds). Machines do not act on it afterwards.
const LIFETIME_SECONDS: u64 = 30 * DAY;
/// How long machines keep the content after they finish (seconds).
const KEEP_SECONDS: u64 = 31 * DAY;

fn unprocessable(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
}

/// Accepts and controls deployments.
pub(crate) struct Deployments {
    pub(crate) server: ServerIdentity,
    /// When the server started.
    pub(crate) started: Instant,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Connections,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) selections: Arc<Selections>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) stop_lists: Arc<StopLists>,
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
        let (machines, selected) = self.select(&request).await?;
        let (artifact, fitting, others) = pick_artifact(manifest, machines)?;
        let stripes = request.stripes.min(u8::try_from(artifact.chunk_count()).unwrap_or(u8::MAX));
        let now = UnixSeconds::now();
        let candidate = |row: &MachineRow| Candidate {
            id: row.id,
            site: Site::of(&row.addresses),
            online: self.is_reachable(row.id, row.seen),
            forwards: self.may_forward(row),
            reach: row.reach.reach(now),
            down: known_rates::current(row.rates.down, now),
            up: known_rates::current(row.rates.up, now),
        };
        let candidates: Vec<Candidate> = fitting.iter().map(candidate).collect();
        let plan = planner::plan(self.server.id, None, &candidates, stripes)
            .map_err(|error| unprocessable(Reason::BadRequest, format!("cannot list the machines: {error}")))?;

        let roots = plan.lists.iter().zip(0..).map(|(list, stripe)| list.subtree(stripe)).collect();
        let order = Order {
            id: OrderId::random(),
            epoch: self.server.epoch,
            number: self.store.next(Counter::Order).await?,
            revision: 0,
            action: OrderAction::Install,
            package: manifest.package.clone(),
            sequence: manifest.sequence,
            manifest: banyan_proto::Digest::of(text.as_bytes()),
            platform: artifact.platform.clone(),
            artifact: artifact.digest,
            stripes: roots,
            server: self.server.id,
            issued: now,
            expires: now.plus(LIFETIME_SECONDS),
            keep_until: now.plus(KEEP_SECONDS),
            spread: request.spread,
            window: request.window.clone(),
            deadline: request.deadline,
            allow: request.allow.clone(),
        };
        let row = DeploymentRow {
            signed: self.secrets.orders.sign(&order),
            order,
            version: manifest.version.clone(),
            state: DeploymentState::Running,
            accepted_ms: now_ms(),
            size: artifact.size,
            chunks: artifact.chunk_count(),
            request,
            server_sent: 0,
        };
        let id = row.order.id;
        let below_server = plan.lists[0].ids().skip(1).map(AddresseeRow::expected);
        let addressees: Vec<AddresseeRow> = below_server.chain(others).collect();
        let open = ActiveOrder::new(row.clone(), text, plan.lists.clone(), &self.artifacts, true)
            .filter(|open| open.content().is_some())
            .ok_or_else(|| Refusal::internal(&"cannot open the release's artifact"))?;
        let new = NewDeployment { row: &row, lists: &plan.lists, addressees: &addressees };
        let superseded = self.store.add_deployment(new).await?;
        for row in &fitting {
            if let Some(most) = known_rates::current(row.rates.up, now).and_then(|rate| rate.at_most) {
                open.sources().set_uplink(row.id, most as f64 / f64::from(artifact.chunk_size));
            }
        }
        for row in &fitting {
            let rates = |known| known_rates::current(known, now);
            debug!(machine = row.name(), down = ?rates(row.rates.down), up = ?rates(row.rates.up), "planned with this link");
        }
        info!(
            order = %id, package = row.order.package, version = row.version, machines = fitting.len(),
            stripes, busiest = plan.busiest_copies, server = plan.server_copies,
            "deployment accepted; busiest and server are the predicted copies sent"
        );
        let open = self.orders.active.add(open);
        superseded.into_iter().for_each(|id| self.orders.stop_forwarding(id, Reason::OrderSuperseded));
        self.orders.start_forwarding(&open);
        fitting.iter().for_each(|row| self.wake_ups.wake(row.id));
        Ok(Deployed { id, selected: Some(selected) })
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

    /// Returns whether the machine is expected to respond: it is connected, or was seen lately and is between two
    /// connections. In the first minute after a start, "lately" is longer, because machines have not reconnected yet.
    fn is_reachable(&self, id: MachineId, seen: UnixSeconds) -> bool {
        let lately = if self.started.elapsed().as_secs() < 60 { 600 } else { 15 };
        self.connections.is_online(id) || UnixSeconds::now().0 < seen.0 + lately
    }

    /// Returns whether the policy for the machine lets it forward.
    fn may_forward(&self, row: &MachineRow) -> bool {
        self.policies.lets_forward(&row.assigned)
    }

    /// Returns the selected machines, and how many were left out. Never includes one that is revoked or quarantined, and a
    /// protected one only if the request names it.
    async fn select(&self, request: &Deploy) -> Result<(Vec<MachineRow>, SelectedMachines), Refusal> {
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
        if machines.len() >= limits::ADDRESSEES {
            let detail = format!(
                "{} machines selected; a deployment can have at most {}",
                machines.len(),
                limits::ADDRESSEES - 1
            );
            return Err(unprocessable(Reason::BadRequest, detail));
        }
        Ok((machines, selected))
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

    /// Halts or resumes a deployment. The new state is saved first. Then the machines are told, and the server itself stops
    /// or starts to forward.
    pub(crate) async fn change_state(
        &self,
        id: OrderId,
        from: DeploymentState,
        to: DeploymentState,
    ) -> Result<(), Refusal> {
        if self.store.set_state(id, &[from, to], to).await? {
            info!(order = %id, state = ?to, "deployment state changed");
            self.stop_lists.renew().await?;
            match (to, self.orders.active.get(id)) {
                (DeploymentState::Halted, _) => self.orders.stop_forwarding(id, Reason::Halted),
                (_, Some(open)) => self.orders.start_forwarding(&open),
                (_, None) => {}
            }
            return Ok(());
        }
        match self.store.deployment(id).await? {
            Some(_) => Err(Refusal::conflict(Reason::BadRequest, "the deployment has already ended")),
            None => Err(Refusal::not_found(format!("there is no deployment {id}"))),
        }
    }

    /// Deploys the same release again, to the machines that failed.
    pub(crate) async fn retry(&self, id: OrderId) -> Result<Deployed, Refusal> {
        let old = self.store.deployment(id).await?;
        let old = old.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        let rows = self.store.addressees(id).await?;
        let has_failed = |row: &&AddresseeRow| row.stage == Stage::Failed && !row.is_replaced();
        let takes_part = |row: &&AddresseeRow| self.registry.exclusion(row.machine).is_none();
        let failed: Vec<String> =
            rows.iter().filter(has_failed).filter(takes_part).map(|row| row.machine.to_string()).collect();
        if failed.is_empty() {
            return Err(why_nothing_to_retry(&rows));
        }
        let request = Deploy { version: Some(old.version), to: Selection::Machines(failed), ..old.request };
        self.deploy(request).await
    }
}

/// Says why a deployment has no machine that can be tried again.
fn why_nothing_to_retry(rows: &[AddresseeRow]) -> Refusal {
    if rows.iter().any(|row| row.stage == Stage::Failed && !row.is_replaced()) {
        let detail = "the machines that failed are revoked, replaced or quarantined, so they cannot be targets";
        return Refusal::conflict(Reason::BadRequest, detail);
    }
    match rows.iter().find(|row| row.is_replaced()) {
        Some(row) => {
            let why = row.detail.as_deref().unwrap_or(Reason::OrderSuperseded.for_admin().what);
            Refusal::conflict(Reason::OrderSuperseded, format!("no machine has failed: {why}"))
        }
        None => Refusal::conflict(Reason::BadRequest, "no machine has failed in this deployment"),
    }
}

/// Picks the file that most of the machines need, because one order carries one file. The other machines fail at once
/// with that reason.
fn pick_artifact(
    manifest: &Manifest,
    machines: Vec<MachineRow>,
) -> Result<(&Artifact, Vec<MachineRow>, Vec<AddresseeRow>), Refusal> {
    let needing = |artifact: &Artifact| {
        machines.iter().filter(|row| manifest.artifact_for(&row.platform) == Some(artifact)).count()
    };
    let artifact = manifest.artifacts.iter().rev().max_by_key(|artifact| needing(artifact));
    let Some(artifact) = artifact.filter(|artifact| needing(artifact) > 0) else {
        let detail = format!("{} {} has no file for any of these machines", manifest.package, manifest.version);
        return Err(unprocessable(Reason::WrongPlatform, detail));
    };
    let (fitting, others): (Vec<_>, Vec<_>) =
        machines.into_iter().partition(|row| manifest.artifact_for(&row.platform) == Some(artifact));
    let excluded_row = |row: MachineRow| AddresseeRow {
        stage: Stage::Failed,
        reason: Some(Reason::WrongPlatform),
        detail: Some(match manifest.artifact_for(&row.platform) {
            Some(_) => format!(
                "this deployment carries the file for {}; run a separate one for {}",
                artifact.platform, row.platform
            ),
            None => format!("the release has no file for {}", row.platform),
        }),
        ..AddresseeRow::expected(row.id)
    };
    Ok((artifact, fitting, others.into_iter().map(excluded_row).collect()))
}
