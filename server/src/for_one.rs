//! An order for one machine, because somebody there asked for it: they opened a package file (`by_hand`), or chose from what
//! the administrator offers (`catalogue`). Those two say what may be asked for; here is what holds for both.
//!
//! A deployment of the administrator's goes first, asking again gives the same order, and no machine gets more than
//! [`MOST`] in [`SPAN`].

use crate::{nms::Nms, refusal::Refusal, store::MachineRow};
use banyan_proto::{
    DeploymentId, Digest, MachineId, Manifest, Reason,
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

/// A machine may ask for so many orders in [`SPAN`]: each is kept for as long as the server lives.
const MOST: usize = 20;
/// See [`MOST`].
const SPAN: Duration = Duration::from_secs(3600);

/// When machines asked for orders.
#[derive(Default)]
pub(crate) struct Asked(Mutex<HashMap<MachineId, Vec<Instant>>>);

impl Asked {
    /// Counts one more, unless there were too many lately.
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
    /// The machine that asks.
    pub(crate) fn who_asks(&self, machine: MachineId) -> Result<MachineRow, Refusal> {
        self.registry.get(machine).ok_or_else(|| Refusal::not_found("the machine is unknown; enrol it again"))
    }

    /// Orders this release for this machine, after everything that speaks against it was looked at under the same lock.
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
                format!("another release of {name} is on its way to this machine by the administrator's order");
            return Err(Refusal::conflict(Reason::OrderSuperseded, detail));
        }
        if !self.asked_for_one.count(machine, Instant::now()) {
            let detail = format!("the people at this machine have had {MOST} packages in an hour; try again later");
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
        info!(order = %deployed.id, %machine, package = name, "ordered for one machine, where somebody asked for it");
        self.help(machine, deployed.id).await
    }

    /// The open deployment of the package that this machine still has a part in, and whether it is of this very release.
    async fn under_way(
        &self,
        machine: MachineId,
        package: &str,
        manifest: Digest,
    ) -> Result<Option<(DeploymentId, bool)>, Refusal> {
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
