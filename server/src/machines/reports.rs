//! Processes reports from machines.

use crate::{
    deadline_clock::DeadlineClock,
    deployments::active_orders::ActiveOrders,
    identity::registry::Registry,
    machines::{permit_queue::PermitQueue, progress::apply_event, ring_gates::RingGates, row_writer::MachineRowWriter},
    net::{connections::Connections, machine_quotas::MachineQuotas, wake_ups::WakeUps},
    refusal::Refusal,
    store::{ArrivedReport, ProgressNote, Store},
    suspicion_log::{self, SuspicionLog},
};
use axum::http::StatusCode;
use banyan_proto::{
    LinkRates, MachineId, MeasuredRate, OrderId, Reason, UnixSeconds,
    admin::Stage,
    api::{Event, Report},
};
use banyan_swarm::known_rates;
use std::sync::Arc;
use tracing::{error, info};

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
    pub(crate) connections: Connections,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) clock: Arc<DeadlineClock>,
    pub(crate) gates: Arc<RingGates>,
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
        self.record_dials(machine, &arrived);
        for ArrivedReport { report, .. } in &arrived {
            if let (Event::Source { stripe, source, .. }, Some(order)) = (&report.event, report.order)
                && let Some(open) = self.active_orders.get(order)
            {
                open.sources().record_source(machine, *stripe, *source);
            }
        }
        let finished = self.store.store_reports(machine, &arrived, self.clock.now(), apply_event).await?;
        self.inform_gates(&arrived).await;
        let mut claims = 0;
        for ArrivedReport { report, .. } in &arrived {
            match Consequence::of(report) {
                Consequence::FreePlace => self.permit_queue.record_freed_place(),
                Consequence::Claim(claim) if claims < MAX_CLAIMS => {
                    claims += 1;
                    self.process_claim(machine, claim).await?;
                }
                Consequence::Claim(_) | Consequence::None => {}
            }
        }
        for id in finished {
            info!(deployment = %id, "deployment finished");
        }
        Ok(())
    }

    /// Lets the gates of rings look at what has ended. After a failure they look before anything else happens.
    async fn inform_gates(&self, arrived: &[ArrivedReport]) {
        for ArrivedReport { report, .. } in arrived {
            match (&report.event, report.order) {
                (Event::Failed { reason, .. }, Some(order)) if reason.tells_against_release() => {
                    if let Err(refusal) = self.gates.on_failure(order).await {
                        // The next look finds it as well.
                        error!(%order, "failed to look at the gates of the rings: {refusal}");
                    }
                }
                (Event::Installed { .. } | Event::Failed { .. }, _) => self.gates.reported.notify_one(),
                _ => {}
            }
        }
    }

    /// Remembers what the machine measured of its own link.
    fn record_rates(&self, machine: MachineId, arrived: &[ArrivedReport]) {
        for ArrivedReport { report, .. } in arrived {
            if let Event::Verified { rates, .. } = &report.event
                && !rates.is_empty()
            {
                let rates = LinkRates { up: rates.up.map(|up| self.own_limit(machine, report.order, up)), ..*rates };
                if let Some(row) = self.registry.record_rates(machine, &rates, UnixSeconds::now()) {
                    self.row_writer.add(row);
                }
            }
        }
    }

    /// Returns what a machine has measured of its uplink, without a limit that may be that of its receivers.
    fn own_limit(&self, machine: MachineId, order: Option<OrderId>, up: MeasuredRate) -> MeasuredRate {
        let Some(open) = order.and_then(|id| self.active_orders.get(id)) else { return up };
        let now = UnixSeconds::now();
        let down = |id| self.registry.get(id).and_then(|row| known_rates::current(row.rates.down, now));
        let receivers: Vec<_> =
            open.flows().receivers_of(machine).into_iter().map(|(id, share)| (down(id), share)).collect();
        known_rates::without_limit_of_receivers(up, &receivers)
    }

    /// Remembers that others could dial this machine. Offers that it fetched itself are not reported as offered.
    fn record_dials(&self, machine: MachineId, arrived: &[ArrivedReport]) {
        for ArrivedReport { report, .. } in arrived {
            if let Event::Offered { sender, .. } = report.event
                && let Some(row) = self.registry.record_dial(machine, sender, true, UnixSeconds::now())
            {
                self.row_writer.add(row);
            }
        }
    }

    /// Lets a connected machine fetch its offers that an ancestor could not bring to it.
    fn announce_undelivered(&self, order: OrderId, machine: MachineId, by: MachineId) {
        if let Some(open) = self.active_orders.get(order)
            && self.connections.is_online(machine)
            && open.trees.iter().any(|tree| tree.is_ancestor(by, machine))
        {
            open.record_undelivered(machine, by);
            self.wake_ups.announce_undelivered(machine, order);
        }
    }

    /// Processes what a machine says about another one: a hint for administrators, never a fact about the other machine.
    async fn process_claim(&self, machine: MachineId, claim: Claim<'_>) -> Result<(), Refusal> {
        let to = self.registry.name(machine);
        match claim {
            Claim::Skipped { order, machine: over, reason } => {
                let row = self.store.addressee(order, over).await?;
                if self.store.addressee(order, machine).await?.is_some()
                    && row.is_some_and(|row| row.stage == Stage::Expected)
                {
                    let note = ProgressNote { order, machine: over, reason, detail: format!("skipped by {to}") };
                    self.store.note(&[note]).await?;
                    if reason == Reason::Unreachable {
                        self.announce_undelivered(order, over, machine);
                    }
                }
            }
            Claim::BadChunk { order, source, index } => {
                let from = self.registry.name(source);
                let detail =
                    format!("{to} reports a bad chunk {index} from {from}: one of the two, or the way between");
                self.suspect(machine, source, order, Reason::BadChunk, detail);
            }
            Claim::Refused { order, sender, reason, detail } => {
                let from = self.registry.name(sender);
                let detail = format!("{to} reports that it refused a message of {from}: {detail}");
                self.suspect(machine, sender, order, reason, detail);
            }
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

/// What a machine says about another one.
enum Claim<'a> {
    Skipped { order: OrderId, machine: MachineId, reason: Reason },
    BadChunk { order: Option<OrderId>, source: MachineId, index: u32 },
    Refused { order: Option<OrderId>, sender: MachineId, reason: Reason, detail: &'a str },
}

/// What follows from a report, apart from the progress of the machine that sent it.
enum Consequence<'a> {
    None,
    /// A place to install may be free (rule A9).
    FreePlace,
    Claim(Claim<'a>),
}

impl<'a> Consequence<'a> {
    fn of(report: &'a Report) -> Self {
        let order = report.order;
        match &report.event {
            Event::Installed { .. } | Event::Failed { .. } => Self::FreePlace,
            Event::Waits { reason, .. } if !matches!(reason, Reason::WaitsForProof | Reason::WaitsForRing) => {
                Self::FreePlace
            }
            Event::SteppedOver { machine, reason, .. } => order
                .map_or(Self::None, |order| Self::Claim(Claim::Skipped { order, machine: *machine, reason: *reason })),
            Event::BadChunk { source, index } => Self::Claim(Claim::BadChunk { order, source: *source, index: *index }),
            Event::Refused { sender, reason, detail } => {
                Self::Claim(Claim::Refused { order, sender: *sender, reason: *reason, detail })
            }
            Event::Offered { .. }
            | Event::Source { .. }
            | Event::Progress { .. }
            | Event::Verified { .. }
            | Event::Authenticated
            | Event::Installing
            | Event::Waits { .. } => Self::None,
        }
    }
}
