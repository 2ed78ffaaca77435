//! Verifies what an offer must pass before the first byte of content is requested (rules O1–O10), with one module for
//! each attack.
//!
//! Everything except the network is real: signatures, metadata, list proofs, database. A [`Stage`] is a machine's offer
//! stage together with all signers, so that a test can make exactly the forgery in its name.

mod list_grown;
mod list_trimmed;
mod offer_for_another_machine;
mod order_forged;
mod order_of_a_newer_version;
mod outdated_order;
mod release_below_the_floor;
mod release_signed_with_a_revoked_key;
mod release_withdrawn;
mod sender_not_an_ancestor;
mod server_without_publishers_key;
mod valid_offer;

use agent_core::{
    database::Database,
    identity::{Identity, epoch::Epoch, server_addresses::ServerAddresses, stops::Stops},
    pipeline::{
        active_orders::ActiveOrders,
        offer::{AcceptedOffer, OfferError, OfferStage},
    },
    publisher_trust::PublisherTrust,
};
use banyan_proto::{
    AddresseeList, KeyRing, MachineId, Manifest, Order, OrderId, Reason, RollingCode, Signed, SigningKey, UnixSeconds,
    order::OrderAction,
    peer::{Offer, ReleaseProof},
};
use banyan_trust::{
    TrustStore,
    fixture::{Signers, manifest},
};
use std::sync::Arc;
use tempfile::TempDir;

/// The machine under test and all signers.
pub struct Stage {
    stage: OfferStage,
    server_key: SigningKey,
    publishers: Signers,
    /// The machines: `machines[0]` is the server, `machines[1]` the head of the list; the machine under test is `ME`.
    machines: Vec<MachineId>,
    list: AddresseeList,
    manifest: Manifest,
    release: ReleaseProof,
    folder: TempDir,
}

/// The index of the machine under test in [`Stage::machines`]: the head's first child, with names below it.
const ME: usize = 2;
const STRIPE: u8 = 0;

impl Stage {
    fn new() -> Self {
        let now = UnixSeconds::now();
        let (server_key, _) = SigningKey::generate();
        let mut publishers = Signers::new(now);
        let manifest = manifest("tool", 5, 5);
        let release = publishers.publish(&manifest);
        let machines: Vec<MachineId> = (0..12).map(|n| MachineId([n; 16])).collect();
        let list = AddresseeList::build(&machines, |rest| {
            // The server has one head; each list below it is halved.
            if rest.start == 1 { rest.len() } else { rest.len().div_ceil(2) }
        })
        .unwrap();
        let folder = TempDir::new().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let trust = TrustStore::enrol(&publishers.roots[0], publishers.root_digest()).unwrap();
        let identity = Arc::new(Identity {
            machine: machines[ME],
            server: machines[0],
            server_addresses: Arc::new(ServerAddresses::fixed(&["127.0.0.1:1".parse().unwrap()])),
            keys: KeyRing(vec![server_key.public()]),
            epoch: Epoch::open(Arc::clone(&database), 3).unwrap(),
            stops: Stops::open(Arc::clone(&database), machines[0], KeyRing(vec![server_key.public()])).unwrap(),
        });
        let stage = OfferStage {
            orders: Arc::new(ActiveOrders::new(Arc::clone(&identity))),
            identity,
            platform: "linux-x86_64".into(),
            folder: folder.path().to_owned(),
            trust: Arc::new(PublisherTrust::new(Arc::clone(&database), trust)),
            database,
        };
        Self { stage, server_key, publishers, machines, list, manifest, release, folder }
    }

    /// Returns a valid order of the release for the list.
    fn order(&self) -> Order {
        let now = UnixSeconds::now();
        let artifact = &self.manifest.artifacts[0];
        Order {
            id: OrderId::random(),
            epoch: 3,
            number: 10,
            revision: 0,
            action: OrderAction::Install,
            package: self.manifest.package.clone(),
            sequence: self.manifest.sequence,
            manifest: banyan_proto::Digest::of(self.release.manifest.as_bytes()),
            platform: artifact.platform.clone(),
            artifact: artifact.digest,
            stripes: vec![self.list.subtree(STRIPE)],
            server: self.machines[0],
            issued: now,
            expires: now.plus(3600),
            keep_until: now.plus(7200),
            spread: Default::default(),
            window: Default::default(),
            deadline: None,
            allow: vec![],
        }
    }
    /// Returns the valid offer of an order to the machine under test, through the head.
    fn offer(&self, order: &Order) -> Offer {
        self.signed_offer(self.server_key.sign(order))
    }
    fn signed_offer(&self, order: Signed<Order>) -> Offer {
        let (sublist, proof) = self.list.locate(STRIPE, self.machines[ME]).unwrap();
        Offer {
            order,
            stripe: STRIPE,
            sublist,
            proof,
            path: vec![self.machines[0], self.machines[1]],
            code: RollingCode::root(&[1; 32], OrderId([0; 16]), STRIPE, banyan_proto::Digest([0; 32])),
            hints: vec![],
            release: self.release.clone(),
        }
    }
    /// Checks the offer as if the head had sent it.
    fn check(&self, offer: Offer) -> Result<AcceptedOffer, OfferError> {
        self.stage.check(self.machines[1], offer, UnixSeconds::now())
    }
    /// Verifies that an offer is refused for this reason and that no space was reserved for its content.
    #[track_caller]
    fn assert_refused(&self, offer: Offer, reason: Reason) {
        self.assert_refused_from(self.machines[1], offer, reason);
    }
    #[track_caller]
    fn assert_refused_from(&self, sender: MachineId, offer: Offer, reason: Reason) {
        let order: Order = offer.order.verify(&self.stage.identity.keys).unwrap_or_else(|_| self.order());
        match self.stage.check(sender, offer, UnixSeconds::now()) {
            Ok(_) => panic!("the offer was accepted"),
            Err(error) => assert_eq!(error.reason(), reason, "{error}"),
        }
        assert!(!self.folder.path().join(order.artifact.to_string()).exists(), "space was reserved for the content");
        assert!(self.stage.orders.get(order.id).is_none(), "the order was stored");
    }
}
