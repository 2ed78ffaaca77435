//! Manual installs: creates the order for a package that someone opened at a machine, if the policy allows it.
//!
//! The machine already holds the content. The publishers' list still decides which release may be installed, and the
//! server decides whether: the release must be published here, and an administrator's deployment takes precedence. The
//! server cannot know who is at the machine, so the machine checks that person against the policy itself.

use crate::{
    deployments::{on_demand::OnDemandOrders, policies::GroupPolicies},
    publishing::repository_cache::RepositoryCache,
    refusal::Refusal,
};
use banyan_proto::{
    Digest, MachineId, Manifest, Reason,
    api::{Help, PackageRequest},
};
use std::sync::Arc;

/// Orders packages that someone opened at a machine.
pub(crate) struct Sideload {
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) orders: Arc<OnDemandOrders>,
}

impl Sideload {
    /// Returns the order for a package that the machine holds. Repeated requests return the same order while it is
    /// open.
    pub(crate) async fn order(&self, machine: MachineId, request: &PackageRequest) -> Result<Help, Refusal> {
        // Locked from here on: a later withdrawal ends the order that results.
        let accepting = self.orders.lock().await;
        let row = self.orders.requesting_machine(machine)?;
        let name = &request.package;
        if !self.policies.of(&row.assigned).by_hand.allows(name) {
            let detail = format!("the administrator's policy does not allow manual installs of {name} on this machine");
            return Err(Refusal::forbidden(Reason::NotAllowed, detail));
        }
        if self.repository.has_withdrawn(name, request.sequence) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.for_admin().what));
        }
        if !self.repository.lists(request.manifest) {
            let detail = format!(
                "this release of {name} is not published on the server; an administrator can publish the package \
                 file with `banyan publish`"
            );
            return Err(Refusal::conflict(Reason::NotPublished, detail));
        }
        let (package, sequence) = (name.clone(), request.sequence);
        let text = self.repository.with(move |repository| repository.manifest(&package, sequence)).await?;
        let manifest = Manifest::parse(text.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        let is_published_file =
            manifest.artifact_for(&row.platform).is_some_and(|artifact| artifact.digest == request.artifact);
        if !is_published_file || Digest::of(text.as_bytes()) != request.manifest {
            return Err(Refusal::conflict(
                Reason::WrongPlatform,
                "the package file differs from the one published for this machine",
            ));
        }
        self.orders.order_release(accepting, machine, &manifest, text).await
    }
}
