//! Deployments: turns an administrator's request into a signed, stored order and sends it down the tree.

use crate::{
    book::{OpenOrder, now_ms},
    nms::Nms,
    planner::{self, Candidate, Site},
    refusal::Refusal,
    store::{AddresseeRow, Counter, DeploymentRow, MachineRow, NewDeployment},
};
use axum::http::StatusCode;
use banyan_proto::{
    Artifact, MachineId, Manifest, Order, OrderId, Reason,
    admin::{Deploy, Deployed, DeploymentState, Selection, Stage},
    limits,
};
use banyan_swarm::io::OrderInput;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use tracing::{error, info};

const DAY: u64 = 24 * 3600;
/// Lifetime of an order (seconds). Machines do not act on it afterwards.
const EXPIRES: u64 = 30 * DAY;
/// How long machines keep the content after they finish (seconds).
const KEEP: u64 = 31 * DAY;

fn unprocessable(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
}

impl Nms {
    /// Accepts a deployment. When this returns, the deployment is on disk and under way.
    pub(crate) async fn deploy(&self, request: Deploy) -> Result<Deployed, Refusal> {
        if !(1..=2).contains(&request.stripes) {
            return Err(Refusal::bad(format!("{} stripes requested; the number must be 1 or 2", request.stripes)));
        }
        let one = self.deploying.lock().await;
        let (manifest, text) = self.release(&request.package, request.version.as_deref()).await?;
        self.begin(&one, request, &manifest, text).await
    }

    /// Accepts a deployment of this release. The guard ensures that one is accepted at a time.
    pub(crate) async fn begin(
        &self,
        _: &MutexGuard<'_, ()>,
        request: Deploy,
        manifest: &Manifest,
        text: String,
    ) -> Result<Deployed, Refusal> {
        let machines = self.select(&request.to)?;
        let (artifact, fitting, others) = share(manifest, machines)?;
        let stripes = request.stripes.min(u8::try_from(artifact.chunk_count()).unwrap_or(u8::MAX));
        let candidate = |row: &MachineRow| Candidate {
            id: row.id,
            site: Site::of(&row.addresses),
            online: self.is_reachable(row.id, row.seen),
        };
        let candidates: Vec<Candidate> = fitting.iter().map(candidate).collect();
        let plan = planner::plan(self.id, &candidates, stripes)
            .map_err(|error| unprocessable(Reason::BadRequest, format!("cannot list the machines: {error}")))?;

        let now = Self::now();
        let roots = plan.lists.iter().zip(0..).map(|(list, stripe)| list.subtree(stripe)).collect();
        let order = Order {
            id: OrderId::random(),
            epoch: self.epoch,
            number: self.store.next(Counter::Order).await?,
            revision: 0,
            package: manifest.package.clone(),
            sequence: manifest.sequence,
            manifest: banyan_proto::Digest::of(text.as_bytes()),
            platform: artifact.platform.clone(),
            artifact: artifact.digest,
            stripes: roots,
            server: self.id,
            issued: now,
            expires: now.plus(EXPIRES),
            keep_until: now.plus(KEEP),
            spread: request.spread,
            window: request.window.clone(),
            deadline: request.deadline,
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
        let open = OpenOrder::new(row.clone(), text, plan.lists.clone(), &self.artifacts, true)
            .filter(|open| open.content.is_some())
            .ok_or_else(|| Refusal::internal(&"cannot open the release's artifact"))?;
        let new = NewDeployment { row: &row, lists: &plan.lists, addressees: &addressees };
        let over = self.store.add_deployment(new).await?;
        info!(
            order = %id, package = row.order.package, version = row.version, machines = fitting.len(),
            stripes, busiest = plan.busiest, server = plan.server,
            "deployment accepted; busiest and server are the predicted copies sent"
        );
        let open = self.book.add(open);
        over.into_iter().for_each(|id| self.drop_order(id, Reason::OrderSuperseded));
        self.plant(&open);
        fitting.iter().for_each(|row| self.news.wake(row.id));
        Ok(Deployed { id })
    }

    /// Starts forwarding an order. Also called after a restart: offers are idempotent.
    pub(crate) fn plant(&self, open: &OpenOrder) {
        let Some(node) = self.node.get() else { return };
        if open.content.is_none() {
            error!(order = %open.id(), "order not forwarded: its artifact is missing from the store");
            return;
        }
        open.offers().into_iter().for_each(|offer| node.input(OrderInput::StartRoot(offer)));
    }

    /// Stops forwarding an order.
    pub(crate) fn drop_order(&self, id: OrderId, reason: Reason) {
        if let Some(node) = self.node.get() {
            node.input(OrderInput::Dropped(id, reason));
        }
    }

    /// Finds the requested release and its manifest. Without a version, picks the highest sequence.
    async fn release(&self, package: &str, version: Option<&str>) -> Result<(Manifest, String), Refusal> {
        let releases = self.desk.shown().releases;
        let of_package = releases.iter().filter(|release| release.package == package);
        let wanted = of_package.filter(|release| version.is_none_or(|version| release.version == version));
        let Some(found) = wanted.max_by_key(|release| release.sequence).cloned() else {
            let version = version.map(|version| format!(" {version}")).unwrap_or_default();
            let detail = format!("{package}{version} has not been published; publish it with `banyan publish`");
            return Err(Refusal::new(StatusCode::NOT_FOUND, Reason::NotPublished, detail));
        };
        let text = self.desk.with(move |repository| repository.manifest(&found.package, found.sequence)).await?;
        let manifest = Manifest::parse(text.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        Ok((manifest, text))
    }

    /// Returns the selected machines. Never includes one that is revoked or quarantined.
    fn select(&self, to: &Selection) -> Result<Vec<MachineRow>, Refusal> {
        let all = || self.registry.all().into_iter().filter(|row| row.out().is_none());
        let machines: Vec<MachineRow> = match to {
            Selection::All => all().collect(),
            Selection::Group(group) => all().filter(|row| row.group.as_deref() == Some(group)).collect(),
            Selection::Machines(names) => {
                let mut machines = Vec::new();
                for name in names {
                    let row = self.one_machine(name)?;
                    if let Some(reason) = row.out() {
                        let detail = format!(
                            "{name}: {}; exclude it, or: {}",
                            reason.for_admin().what,
                            reason.for_admin().advice
                        );
                        return Err(unprocessable(reason, detail));
                    }
                    if !machines.iter().any(|other: &MachineRow| other.id == row.id) {
                        machines.push(row);
                    }
                }
                machines
            }
        };
        if machines.is_empty() {
            let detail = "no machine matches; list them with `banyan machines`";
            return Err(unprocessable(Reason::NotFound, detail));
        }
        if machines.len() >= limits::ADDRESSEES {
            let detail = format!(
                "{} machines selected; a deployment can have at most {}",
                machines.len(),
                limits::ADDRESSEES - 1
            );
            return Err(unprocessable(Reason::BadRequest, detail));
        }
        Ok(machines)
    }

    /// Finds the one machine with this identifier or label.
    pub(crate) fn one_machine(&self, name: &str) -> Result<MachineRow, Refusal> {
        let mut found = self.registry.named(name);
        match (found.pop(), found.len()) {
            (Some(row), 0) => Ok(row),
            (Some(_), more) => {
                let detail = format!("{} machines are called {name}; use the machine's id instead", more + 1);
                Err(Refusal::conflict(Reason::BadRequest, detail))
            }
            (None, _) => Err(Refusal::not_found(format!("no machine is called {name}; `banyan machines` lists them"))),
        }
    }

    /// Halts or resumes a deployment.
    pub(crate) async fn set_state(
        &self,
        id: OrderId,
        from: DeploymentState,
        to: DeploymentState,
    ) -> Result<(), Refusal> {
        if self.store.set_state(id, &[from, to], to).await? {
            info!(order = %id, state = ?to, "deployment state changed");
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
        let again = |row: &AddresseeRow| {
            row.stage == Stage::Failed
                && row.reason != Some(Reason::OrderSuperseded)
                && self.registry.out(row.machine).is_none()
        };
        let failed: Vec<String> = self
            .store
            .addressees(id)
            .await?
            .iter()
            .filter(|row| again(row))
            .map(|row| row.machine.to_string())
            .collect();
        if failed.is_empty() {
            return Err(Refusal::conflict(Reason::BadRequest, "no machine has failed in this deployment"));
        }
        let request = Deploy { version: Some(old.version), to: Selection::Machines(failed), ..old.request };
        self.deploy(request).await
    }

    /// Loads all unexpired orders after a start, and resumes forwarding those that are still open.
    pub(crate) async fn replant(&self) -> Result<(), Refusal> {
        let now = Self::now();
        for row in self.store.deployments().await? {
            let (id, state) = (row.order.id, row.state);
            // Machines refuse an order of an earlier epoch; raising the epoch has already ended it.
            if row.order.epoch < self.epoch {
                continue;
            }
            if row.order.expires <= now {
                if matches!(state, DeploymentState::Running | DeploymentState::Halted) {
                    self.store.end(id, Reason::OrderExpired, Reason::OrderExpired.for_admin().advice).await?;
                }
                continue;
            }
            if self.desk.has_withdrawn(&row.order.package, row.order.sequence) {
                self.store.end(id, Reason::Withdrawn, Reason::Withdrawn.for_admin().advice).await?;
                continue;
            }
            let lists = self.store.lists(id).await?;
            let (package, sequence) = (row.order.package.clone(), row.order.sequence);
            let Ok(text) = self.desk.with(move |repository| repository.manifest(&package, sequence)).await else {
                continue;
            };
            let Some(open) = OpenOrder::new(row, text, lists, &self.artifacts, false) else {
                error!(order = %id, "order not resumed: its manifest lacks its artifact; deploy again");
                continue;
            };
            let open = self.book.add(open);
            if matches!(state, DeploymentState::Running | DeploymentState::Halted) {
                self.plant(&open);
            }
        }
        Ok(())
    }

    /// Returns an active order, or an error that says why it is not active.
    pub(crate) async fn open_order(&self, id: OrderId, machine: MachineId) -> Result<Arc<OpenOrder>, Refusal> {
        if let Some(open) = self.book.get(id) {
            return Ok(open);
        }
        match self.store.deployment(id).await? {
            Some(row) if row.order.epoch < self.epoch => {
                Err(Refusal::conflict(Reason::EpochBack, Reason::EpochBack.for_admin().what))
            }
            _ => Err(self.not_open(id, machine).await),
        }
    }

    /// Ends an order that has expired.
    pub(crate) async fn expire(&self, open: &Arc<OpenOrder>) -> Result<(), Refusal> {
        self.store.end(open.id(), Reason::OrderExpired, Reason::OrderExpired.for_admin().advice).await?;
        self.drop_order(open.id(), Reason::OrderExpired);
        self.book.remove(open.id());
        Ok(())
    }
}

/// Picks the file that most of the machines need, because one order carries one file. The other machines fail at once
/// with that reason.
fn share(
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
    let left_out = |row: MachineRow| AddresseeRow {
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
    Ok((artifact, fitting, others.into_iter().map(left_out).collect()))
}
