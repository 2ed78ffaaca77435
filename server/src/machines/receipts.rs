//! Receipts and install permits, which a machine must have before it installs (rules A1–A6).

use crate::{
    deployments::{active_orders::ActiveOrder, tree::StripeTree},
    refusal::Refusal,
    server::Server,
};
use axum::http::StatusCode;
use banyan_proto::{
    InstallPermit, MachineId, OrderId, Reason, Receipt, RollingCode, Signed,
    admin::DeploymentState,
    api::{ReceiptRequest, Way},
    limits,
};
use tracing::info;

/// Why a delivery path proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("the stripe does not exist")]
    NoSuchStripe,
    #[error("the path does not begin at the server")]
    NotFromServer,
    #[error("the path is longer than the maximum depth of a tree")]
    TooLong,
    #[error("the machine is not on the list")]
    NotOnList,
    #[error("{above} is not an ancestor of {below}")]
    NotAncestor { above: MachineId, below: MachineId },
    #[error("the code does not match this path, machine and connection")]
    WrongCode,
}

/// What a path is checked against.
pub(crate) struct ProofContext<'a> {
    pub(crate) master: &'a [u8; 32],
    /// The exporter of the TLS session that carried the proof.
    pub(crate) exporter: &'a [u8; 32],
    pub(crate) machine: MachineId,
}

/// Recomputes the chain of codes along the claimed path and compares the result (rule A3).
///
/// Each hop must be a tree ancestor of the next. Skipped heads are left out, so the last hop need not be the planned
/// sender.
pub(crate) fn verify_path(
    tree: Option<&StripeTree>,
    open: &ActiveOrder,
    context: &ProofContext<'_>,
    way: &Way,
) -> Result<(), PathError> {
    let tree = tree.ok_or(PathError::NoSuchStripe)?;
    let order = &open.row.order;
    if way.path.len() > limits::LIST_DEPTH {
        return Err(PathError::TooLong);
    }
    if way.path.first() != Some(&order.server) {
        return Err(PathError::NotFromServer);
    }
    let mut code = RollingCode::root(context.master, order.id, way.stripe, tree.root().hash);
    let below = way.path[1..].iter().chain([&context.machine]);
    for (&above, &below) in way.path.iter().zip(below) {
        let subtree = tree.subtree(below).ok_or(PathError::NotOnList)?;
        if !tree.is_ancestor(above, below) {
            return Err(PathError::NotAncestor { above, below });
        }
        code = code.child(below, subtree.hash);
    }
    if !code.proves(way.proof, context.exporter, order.id, open.artifact.digest) {
        return Err(PathError::WrongCode);
    }
    Ok(())
}

/// Formats a path for the log and for administrators.
fn describe_path(way: &Way) -> String {
    let path: Vec<String> = way.path.iter().take(limits::LIST_DEPTH).map(MachineId::short).collect();
    format!("stripe {}, path {}", way.stripe, path.join(" "))
}

impl Server {
    /// Issues the receipt for a machine that proves that the offer came along the tree and that it holds the artifact.
    /// Repeated requests return the same receipt.
    pub(crate) async fn receipt(
        &self,
        machine: MachineId,
        exporter: &[u8; 32],
        request: &ReceiptRequest,
    ) -> Result<Signed<Receipt>, Refusal> {
        let id = request.order;
        let open = self.find_active(id, machine).await?;
        if self.store.addressee(id, machine).await?.is_none() {
            let detail = "a machine that is not a target of the order requested a receipt";
            self.suspect(Some(machine), Some(id), Reason::NotAddressed, detail.into()).await;
            return Err(Refusal::forbidden(Reason::NotAddressed, "this machine is not a target of the order"));
        }
        if request.artifact != open.artifact.digest {
            let detail =
                format!("the machine holds {}, but the order is for {}", request.artifact, open.artifact.digest);
            self.suspect(Some(machine), Some(id), Reason::BadArtifact, detail.clone()).await;
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, detail));
        }
        if request.ways.len() > open.trees.len() || request.sources.len() > limits::ADDRESSEES {
            return Err(Refusal::bad("more paths than stripes, or too many sources"));
        }
        let context = ProofContext { master: &self.secrets.master, exporter, machine };
        let mut good = 0;
        let mut wrong = Vec::new();
        for way in &request.ways {
            match verify_path(open.tree(way.stripe), &open, &context, way) {
                Ok(()) => good += 1,
                Err(error) => wrong.push(format!("{}: {error}", describe_path(way))),
            }
        }
        for detail in &wrong {
            self.suspect(Some(machine), Some(id), Reason::CodeWrong, detail.clone()).await;
        }
        if good == 0 {
            let detail = if wrong.is_empty() { "no path was given".to_owned() } else { wrong.join("; ") };
            self.store.note(id, machine, Reason::CodeWrong, &detail).await?;
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let receipt = Receipt { order: id, machine, artifact: open.artifact.digest, issued: Self::now() };
        let signed = self.secrets.orders.sign(&receipt);
        let kept = self.store.keep_receipt(&receipt, &signed, &request.sources, open.age_ms()).await?;
        info!(order = %id, %machine, "receipt issued");
        Ok(kept)
    }

    /// Issues an install permit, while the deployment runs and the publishers still list the release.
    pub(crate) async fn install_permit(
        &self,
        machine: MachineId,
        id: OrderId,
    ) -> Result<Signed<InstallPermit>, Refusal> {
        let row = self.store.addressee(id, machine).await?;
        let row =
            row.ok_or_else(|| Refusal::forbidden(Reason::NotAddressed, "this machine is not a target of the order"))?;
        if row.is_over() && row.reason == Some(Reason::Withdrawn) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.for_admin().what));
        }
        if self.store.receipt(id, machine).await?.is_none() {
            self.suspect(
                Some(machine),
                Some(id),
                Reason::CodeWrong,
                "install permit requested without a receipt".into(),
            )
            .await;
            let detail = "an install permit requires a receipt for the artifact";
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let deployment = self.store.deployment(id).await?;
        let deployment = deployment.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        if row.reason == Some(Reason::OrderSuperseded) {
            return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.for_admin().what));
        }
        if deployment.order.epoch < self.epoch {
            return Err(Refusal::conflict(Reason::EpochBack, Reason::EpochBack.for_admin().what));
        }
        if deployment.order.expires <= Self::now() {
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
            issued: Self::now(),
            epoch: self.epoch,
            timestamp_version: versions.timestamp,
            snapshot_version: versions.snapshot,
        }))
    }
}
