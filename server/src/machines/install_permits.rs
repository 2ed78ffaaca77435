//! Install permits, which a machine must have before it installs (rules A5, A6).

use crate::{
    identity::secrets::Secrets,
    publishing::repository_cache::RepositoryCache,
    refusal::Refusal,
    store::{ServerIdentity, Store},
    suspicion_log::SuspicionLog,
};
use axum::http::StatusCode;
use banyan_proto::{InstallPermit, MachineId, OrderId, Reason, Signed, UnixSeconds, admin::DeploymentState};
use std::sync::Arc;
use tracing::info;

/// Issues install permits.
pub(crate) struct InstallPermits {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) suspicions: SuspicionLog,
}

impl InstallPermits {
    /// Issues an install permit, while the deployment runs and the publishers still list the release.
    pub(crate) async fn issue(&self, machine: MachineId, id: OrderId) -> Result<Signed<InstallPermit>, Refusal> {
        let row = self.store.addressee(id, machine).await?;
        let row =
            row.ok_or_else(|| Refusal::forbidden(Reason::NotAddressed, "this machine is not a target of the order"))?;
        if row.is_over() && row.reason == Some(Reason::Withdrawn) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.for_admin().what));
        }
        if self.store.receipt(id, machine).await?.is_none() {
            self.suspicions
                .record(Some(machine), Some(id), Reason::CodeWrong, "install permit requested without a receipt".into())
                .await;
            let detail = "an install permit requires a receipt for the artifact";
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let deployment = self.store.deployment(id).await?;
        let deployment = deployment.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        if row.reason == Some(Reason::OrderSuperseded) {
            return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.for_admin().what));
        }
        if deployment.order.epoch < self.server.epoch {
            return Err(Refusal::conflict(Reason::EpochBack, Reason::EpochBack.for_admin().what));
        }
        if deployment.order.expires <= UnixSeconds::now() {
            return Err(Refusal::conflict(Reason::OrderExpired, Reason::OrderExpired.for_admin().what));
        }
        match deployment.state {
            DeploymentState::Running => {}
            DeploymentState::Halted => return Err(Refusal::conflict(Reason::Halted, Reason::Halted.for_admin().what)),
            DeploymentState::Superseded => {
                return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.for_admin().what));
            }
            DeploymentState::Finished => {
                return Err(Refusal::conflict(Reason::WaitsForPermit, "the deployment has ended"));
            }
        }
        if self.repository.has_withdrawn(&deployment.order.package, deployment.order.sequence) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.for_admin().what));
        }
        if !self.repository.lists(deployment.order.manifest) {
            return Err(Refusal::conflict(Reason::NotPublished, "this release is not on the publishers' list"));
        }
        let versions = self.repository.snapshot().versions.ok_or_else(|| {
            let detail = "the server's signed metadata has expired; see the server's log";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Reason::MetadataExpired, detail)
        })?;
        info!(order = %id, %machine, "install permit issued");
        Ok(self.secrets.orders.sign(&InstallPermit {
            order: id,
            machine,
            issued: UnixSeconds::now(),
            epoch: self.server.epoch,
            timestamp_version: versions.timestamp,
            snapshot_version: versions.snapshot,
        }))
    }
}
