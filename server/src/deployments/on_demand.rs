//! Orders for one machine, requested there: someone opened a package file (`by_hand`) or chose a release from the
//! catalogue (`catalogue`). Those two modules decide what may be requested; this one holds the rules common to both.
//!
//! An administrator's deployment takes precedence, a repeated request returns the same order, and a machine gets at
//! most [`MAX_REQUESTS`] orders within [`PERIOD`].

use crate::{refusal::Refusal, server::Server, store::MachineRow};
use banyan_proto::{
    Digest, MachineId, Manifest, OrderId, Reason,
    admin::{Deploy, DeploymentState, Selection},
    api::Help,
    order::{Spread, Window},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
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
        let mut limiter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.retain(|_, times| {
            times.retain(|at| now.duration_since(*at) < PERIOD);
            !times.is_empty()
        });
        let times = limiter.entry(machine).or_default();
        let few = times.len() < MAX_REQUESTS;
        if few {
            times.push(now);
        }
        few
    }
}

impl Server {
    /// Returns the requesting machine's record.
    pub(crate) fn requesting_machine(&self, machine: MachineId) -> Result<MachineRow, Refusal> {
        self.registry
            .get(machine)
            .ok_or_else(|| Refusal::not_found("this server does not know this machine; enrol it again"))
    }

    /// Orders this release for this machine. The caller has checked that it is allowed, under the same lock.
    pub(crate) async fn order_release(
        &self,
        one: MutexGuard<'_, ()>,
        machine: MachineId,
        manifest: &Manifest,
        text: String,
    ) -> Result<Help, Refusal> {
        let name = &manifest.package;
        if let Some((id, same)) = self.open_deployment_of(machine, name, Digest::of(text.as_bytes())).await? {
            if same {
                drop(one);
                return self.help(machine, id).await;
            }
            let detail =
                format!("an administrator's deployment of another release of {name} is under way to this machine");
            return Err(Refusal::conflict(Reason::OrderSuperseded, detail));
        }
        if !self.request_limiter.try_count(machine, Instant::now()) {
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
        };
        let deployed = self.accept(&one, request, manifest, text).await?;
        drop(one);
        info!(order = %deployed.id, %machine, package = name, "order created at the machine's request");
        self.help(machine, deployed.id).await
    }

    /// Finds the open deployment of the package that this machine still takes part in. The flag says whether it is of
    /// this exact release.
    async fn open_deployment_of(
        &self,
        machine: MachineId,
        package: &str,
        manifest: Digest,
    ) -> Result<Option<(OrderId, bool)>, Refusal> {
        for id in self.store.expected(machine).await? {
            let Some(row) = self.store.deployment(id).await? else { continue };
            let open = matches!(row.state, DeploymentState::Running | DeploymentState::Halted);
            if open && row.order.package == package {
                return Ok(Some((id, row.order.manifest == manifest)));
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
