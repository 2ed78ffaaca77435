//! Receipts and go-aheads: what a machine must have before it installs (rules A1–A6).

use crate::{book::OpenOrder, nms::Nms, refusal::Refusal, tree::Tree};
use axum::http::StatusCode;
use banyan_proto::{
    DeploymentId, GoAhead, MachineId, Reason, Receipt, RollingCode, Signed,
    admin::DeploymentState,
    api::{ReceiptRequest, Way},
    limits,
};
use tracing::info;

/// Why one way does not prove anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WayError {
    #[error("there is no such stripe")]
    NoSuchStripe,
    #[error("the way does not begin at the server")]
    NotFromServer,
    #[error("the way is longer than any tree is deep")]
    TooLong,
    #[error("the machine is not on the list")]
    NotOnList,
    #[error("{above} is no ancestor of {below}")]
    NotAncestor { above: MachineId, below: MachineId },
    #[error("the code is not the one of this way, machine and connection")]
    WrongCode,
}

/// What a way is checked against.
pub(crate) struct Session<'a> {
    pub(crate) master: &'a [u8; 32],
    /// Of the very TLS session that the proof came over.
    pub(crate) exporter: &'a [u8; 32],
    pub(crate) machine: MachineId,
}

/// Recomputes the chain of codes along the claimed way and compares (rule A3).
///
/// Each hop must be a tree ancestor of the next; heads that were stepped over are left out, so it need not be the
/// planned sender.
pub(crate) fn check_way(
    tree: Option<&Tree>,
    open: &OpenOrder,
    session: &Session<'_>,
    way: &Way,
) -> Result<(), WayError> {
    let tree = tree.ok_or(WayError::NoSuchStripe)?;
    let order = &open.row.order;
    if way.path.len() > limits::LIST_DEPTH {
        return Err(WayError::TooLong);
    }
    if way.path.first() != Some(&order.server) {
        return Err(WayError::NotFromServer);
    }
    let mut code = RollingCode::root(session.master, order.id, way.stripe, tree.root().hash);
    let below = way.path[1..].iter().chain([&session.machine]);
    for (&above, &below) in way.path.iter().zip(below) {
        let subtree = tree.subtree(below).ok_or(WayError::NotOnList)?;
        if !tree.is_ancestor(above, below) {
            return Err(WayError::NotAncestor { above, below });
        }
        code = code.child(below, subtree.hash);
    }
    if !code.proves(way.proof, session.exporter, order.id, open.artifact.digest) {
        return Err(WayError::WrongCode);
    }
    Ok(())
}

/// The way in words, for the log and the person who looks at it.
fn in_words(way: &Way) -> String {
    let path: Vec<String> = way.path.iter().take(limits::LIST_DEPTH).map(MachineId::short).collect();
    format!("stripe {}, way {}", way.stripe, path.join(" "))
}

impl Nms {
    /// The receipt for a machine that proves that the offer came to it along the tree and that it holds the artifact.
    /// It counts once: asked again, the server gives the same receipt.
    pub(crate) async fn receipt(
        &self,
        machine: MachineId,
        exporter: &[u8; 32],
        request: &ReceiptRequest,
    ) -> Result<Signed<Receipt>, Refusal> {
        let id = request.order;
        let open = self.open_order(id, machine).await?;
        if self.store.addressee(id, machine).await?.is_none() {
            let detail = "a receipt was asked for by a machine that the order is not for";
            self.suspect(Some(machine), Some(id), Reason::NotAddressed, detail.into()).await;
            return Err(Refusal::forbidden(Reason::NotAddressed, "the order is not for this machine"));
        }
        if request.artifact != open.artifact.digest {
            let detail = format!("it holds {}, the order is for {}", request.artifact, open.artifact.digest);
            self.suspect(Some(machine), Some(id), Reason::BadArtifact, detail.clone()).await;
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, detail));
        }
        if request.ways.len() > open.trees.len() || request.sources.len() > limits::ADDRESSEES {
            return Err(Refusal::bad("more ways than stripes, or more sources than machines"));
        }
        let session = Session { master: &self.secrets.master, exporter, machine };
        let mut good = 0;
        let mut wrong = Vec::new();
        for way in &request.ways {
            match check_way(open.tree(way.stripe), &open, &session, way) {
                Ok(()) => good += 1,
                Err(error) => wrong.push(format!("{}: {error}", in_words(way))),
            }
        }
        for detail in &wrong {
            self.suspect(Some(machine), Some(id), Reason::CodeWrong, detail.clone()).await;
        }
        if good == 0 {
            let detail = if wrong.is_empty() { "no way was given".to_owned() } else { wrong.join("; ") };
            self.store.note(id, machine, Reason::CodeWrong, &detail).await?;
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let receipt = Receipt { order: id, machine, artifact: open.artifact.digest, issued: Self::now() };
        let signed = self.secrets.orders.sign(&receipt);
        let kept = self.store.keep_receipt(&receipt, &signed, &request.sources, open.age_ms()).await?;
        info!(order = %id, %machine, "receipt given");
        Ok(kept)
    }

    /// Leave to install now, while the deployment runs and the publishers still list the release.
    pub(crate) async fn go_ahead(&self, machine: MachineId, id: DeploymentId) -> Result<Signed<GoAhead>, Refusal> {
        let row = self.store.addressee(id, machine).await?;
        let row = row.ok_or_else(|| Refusal::forbidden(Reason::NotAddressed, "the order is not for this machine"))?;
        if row.is_over() && row.reason == Some(Reason::Withdrawn) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.words()));
        }
        if self.store.receipt(id, machine).await?.is_none() {
            self.suspect(Some(machine), Some(id), Reason::CodeWrong, "a go-ahead without a receipt".into()).await;
            let detail = "a go-ahead is only given for an artifact that has been authenticated";
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let deployment = self.store.deployment(id).await?;
        let deployment = deployment.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        if row.reason == Some(Reason::OrderSuperseded) {
            return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.words()));
        }
        if deployment.order.epoch < self.epoch {
            return Err(Refusal::conflict(Reason::EpochBack, Reason::EpochBack.words()));
        }
        if deployment.order.expires <= Self::now() {
            return Err(Refusal::conflict(Reason::OrderExpired, Reason::OrderExpired.words()));
        }
        match deployment.state {
            DeploymentState::Running => {}
            DeploymentState::Halted => return Err(Refusal::conflict(Reason::Halted, Reason::Halted.words())),
            DeploymentState::Superseded => {
                return Err(Refusal::conflict(Reason::OrderSuperseded, Reason::OrderSuperseded.words()));
            }
            DeploymentState::Finished => {
                return Err(Refusal::conflict(Reason::WaitsForGoAhead, "the deployment is over"));
            }
        }
        if self.desk.has_withdrawn(&deployment.order.package, deployment.order.sequence) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.words()));
        }
        if !self.desk.lists(deployment.order.manifest) {
            return Err(Refusal::conflict(Reason::NotPublished, "the publishers' list does not have this release"));
        }
        let versions = self.desk.shown().versions.ok_or_else(|| {
            let detail = "the server's signed metadata has expired; its log says why";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Reason::MetadataExpired, detail)
        })?;
        info!(order = %id, %machine, "go-ahead given");
        Ok(self.secrets.orders.sign(&GoAhead {
            order: id,
            machine,
            issued: Self::now(),
            epoch: self.epoch,
            timestamp_version: versions.timestamp,
            snapshot_version: versions.snapshot,
        }))
    }
}
