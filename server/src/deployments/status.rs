//! The deployments' status, for administrators.

use crate::{
    deployments::active_orders::ActiveOrders,
    identity::registry::Registry,
    refusal::Refusal,
    store::{AddresseeRow, DeploymentRow, ServerIdentity, Store},
};
use banyan_proto::{
    OrderId, Reason,
    admin::{AddresseeStatus, DeploymentStatus, Stage},
};
use std::sync::Arc;

/// Builds the status of deployments.
pub(crate) struct DeploymentStatuses {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) active_orders: Arc<ActiveOrders>,
}

impl DeploymentStatuses {
    /// Returns the status of the newest deployments, or all, without their target machines, newest first.
    pub(crate) async fn newest(&self, limit: Option<u32>) -> Result<Vec<DeploymentStatus>, Refusal> {
        let mut statuses = Vec::new();
        for row in self.store.deployments(limit).await? {
            let (counts, replaced) = self.store.counts(row.order.id).await?;
            statuses.push(DeploymentStatus { replaced, ..self.status_of(&row, counts, vec![]) });
        }
        Ok(statuses)
    }

    /// Returns the status of one deployment with all its target machines.
    pub(crate) async fn get(&self, id: OrderId) -> Result<DeploymentStatus, Refusal> {
        let row = self.store.deployment(id).await?;
        let row = row.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        let rows = self.store.addressees(id).await?;
        let mut counts: Vec<(Stage, u32)> = Vec::new();
        for AddresseeRow { stage, .. } in &rows {
            match counts.iter_mut().find(|(known, _)| known == stage) {
                Some((_, count)) => *count += 1,
                None => counts.push((*stage, 1)),
            }
        }
        counts.sort_unstable();
        let open = self.active_orders.get(id);
        let damage = open.as_ref().and_then(|open| open.damage());
        // Without content at the server, machines only notice that they get none.
        let why = |row: &AddresseeRow| match (&damage, row.reason) {
            (Some(damage), None | Some(Reason::NoSource | Reason::Unreachable)) if row.stage < Stage::Verified => {
                (Some(Reason::ServerFileDamaged), Some(damage.clone()))
            }
            (_, reason) => (reason, row.detail.clone()),
        };
        let addressee = |addressee: AddresseeRow| {
            let (reason, detail) = why(&addressee);
            AddresseeStatus {
                id: addressee.machine,
                label: self.registry.name(addressee.machine),
                stage: addressee.stage,
                chunks: (if addressee.verified_after.is_some() { row.chunks } else { addressee.held }, row.chunks),
                reason,
                detail,
                planned: open
                    .iter()
                    .flat_map(|open| &open.trees)
                    .filter_map(|tree| tree.planned_sender(addressee.machine))
                    .collect(),
                sources: addressee.sources,
                verified_after: addressee.verified_after,
                installed_after: addressee.installed_after,
            }
        };
        let is_replaced = |row: &&AddresseeRow| row.is_replaced();
        let replaced = u32::try_from(rows.iter().filter(is_replaced).count()).unwrap_or(u32::MAX);
        let addressees = rows.into_iter().map(addressee).collect();
        Ok(DeploymentStatus { replaced, ..self.status_of(&row, counts, addressees) })
    }

    fn status_of(
        &self,
        row: &DeploymentRow,
        counts: Vec<(Stage, u32)>,
        addressees: Vec<AddresseeStatus>,
    ) -> DeploymentStatus {
        let order = &row.order;
        DeploymentStatus {
            id: order.id,
            package: order.package.clone(),
            version: row.version.clone(),
            state: row.state,
            accepted: order.issued,
            size: row.size,
            stripes: u8::try_from(order.stripes.len()).unwrap_or(u8::MAX),
            server: self.server.id,
            counts,
            replaced: 0,
            server_sent: row.server_sent + self.active_orders.get(order.id).map_or(0, |open| open.uncounted()),
            server_copies: row.request.server_copies,
            addressees,
        }
    }
}
