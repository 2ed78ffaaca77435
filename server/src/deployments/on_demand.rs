//! Orders for one machine, requested there: someone opened a package file (`by_hand`) or chose a release from the
//! catalogue (`catalogue`). Those two modules decide what may be requested; this one holds the rules common to both.
//!
//! An administrator's deployment takes precedence, a repeated request returns the same order, and a machine gets at
//! most [`MOST`] orders within [`SPAN`].

use crate::{refusal::Refusal, server::Nms, store::MachineRow};
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

/// How many orders a machine may request within [`SPAN`]. Limited because every order is stored permanently.
const MOST: usize = 20;
/// The period that [`MOST`] applies to.
const SPAN: Duration = Duration::from_secs(3600);

/// When each machine requested orders.
#[derive(Default)]
pub(crate) struct Asked(Mutex<HashMap<MachineId, Vec<Instant>>>);

impl Asked {
    /// Counts one more request. Returns false, without counting, if there were too many lately.
    fn count(&self, machine: MachineId, now: Instant) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, times| {
            times.retain(|at| now.duration_since(*at) < SPAN);
            !times.is_empty()
        });
        let times = asked.entry(machine).or_default();
        let few = times.len() < MOST;
        if few {
            times.push(now);
        }
        few
    }
}

impl Nms {
    /// Returns the requesting machine's record.
    pub(crate) fn who_asks(&self, machine: MachineId) -> Result<MachineRow, Refusal> {
        self.registry
            .get(machine)
            .ok_or_else(|| Refusal::not_found("this server does not know this machine; enrol it again"))
    }

    /// Orders this release for this machine. The caller has checked that it is allowed, under the same lock.
    pub(crate) async fn order_for_one(
        &self,
        one: MutexGuard<'_, ()>,
        machine: MachineId,
        manifest: &Manifest,
        text: String,
    ) -> Result<Help, Refusal> {
        let name = &manifest.package;
        if let Some((id, same)) = self.under_way(machine, name, Digest::of(text.as_bytes())).await? {
            if same {
                drop(one);
                return self.help(machine, id).await;
            }
            let detail =
                format!("an administrator's deployment of another release of {name} is under way to this machine");
            return Err(Refusal::conflict(Reason::OrderSuperseded, detail));
        }
        if !self.asked_for_one.count(machine, Instant::now()) {
            let detail = format!("this machine has requested {MOST} packages within an hour; try again later");
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
        let deployed = self.begin(&one, request, manifest, text).await?;
        drop(one);
        info!(order = %deployed.id, %machine, package = name, "order created at the machine's request");
        self.help(machine, deployed.id).await
    }

    /// Finds the open deployment of the package that this machine still takes part in. The flag says whether it is of
    /// this exact release.
    async fn under_way(
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
        let (asked, now) = (Asked::default(), Instant::now());
        let (one, other) = (MachineId([1; 16]), MachineId([2; 16]));
        assert!((0..MOST).all(|_| asked.count(one, now)));
        assert!(!asked.count(one, now) && asked.count(other, now));
        assert!(asked.count(one, now + SPAN));
    }
}
