//! Makes the signed orders of a deployment: one for each of the release's files that its machines need, and several
//! where an order would have too many machines.

use crate::{
    deployments::{
        active_orders::{ActiveOrder, now_ms},
        policies::GroupPolicies,
        reachability::Reachability,
    },
    identity::secrets::Secrets,
    publishing::artifacts::ArtifactStore,
    refusal::Refusal,
    store::{AddresseeRow, Counter, DeploymentRow, MachineRow, NewOrder, OrderRow, ServerIdentity, Store, TargetRow},
};
use axum::http::StatusCode;
use banyan_proto::{
    AddresseeList, Artifact, Digest, Manifest, Order, OrderId, Reason, UnixSeconds, limits, order::OrderAction,
};
use banyan_swarm::{
    known_rates,
    planner::{self, Candidate, Site},
};
use std::{collections::BTreeMap, sync::Arc};
use tracing::info;

/// How much longer than the order machines keep the content after they finish (seconds).
const KEEP_LONGER_SECONDS: u64 = 24 * 3600;
/// The most machines of one order: its lists contain the server as well.
pub(crate) const MAX_MACHINES: usize = limits::ADDRESSEES - 1;

/// Makes orders.
pub(crate) struct OrderFactory {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) reachability: Arc<Reachability>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) artifacts: Arc<ArtifactStore>,
}

/// A release with its manifest's text.
pub(crate) struct Release<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) text: &'a str,
}

/// Machines that get one order together.
pub(crate) struct Batch<'a> {
    pub(crate) artifact: &'a Artifact,
    pub(crate) machines: Vec<MachineRow>,
}

/// Machines by what they need, and those that the release has no file for.
pub(crate) struct Batches<'a> {
    pub(crate) batches: Vec<Batch<'a>>,
    pub(crate) unfit: Vec<MachineRow>,
}

/// An order that is ready to be stored and forwarded.
pub(crate) struct MadeOrder {
    pub(crate) row: OrderRow,
    lists: Vec<AddresseeList>,
    pub(super) addressees: Vec<AddresseeRow>,
    pub(crate) machines: Vec<MachineRow>,
    pub(crate) open: ActiveOrder,
}

impl MadeOrder {
    /// Returns what the store keeps.
    pub(crate) fn to_store(&self) -> NewOrder<'_> {
        NewOrder { row: &self.row, lists: &self.lists, addressees: &self.addressees }
    }
}

/// Divides machines into batches, the largest first: one for each file, and several where there are more than `most`.
pub(crate) fn batches<'a>(manifest: &'a Manifest, machines: Vec<MachineRow>, most: usize) -> Batches<'a> {
    let mut by_file: Vec<Batch<'a>> = Vec::new();
    let mut unfit = Vec::new();
    for row in machines {
        let Some(artifact) = manifest.artifact_for(&row.platform) else {
            unfit.push(row);
            continue;
        };
        match by_file.iter_mut().find(|batch| batch.artifact == artifact) {
            Some(batch) => batch.machines.push(row),
            None => by_file.push(Batch { artifact, machines: vec![row] }),
        }
    }
    by_file.sort_by_key(|batch| std::cmp::Reverse(batch.machines.len()));
    let split = |Batch { artifact, machines }: Batch<'a>| {
        split_by_site(machines, most).into_iter().map(move |machines| Batch { artifact, machines })
    };
    Batches { batches: by_file.into_iter().flat_map(split).collect(), unfit }
}

/// Divides machines into parts of at most `most`. Those of a site stay together, unless they alone are more.
fn split_by_site(machines: Vec<MachineRow>, most: usize) -> Vec<Vec<MachineRow>> {
    if machines.len() <= most {
        return vec![machines];
    }
    let mut sites = BTreeMap::<Site, Vec<MachineRow>>::new();
    for row in machines {
        sites.entry(Site::of(&row.addresses)).or_default().push(row);
    }
    let mut parts: Vec<Vec<MachineRow>> = Vec::new();
    for site in sites.into_values() {
        for part in site.chunks(most) {
            match parts.iter_mut().find(|open| open.len() + part.len() <= most) {
                Some(open) => open.extend_from_slice(part),
                None => parts.push(part.to_vec()),
            }
        }
    }
    parts
}

/// Returns the target of a machine that the release has no file for.
pub(crate) fn unfit_target(row: &MachineRow, ring: u32) -> TargetRow {
    TargetRow {
        machine: row.id,
        ring,
        order: None,
        reason: Some(Reason::WrongPlatform),
        detail: Some(format!("the release has no file for {}", row.platform)),
    }
}

impl OrderFactory {
    /// Makes the order of a batch, with this id if it is given.
    pub(crate) async fn make(
        &self,
        deployment: &DeploymentRow,
        release: &Release<'_>,
        batch: Batch<'_>,
        id: Option<OrderId>,
    ) -> Result<MadeOrder, Refusal> {
        let Batch { artifact, machines } = batch;
        let request = &deployment.request;
        let stripes = request.stripes.min(u8::try_from(artifact.chunk_count()).unwrap_or(u8::MAX));
        let now = UnixSeconds::now();
        let candidates: Vec<Candidate> = machines.iter().map(|row| self.candidate(row, now)).collect();
        let plan = planner::plan(self.server.id, None, &candidates, stripes).map_err(|error| {
            let detail = format!("cannot list the machines: {error}");
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadRequest, detail)
        })?;
        let roots = plan.lists.iter().zip(0..).map(|(list, stripe)| list.subtree(stripe)).collect();
        let order = Order {
            id: id.unwrap_or_else(OrderId::random),
            epoch: self.server.epoch,
            number: self.store.next(Counter::Order).await?,
            revision: 0,
            action: OrderAction::Install,
            package: release.manifest.package.clone(),
            sequence: release.manifest.sequence,
            manifest: Digest::of(release.text.as_bytes()),
            platform: artifact.platform.clone(),
            artifact: artifact.digest,
            stripes: roots,
            server: self.server.id,
            issued: now,
            expires: deployment.expires,
            keep_until: deployment.expires.plus(KEEP_LONGER_SECONDS),
            spread: request.spread,
            window: request.window.clone(),
            deadline: request.deadline,
            allow: request.allow.clone(),
        };
        let row = OrderRow {
            signed: self.secrets.orders.sign(&order),
            order,
            deployment: deployment.id,
            version: release.manifest.version.clone(),
            is_open: true,
            accepted_ms: now_ms(),
            size: artifact.size,
            chunks: artifact.chunk_count(),
            server_sent: 0,
            server_copies: request.server_copies,
        };
        let addressees = plan.lists[0].ids().skip(1).map(AddresseeRow::expected).collect();
        let text = release.text.to_owned();
        let open = ActiveOrder::new(row.clone(), text, plan.lists.clone(), &self.artifacts, true)
            .filter(|open| open.content().is_some())
            .ok_or_else(|| Refusal::internal(&"cannot open the release's artifact"))?;
        for row in &machines {
            if let Some(most) = known_rates::current(row.rates.up, now).and_then(|rate| rate.at_most) {
                open.sources().set_uplink(row.id, most as f64 / f64::from(artifact.chunk_size));
            }
        }
        info!(
            order = %row.order.id, deployment = %deployment.id, package = deployment.package,
            version = deployment.version, platform = row.order.platform, machines = machines.len(), stripes,
            busiest = plan.busiest_copies, server = plan.server_copies,
            "order made; busiest and server are the predicted copies sent"
        );
        Ok(MadeOrder { row, lists: plan.lists, addressees, machines, open })
    }

    fn candidate(&self, row: &MachineRow, now: UnixSeconds) -> Candidate {
        Candidate {
            id: row.id,
            site: Site::of(&row.addresses),
            online: self.reachability.is_reachable(row.id),
            forwards: self.policies.lets_forward(&row.assigned),
            reach: row.reach.reach(now),
            down: known_rates::current(row.rates.down, now),
            up: known_rates::current(row.rates.up, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{Address, MachineId};

    fn machine(number: u16, site: u8) -> MachineRow {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let address: Address = format!("10.0.{site}.{}:7700", number % 200 + 1).parse().unwrap();
        MachineRow {
            id: MachineId(id),
            label: "pc".into(),
            assigned: Default::default(),
            platform: "linux-x86_64".into(),
            software: "test".into(),
            addresses: vec![address],
            enrolled: UnixSeconds(0),
            seen: UnixSeconds(0),
            revoked: None,
            quarantined: None,
            replaced_by: None,
            rates: Default::default(),
            reach: Default::default(),
        }
    }

    #[test]
    fn sites_stay_together_where_an_order_has_room_for_them() {
        let machines = |sites: &[(u8, u16)]| -> Vec<MachineRow> {
            sites.iter().flat_map(|(site, count)| (0..*count).map(|number| machine(number, *site))).collect()
        };
        let sizes = |sites: &[(u8, u16)]| {
            let parts = split_by_site(machines(sites), 10);
            for (site, count) in sites.iter().filter(|(_, count)| *count <= 10) {
                let of_site = |part: &&Vec<MachineRow>| {
                    part.iter().any(|row| Site::of(&row.addresses) == Site::of(&machine(0, *site).addresses))
                };
                assert_eq!(parts.iter().filter(of_site).count(), 1, "site {site} with {count} machines");
            }
            parts.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[(1, 10)]), [10]);
        assert_eq!(sizes(&[(1, 6), (2, 6), (3, 4)]), [10, 6]);
        assert_eq!(sizes(&[(1, 25)]), [10, 10, 5]);
        assert_eq!(sizes(&[(1, 12), (2, 3)]), [10, 5]);
    }
}
