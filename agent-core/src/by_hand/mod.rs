//! Manual install: inspects package files that users open, and installs them.
//!
//! Only the start differs from other updates. [`look`] reads the part before the artifacts and checks it with this
//! machine's own trust; it stores and learns nothing. [`Agent::by_hand`] checks the file again, stores this machine's
//! artifact in the content folder, chunk by verified chunk, and asks the server for an order for this one machine.
//! From then on it is an ordinary order whose bytes are already here: receipt, install permit, and the installer,
//! which checks everything again.
//!
//! [`alone`] handles agents that belong to no server.

pub(crate) mod alone;
mod look;
mod take;

pub(crate) use look::{Looked, look, look_alone};

use crate::{agent::Agent, for_one::refused, orders::lock, server_api::CallError};
use banyan_local_api::RequestBody;
use banyan_proto::{
    Digest, OrderId, Reason, UnixSeconds,
    api::{ApiError, PackageRequest},
    local::{Package, Right},
};
use banyan_trust::package::Head;
use std::{collections::BTreeSet, sync::Arc};
use take::{Incoming, has_room, has_size, head_of, turn};

impl Agent {
    /// Describes a package file and says whether a caller with these rights may install it. Blocks: it verifies
    /// signatures.
    pub(crate) fn look_at_package(&self, rights: &[Right], head: &[u8], size: u64) -> Result<Package, ApiError> {
        Ok(self.look(rights, head, size)?.package)
    }
    fn look(&self, rights: &[Right], bytes: &[u8], size: u64) -> Result<Looked, ApiError> {
        let head = Head::read(&mut &*bytes).map_err(|error| refused(Reason::NotAPackage, error.to_string()))?;
        let (trust, cached) = (lock(&self.offers.trust).clone(), self.state.metadata());
        let mut looked = look(&trust, &head, cached.as_ref(), &self.offers.platform, UnixSeconds::now())?;
        let package = &mut looked.package;
        package.replaces = self.people.installed(&package.package);
        let name = &package.package;
        let more = match () {
            () if !self.people.policy().by_hand.allows(name) => {
                let detail = format!("your administrator does not allow {name} to be installed manually");
                Some(refused(Reason::NotAllowed, detail))
            }
            () if !rights.contains(&Right::Install) => {
                let detail =
                    "you do not have permission to install packages yourself; ask an administrator of this computer";
                Some(refused(Reason::NotAllowed, detail))
            }
            () => None,
        };
        let wrong_size = has_size(&looked.manifest, bytes.len(), size).err();
        let refused = package.refused.take().or(wrong_size).or(more);
        looked.package.refused = refused.or_else(|| has_room(&looked, &self.offers.folder).err());
        Ok(looked)
    }

    /// Receives a package file and has it installed. The file must contain the release `wanted`.
    pub(crate) async fn by_hand(
        self: &Arc<Self>,
        wanted: Digest,
        trust: Option<Digest>,
        body: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        if trust.is_some() {
            let detail = "this computer belongs to a server, so its administrator decides which publishers it trusts";
            return Err(refused(Reason::NotAllowed, detail));
        }
        let _turn = turn()?;
        let size = body.remaining();
        let bytes = head_of(body).await?;
        let this = Arc::clone(self);
        // The caller has checked the right to install.
        let looking = tokio::task::spawn_blocking(move || this.look(&[Right::Install], &bytes, size));
        let looked = looking.await.map_err(|error| refused(Reason::InternalError, error.to_string()))??;
        let ours = take::wanted(&looked, wanted)?.digest;
        let incoming = Incoming::take(&self.offers.folder, body, &looked.manifest, ours).await?;
        self.put_in_place(&incoming, ours)?;
        let request = PackageRequest {
            package: looked.package.package,
            sequence: looked.package.sequence,
            manifest: wanted,
            artifact: ours,
        };
        let ordered = self.order_by_hand(&request).await;
        if ordered.is_err() {
            self.drop_content(ours);
        }
        ordered
    }

    /// Moves the received file into place, unless an order already holds this artifact: then the missing chunks are
    /// downloaded.
    fn put_in_place(&self, incoming: &Incoming, digest: Digest) -> Result<(), ApiError> {
        if self.holds(digest) {
            return Ok(());
        }
        incoming.put(&self.offers.folder.join(digest.to_string()))
    }
    pub(crate) fn holds(&self, digest: Digest) -> bool {
        self.orders.all().iter().any(|held| held.content.artifact().digest == digest)
    }
    /// Removes leftovers of an earlier run from the content folder: incomplete package files, and files without an
    /// order. Must run before the first order is resumed.
    pub(crate) fn clear_content(&self) -> anyhow::Result<()> {
        let known: BTreeSet<String> = self
            .state
            .orders()?
            .iter()
            .filter_map(|record| Some(record.order.verify(&self.offers.keys).ok()?.artifact.to_string()))
            .collect();
        for entry in std::fs::read_dir(&self.offers.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_str().is_some_and(|name| known.contains(name)) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }
    fn drop_content(&self, digest: Digest) {
        if !self.holds(digest) {
            drop(std::fs::remove_file(self.offers.folder.join(digest.to_string())));
        }
    }

    async fn order_by_hand(self: &Arc<Self>, request: &PackageRequest) -> Result<OrderId, ApiError> {
        let help = self.server.order_package(request).await.map_err(|error| match error {
            CallError::Refused(error) => error,
            away @ CallError::Away { .. } => {
                let detail = format!("the server must allow this and cannot be reached now; try again later ({away})");
                refused(Reason::ServerAway, detail)
            }
        })?;
        self.take_up(&request.package, request.manifest, help).await
    }
}
