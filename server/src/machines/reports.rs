//! Processes reports from machines, and builds the deployment status for administrators.

use crate::{
    refusal::Refusal,
    server::Server,
    store::{AddresseeRow, ArrivedReport, DeploymentRow},
};
use banyan_proto::{
    MachineId, OrderId, Reason,
    admin::{AddresseeStatus, DeploymentStatus, Stage},
    api::{Event, Report},
};
use tracing::info;

/// Most reports in one request.
const REPORTS: usize = 10_000;

impl Server {
    /// Processes a machine's reports, oldest first. Ignores reports that were already received.
    pub(crate) async fn report(&self, machine: MachineId, reports: Vec<Report>) -> Result<(), Refusal> {
        if reports.len() > REPORTS {
            return Err(Refusal::bad(format!(
                "{} reports in one request; at most {REPORTS} are allowed",
                reports.len()
            )));
        }
        let after =
            |report: &Report| report.order.and_then(|id| self.active_orders.get(id)).map_or(0, |open| open.age_ms());
        let arrived: Vec<ArrivedReport> =
            reports.into_iter().map(|report| ArrivedReport { after_ms: after(&report), report }).collect();
        let changed = self.store.take_reports(machine, &arrived, Self::now()).await?;
        for ArrivedReport { report, .. } in &arrived {
            self.process_claims_about_others(machine, report).await?;
        }
        for id in changed.finished {
            info!(order = %id, "deployment finished");
        }
        Ok(())
    }

    /// Processes what a machine reports about another one: a hint for administrators, never a fact about the other
    /// machine.
    async fn process_claims_about_others(&self, machine: MachineId, report: &Report) -> Result<(), Refusal> {
        match (&report.event, report.order) {
            (Event::SteppedOver { machine: over, reason, .. }, Some(id)) => {
                let row = self.store.addressee(id, *over).await?;
                if self.store.addressee(id, machine).await?.is_some()
                    && row.is_some_and(|row| row.stage == Stage::Expected)
                {
                    let detail = format!("skipped by {}", self.label(machine));
                    self.store.note(id, *over, *reason, &detail).await?;
                }
            }
            (Event::BadChunk { source, index }, order) => {
                let detail = format!("{} received a bad chunk {index} from this machine", self.label(machine));
                self.suspect(Some(*source), order, Reason::BadChunk, detail).await;
            }
            (Event::Refused { sender, reason, detail }, order) => {
                let detail = format!("refused by {}: {detail}", self.label(machine));
                self.suspect(Some(*sender), order, *reason, detail.chars().take(1000).collect()).await;
            }
            _ => {}
        }
        Ok(())
    }

    fn label(&self, id: MachineId) -> String {
        self.registry.get(id).map_or_else(|| id.to_string(), |row| row.label)
    }

    /// Returns the status of all deployments without their target machines, newest first.
    pub(crate) async fn statuses(&self) -> Result<Vec<DeploymentStatus>, Refusal> {
        let mut statuses = Vec::new();
        for row in self.store.deployments().await? {
            let counts = self.store.counts(row.order.id).await?;
            statuses.push(self.status_of(&row, counts, vec![]));
        }
        Ok(statuses)
    }

    /// Returns the status of one deployment with all its target machines.
    pub(crate) async fn status(&self, id: OrderId) -> Result<DeploymentStatus, Refusal> {
        let row = self.store.deployment(id).await?;
        let row = row.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        let rows = self.store.addressees(id).await?;
        let mut counts: Vec<(Stage, u32)> = Vec::new();
        for AddresseeRow { stage, .. } in &rows {
            match counts.iter_mut().find(|(known, _)| known == stage) {
                Some((_, count)) => *count += 1,
                None => counts.push((*stage, 1)),
            }
        }
        counts.sort_unstable();
        let open = self.active_orders.get(id);
        let addressee = |addressee: AddresseeRow| AddresseeStatus {
            id: addressee.machine,
            label: self.label(addressee.machine),
            stage: addressee.stage,
            chunks: (if addressee.verified_after.is_some() { row.chunks } else { addressee.held }, row.chunks),
            reason: addressee.reason,
            detail: addressee.detail,
            planned: open
                .iter()
                .flat_map(|open| &open.trees)
                .filter_map(|tree| tree.planned_sender(addressee.machine))
                .collect(),
            sources: addressee.sources,
            verified_after: addressee.verified_after,
            installed_after: addressee.installed_after,
        };
        Ok(self.status_of(&row, counts, rows.into_iter().map(addressee).collect()))
    }

    fn status_of(
        &self,
        row: &DeploymentRow,
        counts: Vec<(Stage, u32)>,
        addressees: Vec<AddresseeStatus>,
    ) -> DeploymentStatus {
        let order = &row.order;
        DeploymentStatus {
            id: order.id,
            package: order.package.clone(),
            version: row.version.clone(),
            state: row.state,
            accepted: order.issued,
            size: row.size,
            stripes: u8::try_from(order.stripes.len()).unwrap_or(u8::MAX),
            server: self.id,
            counts,
            server_sent: row.server_sent + self.active_orders.get(order.id).map_or(0, |open| open.uncounted()),
            addressees,
        }
    }
}
