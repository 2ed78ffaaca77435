//! One accepted order: what is fixed about it, and its progress on this machine.

use crate::database::{OrderRecord, StripeOffer};
use banyan_proto::{Artifact, MachineId, Manifest, Order, Receipt, Signed, api::ByteSource, peer::ReleaseProof};
use banyan_swarm::io::{StripeId, TrustedOffer};
use banyan_wire::lock::lock;
use banyan_wire::{content::ArtifactFile, verify::VerifiedArtifact};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

/// The publisher's description of a release, for people.
#[derive(Debug, Clone, Default)]
pub struct ReleaseDescription {
    /// The version.
    pub version: String,
    /// The publisher's name.
    pub publisher: String,
    /// The release notes.
    pub notes: String,
}

impl ReleaseDescription {
    /// Reads the description from a verified manifest.
    fn of_manifest(text: &str) -> Self {
        let manifest = Manifest::parse(text.as_bytes());
        manifest.map_or_else(
            |_| Self::default(),
            |found| Self { version: found.version, publisher: found.publisher, notes: found.notes },
        )
    }
}

/// Content that was transferred from or to one machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    /// The other machine.
    pub(crate) machine: MachineId,
    /// The amount so far (bytes).
    pub(crate) bytes: u64,
    /// When content was last transferred; `None` when it was before this program started.
    pub(crate) last: Option<Instant>,
}

/// One accepted order.
pub struct ActiveOrder {
    /// The verified order.
    pub order: Order,
    /// The order as signed, for forwarding.
    pub signed: Signed<Order>,
    /// The proof of the release, for forwarding.
    pub release: ReleaseProof,
    /// The publisher's description, from the verified manifest.
    pub(crate) description: ReleaseDescription,
    /// The artifact's file.
    pub content: Arc<ArtifactFile>,
    progress: Mutex<OrderProgress>,
}

/// What changes about an order while it is carried out.
#[derive(Default)]
struct OrderProgress {
    /// The accepted offers, by stripe.
    offers: BTreeMap<u8, StripeOffer>,
    /// What came from each machine.
    received: BTreeMap<MachineId, Amount>,
    /// What went to each machine since the start.
    sent: BTreeMap<MachineId, Amount>,
    verified: Option<VerifiedArtifact>,
    receipt: Option<Signed<Receipt>>,
}

/// An amount of content, and when it last grew.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    bytes: u64,
    last: Option<Instant>,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.last = Some(Instant::now());
    }
}

fn transfers(amounts: &BTreeMap<MachineId, Amount>) -> Vec<Transfer> {
    amounts.iter().map(|(&machine, amount)| Transfer { machine, bytes: amount.bytes, last: amount.last }).collect()
}

/// Adds the path to an error of the disk.
fn at_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl ActiveOrder {
    /// Returns the path of an artifact's file: one for each artifact, not for each order, so chunks from an earlier order
    /// are not downloaded again.
    pub(crate) fn content_path(folder: &Path, artifact: &Artifact) -> PathBuf {
        folder.join(artifact.digest.to_string())
    }
    /// Opens the file of an order that passed every check, and counts the chunks already here.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(
        folder: &Path,
        order: Order,
        signed: Signed<Order>,
        release: ReleaseProof,
        artifact: Artifact,
    ) -> io::Result<Self> {
        let path = Self::content_path(folder, &artifact);
        let stripes = u8::try_from(order.stripes.len()).unwrap_or(1);
        let content = Arc::new(ArtifactFile::resume(&path, artifact, stripes).map_err(|error| at_path(&path, &error))?);
        if order.spread.withholds() {
            content.hold_back();
        }
        let description = ReleaseDescription::of_manifest(&release.manifest);
        Ok(Self { order, signed, release, description, content, progress: Mutex::default() })
    }
    /// Returns the offer of one stripe.
    #[must_use]
    pub fn offer(&self, stripe: u8) -> Option<StripeOffer> {
        lock(&self.progress).offers.get(&stripe).cloned()
    }
    /// Returns all offers, by stripe.
    #[must_use]
    pub fn offers(&self) -> BTreeMap<u8, StripeOffer> {
        lock(&self.progress).offers.clone()
    }
    pub(crate) fn add_offer(&self, stripe: u8, offer: StripeOffer) {
        lock(&self.progress).offers.insert(stripe, offer);
    }
    /// Returns whether every stripe has been offered.
    #[must_use]
    pub fn is_fully_offered(&self) -> bool {
        lock(&self.progress).offers.len() == self.order.stripes.len()
    }
    /// Restores the amount that an earlier run received from a machine.
    pub(crate) fn restore_source(&self, source: &ByteSource) {
        lock(&self.progress).received.entry(source.machine).or_default().bytes += source.bytes;
    }
    /// Records content that has just arrived from this machine.
    pub(crate) fn record_received(&self, peer: MachineId, bytes: u64) {
        lock(&self.progress).received.entry(peer).or_default().add(bytes);
    }
    /// Records content that was just sent to this machine.
    pub(crate) fn record_sent(&self, peer: MachineId, bytes: u64) {
        lock(&self.progress).sent.entry(peer).or_default().add(bytes);
    }
    /// Returns what came from each machine.
    pub(crate) fn received_from(&self) -> Vec<Transfer> {
        transfers(&lock(&self.progress).received)
    }
    /// Returns what went to each machine since the start.
    pub(crate) fn sent_to(&self) -> Vec<Transfer> {
        transfers(&lock(&self.progress).sent)
    }
    /// Returns the machines that the bytes came from.
    #[must_use]
    pub fn sources(&self) -> Vec<ByteSource> {
        let progress = lock(&self.progress);
        progress.received.iter().map(|(&machine, amount)| ByteSource { machine, bytes: amount.bytes }).collect()
    }
    pub(crate) fn set_verified(&self, artifact: VerifiedArtifact) {
        lock(&self.progress).verified = Some(artifact);
    }
    /// Returns the verified artifact, with a file handle of its own.
    ///
    /// # Errors
    /// When the artifact is not verified, or the system has no more file handles.
    pub fn verified(&self) -> io::Result<VerifiedArtifact> {
        match &lock(&self.progress).verified {
            Some(artifact) => artifact.try_clone(),
            None => Err(io::Error::other("the artifact has not been verified")),
        }
    }
    pub(crate) fn set_receipt(&self, receipt: Signed<Receipt>) {
        lock(&self.progress).receipt = Some(receipt);
    }
    /// Returns the server's receipt, if it has arrived.
    #[must_use]
    pub fn receipt(&self) -> Option<Signed<Receipt>> {
        lock(&self.progress).receipt.clone()
    }
    /// Returns the content still missing (bytes; the last chunk counts as a full one).
    pub(crate) fn missing_bytes(&self) -> u64 {
        let artifact = self.content.artifact();
        u64::from(artifact.chunk_count().saturating_sub(self.held_chunks())) * u64::from(artifact.chunk_size)
    }
    /// Returns the number of chunks already here.
    pub(crate) fn held_chunks(&self) -> u32 {
        (0..self.content.stripes()).filter_map(|stripe| self.content.held(stripe)).sum()
    }
    /// Returns the offer of one stripe for the state machine.
    #[must_use]
    pub fn trusted_offer(&self, stripe: u8) -> Option<TrustedOffer> {
        let offer = self.offer(stripe)?;
        Some(TrustedOffer {
            stripe: StripeId { order: self.order.id, stripe },
            revision: self.order.revision,
            stripes: self.content.stripes(),
            chunks: self.content.chunks(stripe),
            sublist: offer.sublist,
            proof: offer.proof,
            held: self.content.held(stripe).unwrap_or(0),
        })
    }
    /// Returns the record for the database.
    #[must_use]
    pub fn to_record(&self) -> OrderRecord {
        OrderRecord {
            order: self.signed.clone(),
            release: self.release.clone(),
            offers: self.offers(),
            receipt: self.receipt(),
            ended: None,
            sources: self.sources(),
        }
    }
}
