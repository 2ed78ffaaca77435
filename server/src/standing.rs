//! Which machines take part: revoking one for good, setting a cloned identity aside, taking it back (rules I5, I9).

use crate::{nms::Nms, refusal::Refusal};
use banyan_proto::{MachineId, Reason};
use tracing::info;

impl Nms {
    /// Revokes a machine: stored, listed, refused at the next handshake, and its connections cut, in this order.
    pub(crate) async fn revoke(&self, machine: MachineId) -> Result<(), Refusal> {
        if !self.store.revoke(machine, Self::now()).await? {
            return Err(Refusal::not_found(format!("there is no machine {machine}")));
        }
        self.shut_out(machine, None).await
    }

    /// Carries out a revocation that is stored.
    pub(crate) async fn shut_out(&self, machine: MachineId, replaced_by: Option<MachineId>) -> Result<(), Refusal> {
        self.registry.revoke(machine, replaced_by, Self::now());
        let crl = self.renew_doors().await?;
        self.live.cut(machine);
        if let Some(node) = self.node.get() {
            node.cut(machine);
        }
        info!(%machine, list = crl.number, "revoked");
        Ok(())
    }

    /// Sets a machine aside until an administrator takes it back: it is planned in no list and gets neither offers nor
    /// receipts nor go-aheads. Its HTTP connections stay, so that whoever uses the identity is told at the next request.
    pub(crate) async fn set_aside(&self, machine: MachineId, reason: Reason) -> Result<(), Refusal> {
        self.store.set_aside(machine, Some(reason)).await?;
        if !self.registry.set_aside(machine, Some(reason)) {
            return Ok(());
        }
        if let Some(node) = self.node.get() {
            node.cut(machine);
        }
        self.news.wake(machine);
        let detail = format!("set aside; what to do: {}", reason.next());
        for order in self.store.expected(machine).await? {
            self.store.note(order, machine, reason, &detail).await?;
        }
        self.suspect(Some(machine), None, reason, detail).await;
        Ok(())
    }

    /// Takes a machine back that was set aside. If the cause is still there it is set aside again at once.
    pub(crate) async fn readmit(&self, machine: MachineId) -> Result<(), Refusal> {
        match self.registry.out(machine) {
            None => Err(Refusal::conflict(Reason::BadRequest, "this machine is not set aside")),
            Some(reason @ (Reason::Revoked | Reason::Retired)) => Err(Refusal::conflict(reason, reason.words())),
            Some(_) => {
                self.store.set_aside(machine, None).await?;
                self.registry.set_aside(machine, None);
                info!(%machine, "taken back");
                Ok(())
            }
        }
    }
}
