//! Receipts, which prove to a machine that it holds what was sent along the tree (rules A1–A4).

use crate::{
    deployments::order_lifecycle::OrderLifecycle,
    identity::secrets::Secrets,
    machines::{
        accused_edges::AccusedEdges,
        delivery_path::{PathError, ProofContext, describe_path, verify_path},
        progress::apply_receipt,
    },
    refusal::Refusal,
    store::{NewReceipt, ProgressNote, Store},
    suspicion_log::{Event, SuspicionLog},
};
use axum::http::StatusCode;
use banyan_proto::{MachineId, Reason, Receipt, Signed, UnixSeconds, api::ReceiptRequest, limits, text};
use std::sync::Arc;
use tracing::info;

/// Issues receipts.
pub(crate) struct Receipts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) suspicions: SuspicionLog,
    pub(crate) accusations: AccusedEdges,
}

impl Receipts {
    /// Issues the receipt for a machine that proves that the offer came along the tree and that it holds the artifact.
    /// Repeated requests return the same receipt.
    pub(crate) async fn issue(
        &self,
        machine: MachineId,
        exporter: &[u8; 32],
        request: &ReceiptRequest,
    ) -> Result<Signed<Receipt>, Refusal> {
        let id = request.order;
        let open = self.orders.find_active(id, machine).await?;
        if self.store.addressee(id, machine).await?.is_none() {
            let detail = "a machine that is not a target of the order requested a receipt";
            self.suspicions.record(&Event::of(machine, Some(id), Reason::NotAddressed, detail));
            return Err(Refusal::forbidden(Reason::NotAddressed, "this machine is not a target of the order"));
        }
        if request.artifact != open.artifact.digest {
            let detail =
                format!("the machine holds {}, but the order is for {}", request.artifact, open.artifact.digest);
            self.suspicions.record(&Event::of(machine, Some(id), Reason::BadArtifact, detail.clone()));
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, detail));
        }
        if request.ways.len() > open.trees.len() || request.sources.len() > limits::ADDRESSEES {
            return Err(Refusal::bad("more paths than stripes, or too many sources"));
        }
        let context = ProofContext { master: &self.secrets.master, exporter, machine };
        let mut valid_paths = 0;
        let mut wrong = Vec::new();
        for way in &request.ways {
            match verify_path(open.tree(way.stripe), &open, &context, way) {
                Ok(()) => {
                    valid_paths += 1;
                    open.record_proved_code(way.stripe, machine);
                }
                Err(error) => {
                    if error == PathError::WrongCode {
                        self.accusations.accuse(&open, machine, way);
                    } else {
                        // The machine checks a path before it accepts it, so the claim is its own.
                        let detail = format!("{}: {error}", describe_path(way));
                        self.suspicions.record(&Event::of(machine, Some(id), Reason::CodeWrong, detail));
                    }
                    wrong.push(format!("{}: {error}", describe_path(way)));
                }
            }
        }
        if valid_paths == 0 {
            let detail = if wrong.is_empty() { "no path was given".to_owned() } else { wrong.join("; ") };
            let detail = text::bounded(&detail, text::DETAIL_BYTES);
            let note = ProgressNote { order: id, machine, reason: Reason::CodeWrong, detail: detail.clone() };
            self.store.note(&[note]).await?;
            return Err(Refusal::forbidden(Reason::CodeWrong, detail));
        }
        let receipt = Receipt { order: id, machine, artifact: open.artifact.digest, issued: UnixSeconds::now() };
        let signed = self.secrets.orders.sign(&receipt);
        let new = NewReceipt { receipt: &receipt, signed: &signed, sources: &request.sources, after_ms: open.age_ms() };
        let valid = self.store.store_receipt(new, apply_receipt).await?;
        info!(order = %id, %machine, "receipt issued");
        Ok(valid)
    }
}
