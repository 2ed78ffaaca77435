//! Carries out the state machine's actions in the stages and returns their results to it.

use super::Agent;
use crate::{
    pipeline::{active_order::ActiveOrder, authenticate::AuthenticateError, install::InstallSettings},
    server::api::CallError,
};
use banyan_install_helper::Outcome;
use banyan_proto::{
    MachineId, Order, OrderId, Reason, UnixSeconds,
    api::Event,
    manifest::Kind,
    order::Spread,
    peer::{Offer, OfferReply},
};
use banyan_swarm::io::{InstallLane, OrderInput, TrustedOffer};
use banyan_wire::{content::ContentError, node::NodeHandle};
use std::{fmt::Display, sync::Arc, time::Instant};
use tracing::{info, warn};

impl Agent {
    /// Takes an offer that the server sent directly, in answer to a call for help.
    pub(super) async fn accept_help(&self, offer: Offer) {
        let Some(node) = self.node.get() else { return };
        if let Ok(trusted) = self.accept_offer(self.identity.server, offer).await {
            node.input(OrderInput::Restored(trusted));
        }
    }
    pub(super) async fn accept_offer(&self, sender: MachineId, offer: Offer) -> Result<TrustedOffer, OfferReply> {
        // Defer: the sender then serves this machine's part of the list by another route, until the server accepts
        // this machine again.
        if let Some(reason) = self.server.contact.exclusion() {
            return Err(OfferReply::Deferred { reason });
        }
        let signed = offer.order.clone();
        let is_stopped = |order: Order| self.identity.stops.is_stopped(order.id);
        if signed.verify(&self.identity.keys).is_ok_and(is_stopped) {
            return Err(OfferReply::Deferred { reason: Reason::Halted });
        }
        let offers = Arc::clone(&self.stages.offer);
        let epoch_before = self.identity.epoch.highest();
        let sensors = Arc::clone(&self.sensors);
        // The scheduling conditions must be known before the offer is answered.
        self.sensors.refresh_services().await;
        let checked = tokio::task::spawn_blocking(move || {
            sensors.measure_disk_once();
            offers.check(sender, offer, UnixSeconds::now())
        })
        .await;
        self.end_orders_of_earlier_epochs(epoch_before);
        match checked {
            Ok(Ok(accepted)) => {
                if let Some(node) = self.node.get() {
                    for older in accepted.superseded {
                        node.input(OrderInput::Dropped(older, Reason::OrderSuperseded));
                        self.forget_order(older, Reason::OrderSuperseded);
                    }
                }
                let order = accepted.trusted.stripe.order;
                if let Some(active) = self.orders.get(order) {
                    self.user.history.record_accepted(order, &active.order.package, &active.description.version);
                    // Set the gates before the state machine learns of the offer.
                    self.gates.decide_order(&self.gates.schedule.inputs(), &active);
                }
                Ok(accepted.trusted)
            }
            Ok(Err(error)) => {
                // Not the sender's fault, and not for ever: the offer is good once the clocks are right.
                if let Some(detail) = self.blame_clocks(error.reason(), &error) {
                    warn!(%sender, detail, "offer not accepted");
                    if let Ok(order) = signed.verify(&self.identity.keys) {
                        let event = Event::Waits { reason: Reason::ClockWrong, detail };
                        self.stages.reporter.report(Some(order.id), event);
                    }
                    return Err(OfferReply::Deferred { reason: Reason::ClockWrong });
                }
                warn!(%sender, %error, "offer not accepted");
                let (reason, detail) = (error.reason(), error.to_string());
                let reply = error.reply();
                match (&reply, signed.verify(&self.identity.keys)) {
                    // This machine cannot take it now, as when its disk is full. The sender did nothing wrong.
                    (OfferReply::Deferred { .. }, Ok(order)) => {
                        self.stages.reporter.report(Some(order.id), Event::Waits { reason, detail });
                    }
                    _ => self.stages.reporter.report(None, Event::Refused { sender, reason, detail }),
                }
                Err(reply)
            }
            Err(_) => Err(OfferReply::Deferred { reason: Reason::InternalError }),
        }
    }

    /// Returns the explanation of a failure that depends on the time, while this machine's clock and the server's differ.
    fn blame_clocks(&self, reason: Reason, error: &impl Display) -> Option<String> {
        let depends_on_time = matches!(reason, Reason::OrderExpired | Reason::MetadataExpired);
        let clocks = self.server.contact.clock_trouble().filter(|_| depends_on_time)?;
        Some(format!("{error}; {}", clocks.detail))
    }
    pub(super) fn report(&self, order: OrderId, event: Event) {
        // What a stopped order lacks does not matter: it waits for the administrator.
        let is_stopped = self.identity.stops.is_stopped(order);
        if is_stopped && matches!(event, Event::Waits { reason, .. } if reason != Reason::Halted) {
            return;
        }
        let waits_now = is_stopped && matches!(event, Event::Verified { .. } | Event::Authenticated);
        let event = self.gates.explain_full_disk(event);
        if let Some(active) = self.orders.get(order) {
            self.user.history.record_event(order, &active.order.package, &active.description.version, &event);
            if active.order.spread == Spread::AfterInstall && ends_withholding(&event) && active.verified().is_ok() {
                active.content.release();
            }
        }
        self.stages.reporter.report(Some(order), event);
        if waits_now {
            self.report(order, Event::Waits { reason: Reason::Halted, detail: String::new() });
        }
    }

    pub(super) async fn verify(&self, active: &ActiveOrder) -> OrderInput {
        let order = active.order.id;
        let content = Arc::clone(&active.content);
        match tokio::task::spawn_blocking(move || content.verify_whole()).await {
            Ok(Ok(verified)) => {
                active.set_verified(verified);
                if active.order.spread == Spread::Verified {
                    active.content.release();
                }
                let rates = self.node.get().map(NodeHandle::take_link_rates).unwrap_or_default();
                self.report(order, Event::Verified { sources: active.sources(), rates });
                OrderInput::ArtifactVerified(order)
            }
            failed => {
                let content = Arc::clone(&active.content);
                if let Ok(Err(error)) = &failed {
                    warn!(%order, %error, "the artifact on the disk no longer matches what was received");
                    if let ContentError::Disk(cause) = error {
                        let (reason, detail) = (Reason::of_disk_error(cause), error.to_string());
                        self.report(order, Event::Waits { reason, detail });
                    }
                }
                let intact = tokio::task::spawn_blocking(move || content.recount()).await;
                let none = || vec![0; usize::from(active.content.stripes())];
                OrderInput::ArtifactDamaged(order, intact.ok().and_then(Result::ok).unwrap_or_else(none))
            }
        }
    }

    pub(super) async fn request_receipt(&self, active: &ActiveOrder) -> OrderInput {
        let order = active.order.id;
        match self.stages.authenticate.request_receipt(active).await {
            Ok(()) => OrderInput::Receipted(order),
            // The server refuses this machine at the moment, or cannot answer; the order is not the cause.
            Err(error)
                if matches!(&error, AuthenticateError::Call(call)
                    if call.concerns_whole_machine() || call.reason().is_temporary_at_server()) =>
            {
                retry_later(order, &error)
            }
            // The code was changed on its way. The content was not: its hashes were checked.
            Err(AuthenticateError::Call(error)) if error.reason() == Reason::CodeWrong => {
                warn!(%order, %error, "the server refused this machine's code; asking the server for another one");
                self.request_receipt_with_servers_code(active).await
            }
            Err(AuthenticateError::Call(CallError::Refused(error))) => {
                warn!(%order, %error, "the server refused the receipt");
                let (reason, detail) = (error.reason, error.detail);
                self.store_outcome(active, Err(reason));
                self.report(order, Event::Failed { reason, detail, restored: true });
                OrderInput::ReceiptRefused(order, reason)
            }
            Err(error) => retry_later(order, &error),
        }
    }

    /// Asks the server for an offer of its own, which brings a code that nobody else has touched, and requests the receipt
    /// with it. Nothing is received again.
    async fn request_receipt_with_servers_code(&self, active: &ActiveOrder) -> OrderInput {
        let order = active.order.id;
        let help = match self.server.api.help(order).await {
            Ok(help) => help,
            Err(error) => {
                warn!(%order, %error, "failed to fetch an offer from the server; trying again");
                return OrderInput::RetryLater(order, Reason::CodeWrong, error.to_string());
            }
        };
        for offer in help.offers {
            // A refusal is logged and reported where it is made.
            drop(self.accept_offer(self.identity.server, offer).await);
        }
        match self.stages.authenticate.request_receipt(active).await {
            Ok(()) => OrderInput::Receipted(order),
            Err(error) => {
                warn!(%order, %error, "the server refused the receipt again; trying later");
                retry_later(order, &error)
            }
        }
    }

    pub(super) async fn request_install_permit(&self, active: &ActiveOrder) -> OrderInput {
        let order = active.order.id;
        let epoch_before = self.identity.epoch.highest();
        let permitted = self.stages.authenticate.request_install_permit(active).await;
        self.end_orders_of_earlier_epochs(epoch_before);
        match permitted {
            Ok(artifact) => {
                let lane = match active.content.artifact().install.kind {
                    Kind::Deb => InstallLane::System,
                    Kind::Archive | Kind::Unknown => InstallLane::Own,
                };
                self.stages.install.add_permitted(artifact);
                OrderInput::InstallPermit(order, lane)
            }
            Err(error) if error.reason() == Reason::Withdrawn => {
                self.end_withdrawn_order(order, &error.to_string());
                OrderInput::InstallEnded(order, Err(Reason::Withdrawn))
            }
            Err(error) if error.reason() == Reason::Cancelled => {
                info!(%order, "order ended: the deployment was cancelled");
                self.store_outcome(active, Err(Reason::Cancelled));
                let (reason, detail) = (Reason::Cancelled, String::new());
                self.report(order, Event::Failed { reason, detail, restored: true });
                OrderInput::InstallEnded(order, Err(Reason::Cancelled))
            }
            Err(error) => {
                info!(%order, %error, "waiting for an install permit");
                match self.blame_clocks(error.reason(), &error) {
                    Some(detail) => OrderInput::RetryLater(order, Reason::ClockWrong, detail),
                    None => retry_later(order, &error),
                }
            }
        }
    }

    pub(super) async fn install(&self, active: &ActiveOrder) -> OrderInput {
        let order = active.order.id;
        let permitted = self.stages.install.take_permitted(order);
        if self.identity.stops.is_stopped(order) {
            return OrderInput::RetryLater(order, Reason::Halted, String::new());
        }
        let Some(artifact) = permitted else {
            return OrderInput::RetryLater(order, Reason::WaitsForPermit, String::new());
        };
        let started = Instant::now();
        let urgency = self.gates.schedule.urgency(&self.gates.schedule.inputs(), active);
        let keep_versions = self.user.policy.current().keep_versions;
        let settings = InstallSettings { urgent: urgency.install, keep_versions };
        let finished = self.stages.install.install(artifact, settings).await;
        match finished.outcome {
            Outcome::Installed { already, remark } => {
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                info!(%order, package = active.order.package, already, milliseconds, "installed");
                self.store_outcome(active, Ok(()));
                self.user.installed.record(&active.order.package, &active.description.version, active.order.sequence);
                self.report(order, Event::Installed { already, milliseconds, remark });
                OrderInput::InstallEnded(order, Ok(()))
            }
            Outcome::Failed { reason, detail, restored } => {
                warn!(%order, %reason, detail, "install failed");
                let detail = format!("{detail}\n{}", finished.output).trim_end().to_owned();
                self.store_outcome(active, Err(reason));
                self.report(order, Event::Failed { reason, detail, restored });
                OrderInput::InstallEnded(order, Err(reason))
            }
            Outcome::Waits { reason, detail } => {
                info!(%order, %reason, detail, "install deferred");
                OrderInput::RetryLater(order, reason, detail)
            }
        }
    }

    fn store_outcome(&self, active: &ActiveOrder, result: Result<(), Reason>) {
        if let Err(error) = self.orders.store_outcome(&self.database, active.order.id, result) {
            warn!(%error, "failed to record the end of an order; it will be detected again after a restart");
        }
    }
}

/// Asks for a repetition of what the server has not granted yet.
fn retry_later(order: OrderId, error: &AuthenticateError) -> OrderInput {
    OrderInput::RetryLater(order, error.reason(), error.detail())
}

/// Returns whether a machine may show others the content after this event, in an order with spread `after-install`: its
/// installation has ended or was put off (rule C10). Machines never wait for one that itself waits for a person. While
/// the server is away or other machines install first, nothing is decided.
fn ends_withholding(event: &Event) -> bool {
    match event {
        Event::Installed { .. } | Event::Failed { .. } => true,
        Event::Waits { reason, .. } => !matches!(reason, Reason::ServerAway | Reason::WaitsForProof),
        Event::Offered { .. }
        | Event::Progress { .. }
        | Event::Verified { .. }
        | Event::Authenticated
        | Event::Installing
        | Event::Refused { .. }
        | Event::SteppedOver { .. }
        | Event::Source { .. }
        | Event::BadChunk { .. } => false,
    }
}
