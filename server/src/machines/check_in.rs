//! Check-in: the long poll that tells machines of orders and revocations, and help for a machine that got no offer.

use crate::{
    identity::{clone_detection::Heard, enrolment::check_text, registry::reachable},
    refusal::Refusal,
    server::Nms,
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
const WAIT: u32 = 300;
/// How many holders of the content a machine without an offer is told of.
const HOLDERS: u32 = 3;

impl Nms {
    /// Handles a check-in. Answers at once if there is news for the machine; otherwise as soon as there is, or after
    /// the requested wait.
    pub(crate) async fn check_in(
        self: &Arc<Self>,
        machine: MachineId,
        from: IpAddr,
        said: CheckIn,
    ) -> Result<CheckInReply, Refusal> {
        check_text("label", &said.label)?;
        check_text("software", &said.software)?;
        if said.known.len() > limits::ADDRESSEES {
            return Err(Refusal::bad("too many known orders"));
        }
        self.seen(machine, from, &said).await?;
        let deadline = Instant::now() + Duration::from_secs(u64::from(said.wait_seconds.min(WAIT)));
        let wake = self.news.of(machine);
        loop {
            let mut woken = pin!(wake.notified());
            woken.as_mut().enable();
            let mut expected = self.store.expected(machine).await?;
            expected.retain(|id| !said.known.contains(id));
            let crl_number = self.doors.crl().number;
            if let Some(reason) = self.registry.out(machine) {
                return Err(Refusal::out(reason));
            }
            let publishers = self.desk.shown().publishers;
            let behind = said.publishers.is_some_and(|known| publishers.is_news_to(known));
            let group = self.registry.get(machine).and_then(|row| row.group);
            let policy = self.policy_news(group.as_deref(), said.policy);
            let news = behind
                || policy.is_some()
                || crl_number > said.crl_number
                || self.news.has(machine, said.boot, &expected)
                || self.registry.is_in_question(machine, said.boot);
            if news || Instant::now() >= deadline || self.stop.is_cancelled() {
                self.registry.touch(machine, Self::now());
                self.news.tell(machine, said.boot, &expected);
                return Ok(CheckInReply {
                    number: self.registry.answer(machine, said.boot),
                    now: Self::now(),
                    crl_number,
                    orders: expected.into_iter().map(|id| self.expectation(id, machine)).collect(),
                    keys: self.secrets.ring(),
                    publishers: Some(publishers),
                    epoch: Some(self.epoch_said.clone()),
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

    async fn seen(self: &Arc<Self>, machine: MachineId, from: IpAddr, said: &CheckIn) -> Result<(), Refusal> {
        let Some(row) = self.registry.get(machine) else {
            return Err(Refusal::forbidden(
                Reason::NotAllowed,
                "this server does not know this machine; enrol it again",
            ));
        };
        let row = MachineRow {
            label: said.label.clone(),
            software: said.software.clone(),
            addresses: reachable(&said.addresses, from),
            seen: Self::now(),
            ..row
        };
        let seen = self.registry.check_in(row, (said.boot, said.last), &self.secrets.orders);
        let seen = seen.ok_or_else(|| Refusal::out(Reason::Revoked))?;
        if let Some(row) = seen.store {
            self.store.update_machine(&row).await?;
        }
        match seen.heard {
            // Answers the long polls of earlier starts. One that is still running returns with that answer.
            Heard::First => {
                self.news.wake(machine);
                if said.epoch > self.epoch {
                    let detail = format!(
                        "the machine has seen epoch {}, this server is at {}: was this server restored from a backup? If so, \
                         stop it and run `banyan-server raise-epoch`",
                        said.epoch, self.epoch
                    );
                    self.suspect(Some(machine), None, Reason::EpochBack, detail).await;
                }
            }
            Heard::Again => {}
            Heard::Beside => self.set_aside(machine, Reason::Cloned).await?,
        }
        Ok(())
    }

    fn expectation(&self, order: OrderId, machine: MachineId) -> Expected {
        let patience_seconds = self.book.get(order).map_or(3, |open| open.patience(machine));
        Expected { order, patience_seconds }
    }

    /// Returns offers directly from the server, one per stripe, to a target machine that received none.
    pub(crate) async fn help(&self, machine: MachineId, id: OrderId) -> Result<Help, Refusal> {
        let open = self.open_order(id, machine).await?;
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
        let mut holders = self.store.holders(id, 4 * HOLDERS).await?;
        holders.retain(|&holder| holder != machine && self.live.is_online(holder));
        holders.truncate(HOLDERS as usize);
        tracing::info!(order = %id, %machine, "offers sent directly by the server");
        Ok(Help { offers, holders })
    }
}
