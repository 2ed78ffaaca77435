//! The authenticate stage: from the verified artifact to the receipt, and to the install permit (rules A3–A7).

use crate::{
    database::{Database, DatabaseError},
    identity::{Identity, epoch::EpochError},
    pipeline::active_order::ActiveOrder,
    publisher_trust::PublisherTrust,
    server::api::{CallError, ServerApi},
};
use banyan_install_helper::InstallJob;
use banyan_proto::{
    Digest, InstallPermit, Order, Reason, Receipt, Signed, UnixSeconds,
    api::{ReceiptRequest, Way},
    peer::{Metadata, ReleaseProof},
    signed::SignatureError,
};
use banyan_trust::{TrustError, TrustedRelease};
use std::{
    fs::File,
    sync::Arc,
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
    /// The answer's signature is not valid, or a newer version wrote it.
    #[error("the server's answer was refused: {0}")]
    Signature(#[from] SignatureError),
    /// The answer or the order was signed before the server was restored.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The publisher's metadata no longer allows the release.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// This machine's database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// This machine's disk failed.
    #[error("cannot read the artifact: {0}")]
    Disk(#[from] std::io::Error),
}

impl AuthenticateError {
    /// Returns what the reason's own text does not say.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Call(CallError::Refused(error)) => error.detail.clone(),
            error => error.to_string(),
        }
    }
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Call(error) => error.reason(),
            Self::Answer(_) => Reason::OrderForged,
            Self::Signature(error) => error.reason(Reason::OrderForged),
            Self::Trust(error) => error.reason(),
            Self::Epoch(EpochError::Lower { .. }) => Reason::EpochBack,
            Self::Epoch(EpochError::Database(error)) | Self::Database(error) => error.reason(),
            Self::Disk(error) => Reason::of_disk_error(error),
        }
    }
}

/// An artifact that is complete and verified on this disk, acknowledged by the server, and permitted to be installed
/// now. Nothing else can be installed, and only [`AuthenticateStage::request_install_permit`] creates one:
///
/// ```compile_fail
/// use agent_core::pipeline::authenticate::AuthenticArtifact;
/// use banyan_install_helper::InstallJob;
/// fn forge(file: std::fs::File, order: banyan_proto::Order, job: InstallJob, since: std::time::Instant) -> AuthenticArtifact {
///     AuthenticArtifact { file, order, job, since }
/// }
/// ```
pub struct AuthenticArtifact {
    file: File,
    order: Order,
    /// All signed documents about the artifact; the install helper checks them again independently.
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
pub struct AuthenticateStage {
    /// This machine and its server.
    pub identity: Arc<Identity>,
    /// The client for the server's API.
    pub server: Arc<ServerApi>,
    /// The database.
    pub database: Arc<Database>,
    /// What this machine has learnt from publishers' metadata.
    pub trust: Arc<PublisherTrust>,
}

impl AuthenticateStage {
    /// Requests the receipt. Sends the path of each offer, proved by this machine's codes and bound to the TLS
    /// session.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    pub async fn request_receipt(&self, active: &ActiveOrder) -> Result<(), AuthenticateError> {
        if active.receipt().is_some() {
            return Ok(());
        }
        let (order, artifact) = (active.order.id, active.verified()?.digest());
        let request = |exporter: &[u8; 32]| {
            let way = |(&stripe, offer): (&u8, &crate::database::StripeOffer)| Way {
                stripe,
                path: offer.path.clone(),
                proof: offer.code.prove(exporter, order, artifact),
            };
            ReceiptRequest {
                order,
                artifact,
                ways: active.offers().iter().map(way).collect(),
                sources: active.sources(),
            }
        };
        let signed = self.server.receipt(request).await?;
        let receipt: Receipt = signed.verify(&self.identity.keys)?;
        if (receipt.order, receipt.machine, receipt.artifact) != (order, self.identity.machine, artifact) {
            return Err(AuthenticateError::Answer("the receipt is for another order, machine or artifact".into()));
        }
        self.database.update_order(order, |record| record.receipt = Some(signed.clone()))?;
        active.set_receipt(signed);
        Ok(())
    }

    /// Requests an install permit: signed, fresh, and with metadata at least as new as the permit states.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    pub async fn request_install_permit(&self, active: &ActiveOrder) -> Result<AuthenticArtifact, AuthenticateError> {
        let answer = |detail: &str| AuthenticateError::Answer(detail.to_owned());
        if active.receipt().is_none() {
            return Err(answer("there is no receipt yet"));
        }
        let since = Instant::now();
        let signed = self.server.install_permit(active.order.id).await?;
        let permit = self.check_permit(&signed, &active.order)?;
        let now = UnixSeconds::now();
        let cached = self.database.load_metadata();
        // A6: nothing is installed with metadata older than the server's.
        let checked = self.check_release(&active.release, cached.as_ref(), active.order.manifest, now, permit.issued);
        let current =
            |release: &TrustedRelease| release.versions().at_least(permit.timestamp_version, permit.snapshot_version);
        let manifest = || active.release.manifest.clone();
        let proof = match (checked, cached) {
            (Ok(release), Some(metadata)) if current(&release) && release.from_cache() => {
                ReleaseProof { metadata, manifest: manifest() }
            }
            (Ok(release), _) if current(&release) => active.release.clone(),
            _ => {
                let metadata = self.server.metadata().await?;
                let proof = ReleaseProof { metadata: metadata.clone(), manifest: manifest() };
                let release = self.check_release(&proof, None, active.order.manifest, now, permit.issued)?;
                if !current(&release) {
                    return Err(answer("the metadata is older than the version stated in the install permit"));
                }
                self.database.store_metadata(&metadata)?;
                proof
            }
        };
        let verified = active.verified()?;
        if verified.digest() != active.order.artifact {
            return Err(answer("the artifact does not match the order"));
        }
        let (stripe, offer) = active.offers().pop_first().ok_or_else(|| answer("no stripe has been offered"))?;
        let job = InstallJob {
            attempt: 0,
            order: active.signed.clone(),
            stripe,
            membership: offer.sublist.membership(stripe, &offer.proof),
            install_permit: signed,
            release: proof,
            urgent: false,
            keep_versions: None,
        };
        Ok(AuthenticArtifact { file: verified.into_file(), order: active.order.clone(), job, since })
    }

    /// Checks that the server signed an install permit for this machine and order, and that neither was signed before
    /// the server was restored.
    fn check_permit(&self, signed: &Signed<InstallPermit>, order: &Order) -> Result<InstallPermit, AuthenticateError> {
        let answer = |detail: &str| AuthenticateError::Answer(detail.to_owned());
        let permit = signed.verify(&self.identity.keys)?;
        if (permit.order, permit.machine) != (order.id, self.identity.machine) {
            return Err(answer("the install permit is for another order or machine"));
        }
        self.identity.epoch.check(permit.epoch)?;
        // The permit's epoch may just have ended the order.
        self.identity.epoch.check(order.epoch)?;
        Ok(permit)
    }

    fn check_release(
        &self,
        release: &ReleaseProof,
        cached: Option<&Metadata>,
        manifest: Digest,
        now: UnixSeconds,
        signed_time: UnixSeconds,
    ) -> Result<TrustedRelease, AuthenticateError> {
        let mut trust = self.trust.lock();
        let (release, mut learnt) = trust.check_or_cached(release, cached, manifest, now)?;
        learnt.record_signed_time(signed_time, now);
        trust.learn(learnt)?;
        Ok(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        database::Enrolment,
        identity::{certificate, key, server_addresses::ServerAddresses},
    };
    use banyan_proto::{KeyRing, MachineId, OrderId, SigningKey};
    use banyan_trust::{TrustStore, fixture::Signers};
    use banyan_wire::socket::Keepalive;

    const ME: MachineId = MachineId([1; 16]);

    /// Returns the stage of a machine that has seen epoch 5, and its server's key.
    fn stage(folder: &std::path::Path) -> (AuthenticateStage, SigningKey) {
        let (server_key, _) = SigningKey::generate();
        let database = Arc::new(Database::open(&folder.join("agent.redb")).unwrap());
        let mine = key::load_or_create(&folder.join("machine.key")).unwrap();
        let mut params = rcgen::CertificateParams::new(vec![banyan_wire::tls::machine_name(ME)]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&mine).unwrap().pem();
        let enrolment = Enrolment {
            machine: ME,
            ca: certificate.clone(),
            certificate,
            server: MachineId([0; 16]),
            server_addresses: vec!["127.0.0.1:1".parse().unwrap()],
            keys: KeyRing(vec![server_key.public()]),
            epoch: 5,
        };
        let credentials = certificate::to_credentials(&enrolment, &mine).unwrap();
        let publishers = Signers::new(UnixSeconds::now());
        let trust = TrustStore::enrol(&publishers.roots[0], publishers.root_digest()).unwrap();
        let stage = AuthenticateStage {
            identity: Arc::new(Identity::open(&enrolment, Arc::clone(&database)).unwrap()),
            server: Arc::new(
                ServerApi::new(
                    Arc::new(ServerAddresses::fixed(&enrolment.server_addresses)),
                    &credentials,
                    Keepalive::default(),
                )
                .unwrap(),
            ),
            trust: Arc::new(PublisherTrust::new(Arc::clone(&database), trust)),
            database,
        };
        (stage, server_key)
    }
    fn order(epoch: u64) -> Order {
        let now = UnixSeconds::now();
        Order {
            id: OrderId([2; 16]),
            epoch,
            number: 1,
            revision: 0,
            action: banyan_proto::order::OrderAction::Install,
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
            allow: vec![],
        }
    }
    fn permit(epoch: u64) -> InstallPermit {
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
    async fn an_install_permit_of_a_lower_epoch_is_refused_and_one_of_a_higher_epoch_ends_earlier_orders() {
        let folder = tempfile::tempdir().unwrap();
        let (stage, key) = stage(folder.path());
        let check = |permit: &InstallPermit, order: &Order| {
            stage.check_permit(&key.sign(permit), order).map_err(|error| error.reason())
        };
        assert!(check(&permit(5), &order(5)).is_ok());
        assert_eq!(check(&permit(4), &order(5)), Err(Reason::EpochBack));
        assert_eq!(check(&permit(6), &order(5)), Err(Reason::EpochBack));
        assert_eq!(
            (stage.identity.epoch.highest(), stage.database.load_epoch().unwrap()),
            (6, 6),
            "the epoch was learnt and stored"
        );
        assert_eq!(check(&permit(5), &order(6)), Err(Reason::EpochBack));
        assert!(check(&permit(6), &order(6)).is_ok());
    }

    #[tokio::test]
    async fn an_install_permit_for_another_order_or_by_another_signer_is_refused_and_raises_no_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let (stage, key) = stage(folder.path());
        let (stranger, _) = SigningKey::generate();
        let other_machine = InstallPermit { machine: MachineId([9; 16]), ..permit(9) };
        let other_order = InstallPermit { order: OrderId([9; 16]), ..permit(9) };
        for signed in [stranger.sign(&permit(9)), key.sign(&other_machine), key.sign(&other_order)] {
            assert_eq!(
                stage.check_permit(&signed, &order(5)).map_err(|error| error.reason()),
                Err(Reason::OrderForged)
            );
        }
        assert_eq!(stage.identity.epoch.highest(), 5);
    }
}
