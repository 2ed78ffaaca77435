//! Manual install: inspects package files that users open, and installs them.
//!
//! Only the start differs from other updates. [`inspect`] reads the part before the artifacts and checks it with this
//! machine's own trust; it stores and learns nothing. [`Sideload::receive`] checks the file again and stores this
//! machine's artifact in the content folder, chunk by verified chunk. Then the agent asks the server for an order for
//! this one machine (`agent::on_demand`). From then on it is an ordinary order whose bytes are already here: receipt,
//! install permit, and the install helper, which checks everything again.
//!
//! [`standalone`] handles agents that belong to no server.

mod inspect;
mod receive;
pub(crate) mod standalone;

use crate::{
    database::Database, identity::Identity, pipeline::active_orders::ActiveOrders, publisher_trust::PublisherTrust,
    refusal::refusal, user::User,
};
use banyan_local_api::RequestBody;
use banyan_proto::{
    Digest, Reason, UnixSeconds,
    api::{ApiError, PackageRequest},
    local::{Package, Right},
};
use banyan_trust::package::Head;
use inspect::{Inspection, inspect};
use receive::IncomingFile;
use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};
use tokio::sync::SemaphorePermit;

/// Manual install on a machine that belongs to a server.
pub(crate) struct Sideload {
    pub(crate) identity: Arc<Identity>,
    /// The content folder.
    pub(crate) folder: PathBuf,
    /// This machine's platform.
    pub(crate) platform: String,
    pub(crate) database: Arc<Database>,
    pub(crate) trust: Arc<PublisherTrust>,
    pub(crate) user: Arc<User>,
    pub(crate) orders: Arc<ActiveOrders>,
}

/// A package file whose artifact is in place. While this exists, no other package is received.
pub(crate) struct ReceivedPackage {
    /// What to request from the server.
    pub(crate) request: PackageRequest,
    _file: IncomingFile,
    _permit: SemaphorePermit<'static>,
}

impl Sideload {
    /// Describes a package file and says whether a caller with these rights may install it. Blocks: it verifies
    /// signatures.
    pub(crate) fn describe(&self, rights: &[Right], head: &[u8], size: u64) -> Result<Package, ApiError> {
        Ok(self.inspect(rights, head, size)?.package)
    }
    fn inspect(&self, rights: &[Right], bytes: &[u8], size: u64) -> Result<Inspection, ApiError> {
        let head = Head::read(&mut &*bytes).map_err(|error| refusal(Reason::NotAPackage, error.to_string()))?;
        let (trust, cached) = (self.trust.current(), self.database.load_metadata());
        let mut inspection = inspect(&trust, &head, cached.as_ref(), &self.platform, UnixSeconds::now())?;
        let package = &mut inspection.package;
        package.replaces = self.user.installed.get(&package.package);
        let wrong_size = || receive::check_size(&inspection.manifest, bytes.len(), size).err();
        let refused = package.refused.take().or_else(wrong_size);
        let not_allowed = || self.check_allowed(rights, &inspection.package.package).err();
        let refused = refused.or_else(not_allowed);
        inspection.package.refused = refused.or_else(|| receive::check_free_space(&inspection, &self.folder).err());
        Ok(inspection)
    }
    /// Checks that the policy and the caller's rights allow this package to be installed manually.
    fn check_allowed(&self, rights: &[Right], package: &str) -> Result<(), ApiError> {
        if !self.user.policy.current().by_hand.allows(package) {
            let detail = format!("your administrator does not allow {package} to be installed manually");
            return Err(refusal(Reason::NotAllowed, detail));
        }
        if !rights.contains(&Right::Install) {
            let detail =
                "you do not have permission to install packages yourself; ask an administrator of this computer";
            return Err(refusal(Reason::NotAllowed, detail));
        }
        Ok(())
    }

    /// Receives a package file. The file must contain the release `wanted`. The caller has checked the right to
    /// install.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        wanted: Digest,
        consent: Option<Digest>,
        body: &mut RequestBody<'_>,
    ) -> Result<ReceivedPackage, ApiError> {
        if consent.is_some() {
            return Err(trust_is_the_administrators());
        }
        let permit = receive::acquire_permit()?;
        let size = body.remaining();
        let bytes = receive::read_head(body).await?;
        let this = Arc::clone(self);
        let inspecting = tokio::task::spawn_blocking(move || this.inspect(&[Right::Install], &bytes, size));
        let inspection = inspecting.await.map_err(|error| refusal(Reason::InternalError, error.to_string()))??;
        let artifact = receive::wanted_artifact(&inspection, wanted)?.digest;
        let file = IncomingFile::receive(&self.folder, body, &inspection.manifest, artifact).await?;
        // If an order already has this artifact, the missing chunks are downloaded.
        if !self.orders.has_order_for(artifact) {
            file.move_to(&self.content_path(artifact))?;
        }
        let request = PackageRequest {
            package: inspection.package.package,
            sequence: inspection.package.sequence,
            manifest: wanted,
            artifact,
        };
        Ok(ReceivedPackage { request, _file: file, _permit: permit })
    }

    fn content_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }
    /// Deletes an artifact's file unless an order is for this artifact.
    pub(crate) fn delete_unneeded_content(&self, digest: Digest) {
        if !self.orders.has_order_for(digest) {
            drop(fs::remove_file(self.content_path(digest)));
        }
    }
    /// Removes leftovers of an earlier run from the content folder: incomplete package files, and files without an
    /// order. Must run before the first order is resumed.
    pub(crate) fn clear_leftovers(&self) -> anyhow::Result<()> {
        let known: BTreeSet<String> = self
            .database
            .load_orders()?
            .iter()
            .filter_map(|record| Some(record.order.verify(&self.identity.keys).ok()?.artifact.to_string()))
            .collect();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_str().is_some_and(|name| known.contains(name)) {
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }
}

/// Returns the answer to a user who wants to decide which publishers to trust, on a machine that belongs to a server.
pub(crate) fn trust_is_the_administrators() -> ApiError {
    let detail = "this computer belongs to a server, so its administrator decides which publishers it trusts";
    refusal(Reason::NotAllowed, detail)
}
