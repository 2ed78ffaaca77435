//! All signers of a test: publishers with their root, and the server. The documents for a job can be changed before
//! they are signed, so that a test makes exactly the forgery in its name.

use crate::protocol::{EnrolledIdentity, InstallJob};
use crate::tests::test_machine::TestRelease;
use banyan_proto::{
    AddresseeList, Digest, InstallPermit, KeyRing, MachineId, Membership, Order, SigningKey, UnixSeconds,
    order::OrderAction, peer::ReleaseProof,
};
use banyan_trust::fixture::Signers;
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

const STRIPE: u8 = 0;
/// The server's epoch at enrolment.
pub(crate) const EPOCH: u64 = 3;

pub(crate) struct TestSigners {
    pub(crate) me: MachineId,
    pub(crate) server: MachineId,
    pub(crate) server_key: SigningKey,
    publishers: Mutex<Signers>,
    orders: AtomicU64,
}

/// The documents to sign for one job.
#[derive(Clone)]
pub(crate) struct SignedDocuments {
    pub(crate) order: Order,
    pub(crate) membership: Membership,
    pub(crate) install_permit: InstallPermit,
    pub(crate) release: ReleaseProof,
}

impl TestSigners {
    pub(crate) fn new() -> Self {
        Self {
            me: MachineId::random(),
            server: MachineId::random(),
            server_key: SigningKey::generate().0,
            publishers: Mutex::new(Signers::new(UnixSeconds::now())),
            orders: AtomicU64::new(1),
        }
    }
    pub(crate) fn publishers(&self) -> MutexGuard<'_, Signers> {
        self.publishers.lock().unwrap()
    }
    /// Returns what the agent tells the install helper after enrolment.
    pub(crate) fn identity(&self) -> EnrolledIdentity {
        EnrolledIdentity {
            machine: self.me,
            server: self.server,
            keys: KeyRing(vec![self.server_key.public()]),
            epoch: EPOCH,
            root: self.publishers().roots[0].clone(),
        }
    }
    /// Publishes the release and orders it for a list that includes this machine.
    pub(crate) fn documents(&self, release: &TestRelease) -> SignedDocuments {
        let mut publishers = self.publishers();
        let proof = publishers.publish(&release.manifest);
        let versions = publishers.versions;
        let artifact = &release.manifest.artifacts[0];
        let now = UnixSeconds::now();
        let (list, membership) = self.list(self.me);
        let order = Order {
            id: release.order,
            epoch: EPOCH,
            number: self.orders.fetch_add(1, Ordering::Relaxed),
            revision: 0,
            action: OrderAction::Install,
            package: release.manifest.package.clone(),
            sequence: release.manifest.sequence,
            manifest: Digest::of(proof.manifest.as_bytes()),
            platform: artifact.platform.clone(),
            artifact: artifact.digest,
            stripes: vec![list.subtree(STRIPE)],
            server: self.server,
            issued: now,
            expires: now.plus(3600),
            keep_until: now.plus(3600),
            spread: Default::default(),
            window: Default::default(),
            deadline: None,
            allow: vec![],
        };
        let install_permit = InstallPermit {
            order: release.order,
            machine: self.me,
            issued: now,
            epoch: EPOCH,
            timestamp_version: versions.timestamp,
            snapshot_version: versions.snapshot,
        };
        SignedDocuments { order, membership, install_permit, release: proof }
    }
    /// Returns a list with this machine in the middle, and the machine's membership proof.
    pub(crate) fn list(&self, machine: MachineId) -> (AddresseeList, Membership) {
        let names = [self.server, MachineId([1; 16]), machine, MachineId([2; 16])];
        let list = AddresseeList::build(&names, |_| 3).unwrap();
        let (sublist, proof) = list.locate(STRIPE, machine).unwrap();
        (list, sublist.membership(STRIPE, &proof))
    }
}

impl SignedDocuments {
    pub(crate) fn job(&self, signers: &TestSigners) -> InstallJob {
        InstallJob {
            attempt: 0,
            order: signers.server_key.sign(&self.order),
            stripe: STRIPE,
            membership: self.membership.clone(),
            install_permit: signers.server_key.sign(&self.install_permit),
            release: self.release.clone(),
            urgent: false,
            keep_versions: None,
        }
    }
}
