//! Check-in: the long poll that tells machines of orders, revocations, policies and what publishers changed.

use crate::{
    audit::AuditLog,
    deadline_clock::DeadlineClock,
    deployments::{active_orders::ActiveOrders, policies::GroupPolicies, stop_lists::StopLists},
    identity::{
        clone_detection::StartVerdict,
        enrolment::check_text,
        registry::{ObservedMachine, Registry, reachable_addresses},
        revocation::Revocation,
        secrets::Secrets,
    },
    machines::{
        dial_checks::DialChecks, link_checks::LinkChecks, permit_queue::PermitQueue, row_writer::MachineRowWriter,
        site_budgets::SiteBudgets,
    },
    net::{tls_configuration::TlsConfiguration, wake_ups::WakeUps},
    publishing::repository_cache::RepositoryCache,
    refusal::Refusal,
    store::{MachineRow, ServerIdentity, Store},
    suspicion_log::{Event, SuspicionLog},
};
use banyan_proto::{
    MachineId, OrderId, Reason, ServerEpoch, Signed, UnixSeconds,
    api::{CheckIn, CheckInReply, Expected},
    limits,
};
use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest time that an answer is delayed (seconds).
const MAX_WAIT_SECONDS: u32 = 300;

/// Answers check-ins.
pub(crate) struct CheckIns {
    pub(crate) server: ServerIdentity,
    /// The epoch, signed for machines.
    pub(crate) signed_epoch: Signed<ServerEpoch>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) revocation: Arc<Revocation>,
    pub(crate) tls: Arc<TlsConfiguration>,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) active_orders: Arc<ActiveOrders>,
    pub(crate) clock: Arc<DeadlineClock>,
    pub(crate) permit_queue: Arc<PermitQueue>,
    pub(crate) row_writer: Arc<MachineRowWriter>,
    pub(crate) dial_checks: Arc<DialChecks>,
    pub(crate) link_checks: Arc<LinkChecks>,
    pub(crate) site_budgets: Arc<SiteBudgets>,
    pub(crate) stop_lists: Arc<StopLists>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) suspicions: SuspicionLog,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl CheckIns {
    /// Handles a check-in. Answers at once if there is news for the machine; otherwise as soon as there is, or after
    /// the requested wait.
    pub(crate) async fn answer(
        &self,
        machine: MachineId,
        from: IpAddr,
        request: CheckIn,
    ) -> Result<CheckInReply, Refusal> {
        check_text("label", &request.label)?;
        check_text("software", &request.software)?;
        if request.known.len() > limits::ADDRESSEES {
            return Err(Refusal::bad("too many known orders"));
        }
        self.record(machine, from, &request).await?;
        let deadline = Instant::now() + Duration::from_secs(u64::from(request.wait_seconds.min(MAX_WAIT_SECONDS)));
        let wake = self.wake_ups.notifier(machine);
        loop {
            let mut woken = pin!(wake.notified());
            woken.as_mut().enable();
            let mut expected = self.store.expected(machine).await?;
            // A stopped order is expected again when it is resumed.
            expected.retain(|id| !request.known.contains(id) && !self.stop_lists.is_stopped(*id));
            let crl_number = self.tls.crl().number;
            if let Some(reason) = self.registry.exclusion(machine) {
                return Err(Refusal::excluded(reason));
            }
            let publishers = self.repository.snapshot().publishers;
            let behind = request.publishers.is_some_and(|known| publishers.is_news_to(known));
            let assigned = self.registry.get(machine).map(|row| row.assigned).unwrap_or_default();
            let policy = self.policies.newer_than(&assigned, request.policy);
            let site_budget = self.site_budgets.news(machine, request.site_budget);
            let stops = self.stop_lists.newer_than(request.stop_number);
            let lacks_addresses =
                request.server_addresses.is_some_and(|known| self.registry.has_newer_addresses(known));
            let news = behind
                || policy.is_some()
                || site_budget.is_some()
                || stops.is_some()
                || lacks_addresses
                || crl_number > request.crl_number
                || self.wake_ups.has_unannounced(machine, request.boot, &expected)
                || self.permit_queue.has_invitation(machine)
                || self.wake_ups.has_undelivered(machine)
                || self.registry.is_awaiting_proof(machine, request.boot);
            if news || Instant::now() >= deadline || self.stop.is_cancelled() {
                self.registry.touch(machine, UnixSeconds::now());
                self.wake_ups.mark_announced(machine, request.boot, &expected);
                return Ok(CheckInReply {
                    number: self.registry.record_answer(machine, request.boot),
                    now: UnixSeconds::now(),
                    crl_number,
                    orders: expected.into_iter().map(|id| self.expectation(id, machine)).collect(),
                    keys: self.secrets.key_ring(),
                    publishers: Some(publishers),
                    epoch: Some(self.signed_epoch.clone()),
                    policy,
                    site_budget,
                    server_addresses: lacks_addresses.then(|| self.registry.server_addresses()),
                    places: self.permit_queue.take_invitations(machine),
                    undelivered: self.wake_ups.take_undelivered(machine),
                    check_link: self.link_checks.is_due(machine),
                    stops,
                });
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn record(&self, machine: MachineId, from: IpAddr, request: &CheckIn) -> Result<(), Refusal> {
        let Some(row) = self.registry.get(machine) else {
            return Err(Refusal::forbidden(
                Reason::NotAllowed,
                "this server does not know this machine; enrol it again",
            ));
        };
        let row = MachineRow {
            label: request.label.clone(),
            software: request.software.clone(),
            addresses: reachable_addresses(&request.addresses, from),
            seen: UnixSeconds::now(),
            ..row
        };
        let clock_ahead = request.clock.map(|clock| clock.0.cast_signed().saturating_sub(row.seen.0.cast_signed()));
        let observed = ObservedMachine { clock_ahead, server_addresses: request.server_addresses };
        let effect = self.registry.check_in(row, request.boot, request.last, &self.secrets.orders);
        let effect = effect.ok_or_else(|| Refusal::excluded(Reason::Revoked))?;
        self.registry.observe(machine, observed);
        if let Some(ahead) = clock_ahead {
            self.clock.record_witness(machine, ahead);
        }
        match effect.row_to_store {
            // Before the answer: no other computer may get the answer to this machine's enrolment any more.
            Some(row) if effect.is_first => self.store.update_machines(&[row]).await?,
            Some(row) => self.row_writer.add(row),
            None => {}
        }
        match effect.verdict {
            // Answers the long polls of earlier starts. One that is still running returns with that answer.
            StartVerdict::New => {
                self.wake_ups.wake(machine);
                if request.epoch > self.server.epoch {
                    let detail = format!(
                        "the machine has seen epoch {}, this server is at {}: was this server restored from a backup? If so, \
                         stop it and run `banyan-server raise-epoch`",
                        request.epoch, self.server.epoch
                    );
                    self.suspicions.record(&Event::of(machine, None, Reason::EpochBack, detail));
                }
            }
            StartVerdict::Repeated => {}
            StartVerdict::Cloned => {
                let is_new = self.registry.exclusion(machine).is_none();
                self.revocation.quarantine(machine, Reason::Cloned).await?;
                if is_new {
                    let object = format!("machine:{} {machine}", self.registry.name(machine));
                    let after = Some(Reason::Cloned.code().into());
                    self.audit.record_system("clone-detection", "quarantine_machine", object, None, after).await;
                }
            }
        }
        self.dial_checks.start(machine);
        Ok(())
    }

    /// A machine that one of its senders cannot dial waits for nobody: it dials them.
    fn expectation(&self, order: OrderId, machine: MachineId) -> Expected {
        let now = UnixSeconds::now();
        let patience_seconds = self.active_orders.get(order).map_or(3, |open| {
            let mut senders = open.trees.iter().filter_map(|tree| tree.planned_sender(machine));
            let is_dialled = senders.all(|sender| self.registry.can_dial(sender, machine, now));
            if is_dialled { open.patience_seconds(machine) } else { 0 }
        });
        Expected { order, patience_seconds }
    }
}
