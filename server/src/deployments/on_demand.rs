//! Orders for one machine, requested there: someone opened a package file (`sideload`) or chose a release from the
//! catalogue (`catalogue`). Those two modules decide what may be requested; this one holds the rules common to both.
//!
//! An administrator's deployment takes precedence, a repeated request returns the same order, and a machine gets at
//! most [`MAX_REQUESTS`] orders within [`PERIOD`].

use crate::{
    deployments::{deploy::Deployments, direct_offers::DirectOffers},
    identity::registry::Registry,
    refusal::Refusal,
    store::{MachineRow, Store},
};
use banyan_proto::{
    Digest, MachineId, Manifest, OrderId, Reason, ServerCopies,
    admin::{Deploy, Selection},
    api::Help,
    order::{Spread, Window},
    rollout::Rollout,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::MutexGuard;
use tracing::info;

/// How many orders a machine may request within [`PERIOD`]. Limited because every order is stored permanently.
const MAX_REQUESTS: usize = 20;
/// The period that [`MAX_REQUESTS`] applies to.
const PERIOD: Duration = Duration::from_secs(3600);

/// When each machine requested orders.
#[derive(Default)]
pub(crate) struct RequestLimiter(Mutex<HashMap<MachineId, Vec<Instant>>>);

impl RequestLimiter {
    /// Counts one more request. Returns false, without counting, if there were too many lately.
    fn try_count(&self, machine: MachineId, now: Instant) -> bool {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.retain(|_, times| {
            times.retain(|at| now.duration_since(*at) < PERIOD);
            !times.is_empty()
        });
        let times = requests.entry(machine).or_default();
        let is_allowed = times.len() < MAX_REQUESTS;
        if is_allowed {
            times.push(now);
        }
        is_allowed
    }
}

/// The open order of a package that a machine still takes part in.
struct OpenOrder {
    id: OrderId,
    /// Whether it is of exactly the requested release.
    is_same_release: bool,
}

/// Creates orders at a machine's request.
pub(crate) struct OnDemandOrders {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) direct_offers: Arc<DirectOffers>,
    pub(crate) limiter: RequestLimiter,
}

impl OnDemandOrders {
    /// Waits until no deployment is being accepted. None is accepted while the guard lives.
    pub(super) async fn lock(&self) -> MutexGuard<'_, ()> {
        self.deployments.orders.lock().await
    }

    /// Returns the requesting machine's record.
    pub(super) fn requesting_machine(&self, machine: MachineId) -> Result<MachineRow, Refusal> {
        self.registry
            .get(machine)
            .ok_or_else(|| Refusal::not_found("this server does not know this machine; enrol it again"))
    }

    /// Orders this release for this machine. The caller has checked that it is allowed, under the same lock.
    pub(super) async fn order_release(
        &self,
        accepting: MutexGuard<'_, ()>,
        machine: MachineId,
        manifest: &Manifest,
        text: String,
    ) -> Result<Help, Refusal> {
        let name = &manifest.package;
        if let Some(open) = self.open_order_of(machine, name, Digest::of(text.as_bytes())).await? {
            if open.is_same_release {
                drop(accepting);
                return self.direct_offers.help(machine, open.id).await;
            }
            let detail =
                format!("an administrator's deployment of another release of {name} is under way to this machine");
            return Err(Refusal::conflict(Reason::OrderSuperseded, detail));
        }
        if !self.limiter.try_count(machine, Instant::now()) {
            let detail = format!("this machine has requested {MAX_REQUESTS} packages within an hour; try again later");
            return Err(Refusal::conflict(Reason::Busy, detail));
        }
        let request = Deploy {
            package: name.clone(),
            version: Some(manifest.version.clone()),
            to: Selection::Machines(vec![machine.to_string()]),
            stripes: 1,
            spread: Spread::default(),
            window: Window::Any,
            deadline: None,
            allow: vec![],
            include_protected: false,
            server_copies: ServerCopies::ONE,
            rollout: Rollout::default(),
        };
        let deployed = self.deployments.accept(&accepting, request, manifest, text).await?;
        drop(accepting);
        info!(deployment = %deployed.id, %machine, package = name, "order created at the machine's request");
        self.direct_offers.help(machine, deployed.id.first_order()).await
    }

    /// Finds the open order of the package that this machine still takes part in.
    async fn open_order_of(
        &self,
        machine: MachineId,
        package: &str,
        manifest: Digest,
    ) -> Result<Option<OpenOrder>, Refusal> {
        for id in self.store.expected(machine).await? {
            let Some(row) = self.store.order(id).await? else { continue };
            if row.is_open && row.order.package == package {
                return Ok(Some(OpenOrder { id, is_same_release: row.order.manifest == manifest }));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_cannot_fill_the_servers_memory_of_orders() {
        let (limiter, now) = (RequestLimiter::default(), Instant::now());
        let (one, other) = (MachineId([1; 16]), MachineId([2; 16]));
        assert!((0..MAX_REQUESTS).all(|_| limiter.try_count(one, now)));
        assert!(!limiter.try_count(one, now) && limiter.try_count(other, now));
        assert!(limiter.try_count(one, now + PERIOD));
    }
}
