//! Authenticate: from the verified artifact to the receipt, and to the leave to install it now (rules A3–A7).

use crate::{
    installer::{Job, WithoutRestore},
    orders::HeldOrder,
    server_api::{CallError, ServerApi},
    state::{State, StateError},
};
use banyan_proto::{
    GoAhead, KeyRing, MachineId, Order, Reason, Receipt, UnixSeconds,
    api::{ReceiptRequest, Way},
    peer::ReleaseProof,
};
use banyan_trust::{TrustError, TrustStore, TrustedRelease};
use std::{
    fs::File,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Why authentication did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The server cannot be reached, or said no.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What it answered is not what was asked for, or not signed by it.
    #[error("the server's answer is not believed: {0}")]
    Answer(String),
    /// The publishers' metadata no longer allows the release.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// This machine's database.
    #[error(transparent)]
    State(#[from] StateError),
    /// This machine's disk.
    #[error("the artifact cannot be read: {0}")]
    Disk(#[from] std::io::Error),
}

impl AuthenticateError {
    /// The entry of the table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Call(error) => error.reason(),
            Self::Answer(_) => Reason::OrderForged,
            Self::Trust(error) => error.reason(),
            Self::State(_) | Self::Disk(_) => Reason::DiskFailed,
        }
    }
}

/// An artifact that lies whole and verified on this disk, that the server has acknowledged, and that may be installed
/// now. Nothing else can be installed, and nothing but [`Authenticate::leave`] makes one:
///
/// ```compile_fail
/// use agent_core::authenticate::AuthenticArtifact;
/// use agent_core::installer::Job;
/// fn forge(file: std::fs::File, order: banyan_proto::Order, job: Job, since: std::time::Instant) -> AuthenticArtifact {
///     AuthenticArtifact { file, order, job, since }
/// }
/// ```
pub struct AuthenticArtifact {
    file: File,
    order: Order,
    /// Everything that was signed about it: the installer checks it again by itself.
    job: Job,
    since: Instant,
}

impl AuthenticArtifact {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }
    /// The open file and what was signed about it, if the leave is still fresh (rule A5). The time is monotonic: no clock
    /// that is set can stretch it.
    #[must_use]
    pub fn into_job(self) -> Option<(File, Job)> {
        (self.since.elapsed() < Duration::from_secs(GoAhead::SECONDS)).then_some((self.file, self.job))
    }
}

/// The stage.
pub struct Authenticate {
    /// This machine.
    pub me: MachineId,
    /// Keys that sign receipts and go-aheads.
    pub keys: KeyRing,
    /// The lowest epoch that is believed.
    pub epoch: u64,
    /// The server.
    pub server: Arc<ServerApi>,
    /// What outlives a restart.
    pub state: Arc<State>,
    /// What the publishers' metadata has taught this machine.
    pub trust: Arc<Mutex<TrustStore>>,
}

impl Authenticate {
    /// Gets the receipt: shows the server the way of each offer, proved by this machine's codes, bound to the session.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    pub async fn receipt(&self, held: &HeldOrder) -> Result<(), AuthenticateError> {
        if held.receipt().is_some() {
            return Ok(());
        }
        let (order, artifact) = (held.order.id, held.verified()?.digest());
        let request = |exporter: &[u8; 32]| {
            let way = |(&stripe, offer): (&u8, &crate::state::StripeOffer)| Way {
                stripe,
                path: offer.path.clone(),
                proof: offer.code.prove(exporter, order, artifact),
            };
            ReceiptRequest { order, artifact, ways: held.offers().iter().map(way).collect(), sources: held.sources() }
        };
        let signed = self.server.receipt(request).await?;
        let receipt: Receipt =
            signed.verify(&self.keys).map_err(|error| AuthenticateError::Answer(error.to_string()))?;
        if (receipt.order, receipt.machine, receipt.artifact) != (order, self.me, artifact) {
            return Err(AuthenticateError::Answer("the receipt is for something else".into()));
        }
        self.state.update_order(order, |record| record.receipt = Some(signed.clone()))?;
        held.set_receipt(signed);
        Ok(())
    }

    /// Gets the leave to install now: signed, fresh, and with metadata at least as new as the server says there is.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    pub async fn leave(&self, held: &HeldOrder) -> Result<AuthenticArtifact, AuthenticateError> {
        let answer = |detail: &str| AuthenticateError::Answer(detail.to_owned());
        if held.receipt().is_none() {
            return Err(answer("there is no receipt yet"));
        }
        let since = Instant::now();
        let signed = self.server.go_ahead(held.order.id).await?;
        let go: GoAhead = signed.verify(&self.keys).map_err(|error| answer(&error.to_string()))?;
        if (go.order, go.machine) != (held.order.id, self.me) {
            return Err(answer("the go-ahead is for something else"));
        }
        if go.epoch < self.epoch {
            return Err(answer("the go-ahead is from before the server was restored"));
        }
        let now = UnixSeconds::now();
        let cached = self.state.metadata();
        // A6: with older metadata than the server has now, nothing is installed.
        let checked = self.check(&held.release, cached.as_ref(), held.order.manifest, now, go.issued);
        let current = |release: &TrustedRelease| release.versions().at_least(go.timestamp_version, go.snapshot_version);
        let manifest = || held.release.manifest.clone();
        let proof = match (checked, cached) {
            (Ok(release), Some(metadata)) if current(&release) && release.from_cache() => {
                ReleaseProof { metadata, manifest: manifest() }
            }
            (Ok(release), _) if current(&release) => held.release.clone(),
            _ => {
                let metadata = self.server.metadata().await?;
                let proof = ReleaseProof { metadata: metadata.clone(), manifest: manifest() };
                let release = self.check(&proof, None, held.order.manifest, now, go.issued)?;
                if !current(&release) {
                    return Err(answer("the metadata is older than the go-ahead says there is"));
                }
                self.state.set_metadata(&metadata)?;
                proof
            }
        };
        let verified = held.verified()?;
        if verified.digest() != held.order.artifact {
            return Err(answer("the artifact is not the order's"));
        }
        let (stripe, offer) = held.offers().pop_first().ok_or_else(|| answer("no stripe has been offered"))?;
        let job = Job {
            attempt: 0,
            order: held.signed.clone(),
            stripe,
            membership: offer.sublist.membership(stripe, &offer.proof),
            go_ahead: signed,
            release: proof,
            without_restore: WithoutRestore::Refuse,
        };
        Ok(AuthenticArtifact { file: verified.into_file(), order: held.order.clone(), job, since })
    }

    fn check(
        &self,
        release: &ReleaseProof,
        cached: Option<&banyan_proto::peer::Metadata>,
        manifest: banyan_proto::Digest,
        now: UnixSeconds,
        signed_time: UnixSeconds,
    ) -> Result<TrustedRelease, AuthenticateError> {
        let mut trust = crate::orders::lock(&self.trust);
        let (release, mut learned) = trust.check_or_cached(release, cached, manifest, now)?;
        learned.believe_time(signed_time);
        if learned != *trust {
            self.state.set_trust(&learned)?;
            *trust = learned;
        }
        Ok(release)
    }
}
