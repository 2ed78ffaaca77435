//! Processes reports from machines.

use crate::{
    deployments::active_orders::ActiveOrders,
    identity::registry::Registry,
    machines::progress::apply_event,
    refusal::Refusal,
    store::{ArrivedReport, Store},
    suspicion_log::SuspicionLog,
};
use banyan_proto::{
    MachineId, Reason, UnixSeconds,
    admin::Stage,
    api::{Event, Report},
};
use std::sync::Arc;
use tracing::info;

/// Most reports in one request.
const MAX_REPORTS: usize = 10_000;

/// Processes machines' reports.
pub(crate) struct Reports {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) active_orders: Arc<ActiveOrders>,
    pub(crate) suspicions: SuspicionLog,
}

impl Reports {
    /// Processes a machine's reports, oldest first. Ignores reports that were already received.
    pub(crate) async fn process(&self, machine: MachineId, reports: Vec<Report>) -> Result<(), Refusal> {
        if reports.len() > MAX_REPORTS {
            return Err(Refusal::bad(format!(
                "{} reports in one request; at most {MAX_REPORTS} are allowed",
                reports.len()
            )));
        }
        let after =
            |report: &Report| report.order.and_then(|id| self.active_orders.get(id)).map_or(0, |open| open.age_ms());
        let arrived: Vec<ArrivedReport> =
            reports.into_iter().map(|report| ArrivedReport { after_ms: after(&report), report }).collect();
        let finished = self.store.store_reports(machine, &arrived, UnixSeconds::now(), apply_event).await?;
        for ArrivedReport { report, .. } in &arrived {
            self.process_claims_about_others(machine, report).await?;
        }
        for id in finished {
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
                    let detail = format!("skipped by {}", self.registry.label(machine));
                    self.store.note(id, *over, *reason, &detail).await?;
                }
            }
            (Event::BadChunk { source, index }, order) => {
                let detail = format!("{} received a bad chunk {index} from this machine", self.registry.label(machine));
                self.suspicions.record(Some(*source), order, Reason::BadChunk, detail).await;
            }
            (Event::Refused { sender, reason, detail }, order) => {
                let detail = format!("refused by {}: {detail}", self.registry.label(machine));
                self.suspicions.record(Some(*sender), order, *reason, detail.chars().take(1000).collect()).await;
            }
            // The order is missing, or the event is about the reporting machine itself.
            (Event::SteppedOver { .. }, None)
            | (
                Event::Offered { .. }
                | Event::Source { .. }
                | Event::Progress { .. }
                | Event::Verified { .. }
                | Event::Authenticated
                | Event::Installing
                | Event::Installed { .. }
                | Event::Waits { .. }
                | Event::Failed { .. },
                _,
            ) => {}
        }
        Ok(())
    }
}
