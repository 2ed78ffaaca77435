//! Excludes machines from taking part: revokes one for good, quarantines a cloned identity, readmits it (rules I5, I9).

use crate::{
    identity::{registry::Registry, revocation_list::RevocationList},
    net::{connections::Connections, peer_node::PeerNode, wake_ups::WakeUps},
    refusal::Refusal,
    store::{ProgressNote, Store},
    suspicion_log::{Event, SuspicionLog},
};
use banyan_proto::{MachineId, Reason, UnixSeconds};
use std::sync::Arc;
use tracing::info;

/// Revokes, quarantines and readmits machines.
pub(crate) struct Revocation {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) list: Arc<RevocationList>,
    pub(crate) connections: Connections,
    pub(crate) node: PeerNode,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) suspicions: SuspicionLog,
}

impl Revocation {
    /// Revokes a machine: stores and lists the revocation, refuses new handshakes, then cuts the machine's connections.
    pub(crate) async fn revoke(&self, machine: MachineId) -> Result<(), Refusal> {
        let Some(ended) = self.store.revoke(machine, UnixSeconds::now()).await? else {
            return Err(Refusal::not_found(format!("there is no machine {machine}")));
        };
        for id in ended {
            info!(order = %id, %machine, "deployment finished: its last machine was revoked");
        }
        self.carry_out(machine, None).await
    }

    /// Carries out a revocation that is already stored.
    pub(crate) async fn carry_out(&self, machine: MachineId, replaced_by: Option<MachineId>) -> Result<(), Refusal> {
        self.registry.revoke(machine, replaced_by, UnixSeconds::now());
        let crl = self.list.renew().await?;
        self.connections.cut(machine);
        if let Some(node) = self.node.get() {
            node.cut(machine);
        }
        info!(%machine, list = crl.number, "machine revoked");
        Ok(())
    }

    /// Quarantines a machine until an administrator readmits it: it appears in no list and gets no offers, receipts or
    /// install permits. Its HTTP connections stay open, so that the agent learns of it with its next request.
    pub(crate) async fn quarantine(&self, machine: MachineId, reason: Reason) -> Result<(), Refusal> {
        self.store.set_quarantine(machine, Some(reason)).await?;
        if !self.registry.set_quarantine(machine, Some(reason)) {
            return Ok(());
        }
        if let Some(node) = self.node.get() {
            node.cut(machine);
        }
        self.wake_ups.wake(machine);
        let detail = "the machine is quarantined until it is readmitted".to_owned();
        let note = |order| ProgressNote { order, machine, reason, detail: detail.clone() };
        let notes: Vec<_> = self.store.expected(machine).await?.into_iter().map(note).collect();
        self.store.note(&notes).await?;
        self.suspicions.record(&Event::of(machine, None, reason, detail));
        Ok(())
    }

    /// Readmits a quarantined machine. If the cause persists, the machine is quarantined again at once.
    pub(crate) async fn readmit(&self, machine: MachineId) -> Result<(), Refusal> {
        match self.registry.exclusion(machine) {
            None => Err(Refusal::conflict(Reason::BadRequest, "this machine is not quarantined")),
            Some(reason @ (Reason::Revoked | Reason::Retired)) => {
                let detail = format!("{}; only a quarantined machine can be readmitted", reason.for_admin().what);
                Err(Refusal::conflict(reason, detail))
            }
            Some(_) => {
                self.store.set_quarantine(machine, None).await?;
                self.registry.set_quarantine(machine, None);
                info!(%machine, "machine readmitted");
                Ok(())
            }
        }
    }
}
