//! Carries out the state machine's actions in the stages and returns their results to it.

use super::Agent;
use crate::{
    authenticate::AuthenticateError,
    orders::{HeldOrder, lock},
    server_api::CallError,
};
use banyan_install_helper::Outcome;
use banyan_proto::{
    MachineId, OrderId, Reason, UnixSeconds,
    api::Event,
    order::Spread,
    peer::{Offer, OfferReply},
};
use banyan_swarm::io::{OrderInput, TrustedOffer};
use banyan_wire::content::ContentError;
use std::{sync::Arc, time::Instant};
use tracing::{info, warn};

impl Agent {
    /// Takes an offer that the server sent directly, in answer to a call for help.
    pub(crate) async fn helped(self: &Arc<Self>, offer: Offer) {
        let Some(node) = self.node.get() else { return };
        if let Ok(trusted) = self.check(self.offers.server, offer).await {
            node.input(OrderInput::Restored(trusted));
        }
    }
    pub(crate) async fn check(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        // Defer: the sender then serves this machine's part of the list by another route, until the server accepts
        // this machine again.
        if let Some(reason) = self.barred() {
            return Err(OfferReply::Deferred { reason });
        }
        let offers = Arc::clone(&self.offers);
        let before = self.offers.epoch.seen();
        let agent = self.this.upgrade();
        // The scheduling conditions must be known before the offer is answered.
        self.people.ask_services().await;
        let checked = tokio::task::spawn_blocking(move || {
            agent.iter().for_each(|agent| agent.look_at_disk());
            offers.check(sender, offer, UnixSeconds::now())
        })
        .await;
        self.end_orders_below(before);
        match checked {
            Ok(Ok(accepted)) => {
                if let Some(node) = self.node.get() {
                    for older in accepted.superseded {
                        node.input(OrderInput::Dropped(older, Reason::OrderSuperseded));
                        self.forget(older, Reason::OrderSuperseded);
                    }
                }
                let order = accepted.trusted.stripe.order;
                if let Some(held) = self.orders.get(order) {
                    self.people.seen(order, &held.order.package, &held.described().version);
                    // Set the gates before the state machine learns of the offer.
                    self.decide_order(&self.people.facts(), &held);
                }
                Ok(accepted.trusted)
            }
            Ok(Err(error)) => {
                warn!(%sender, %error, "offer not accepted");
                let (reason, detail) = (error.reason(), error.to_string());
                self.reporter.report(None, Event::Refused { sender, reason, detail });
                Err(error.reply())
            }
            Err(_) => Err(OfferReply::Deferred { reason: Reason::InternalError }),
        }
    }

    pub(super) fn report(&self, order: OrderId, event: Event) {
        if let Some(held) = self.orders.get(order) {
            self.people.happened(order, &held.order.package, &held.described().version, &event);
        }
        self.reporter.report(Some(order), event);
    }

    pub(super) async fn verify(&self, held: &HeldOrder) -> OrderInput {
        let order = held.order.id;
        let content = Arc::clone(&held.content);
        match tokio::task::spawn_blocking(move || content.verify_whole()).await {
            Ok(Ok(verified)) => {
                held.set_verified(verified);
                if held.order.spread == Spread::Verified {
                    held.content.release();
                }
                self.report(order, Event::Verified { sources: held.sources() });
                OrderInput::ArtifactVerified(order)
            }
            failed => {
                let content = Arc::clone(&held.content);
                if let Ok(Err(error)) = &failed {
                    warn!(%order, %error, "the artifact on the disk no longer matches what was received");
                    if let ContentError::Disk(_) = error {
                        let detail = error.to_string();
                        self.report(order, Event::Waits { reason: Reason::DiskFailed, detail });
                    }
                }
                let left = tokio::task::spawn_blocking(move || content.recount()).await;
                let none = || vec![0; usize::from(held.content.stripes())];
                OrderInput::ArtifactDamaged(order, left.ok().and_then(Result::ok).unwrap_or_else(none))
            }
        }
    }

    pub(super) async fn receipt(&self, held: &HeldOrder) -> OrderInput {
        let order = held.order.id;
        match self.authenticate.receipt(held).await {
            Ok(()) => OrderInput::Receipted(order),
            // The server refuses this machine at the moment; the order is not the cause.
            Err(AuthenticateError::Call(error)) if error.is_about_this_machine() => {
                OrderInput::RetryLater(order, error.reason())
            }
            Err(AuthenticateError::Call(CallError::Refused(error))) => {
                warn!(%order, %error, "the server refused the receipt");
                let (reason, detail) = (error.reason, error.detail);
                self.end(held, Err(reason));
                self.report(order, Event::Failed { reason, detail, restored: true });
                OrderInput::ReceiptRefused(order, reason)
            }
            Err(error) => OrderInput::RetryLater(order, error.reason()),
        }
    }

    pub(super) async fn leave(&self, held: &HeldOrder) -> OrderInput {
        let order = held.order.id;
        let before = self.offers.epoch.seen();
        let left = self.authenticate.leave(held).await;
        self.end_orders_below(before);
        match left {
            Ok(artifact) => {
                lock(&self.leaves).insert(order, artifact);
                OrderInput::InstallPermit(order)
            }
            Err(error) if error.reason() == Reason::Withdrawn => {
                self.withdrawn(order, &error.to_string());
                OrderInput::InstallEnded(order, Err(Reason::Withdrawn))
            }
            Err(error) => {
                info!(%order, %error, "waiting for an install permit");
                OrderInput::RetryLater(order, error.reason())
            }
        }
    }

    pub(super) async fn install(&self, held: &HeldOrder) -> OrderInput {
        let order = held.order.id;
        let Some(artifact) = lock(&self.leaves).remove(&order) else {
            return OrderInput::RetryLater(order, Reason::WaitsForPermit);
        };
        let begun = Instant::now();
        let (_, urgent) = self.is_waited_for(&self.people.facts(), held);
        let finished = self.install.install(artifact, urgent).await;
        match finished.outcome {
            Outcome::Installed { already } => {
                let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                info!(%order, package = held.order.package, already, milliseconds, "installed");
                self.end(held, Ok(()));
                self.people.has_installed(&held.order.package, &held.described().version, held.order.sequence);
                held.content.release();
                self.report(order, Event::Installed { already, milliseconds });
                OrderInput::InstallEnded(order, Ok(()))
            }
            Outcome::Failed { reason, detail, restored } => {
                warn!(%order, %reason, detail, "install failed");
                let detail = format!("{detail}\n{}", finished.output).trim_end().to_owned();
                self.end(held, Err(reason));
                self.report(order, Event::Failed { reason, detail, restored });
                OrderInput::InstallEnded(order, Err(reason))
            }
            Outcome::Waits { reason, detail } => {
                info!(%order, %reason, detail, "install deferred");
                self.report(order, Event::Waits { reason, detail });
                OrderInput::RetryLater(order, reason)
            }
        }
    }

    fn end(&self, held: &HeldOrder, result: Result<(), Reason>) {
        if let Err(error) = self.orders.ended(&self.state, held.order.id, result) {
            warn!(%error, "failed to record the end of an order; it will be detected again after a restart");
        }
    }
}
