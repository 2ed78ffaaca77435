//! Processes reports from machines.

use crate::{
    deployments::active_orders::ActiveOrders,
    identity::registry::Registry,
    machines::{permit_queue::PermitQueue, progress::apply_event, row_writer::MachineRowWriter},
    net::machine_quotas::MachineQuotas,
    refusal::Refusal,
    store::{ArrivedReport, ProgressNote, Store},
    suspicion_log::{self, SuspicionLog},
};
use axum::http::StatusCode;
use banyan_proto::{
    MachineId, OrderId, Reason, UnixSeconds,
    admin::Stage,
    api::{Event, Report},
};
use std::sync::Arc;
use tracing::info;

/// Most reports in one request.
const MAX_REPORTS: usize = 1000;
/// Most claims about other machines in one request; more are ignored.
const MAX_CLAIMS: usize = 50;

/// Processes machines' reports.
pub(crate) struct Reports {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) active_orders: Arc<ActiveOrders>,
    pub(crate) suspicions: SuspicionLog,
    pub(crate) quotas: Arc<MachineQuotas>,
    pub(crate) permit_queue: Arc<PermitQueue>,
    pub(crate) row_writer: Arc<MachineRowWriter>,
}

impl Reports {
    /// Processes a machine's reports, oldest first. Ignores reports that were already received.
    pub(crate) async fn process(&self, machine: MachineId, reports: Vec<Report>) -> Result<(), Refusal> {
        if reports.len() > MAX_REPORTS {
            let detail = format!("{} reports in one request; at most {MAX_REPORTS} are allowed", reports.len());
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::BadRequest, detail));
        }
        if !self.quotas.take_reports(machine, reports.len()) {
            return Err(Refusal::too_many_requests());
        }
        let mut reports = reports;
        reports.iter_mut().for_each(|report| report.event.bound_texts());
        let after =
            |report: &Report| report.order.and_then(|id| self.active_orders.get(id)).map_or(0, |open| open.age_ms());
        let arrived: Vec<ArrivedReport> =
            reports.into_iter().map(|report| ArrivedReport { after_ms: after(&report), report }).collect();
        self.record_rates(machine, &arrived);
        for ArrivedReport { report, .. } in &arrived {
            if let (Event::Source { stripe, source, .. }, Some(order)) = (&report.event, report.order)
                && let Some(open) = self.active_orders.get(order)
            {
                open.sources().record_source(machine, *stripe, *source);
            }
        }
        let finished = self.store.store_reports(machine, &arrived, UnixSeconds::now(), apply_event).await?;
        if arrived.iter().any(|arrived| may_free_place(&arrived.report.event)) {
            self.permit_queue.record_freed_place();
        }
        let claims = arrived.iter().map(|arrived| &arrived.report).filter(|report| is_about_others(report));
        for report in claims.take(MAX_CLAIMS) {
            self.process_claim(machine, report).await?;
        }
        for id in finished {
            info!(order = %id, "deployment finished");
        }
        Ok(())
    }

    /// Remembers what the machine measured of its own link.
    fn record_rates(&self, machine: MachineId, arrived: &[ArrivedReport]) {
        for ArrivedReport { report, .. } in arrived {
            if let Event::Verified { rates, .. } = &report.event
                && !rates.is_empty()
                && let Some(row) = self.registry.record_rates(machine, rates, UnixSeconds::now())
            {
                self.row_writer.add(row);
            }
        }
    }

    /// Processes what a machine reports about another one: a hint for administrators, never a fact about the other
    /// machine.
    async fn process_claim(&self, machine: MachineId, report: &Report) -> Result<(), Refusal> {
        match (&report.event, report.order) {
            (Event::SteppedOver { machine: over, reason, .. }, Some(id)) => {
                let row = self.store.addressee(id, *over).await?;
                if self.store.addressee(id, machine).await?.is_some()
                    && row.is_some_and(|row| row.stage == Stage::Expected)
                {
                    let detail = format!("skipped by {}", self.registry.label(machine));
                    let note = ProgressNote { order: id, machine: *over, reason: *reason, detail };
                    self.store.note(&[note]).await?;
                }
            }
            (Event::BadChunk { source, index }, order) => {
                let (from, to) = (self.registry.label(*source), self.registry.label(machine));
                let detail =
                    format!("{to} reports a bad chunk {index} from {from}: one of the two, or the way between");
                self.suspect(machine, *source, order, Reason::BadChunk, detail);
            }
            (Event::Refused { sender, reason, detail }, order) => {
                let (from, to) = (self.registry.label(*sender), self.registry.label(machine));
                let detail = format!("{to} reports that it refused a message of {from}: {detail}");
                self.suspect(machine, *sender, order, *reason, detail);
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

    /// Records a machine's claim about another one, on the account of the machine that makes it.
    fn suspect(&self, by: MachineId, machine: MachineId, order: Option<OrderId>, reason: Reason, detail: String) {
        self.suspicions.record(&suspicion_log::Event {
            cause: Some(by),
            machine: Some(machine),
            order,
            reason,
            detail,
        });
    }
}

/// Returns whether a place to install may be free after this event (rule A9).
fn may_free_place(event: &Event) -> bool {
    match event {
        Event::Installed { .. } | Event::Failed { .. } => true,
        Event::Waits { reason, .. } => *reason != Reason::WaitsForProof,
        Event::Offered { .. }
        | Event::Source { .. }
        | Event::Progress { .. }
        | Event::Verified { .. }
        | Event::Authenticated
        | Event::Installing
        | Event::Refused { .. }
        | Event::SteppedOver { .. }
        | Event::BadChunk { .. } => false,
    }
}

/// Returns whether a report says something about another machine.
fn is_about_others(report: &Report) -> bool {
    matches!(report.event, Event::SteppedOver { .. } | Event::BadChunk { .. } | Event::Refused { .. })
}
