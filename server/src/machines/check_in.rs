//! Check-in: the long poll that tells machines of orders and revocations, and help for a machine that got no offer.

use crate::{
    identity::{clone_detection::StartVerdict, enrolment::check_text, registry::reachable},
    refusal::Refusal,
    server::Server,
    store::MachineRow,
};
use banyan_proto::{
    MachineId, OrderId, Reason,
    api::{CheckIn, CheckInReply, Expected, Help},
    limits,
};
use banyan_swarm::io::StripeId;
use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Longest time that an answer is delayed (seconds).
const MAX_WAIT_SECONDS: u32 = 300;
/// How many holders of the content a machine without an offer is told of.
const MAX_HOLDERS: u32 = 3;

impl Server {
    /// Handles a check-in. Answers at once if there is news for the machine; otherwise as soon as there is, or after
    /// the requested wait.
    pub(crate) async fn check_in(
        self: &Arc<Self>,
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
            expected.retain(|id| !request.known.contains(id));
            let crl_number = self.tls.crl().number;
            if let Some(reason) = self.registry.exclusion(machine) {
                return Err(Refusal::excluded(reason));
            }
            let publishers = self.repository.snapshot().publishers;
            let behind = request.publishers.is_some_and(|known| publishers.is_news_to(known));
            let group = self.registry.get(machine).and_then(|row| row.group);
            let policy = self.newer_policy(group.as_deref(), request.policy);
            let news = behind
                || policy.is_some()
                || crl_number > request.crl_number
                || self.wake_ups.has_unannounced(machine, request.boot, &expected)
                || self.registry.is_awaiting_proof(machine, request.boot);
            if news || Instant::now() >= deadline || self.stop.is_cancelled() {
                self.registry.touch(machine, Self::now());
                self.wake_ups.mark_announced(machine, request.boot, &expected);
                return Ok(CheckInReply {
                    number: self.registry.record_answer(machine, request.boot),
                    now: Self::now(),
                    crl_number,
                    orders: expected.into_iter().map(|id| self.expectation(id, machine)).collect(),
                    keys: self.secrets.ring(),
                    publishers: Some(publishers),
                    epoch: Some(self.signed_epoch.clone()),
                    policy,
                });
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn record(self: &Arc<Self>, machine: MachineId, from: IpAddr, request: &CheckIn) -> Result<(), Refusal> {
        let Some(row) = self.registry.get(machine) else {
            return Err(Refusal::forbidden(
                Reason::NotAllowed,
                "this server does not know this machine; enrol it again",
            ));
        };
        let row = MachineRow {
            label: request.label.clone(),
            software: request.software.clone(),
            addresses: reachable(&request.addresses, from),
            seen: Self::now(),
            ..row
        };
        let effect = self.registry.check_in(row, (request.boot, request.last), &self.secrets.orders);
        let effect = effect.ok_or_else(|| Refusal::excluded(Reason::Revoked))?;
        if let Some(row) = effect.row_to_store {
            self.store.update_machine(&row).await?;
        }
        match effect.verdict {
            // Answers the long polls of earlier starts. One that is still running returns with that answer.
            StartVerdict::New => {
                self.wake_ups.wake(machine);
                if request.epoch > self.epoch {
                    let detail = format!(
                        "the machine has seen epoch {}, this server is at {}: was this server restored from a backup? If so, \
                         stop it and run `banyan-server raise-epoch`",
                        request.epoch, self.epoch
                    );
                    self.suspect(Some(machine), None, Reason::EpochBack, detail).await;
                }
            }
            StartVerdict::Repeated => {}
            StartVerdict::Cloned => self.set_quarantine(machine, Reason::Cloned).await?,
        }
        Ok(())
    }

    fn expectation(&self, order: OrderId, machine: MachineId) -> Expected {
        let patience_seconds = self.active_orders.get(order).map_or(3, |open| open.patience_seconds(machine));
        Expected { order, patience_seconds }
    }

    /// Returns offers directly from the server, one per stripe, to a target machine that received none.
    pub(crate) async fn help(&self, machine: MachineId, id: OrderId) -> Result<Help, Refusal> {
        let open = self.find_active(id, machine).await?;
        let row = self.store.addressee(id, machine).await?;
        let row = row.ok_or_else(|| Refusal::forbidden(Reason::NotAddressed, "the order is not for this machine"))?;
        if let (true, Some(reason)) = (row.is_over(), row.reason) {
            return Err(Refusal::conflict(reason, row.detail.unwrap_or_else(|| reason.for_admin().what.into())));
        }
        let mut offers = Vec::new();
        for (tree, stripe) in open.trees.iter().zip(0..) {
            let (sublist, proof) = tree
                .locate(machine)
                .ok_or_else(|| Refusal::forbidden(Reason::WrongPlatform, "the order has no file for this machine"))?;
            let offer = self
                .offer(StripeId { order: id, stripe }, &sublist, &proof)
                .map_err(|reason| Refusal::conflict(reason, reason.for_admin().what))?;
            offers.push(offer);
        }
        let mut holders = self.store.holders(id, 4 * MAX_HOLDERS).await?;
        holders.retain(|&holder| holder != machine && self.connections.is_online(holder));
        holders.truncate(MAX_HOLDERS as usize);
        tracing::info!(order = %id, %machine, "offers sent directly by the server");
        Ok(Help { offers, holders })
    }
}
