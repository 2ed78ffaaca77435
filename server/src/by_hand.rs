//! Packages that somebody at a machine opened by hand: an order for that one machine, if the administrator's policy allows it.
//!
//! The machine brings the bytes; what may be installed is still said by the publishers' list that this server shows, and
//! whether by the server: so a release must have been published here, and a deployment of the administrator's goes first.
//! Who is sitting at the machine the server cannot know; the machine holds that against the policy itself.

use crate::{nms::Nms, refusal::Refusal};
use banyan_proto::{
    Digest, MachineId, Manifest, Reason,
    api::{Help, PackageRequest},
};

impl Nms {
    /// The order of a package for the machine that holds it. Asked again while that order is open: the same one.
    pub(crate) async fn by_hand(&self, machine: MachineId, asked: &PackageRequest) -> Result<Help, Refusal> {
        // From here on: what is withdrawn from now on ends the order that comes of this.
        let one = self.deploying.lock().await;
        let row = self.who_asks(machine)?;
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
        if !ours || Digest::of(text.as_bytes()) != asked.manifest {
            return Err(Refusal::conflict(Reason::WrongPlatform, "the release has another file for this machine"));
        }
        self.order_for_one(one, machine, &manifest, text).await
    }
}
