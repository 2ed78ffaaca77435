//! Requests orders for this machine alone, for what a user chose: a package file, or a package from the catalogue.

use super::Agent;
use crate::{
    refusal::refusal,
    server::{api::CallError, catalogue, on_demand},
};
use banyan_local_api::RequestBody;
use banyan_proto::{
    Digest, OrderId, Reason,
    api::{ApiError, CatalogueRequest, Help, OfferedRelease, PackageRequest},
    local::{Catalogue, Item},
    schedule::{Stage, Wish},
};
use banyan_swarm::io::OrderInput;
use tracing::{info, warn};

impl Agent {
    /// Receives a package file and has it installed. The file must contain the release `wanted`. `consent` is a
    /// publisher that the user decided to trust.
    pub(crate) async fn install_package_file(
        &self,
        wanted: Digest,
        consent: Option<Digest>,
        body: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        let received = self.sideload.receive(wanted, consent, body).await?;
        let ordered = self.order_package(&received.request).await;
        if ordered.is_err() {
            self.sideload.delete_unneeded_content(received.request.artifact);
        }
        ordered
    }
    async fn order_package(&self, request: &PackageRequest) -> Result<OrderId, ApiError> {
        let help = self.server.api.order_package(request).await.map_err(|error| match error {
            CallError::Refused(error) => error,
            away @ (CallError::Away { .. } | CallError::Clock(_)) => {
                let detail = format!("the server must allow this and cannot be reached now; try again later ({away})");
                refusal(Reason::ServerAway, detail)
            }
        })?;
        self.accept_order(&request.package, request.manifest, help).await
    }

    /// Returns the catalogue, with the versions installed here.
    pub(crate) async fn catalogue(&self) -> Result<Catalogue, ApiError> {
        let releases = self.server.catalogue.releases(&self.server.api).await?;
        let item = |release: OfferedRelease| Item { installed: self.user.installed.get(&release.package), release };
        Ok(Catalogue { items: releases.into_iter().map(item).collect() })
    }
    /// Requests and accepts an order for the release with this manifest (rule O12).
    pub(crate) async fn install_from_catalogue(&self, package: &str, manifest: Digest) -> Result<OrderId, ApiError> {
        // Check the policy here first: the server's catalogue answer alone is not sufficient.
        if !self.user.policy.current().catalogue.offers(package) {
            let detail = format!("your administrator does not offer {package} on this computer");
            return Err(refusal(Reason::NotOffered, detail));
        }
        let releases = self.server.catalogue.releases(&self.server.api).await?;
        // A release that is no longer offered is requested anyway: the server knows the reason.
        if let Some(release) = releases.iter().find(|release| release.manifest == manifest) {
            catalogue::check_not_installed(&self.user.installed, release)?;
        }
        if self.is_under_way(package) {
            let detail = format!("{package} is already being downloaded or installed on this computer");
            return Err(refusal(Reason::UnderWay, detail));
        }
        let request = CatalogueRequest { package: package.to_owned(), manifest };
        let help = self.server.api.order_offered(&request).await.map_err(catalogue::to_refusal)?;
        self.accept_order(package, manifest, help).await
    }
    fn is_under_way(&self, package: &str) -> bool {
        let orders = self.orders.all();
        let mut of_package = orders.iter().filter(|active| active.order.package == package);
        of_package.any(|active| !self.user.history.has_ended(active.order.id))
    }

    /// Accepts the requested order if it is for the requested release. Sets the wish to install now, as far as the
    /// policy allows.
    async fn accept_order(&self, package: &str, manifest: Digest, help: Help) -> Result<OrderId, ApiError> {
        let Some(node) = self.node.get() else {
            return Err(refusal(Reason::ServerAway, "the agent is still starting; try again in a minute"));
        };
        let not_trusted = |why: String| {
            warn!(package, why, "on-demand order refused");
            refusal(Reason::OrderForged, format!("the server's order cannot be trusted: {why}"))
        };
        let mut accepted = None;
        for offer in help.offers {
            on_demand::check_requested(&offer.order, &self.identity.keys, package, manifest).map_err(not_trusted)?;
            let checked = self.accept_offer(self.identity.server, offer).await;
            let trusted = checked.map_err(on_demand::to_refusal)?;
            let id = *accepted.get_or_insert(trusted.stripe.order);
            // Set the wish before the state machine learns of the order.
            self.user.history.set_wish(id, Stage::Install, Wish::Now)?;
            if let Some(active) = self.orders.get(id) {
                self.gates.decide_order(&self.gates.schedule.inputs(), &active);
            }
            node.input(OrderInput::Restored(trusted));
        }
        let id = accepted.ok_or_else(|| refusal(Reason::InternalError, "the server's answer contains no order"))?;
        info!(order = %id, package, "on-demand order accepted");
        Ok(id)
    }
}
