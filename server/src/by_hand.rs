//! Packages that somebody at a machine opened by hand: an order for that one machine, if the administrator's policy allows it.
//!
//! The machine brings the bytes; what may be installed is still said by the publishers' list that this server shows, and
//! whether by the server: so a release must have been published here, and a deployment of the administrator's goes first.
//! Who is sitting at the machine the server cannot know; the machine holds that against the policy itself.

use crate::{nms::Nms, refusal::Refusal};
use banyan_proto::{
    DeploymentId, MachineId, Manifest, Reason,
    admin::{Deploy, DeploymentState, Selection},
    api::{Help, PackageRequest},
    order::{Spread, Window},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
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
    /// The order of a package for the machine that holds it. Asked again while that order is open: the same one.
    pub(crate) async fn by_hand(&self, machine: MachineId, asked: &PackageRequest) -> Result<Help, Refusal> {
        let row =
            self.registry.get(machine).ok_or_else(|| Refusal::not_found("the machine is unknown; enrol it again"))?;
        let name = &asked.package;
        if !self.policy_of(row.group.as_deref()).by_hand.allows(name) {
            let detail = format!("the administrator's policy does not let {name} be installed by hand on this machine");
            return Err(Refusal::forbidden(Reason::NotAllowed, detail));
        }
        if self.desk.has_withdrawn(name, asked.sequence) {
            return Err(Refusal::conflict(Reason::Withdrawn, Reason::Withdrawn.words()));
        }
        if !self.desk.lists(asked.manifest) {
            let detail = format!(
                "this release of {name} is not published on the server; an administrator can do that: `banyan publish` \
                 takes the package file"
            );
            return Err(Refusal::conflict(Reason::NotPublished, detail));
        }
        let (package, sequence) = (name.clone(), asked.sequence);
        let text = self.desk.with(move |repository| repository.manifest(&package, sequence)).await?;
        let manifest = Manifest::parse(text.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        let ours = manifest.artifact_for(&row.platform).is_some_and(|artifact| artifact.digest == asked.artifact);
        if !ours || banyan_proto::Digest::of(text.as_bytes()) != asked.manifest {
            return Err(Refusal::conflict(Reason::WrongPlatform, "the release has another file for this machine"));
        }
        let one = self.deploying.lock().await;
        if let Some((id, same)) = self.under_way(machine, asked).await? {
            if same {
                return self.help(machine, id).await;
            }
            let detail =
                format!("another release of {name} is on its way to this machine by the administrator's order");
            return Err(Refusal::conflict(Reason::OrderSuperseded, detail));
        }
        if !self.asked_by_hand.count(machine, Instant::now()) {
            let detail = format!("this machine has had {MOST} packages installed by hand in an hour; try again later");
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
        let deployed = self.begin(&one, request, &manifest, text).await?;
        drop(one);
        info!(order = %deployed.id, %machine, package = name, "ordered for one machine, where it was opened by hand");
        self.help(machine, deployed.id).await
    }

    /// The open deployment of the package that this machine still has a part in, and whether it is of this very release.
    async fn under_way(
        &self,
        machine: MachineId,
        asked: &PackageRequest,
    ) -> Result<Option<(DeploymentId, bool)>, Refusal> {
        for id in self.store.expected(machine).await? {
            let Some(row) = self.store.deployment(id).await? else { continue };
            let open = matches!(row.state, DeploymentState::Running | DeploymentState::Halted);
            if open && row.order.package == asked.package {
                return Ok(Some((id, row.order.manifest == asked.manifest)));
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
