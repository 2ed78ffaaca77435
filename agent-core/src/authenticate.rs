//! The authenticate stage: from the verified artifact to the receipt, and to the install permit (rules A3–A7).

use crate::{
    epoch::{Epoch, EpochError},
    orders::HeldOrder,
    server_api::{CallError, ServerApi},
    state::{State, StateError},
};
use banyan_install_helper::{InstallJob, WithoutRestore};
use banyan_proto::{
    InstallPermit, KeyRing, MachineId, Order, Reason, Receipt, Signed, UnixSeconds,
    api::{ReceiptRequest, Way},
    peer::ReleaseProof,
};
use banyan_trust::{TrustError, TrustStore, TrustedRelease};
use std::{
    fs::File,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Why authentication failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The server could not be reached, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is not for this request, or the server did not sign it.
    #[error("the server's answer was refused: {0}")]
    Answer(String),
    /// The answer or the order was signed before the server was restored.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The publisher's metadata no longer allows the release.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// This machine's database failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// This machine's disk failed.
    #[error("cannot read the artifact: {0}")]
    Disk(#[from] std::io::Error),
}

impl AuthenticateError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Call(error) => error.reason(),
            Self::Answer(_) => Reason::OrderForged,
            Self::Trust(error) => error.reason(),
            Self::Epoch(EpochError::Back { .. }) => Reason::EpochBack,
            Self::Epoch(EpochError::State(_)) | Self::State(_) | Self::Disk(_) => Reason::DiskFailed,
        }
    }
}

/// An artifact that is complete and verified on this disk, acknowledged by the server, and permitted to be installed
/// now. Nothing else can be installed, and only [`Authenticate::leave`] creates one:
///
/// ```compile_fail
/// use agent_core::authenticate::AuthenticArtifact;
/// use banyan_install_helper::InstallJob;
/// fn forge(file: std::fs::File, order: banyan_proto::Order, job: InstallJob, since: std::time::Instant) -> AuthenticArtifact {
///     AuthenticArtifact { file, order, job, since }
/// }
/// ```
pub struct AuthenticArtifact {
    file: File,
    order: Order,
    /// All signed documents about the artifact; the installer checks them again independently.
    job: InstallJob,
    since: Instant,
}

impl AuthenticArtifact {
    /// Returns the order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }
    /// Returns the open file and the signed documents while the install permit is fresh (rule A5). The time is
    /// monotonic, so setting a clock cannot extend it.
    #[must_use]
    pub fn into_job(self) -> Option<(File, InstallJob)> {
        (self.since.elapsed() < Duration::from_secs(InstallPermit::SECONDS)).then_some((self.file, self.job))
    }
}

/// The authenticate stage.
pub struct Authenticate {
    /// This machine's identifier.
    pub me: MachineId,
    /// The keys that sign receipts and install permits.
    pub keys: KeyRing,
    /// The highest epoch seen; lower ones are refused.
    pub epoch: Arc<Epoch>,
    /// The client for the server's API.
    pub server: Arc<ServerApi>,
    /// The database.
    pub state: Arc<State>,
    /// What this machine has learnt from publishers' metadata.
    pub trust: Arc<Mutex<TrustStore>>,
}

impl Authenticate {
    /// Requests the receipt. Sends the path of each offer, proved by this machine's codes and bound to the TLS
    /// session.
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
            return Err(AuthenticateError::Answer("the receipt is for another order, machine or artifact".into()));
        }
        self.state.update_order(order, |record| record.receipt = Some(signed.clone()))?;
        held.set_receipt(signed);
        Ok(())
    }

    /// Requests an install permit: signed, fresh, and with metadata at least as new as the permit states.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    pub async fn leave(&self, held: &HeldOrder) -> Result<AuthenticArtifact, AuthenticateError> {
        let answer = |detail: &str| AuthenticateError::Answer(detail.to_owned());
        if held.receipt().is_none() {
            return Err(answer("there is no receipt yet"));
        }
        let since = Instant::now();
        let signed = self.server.install_permit(held.order.id).await?;
        let go = self.read(&signed, &held.order)?;
        let now = UnixSeconds::now();
        let cached = self.state.metadata();
        // A6: nothing is installed with metadata older than the server's.
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
                    return Err(answer("the metadata is older than the version stated in the install permit"));
                }
                self.state.set_metadata(&metadata)?;
                proof
            }
        };
        let verified = held.verified()?;
        if verified.digest() != held.order.artifact {
            return Err(answer("the artifact does not match the order"));
        }
        let (stripe, offer) = held.offers().pop_first().ok_or_else(|| answer("no stripe has been offered"))?;
        let job = InstallJob {
            attempt: 0,
            order: held.signed.clone(),
            stripe,
            membership: offer.sublist.membership(stripe, &offer.proof),
            install_permit: signed,
            release: proof,
            without_restore: WithoutRestore::Refuse,
            urgent: false,
        };
        Ok(AuthenticArtifact { file: verified.into_file(), order: held.order.clone(), job, since })
    }

    /// Checks that the server signed an install permit for this machine and order, and that neither was signed before
    /// the server was restored.
    fn read(&self, signed: &Signed<InstallPermit>, order: &Order) -> Result<InstallPermit, AuthenticateError> {
        let answer = |detail: &str| AuthenticateError::Answer(detail.to_owned());
        let go = signed.verify(&self.keys).map_err(|error| answer(&error.to_string()))?;
        if (go.order, go.machine) != (order.id, self.me) {
            return Err(answer("the install permit is for another order or machine"));
        }
        self.epoch.check(go.epoch)?;
        // The permit's epoch may just have ended the order.
        self.epoch.check(order.epoch)?;
        Ok(go)
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
        learned.record_signed_time(signed_time);
        if learned != *trust {
            self.state.set_trust(&learned)?;
            *trust = learned;
        }
        Ok(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity, state::Enrolment};
    use banyan_proto::{Digest, OrderId, SigningKey};
    use banyan_trust::fixture::Signers;

    const ME: MachineId = MachineId([1; 16]);

    /// Returns the stage of a machine that has seen epoch 5, and its server's key.
    fn stage(folder: &std::path::Path) -> (Authenticate, SigningKey) {
        let (key, _) = SigningKey::generate();
        let keys = KeyRing(vec![key.public()]);
        let state = Arc::new(State::open(&folder.join("agent.redb")).unwrap());
        let mine = identity::key(&folder.join("machine.key")).unwrap();
        let mut params = rcgen::CertificateParams::new(vec![banyan_wire::tls::machine_name(ME)]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&mine).unwrap().pem();
        let enrolment = Enrolment {
            machine: ME,
            ca: certificate.clone(),
            certificate,
            server: MachineId([0; 16]),
            server_address: ([127, 0, 0, 1], 1).into(),
            keys: keys.clone(),
            epoch: 5,
        };
        let credentials = identity::credentials(&enrolment, &mine).unwrap();
        let publishers = Signers::new(UnixSeconds::now());
        let trust = TrustStore::enrol(&publishers.roots[0], publishers.root_digest()).unwrap();
        let stage = Authenticate {
            me: ME,
            keys,
            epoch: Arc::new(Epoch::open(Arc::clone(&state), 5).unwrap()),
            server: Arc::new(ServerApi::new(&enrolment, &credentials).unwrap()),
            state,
            trust: Arc::new(Mutex::new(trust)),
        };
        (stage, key)
    }
    fn order(epoch: u64) -> Order {
        let now = UnixSeconds::now();
        Order {
            id: OrderId([2; 16]),
            epoch,
            number: 1,
            revision: 0,
            package: "p".into(),
            sequence: 1,
            manifest: Digest([0; 32]),
            platform: "any".into(),
            artifact: Digest([0; 32]),
            stripes: vec![],
            server: MachineId([0; 16]),
            issued: now,
            expires: now,
            keep_until: now,
            spread: Default::default(),
            window: Default::default(),
            deadline: None,
        }
    }
    fn go(epoch: u64) -> InstallPermit {
        InstallPermit {
            order: OrderId([2; 16]),
            machine: ME,
            issued: UnixSeconds::now(),
            epoch,
            timestamp_version: 1,
            snapshot_version: 1,
        }
    }

    #[tokio::test]
    async fn a_install_permit_of_a_lower_epoch_is_refused_and_one_of_a_higher_epoch_ends_the_orders_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (stage, key) = stage(folder.path());
        let read = |go: &InstallPermit, order: &Order| stage.read(&key.sign(go), order).map_err(|error| error.reason());
        assert!(read(&go(5), &order(5)).is_ok());
        assert_eq!(read(&go(4), &order(5)), Err(Reason::EpochBack));
        assert_eq!(read(&go(6), &order(5)), Err(Reason::EpochBack));
        assert_eq!((stage.epoch.seen(), stage.state.epoch().unwrap()), (6, 6), "the epoch was learnt and stored");
        assert_eq!(read(&go(5), &order(6)), Err(Reason::EpochBack));
        assert!(read(&go(6), &order(6)).is_ok());
    }

    #[tokio::test]
    async fn a_install_permit_for_something_else_or_by_somebody_else_is_refused_and_teaches_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (stage, key) = stage(folder.path());
        let (stranger, _) = SigningKey::generate();
        let other_machine = InstallPermit { machine: MachineId([9; 16]), ..go(9) };
        let other_order = InstallPermit { order: OrderId([9; 16]), ..go(9) };
        for signed in [stranger.sign(&go(9)), key.sign(&other_machine), key.sign(&other_order)] {
            assert_eq!(stage.read(&signed, &order(5)).map_err(|error| error.reason()), Err(Reason::OrderForged));
        }
        assert_eq!(stage.epoch.seen(), 5);
    }
}
