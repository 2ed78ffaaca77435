//! A valid deployment to four machines, and every document and message about it.

use banyan_proto::{
    AddressHint, AddresseeList, Artifact, Digest, InstallPermit, KeyRing, MachineId, Manifest, Membership, Order,
    OrderId, Reason, Receipt, RollingCode, Signed, SigningKey, UnixSeconds,
    admin::Profile,
    join::JoinCode,
    manifest::{ChunkHashes, CommandSpec},
    order::OrderAction,
    order::{Spread, Window},
    peer::{Confirm, Control, Effort, Hello, Offer, OfferReply, Pull, PullReply, ReleaseProof},
};
use banyan_trust::{
    fixture::{Signers, manifest},
    package::Head,
};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// The stripe used by the fuzz targets.
const STRIPE: u8 = 1;

pub(crate) fn machine(number: u8) -> MachineId {
    MachineId([number; 16])
}

pub(crate) struct Words {
    pub(crate) list: AddresseeList,
    pub(crate) keys: KeyRing,
    pub(crate) order: Signed<Order>,
    pub(crate) hint: Signed<AddressHint>,
    pub(crate) receipt: Signed<Receipt>,
    pub(crate) install_permit: Signed<InstallPermit>,
    pub(crate) proof: ReleaseProof,
    pub(crate) id: OrderId,
    pub(crate) artifact: Digest,
}

impl Words {
    pub(crate) fn new() -> Self {
        let names: Vec<MachineId> = (0..7).map(machine).collect();
        let list = AddresseeList::build(&names, |rest| rest.len().div_ceil(2)).expect("a list");
        let mut signers = Signers::new(NOW);
        signers.next_root(|_| ());
        let release = manifest("hello", 3, 1);
        let proof = signers.publish(&release);
        let (key, _) = SigningKey::generate();
        let (id, artifact) = (OrderId([7; 16]), release.artifacts[0].digest);
        let order = Order {
            id,
            epoch: 1,
            number: 4,
            revision: 0,
            action: OrderAction::Install,
            package: "hello".into(),
            sequence: 3,
            manifest: Digest::of(proof.manifest.as_bytes()),
            platform: "any".into(),
            artifact,
            stripes: vec![list.subtree(0), list.subtree(1)],
            server: machine(0),
            issued: NOW,
            expires: NOW.plus(86_400),
            keep_until: NOW.plus(86_400),
            spread: Spread::CutThrough,
            window: Window::Any,
            deadline: Some(NOW.plus(3600)),
            allow: vec![],
        };
        let addresses = vec!["192.0.2.1:7700".parse().expect("an address"), "[::1]:1".parse().expect("an address")];
        Self {
            keys: KeyRing(vec![key.public()]),
            order: key.sign(&order),
            hint: key.sign(&AddressHint { machine: machine(1), addresses, issued: NOW, sequence: 7 }),
            receipt: key.sign(&Receipt { order: id, machine: machine(1), artifact, issued: NOW }),
            install_permit: key.sign(&InstallPermit {
                order: id,
                machine: machine(1),
                issued: NOW,
                epoch: 1,
                timestamp_version: 1,
                snapshot_version: 1,
            }),
            list,
            proof,
            id,
            artifact,
        }
    }
    pub(crate) fn membership(&self) -> Membership {
        let last = self.list.ids().last().expect("a list has names");
        let (list, proof) = self.list.locate(STRIPE, last).expect("the machine is on the list");
        list.membership(STRIPE, &proof)
    }
    pub(crate) fn offer(&self) -> Offer {
        let (_, sublist, step) = self.list.hand_on(STRIPE).remove(0);
        let code = RollingCode::root(&[3; 32], self.id, STRIPE, self.list.subtree(STRIPE).hash);
        Offer {
            order: self.order.clone(),
            stripe: STRIPE,
            code: code.child(sublist.head(), sublist.subtree(STRIPE).hash),
            sublist,
            proof: banyan_proto::Proof::default().then(step),
            path: vec![machine(0)],
            hints: vec![self.hint.clone()],
            release: self.proof.clone(),
        }
    }
    pub(crate) fn messages(&self) -> Vec<(&'static str, Control)> {
        let hello = Hello { versions: vec![1], software: "banyan 0.1.0".into(), crl_number: 3, stop_number: Some(2) };
        let pull = Pull {
            order: self.id,
            stripe: STRIPE,
            from: 12,
            membership: self.membership(),
            wait: false,
            effort: Effort::Normal,
            changes_effort: false,
        };
        vec![
            ("hello", Control::Hello(hello)),
            ("offer", Control::Offer(Box::new(self.offer()))),
            ("accepted", Control::OfferReply(OfferReply::Accepted)),
            ("deferred", Control::OfferReply(OfferReply::Deferred { reason: Reason::Busy })),
            ("parts-accepted", Control::PartsAccepted),
            ("pull", Control::Pull(Box::new(pull))),
            ("pull-reply", Control::PullReply(PullReply::Refused { reason: Reason::NotAddressed })),
            ("confirm", Control::Confirm(Confirm { order: self.id, artifact: self.artifact })),
            ("crl", Control::Crl { der: "MAA=".into() }),
            ("bye", Control::Bye { reason: Reason::Done }),
        ]
    }
    pub(crate) fn join_code(&self) -> JoinCode {
        let servers =
            ["[2001:db8::1]:7700", "server.example.org:7700"].map(|text| text.parse().expect("an address")).to_vec();
        JoinCode { servers, ca: Digest([1; 32]), root: Digest([2; 32]), secret: [3; 16] }
    }
    pub(crate) fn texts(&self) -> Vec<(&'static str, String)> {
        let servers = vec!["127.0.0.1:7700".parse().expect("an address")];
        let profile = Profile { servers, ca: Digest([1; 32]), token: "t\"o\\ken".into(), root: Some(Digest([2; 32])) };
        let code = self.join_code().to_string();
        vec![
            ("join-code-upper-case", format!("banyan1-{}", code["banyan1-".len()..].to_uppercase())),
            ("join-code", code),
            ("profile.toml", toml::to_string(&profile).expect("the profile can be serialised")),
            ("machine", machine(0xa5).to_string()),
            ("digest", self.artifact.to_string()),
            ("key", self.keys.0[0].clone().into()),
            ("chunk-hashes", ChunkHashes(vec![self.artifact; 3]).into()),
        ]
    }
    /// Returns the release as a package file.
    pub(crate) fn package(&self) -> Vec<u8> {
        let ReleaseProof { metadata, manifest } = self.proof.clone();
        let head = Head { roots: metadata.roots, targets: metadata.targets, manifest };
        let content = [head.encode().expect("a head"), b"hello 3".to_vec()].concat();
        assert_eq!(Digest::of(b"hello 3"), self.artifact, "the fixture's content");
        content
    }
    /// Returns a manifest with every field set.
    pub(crate) fn full_manifest(&self) -> Manifest {
        let mut full = manifest("libre-office7.2+x", 12, 9);
        let command = |word: &str| Some(CommandSpec { argv: vec![word.into(), "{dir}".into()], timeout_seconds: 3600 });
        full.rollback_to = Some(8);
        full.publisher = "Example, Inc.".into();
        full.notes = "Two lines\nof \"notes\" \u{1f333}".into();
        let mut second = full.artifacts[0].clone();
        (second.platform, second.file_name) = ("linux-x86_64".into(), "x.tar.gz".into());
        second.size = 5 * (16 << 10) + 1;
        second.chunk_size = Artifact::chunk_size_for(second.size);
        second.chunks = ChunkHashes(vec![self.artifact; 6]);
        (second.install.detect, second.install.probe, second.install.undo) =
            (command("detect"), command("probe"), command("undo"));
        full.artifacts.push(second);
        full.check().expect("a good manifest");
        full
    }
}
