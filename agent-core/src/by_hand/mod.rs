//! Packages that somebody at the machine opens by hand: what they are, and how they come to be installed.
//!
//! Nothing is special about them but the way in. [`look`] reads what stands before the artifacts and checks it with this
//! machine's own trust; nothing is kept and nothing is learnt by it. To install one, [`Agent::by_hand`] checks it once more,
//! takes this machine's artifact chunk by chunk, each verified before it is written, into the folder that content is in
//! anyway, and asks the server for an order for this one machine. From then on it is an order like every other, whose
//! bytes happen to be here: receipt, go-ahead, and the installer, which checks everything again.

mod look;

pub(crate) use look::{Looked, look};

use crate::{agent::Agent, local::Body, offer::free_bytes, orders::lock, server_api::CallError};
use banyan_machine::io::Input;
use banyan_proto::{
    Artifact, DeploymentId, Digest, Reason, UnixSeconds,
    api::{ApiError, PackageRequest},
    limits,
    local::{Package, Right},
    schedule::{Stage, Wish},
};
use banyan_trust::package::{Head, MAGIC, artifacts};
use banyan_wire::{content::ArtifactFile, verify::VerifiedChunk};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};
use tracing::{info, warn};

/// How the names of files begin that are being taken in.
const INCOMING: &str = "incoming-";
/// Free disk space that a package must leave (bytes).
const FLOOR: u64 = 64 << 20;
/// A local program that sends more slowly than this is in the others' way (bytes a second).
const SLOWEST: u64 = 1 << 20;
/// One package is taken in at a time.
static TAKING: Semaphore = Semaphore::const_new(1);

fn refused(reason: Reason, detail: impl Into<String>) -> ApiError {
    ApiError { reason, detail: detail.into() }
}
fn cut_off(error: &io::Error) -> ApiError {
    refused(Reason::NotAPackage, format!("the file did not come whole: {error}"))
}
fn disk(error: &io::Error) -> ApiError {
    refused(Reason::DiskFailed, format!("the package could not be kept: {error}; nothing was installed"))
}

/// A file that goes when nobody has put it in its place.
struct Incoming(PathBuf);

impl Incoming {
    fn new(folder: &Path) -> Self {
        Self(folder.join(format!("{INCOMING}{}", DeploymentId::random())))
    }
}
impl Drop for Incoming {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

impl Agent {
    /// What a package file is, and whether a caller with these rights may install it. Blocks on arithmetic.
    pub(crate) fn look_at_package(&self, rights: &[Right], head: &[u8], size: u64) -> Result<Package, ApiError> {
        Ok(self.look(rights, head, size)?.package)
    }
    fn look(&self, rights: &[Right], bytes: &[u8], size: u64) -> Result<Looked, ApiError> {
        let head = Head::read(&mut &*bytes).map_err(|error| refused(Reason::NotAPackage, error.to_string()))?;
        let (trust, cached) = (lock(&self.offers.trust).clone(), self.state.metadata());
        let mut looked = look(&trust, &head, cached.as_ref(), &self.offers.platform, UnixSeconds::now())?;
        let whole = artifacts(&looked.manifest)
            .iter()
            .fold(bytes.len() as u64, |sum, artifact| sum.saturating_add(artifact.size));
        let package = &mut looked.package;
        package.replaces = self.people.installed(&package.package);
        let name = &package.package;
        let file = package.file.as_ref().map_or(0, |file| file.size);
        let free = free_bytes(&self.offers.folder).unwrap_or(u64::MAX);
        let more = match () {
            () if whole != size => {
                let detail = format!("it has {size} bytes; by what its publishers signed it should have {whole}");
                Some(refused(Reason::NotAPackage, detail))
            }
            () if !self.people.policy().by_hand.allows(name) => {
                let detail = format!("your administrator does not let {name} be installed by hand");
                Some(refused(Reason::NotAllowed, detail))
            }
            () if !rights.contains(&Right::Install) => {
                let detail =
                    "this takes the right to install what nobody ordered; ask an administrator of this computer";
                Some(refused(Reason::NotAllowed, detail))
            }
            () if free < file.saturating_add(FLOOR) => {
                Some(refused(Reason::DiskFull, format!("{} bytes are needed and {free} are free", file + FLOOR)))
            }
            () => None,
        };
        package.refused = package.refused.take().or(more);
        Ok(looked)
    }

    /// Takes a package file in and has it installed: the release that was `wanted`, and nothing else.
    pub(crate) async fn by_hand(
        self: &Arc<Self>,
        wanted: Digest,
        body: &mut Body<'_>,
    ) -> Result<DeploymentId, ApiError> {
        let Ok(_one) = TAKING.try_acquire() else {
            return Err(refused(Reason::Busy, "another package is being taken in; try again when that has ended"));
        };
        let size = body.left();
        let bytes = head_of(body).await?;
        let this = Arc::clone(self);
        // The right to it was checked by who called.
        let looking = tokio::task::spawn_blocking(move || this.look(&[Right::Install], &bytes, size));
        let looked = looking.await.map_err(|error| refused(Reason::InternalError, error.to_string()))??;
        if let Some(refused) = looked.package.refused {
            return Err(refused);
        }
        if looked.package.manifest != wanted {
            let detail = "the file is another one than was shown; open it again and look at it";
            return Err(refused(Reason::BadRequest, detail));
        }
        let Some(artifact) = looked.artifact else {
            return Err(refused(Reason::WrongPlatform, Reason::WrongPlatform.words()));
        };
        let ours = artifact.digest;
        let patience = Duration::from_secs(60 + size / SLOWEST);
        let incoming = Incoming::new(&self.offers.folder);
        let taking = async {
            for other in artifacts(&looked.manifest) {
                if other.digest == ours {
                    take(body, &incoming.0, other).await?;
                } else {
                    body.skip(other.size).await.map_err(|error| cut_off(&error))?;
                }
            }
            Ok(())
        };
        timeout(patience, taking).await.map_err(|_| cut_off(&io::ErrorKind::TimedOut.into()))??;
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

    /// Where an order of the same file holds it already, that one is left alone: what is missing in it is fetched.
    fn put_in_place(&self, incoming: &Incoming, digest: Digest) -> Result<(), ApiError> {
        if self.holds(digest) {
            return Ok(());
        }
        std::fs::rename(&incoming.0, self.offers.folder.join(digest.to_string())).map_err(|error| disk(&error))
    }
    pub(crate) fn holds(&self, digest: Digest) -> bool {
        self.orders.all().iter().any(|held| held.content.artifact().digest == digest)
    }
    /// Removes, before the first order is taken up, what an ended run left in the folder of content: files that were being
    /// taken in, and files of no order.
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

    async fn order_by_hand(self: &Arc<Self>, request: &PackageRequest) -> Result<DeploymentId, ApiError> {
        let Some(node) = self.node.get() else {
            return Err(refused(Reason::ServerAway, "the agent is still starting; try again in a minute"));
        };
        let help = self.server.order_package(request).await.map_err(|error| match error {
            CallError::Refused(error) => error,
            away @ CallError::Away { .. } => {
                let detail = format!("the server has to allow it, and cannot be asked now; try again later ({away})");
                refused(Reason::ServerAway, detail)
            }
        })?;
        let mut order = None;
        for offer in help.offers {
            let trusted = self.check(self.offers.server, offer).await.map_err(|reply| {
                warn!(?reply, "the server's order for a package opened by hand was not taken");
                refused(Reason::OrderForged, format!("the server's order is not believed: {reply:?}"))
            })?;
            let id = *order.get_or_insert(trusted.stripe.order);
            // Before the machine hears of the order: whoever opens a package and says install means now.
            self.people.wish(id, Stage::Install, Wish::Now)?;
            if let Some(held) = self.orders.get(id) {
                self.decide_order(&self.people.facts(), &held);
            }
            node.input(Input::Restored(trusted));
        }
        let id = order.ok_or_else(|| refused(Reason::InternalError, "the server's answer has no order in it"))?;
        info!(order = %id, package = request.package, "a package opened by hand was ordered");
        Ok(id)
    }
}

/// Reads what comes before the artifacts.
async fn head_of(body: &mut Body<'_>) -> Result<Vec<u8>, ApiError> {
    let mut bytes = vec![0; MAGIC.len() + 4];
    body.fill(&mut bytes).await.map_err(|error| cut_off(&error))?;
    let length = bytes.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    if !bytes.starts_with(MAGIC) || length > limits::PACKAGE_HEAD_BYTES || length as u64 > body.left() {
        return Err(refused(Reason::NotAPackage, Reason::NotAPackage.words()));
    }
    while bytes.len() < MAGIC.len() + 4 + length {
        let (from, more) = (bytes.len(), (MAGIC.len() + 4 + length - bytes.len()).min(64 << 10));
        bytes.resize(from + more, 0);
        body.fill(&mut bytes[from..]).await.map_err(|error| cut_off(&error))?;
    }
    Ok(bytes)
}

/// Takes one artifact in. Only verified chunks reach the disk (rule C3).
async fn take(body: &mut Body<'_>, path: &Path, artifact: &Artifact) -> Result<(), ApiError> {
    let file = ArtifactFile::resume(path, artifact.clone(), 1).map_err(|error| disk(&error))?;
    let altered = || {
        let detail = format!("the bytes of {} are not what its publishers signed", artifact.file_name);
        refused(Reason::BadArtifact, detail)
    };
    let file = Arc::new(file);
    for index in 0..artifact.chunk_count() {
        let mut bytes = vec![0; artifact.chunk_len(index) as usize];
        body.fill(&mut bytes).await.map_err(|error| cut_off(&error))?;
        let chunk = VerifiedChunk::check(artifact, index, bytes).map_err(|_| altered())?;
        let file = Arc::clone(&file);
        let stored = tokio::task::spawn_blocking(move || file.store(0, &chunk)).await;
        let stored = stored.map_err(|error| refused(Reason::InternalError, error.to_string()))?;
        stored.map_err(|error| refused(Reason::DiskFailed, error.to_string()))?;
    }
    let whole = tokio::task::spawn_blocking(move || file.verify_whole().map(drop)).await;
    let whole = whole.map_err(|error| refused(Reason::InternalError, error.to_string()))?;
    whole.map_err(|_| altered())
}
