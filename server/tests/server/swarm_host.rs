//! Tests of the server as the first sender: the head of a stripe receives a verifiable offer, and the content.

use crate::world::{Agent, PATIENCE, World};
use banyan_proto::{
    ALPN_PEER, Artifact, MachineId, Membership, OrderId, Proof,
    admin::Selection,
    api::CheckInReply,
    frame::{self, Frame},
    list::Subtree,
    peer::{Control, Effort, Hello, Offer, OfferReply, Pull, PullReply},
};
use banyan_proto::{Digest, UnixSeconds};
use banyan_trust::TrustStore;
use banyan_wire::tls::SERVER_NAME;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Frame {
    next(from).await.expect("no frame arrived")
}

/// Returns the next frame; `None` when the other side has closed the connection.
async fn next(from: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let read = async {
        let mut header = [0; frame::HEADER];
        from.read_exact(&mut header).await.ok()?;
        let (kind, length) = frame::parse_header(header, banyan_proto::limits::CONTROL_BYTES).unwrap();
        let mut body = vec![0; length];
        from.read_exact(&mut body).await.unwrap();
        Some(frame::parse_body(kind, body).unwrap())
    };
    timeout(PATIENCE, read).await.expect("no frame arrived in time")
}

async fn send(to: &mut (impl AsyncWrite + Unpin), control: Control) {
    to.write_all(&Frame::Control(control).encode()).await.unwrap();
    to.flush().await.unwrap();
}

fn hello() -> Control {
    Control::Hello(Hello { versions: vec![1], software: "test".into(), crl_number: u64::MAX, stop_number: None })
}

/// Waits until the server connects to this listener, greets it, and returns the offer and the open stream.
async fn offered(agent: &Agent, listener: &TcpListener) -> (Offer, tokio_rustls::server::TlsStream<TcpStream>) {
    loop {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("the server did not connect").unwrap();
        let mut stream = TlsAcceptor::from(agent.peer_acceptor()).accept(stream).await.unwrap();
        send(&mut stream, hello()).await;
        // The server also connects only to see whether that works.
        while let Some(frame) = next(&mut stream).await {
            match frame {
                Frame::Control(Control::Offer(offer)) => return (*offer, stream),
                Frame::Control(Control::Hello(_)) => {}
                other => panic!("{other:?} instead of an offer"),
            }
        }
    }
}

#[tokio::test]
async fn the_head_is_dialled_with_an_offer_that_proves_itself_and_can_pull_what_was_published() {
    let mut world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = world.agent_on("a", "linux-x86_64", vec![listener.local_addr().unwrap().into()]).await;
    let content: Vec<u8> = (0..90_000_u32).map(|n| (n % 251) as u8).collect();
    world.publish("hello", 1, &[("any", &content)]).await;
    // Connected: the planner and the node rely on it.
    let mut session = agent.session().await;
    let ask = agent.check_in(vec![listener.local_addr().unwrap().into()], u64::MAX, 0);
    session.post::<CheckInReply>("/v1/check-in", &ask).await.unwrap();
    let id = world.deploy("hello", Selection::All, 1).await;

    let (offer, mut stream) = offered(&agent, &listener).await;
    let order = offer.order.verify(&agent.keys).unwrap();
    assert_eq!((order.id, order.server, offer.sublist.head()), (id, agent.reply.server, agent.id));
    assert_eq!(offer.proof.root(0, offer.sublist.subtree(0)), order.stripes[0]);
    assert_eq!((offer.proof.ancestors().collect::<Vec<_>>(), &offer.path), (vec![order.server], &vec![order.server]));
    let hinted: Vec<MachineId> = offer.hints.iter().map(|hint| hint.verify(&agent.keys).unwrap().machine).collect();
    assert_eq!(hinted, [order.server, agent.id]);
    let trust = TrustStore::enrol(&agent.reply.root, Digest::of(agent.reply.root.as_bytes())).unwrap();
    let (release, _) = trust.check(&offer.release, order.manifest, UnixSeconds::now()).unwrap();
    let artifact: Artifact = release.manifest().artifacts[0].clone();
    assert_eq!(artifact.digest, order.artifact);

    send(&mut stream, Control::OfferReply(OfferReply::Accepted)).await;
    send(&mut stream, Control::PartsAccepted).await;
    let membership = offer.sublist.membership(0, &offer.proof);
    send(&mut stream, pull(id, membership)).await;
    let mut got = Vec::new();
    while got.len() < content.len() {
        match receive(&mut stream).await {
            Frame::Chunk { index, bytes } => {
                assert_eq!(index as usize * artifact.chunk_size as usize, got.len());
                got.extend(bytes);
            }
            Frame::Control(Control::PullReply(PullReply::Serving)) | Frame::Heartbeat { .. } => {}
            other => panic!("{other:?} instead of content"),
        }
    }
    assert_eq!(got, content);
    assert_eq!(world.status(id).await.server_sent, content.len() as u64);

    // Counts of sent bytes survive a restart, and the open order is forwarded again.
    drop(stream);
    world.restart().await;
    assert_eq!(world.status(id).await.server_sent, content.len() as u64);
    let (again, _stream) = offered(&agent, &listener).await;
    assert_eq!(again.order, offer.order);
}

/// Returns a pull of the first stripe from its beginning.
fn pull(order: OrderId, membership: Membership) -> Control {
    let (effort, changes_effort) = (Effort::Normal, false);
    Control::Pull(Box::new(Pull { order, stripe: 0, from: 0, membership, wait: false, effort, changes_effort }))
}

#[tokio::test]
async fn who_is_not_on_the_list_gets_no_content() {
    let mut world = World::new().await;
    let addressed = world.agent("a").await;
    world.publish("hello", 1, &[("any", &[3; 40_000])]).await;
    let id = world.deploy("hello", Selection::All, 1).await;
    let stranger = world.agent("late").await;
    for (agent, membership) in [
        (&stranger, Membership { parts: [Subtree::EMPTY; 2], proof: Proof::default() }),
        (&stranger, stolen(&addressed, id, &world).await),
    ] {
        let stream = TcpStream::connect(world.address).await.unwrap();
        let connector = TlsConnector::from(agent.credentials.connector(None, &[ALPN_PEER]).unwrap());
        let mut stream = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await.unwrap();
        send(&mut stream, hello()).await;
        send(&mut stream, pull(id, membership)).await;
        loop {
            match receive(&mut stream).await {
                Frame::Control(Control::Hello(_)) | Frame::Heartbeat { .. } => {}
                Frame::Control(Control::PullReply(PullReply::Refused { .. })) => break,
                other => panic!("{other:?} instead of a refusal"),
            }
        }
    }
    assert_eq!(world.status(id).await.server_sent, 0);
}

/// Returns the membership of a machine that is on the list.
async fn stolen(agent: &Agent, id: banyan_proto::OrderId, _: &World) -> Membership {
    let help: banyan_proto::api::Help = agent.session().await.get(&format!("/v1/orders/{id}/help")).await.unwrap();
    help.offers[0].sublist.membership(0, &help.offers[0].proof)
}

#[tokio::test]
async fn the_peer_protocol_needs_a_certificate() {
    let world = World::bare().await;
    let config = banyan_wire::tls::pinned_client(world.profile.ca, &[ALPN_PEER]).unwrap();
    let address: SocketAddr = world.address;
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await.unwrap();
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server did not hang up"));
    assert!(rest.is_empty(), "the server sent data to a client without a certificate");
}
