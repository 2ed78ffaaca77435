//! A machine that runs the loop for one order of one stripe, and the scripted peer.

use crate::pki::Pki;
use banyan_proto::{
    Address, AddresseeList, Artifact, Digest, MachineId, Membership, OrderId, PROTOCOL_VERSIONS, Proof, Reason, Signed,
    StopList,
    api::{Event, FlowsRequest, SourcesRequest},
    frame::Frame,
    list::{Part, Step, Subtree},
    manifest::{ChunkHashes, InstallSpec, Kind},
    order::OrderAction,
    peer::{Confirm, Control, Hello, Offer, OfferReply, Pull, PullReply},
    schedule::Background,
};
use banyan_swarm::{
    Config,
    io::{OrderTask, StripeId, TrustedOffer},
};
use banyan_wire::{
    connection::{self, Connection, TlsPair},
    content::{ArtifactFile, ContentError},
    host::{Host, NumberedStops},
    node::{self, NodeConfig, NodeHandle},
    tls::Crl,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

pub(crate) const SERVER: MachineId = MachineId([0; 16]);
pub(crate) const VICTIM: MachineId = MachineId([1; 16]);
const ORDER: OrderId = OrderId([7; 16]);
const STRIPE: StripeId = StripeId { order: ORDER, stripe: 0 };
/// No step of a test takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The machine under test.
pub(crate) struct Victim {
    pub(crate) content: Arc<ArtifactFile>,
    pub(crate) address: SocketAddr,
    pub(crate) pki: Pki,
    pub(crate) bytes: Vec<u8>,
    /// The events it reported.
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    node: NodeHandle,
    _folder: TempDir,
}

struct VictimHost {
    content: Arc<ArtifactFile>,
    events: mpsc::UnboundedSender<Event>,
    crl: Arc<Crl>,
}

fn proof() -> Proof {
    Proof(vec![Step { head: SERVER, part: Part::First, sibling: Subtree::EMPTY }])
}

fn list_of_one() -> AddresseeList {
    AddresseeList::build(&[VICTIM], |_| 0).unwrap()
}

impl Host for VictimHost {
    async fn check_offer(&self, _: MachineId, _: Offer) -> Result<TrustedOffer, OfferReply> {
        let (chunks, held) = (self.content.chunks(0), self.content.held(0).unwrap());
        let (sublist, proof) = (list_of_one(), proof());
        Ok(TrustedOffer { stripe: STRIPE, revision: 0, stripes: 1, chunks, sublist, proof, held })
    }
    fn make_offer(&self, _: StripeId, _: &AddresseeList, _: &Proof) -> Result<Offer, Reason> {
        Err(Reason::OrderExpired)
    }
    fn addresses(&self, _: MachineId) -> Vec<Address> {
        vec![]
    }
    fn content(&self, _: OrderId) -> Option<Arc<ArtifactFile>> {
        Some(Arc::clone(&self.content))
    }
    fn check_pull(&self, _: MachineId, _: &Pull) -> Result<bool, PullReply> {
        Ok(false)
    }
    fn membership(&self, _: StripeId) -> Option<Membership> {
        Some(list_of_one().membership(0, &proof()))
    }
    fn run_task(&self, _: OrderId, _: OrderTask, _: &NodeHandle) {}
    fn request_sources(&self, _: SourcesRequest, _: &NodeHandle) {}
    fn report_flows(&self, _: FlowsRequest, _: &NodeHandle) {}
    fn report_event(&self, _: OrderId, event: Event) {
        drop(self.events.send(event));
    }
    fn confirmed(&self, _: MachineId, _: &Confirm) {}
    fn refused(&self, sender: MachineId, reason: Reason, detail: &str) {
        drop(self.events.send(Event::Refused { sender, reason, detail: detail.to_owned() }));
    }
    fn content_failed(&self, _: OrderId, _: MachineId, _: &ContentError) {}
    fn received(&self, _: OrderId, _: MachineId, _: u64) {}
    fn sent(&self, _: OrderId, _: MachineId, _: u64) {}
    fn background(&self, _: MachineId) -> Background {
        Background::default()
    }
    fn crl(&self) -> Option<Arc<Crl>> {
        Some(Arc::clone(&self.crl))
    }
    fn offer_crl(&self, _: Vec<u8>, _: &NodeHandle) {}
    fn stops(&self) -> Option<NumberedStops> {
        None
    }
    fn offer_stops(&self, _: Signed<StopList>, _: &NodeHandle) {}
}

pub(crate) fn hello() -> Hello {
    Hello { versions: PROTOCOL_VERSIONS.to_vec(), software: "script".into(), crl_number: 1, stop_number: None }
}

impl Victim {
    /// Starts a machine that wants a file of this many chunks, and knows no addresses.
    pub(crate) async fn start(chunks: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let bytes: Vec<u8> = (0..chunks * (16 << 10)).map(|i| (i * 7 % 251) as u8).collect();
        let hashes = bytes.chunks(16 << 10).map(Digest::of).collect();
        let install = InstallSpec::new(Kind::Archive);
        let artifact = Artifact {
            must_understand: vec![],
            platform: "any".into(),
            file_name: "file".into(),
            size: bytes.len() as u64,
            digest: Digest::of(&bytes),
            chunk_size: 16 << 10,
            chunks: ChunkHashes(hashes),
            install,
        };
        let content = Arc::new(ArtifactFile::resume(&folder.path().join("file"), artifact, 1).unwrap());
        let pki = Pki::new();
        let crl = Arc::new(pki.crl(&[], 2100));
        let (sender, events) = mpsc::unbounded_channel();
        let tls = TlsPair::for_peers(&pki.machine(VICTIM), Some(&crl)).unwrap();
        let host = VictimHost { content: Arc::clone(&content), events: sender, crl };
        let swarm = Config::agent(VICTIM, SERVER, 8, 1);
        let longest_message = banyan_proto::limits::CONTROL_BYTES;
        let config = NodeConfig { swarm, software: "victim".into(), tls, longest_message, max_links: 32 };
        let (node, _) = node::start(config, Arc::new(host));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = node.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = connection::handshake(stream, accepting.tls().acceptor).await {
                    accepting.accept(stream);
                }
            }
        });
        Self { content, address, pki, bytes, events, node, _folder: folder }
    }
    /// Connects as the server, offers, and waits for the pull. Returns the connection and the first chunk wanted.
    pub(crate) async fn offered_and_pulled(&self) -> (Connection, u32) {
        let connector = self.pki.machine(SERVER);
        let tls = TlsPair::for_peers(&connector, None).unwrap();
        let mut link = connection::dial(VICTIM, vec![self.address.into()], tls.connector, hello()).await.unwrap();
        link.send(&Frame::Control(Control::Offer(Box::new(any_offer())))).await.unwrap();
        let from = loop {
            match timeout(PATIENCE, link.next()).await.unwrap().unwrap() {
                Frame::Control(Control::Pull(pull)) => break pull.from,
                Frame::Control(Control::OfferReply(OfferReply::Accepted) | Control::PartsAccepted) => {}
                other => panic!("{other:?}"),
            }
        };
        link.send(&Frame::Control(Control::PullReply(PullReply::Serving))).await.unwrap();
        (link, from)
    }
    /// Returns the correct bytes of a chunk.
    pub(crate) fn chunk(&self, index: u32) -> Vec<u8> {
        self.bytes.chunks(16 << 10).nth(index as usize).unwrap().to_vec()
    }
    /// Waits until this many chunks are held.
    pub(crate) async fn wait_for_chunks(&self, chunks: u32) {
        let mut held = self.content.watch(0).unwrap();
        drop(timeout(PATIENCE, held.wait_for(|held| *held == chunks)).await.expect("the chunks arrive").unwrap());
    }
    pub(crate) async fn stop(self) {
        self.node.shutdown().await;
    }
}

/// Returns an offer with arbitrary content: the victim's host accepts every offer.
fn any_offer() -> Offer {
    let (key, _) = banyan_proto::SigningKey::generate();
    let now = banyan_proto::UnixSeconds::now();
    let order = banyan_proto::Order {
        id: ORDER,
        epoch: 1,
        number: 1,
        revision: 0,
        action: OrderAction::Install,
        package: "p".into(),
        sequence: 1,
        manifest: Digest([0; 32]),
        platform: "any".into(),
        artifact: Digest([0; 32]),
        stripes: vec![],
        server: SERVER,
        issued: now,
        expires: now,
        keep_until: now,
        spread: banyan_proto::order::Spread::CutThrough,
        window: banyan_proto::order::Window::Any,
        deadline: None,
        allow: vec![],
    };
    let metadata = banyan_proto::peer::Metadata {
        roots: vec![],
        timestamp: String::new(),
        snapshot: String::new(),
        targets: String::new(),
    };
    Offer {
        order: key.sign(&order),
        stripe: 0,
        sublist: list_of_one(),
        proof: proof(),
        path: vec![SERVER],
        code: banyan_proto::RollingCode::root(&[0; 32], ORDER, 0, Digest([0; 32])),
        hints: vec![],
        release: banyan_proto::peer::ReleaseProof { metadata, manifest: String::new() },
    }
}
