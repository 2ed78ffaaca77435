//! A hostile machine on a list, between the server and honest machines.

use super::EvilAgent;
use banyan_proto::{
    AddressHint, Artifact, MachineId, Manifest, Reason, RollingCode,
    frame::{Frame, Heartbeat, chunk_header},
    peer::{Control, Offer, OfferReply, Pull, PullReply},
};
use banyan_wire::connection::{self, Connection, TlsPair};
use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

/// How long a hostile machine waits before it repeats an offer. Others on the list are hostile, too, and answer at
/// once: without a wait, they would use all processors of the test.
const REPEAT: Duration = Duration::from_millis(20);

/// What a hostile machine does with what it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// It hands its parts on with a wrong code, and serves the right content.
    WrongCode,
    /// It hands its parts on, and serves altered content.
    WrongChunks,
    /// It accepts the offer and says nothing more.
    Silence,
    /// It hands its parts on, and serves nothing but heartbeats that claim to have everything.
    HeartbeatsOnly,
    /// It hands its parts on, and serves nothing but heartbeats that claim to have nothing yet.
    IdleHeartbeats,
    /// It hands its parts on, and sends the bytes of its first chunk one by one, each second.
    Drips,
    /// It refuses every offer.
    RefusesOffers,
    /// It hands its parts on, and refuses every pull.
    RefusesPulls,
    /// It claims that everyone below accepted, and hands nothing on.
    ClaimsParts,
    /// It offers its own sublist, with itself as the head, to the heads of its parts, again and again.
    OffersItself,
    /// It repeats each offer without end.
    RepeatsOffers,
}

impl Relay {
    /// All behaviours.
    pub const ALL: &[Self] = &[
        Self::WrongCode,
        Self::WrongChunks,
        Self::Silence,
        Self::HeartbeatsOnly,
        Self::IdleHeartbeats,
        Self::Drips,
        Self::RefusesOffers,
        Self::RefusesPulls,
        Self::ClaimsParts,
        Self::OffersItself,
        Self::RepeatsOffers,
    ];
}

/// The part that a hostile machine plays for one order.
struct Part {
    relay: Relay,
    /// The artifact.
    content: Vec<u8>,
    /// The machines that it feeds, by stripe. Hostile machines repeat offers to each other without end: with a new
    /// connection for each offer, they would take every socket of their process.
    fed: Mutex<HashSet<(u8, MachineId)>>,
}

/// Returns where a machine can be reached, from the offer's hints. Their signatures do not matter here.
fn address_of(offer: &Offer, machine: MachineId) -> Option<SocketAddr> {
    let hints = offer.hints.iter().filter_map(|signed| {
        let signed = serde_json::to_value(signed).ok()?;
        serde_json::from_str::<AddressHint>(signed["payload"].as_str()?).ok()
    });
    hints.into_iter().find(|hint| hint.machine == machine)?.addresses.first()?.as_socket()
}

impl EvilAgent {
    /// Plays its part in a tree, and checks in meanwhile, until the task is dropped. `content` is the artifact.
    pub async fn play(self: Arc<Self>, relay: Relay, content: Vec<u8>) {
        let part = Arc::new(Part { relay, content, fed: Mutex::default() });
        let mut tasks = JoinSet::new();
        let this = Arc::clone(&self);
        tasks.spawn(async move {
            let mut last = 0;
            loop {
                match this.check_in(last, 5).await {
                    Ok((200, body)) => {
                        let reply = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
                        last = reply["number"].as_u64().unwrap_or(0);
                    }
                    Ok(_) | Err(_) => sleep(Duration::from_millis(500)).await,
                }
            }
        });
        let pair = TlsPair::for_peers(&self.credentials, None).expect("the credentials are valid");
        while let Ok((stream, _)) = self.listener.accept().await {
            let (this, acceptor, part) = (Arc::clone(&self), Arc::clone(&pair.acceptor), Arc::clone(&part));
            tasks.spawn(async move {
                let Ok(stream) = connection::handshake(stream, acceptor).await else { return };
                if let Ok(connection) = connection::accept(stream, Self::hello()).await {
                    drop(this.converse(&part, connection).await);
                }
            });
        }
    }

    /// Answers what arrives over one connection.
    async fn converse(self: Arc<Self>, part: &Arc<Part>, mut connection: Connection) -> io::Result<()> {
        let relay = part.relay;
        let mut feeding = JoinSet::new();
        let mut artifact: Option<Artifact> = None;
        loop {
            match connection.next().await? {
                Frame::Control(Control::Offer(offer)) => {
                    if relay == Relay::RefusesOffers {
                        let reply = OfferReply::Refused { reason: Reason::Busy, detail: "\u{1b}[31mno\u{202e}".into() };
                        connection.send(&Frame::Control(Control::OfferReply(reply))).await?;
                        continue;
                    }
                    connection.send(&Frame::Control(Control::OfferReply(OfferReply::Accepted))).await?;
                    artifact = artifact_of(&offer);
                    if matches!(relay, Relay::Silence) {
                        continue;
                    }
                    if relay != Relay::ClaimsParts {
                        for (head, child) in self.children(relay, &offer) {
                            let begins = part.fed.lock().expect("no task panics").insert((child.stripe, head));
                            if begins {
                                feeding.spawn(Arc::clone(&self).feed(Arc::clone(part), head, child));
                            }
                        }
                    }
                    connection.send(&Frame::Control(Control::PartsAccepted)).await?;
                }
                Frame::Control(Control::Pull(pull)) => {
                    serve(relay, &mut connection, &pull, artifact.as_ref(), &part.content).await?;
                }
                Frame::Control(_) | Frame::Chunk { .. } | Frame::Heartbeat(_) => {}
            }
        }
    }

    /// Returns the heads of its parts, and what each is offered.
    fn children(&self, relay: Relay, offer: &Offer) -> Vec<(MachineId, Offer)> {
        let parts = offer.sublist.hand_on(offer.stripe);
        let child = |(_, sublist, step): (_, banyan_proto::AddresseeList, banyan_proto::list::Step)| {
            let (mut made, head) = (offer.clone(), sublist.head());
            let code = offer.code.child(head, sublist.subtree(offer.stripe).hash);
            let wrong =
                || RollingCode::root(&[7; 32], banyan_proto::OrderId([7; 16]), 0, banyan_proto::Digest([7; 32]));
            made.code = if relay == Relay::WrongCode { wrong() } else { code };
            made.proof.0.push(step);
            made.path.push(self.id);
            if relay != Relay::OffersItself {
                made.sublist = sublist;
            }
            (head, made)
        };
        parts.into_iter().map(child).collect()
    }

    /// Makes an offer to a head and serves it.
    async fn feed(self: Arc<Self>, part: Arc<Part>, head: MachineId, offer: Offer) -> io::Result<()> {
        let relay = part.relay;
        let (to, artifact) = (address_of(&offer, head), artifact_of(&offer));
        let to = to.ok_or_else(|| io::Error::other("no address"))?;
        let mut connection = self.dial(head, to).await?;
        connection.send(&Frame::Control(Control::Offer(Box::new(offer.clone())))).await?;
        loop {
            match connection.next().await? {
                Frame::Control(Control::Pull(pull)) => {
                    serve(relay, &mut connection, &pull, artifact.as_ref(), &part.content).await?;
                }
                Frame::Control(Control::OfferReply(_))
                    if matches!(relay, Relay::RepeatsOffers | Relay::OffersItself) =>
                {
                    sleep(REPEAT).await;
                    connection.send(&Frame::Control(Control::Offer(Box::new(offer.clone())))).await?;
                }
                Frame::Control(_) | Frame::Chunk { .. } | Frame::Heartbeat(_) => {}
            }
        }
    }
}

fn artifact_of(offer: &Offer) -> Option<Artifact> {
    Manifest::parse(offer.release.manifest.as_bytes()).ok()?.artifacts.into_iter().next()
}

async fn serve(
    relay: Relay,
    connection: &mut Connection,
    pull: &Pull,
    artifact: Option<&Artifact>,
    content: &[u8],
) -> io::Result<()> {
    let reply = match relay {
        Relay::RefusesPulls => PullReply::Refused { reason: Reason::Busy },
        _ => PullReply::Serving,
    };
    connection.send(&Frame::Control(Control::PullReply(reply))).await?;
    let Some(artifact) = artifact else { return Ok(()) };
    match relay {
        Relay::RefusesPulls | Relay::Silence | Relay::ClaimsParts => Ok(()),
        Relay::HeartbeatsOnly | Relay::IdleHeartbeats => loop {
            let watermark = if relay == Relay::HeartbeatsOnly { u32::MAX } else { 0 };
            connection.send(&Frame::Heartbeat(Heartbeat { watermark, ..Heartbeat::default() })).await?;
            sleep(Duration::from_secs(1)).await;
        },
        Relay::Drips => {
            connection.send_bytes(&chunk_header(pull.from, artifact.chunk_len(pull.from) as usize)).await?;
            loop {
                connection.send_bytes(&[0]).await?;
                sleep(Duration::from_secs(1)).await;
            }
        }
        Relay::WrongCode | Relay::WrongChunks | Relay::RefusesOffers | Relay::OffersItself | Relay::RepeatsOffers => {
            let size = artifact.chunk_size as usize;
            for (index, chunk) in (0..).zip(content.chunks(size)).skip(pull.from as usize) {
                connection.send_bytes(&chunk_header(index, chunk.len())).await?;
                let mut bytes = chunk.to_vec();
                if relay == Relay::WrongChunks {
                    bytes[0] ^= 1;
                }
                connection.send_bytes(&bytes).await?;
            }
            Ok(())
        }
    }
}
