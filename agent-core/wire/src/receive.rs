//! Receives frames from one connection. Each chunk is verified and stored before the next is read, so that a slow disk
//! slows the sender down instead of filling memory.

use crate::{
    bandwidth_yield::BandwidthYield,
    content::{ArtifactFile, ContentError},
    frame_limits::{FrameLimits, MessageRate, MessageShare, is_too_slow},
    link_measurement::LinkMeasurement,
    lock::lock,
    packet,
    rate_limit::TokenBucket,
    socket::SocketControl,
    verify::VerifiedChunk,
};
use banyan_proto::{
    MachineId, Reason,
    frame::{self, Frame, FrameError, Heartbeat},
    peer::Control,
};
use banyan_swarm::{
    io::{Link, StripeId},
    link_meter::Direction,
};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
    time::{Instant, timeout},
};

/// A connection that has received nothing for this long is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The most bytes read at once under a speed limit, so that the flow stays even.
const LIMITED_PIECE: usize = packet::TLS_RECORD as usize;
/// Memory for the beginning of a control message (bytes).
const FIRST_BYTES: usize = 4 << 10;
/// How often a sender in the middle of a long chunk is reported as alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// An event from the connection.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// A control message, and its share of the memory for long ones.
    Control(Control, MessageShare),
    /// A chunk was verified and stored; `held` chunks of the stripe are now held.
    Stored { stripe: StripeId, source: MachineId, held: u32, bytes: u64 },
    /// A chunk could not be stored on this machine, with a reason and the system's error.
    NotStored(Reason, String),
    /// A chunk with this index does not match the publisher's hash.
    BadChunk(u32),
    /// The sender is alive, and says what it has.
    Heartbeat(Heartbeat),
    /// Bytes of a long frame are arriving.
    Alive,
    /// The connection has ended, with a reason and a description.
    Ended(Reason, String),
}

/// The stripe being pulled over a connection. The loop sets it before it sends the pull.
pub(crate) type ActivePull = Arc<Mutex<Option<(StripeId, Arc<ArtifactFile>)>>>;

/// The queue that events are delivered to, with their link. Delivery may wait: a peer that sends faster than this
/// machine can process is slowed down, and its messages do not pile up in memory.
pub(crate) type PeerEventSender = mpsc::Sender<(Link, PeerEvent)>;

/// The connection that is read.
pub(crate) struct ReceiveFrom {
    pub(crate) link: Link,
    pub(crate) peer: MachineId,
}

/// What limits and measures one connection.
pub(crate) struct ReceiveLimits {
    /// The owner's limit of received content.
    pub(crate) rate: Arc<TokenBucket>,
    pub(crate) bandwidth_yield: Arc<BandwidthYield>,
    pub(crate) frames: FrameLimits,
    pub(crate) measurement: Arc<LinkMeasurement>,
}

/// Reads one connection until it ends, and delivers the end as well.
pub(crate) async fn run(
    from: ReceiveFrom,
    socket: impl AsyncRead + Unpin,
    socket_control: SocketControl,
    active_pull: ActivePull,
    events: PeerEventSender,
    limits: ReceiveLimits,
) {
    let context = ReadContext { from, events, limits };
    let (reason, detail) = read(socket, &socket_control, active_pull, &context).await;
    context.deliver(PeerEvent::Ended(reason, detail)).await;
}

/// What reading needs besides the socket: where events go, and what limits the rate.
struct ReadContext {
    from: ReceiveFrom,
    events: PeerEventSender,
    limits: ReceiveLimits,
}

impl ReadContext {
    /// Delivers an event. If the receiver is gone, the loop has ended and this task will too.
    async fn deliver(&self, event: PeerEvent) {
        drop(self.events.send((self.from.link, event)).await);
    }
    /// Measures a chunk that arrived. The sender holds `watermark` chunks of the stripe, and this machine `held`.
    fn measure(&self, bytes: u64, held: u32, watermark: u32) {
        let is_next_waiting = watermark > held && !self.limits.bandwidth_yield.is_throttling_receive();
        self.limits.measurement.record(Direction::Down, self.from.peer, bytes, is_next_waiting);
    }
}

async fn read(
    mut from: impl AsyncRead + Unpin,
    socket_control: &SocketControl,
    active_pull: ActivePull,
    context: &ReadContext,
) -> (Reason, String) {
    let mut rate = MessageRate::new();
    let mut watermark = 0;
    loop {
        let (frame, share) = match next_frame(&mut from, socket_control, &active_pull, context).await {
            Ok(read) => read,
            Err(ended) => return ended.reason(),
        };
        match frame {
            Frame::Control(control) => {
                rate.count().await;
                context.deliver(PeerEvent::Control(control, share)).await;
            }
            Frame::Heartbeat(heartbeat) => {
                rate.count().await;
                watermark = heartbeat.watermark;
                context.deliver(PeerEvent::Heartbeat(heartbeat)).await;
            }
            Frame::Chunk { index, bytes } => {
                let active_pull = lock(&active_pull).clone();
                let Some((stripe, content)) = active_pull else { return ReadError::Unrequested.reason() };
                let length = bytes.len() as u64;
                match verify_and_store(&content, stripe, index, bytes) {
                    Ok(Some(held)) => {
                        context.measure(length, held, watermark);
                        context
                            .deliver(PeerEvent::Stored { stripe, source: context.from.peer, held, bytes: length })
                            .await;
                    }
                    Ok(None) => rate.count().await,
                    Err(ContentError::Bad(bad)) => {
                        context.deliver(PeerEvent::BadChunk(bad.0)).await;
                        return (Reason::BadChunk, bad.to_string());
                    }
                    Err(error @ ContentError::OutOfOrder { .. }) => return (Reason::ProtocolBroken, error.to_string()),
                    Err(ContentError::Disk(error)) => {
                        let reason = Reason::of_disk_error(&error);
                        context.deliver(PeerEvent::NotStored(reason, error.to_string())).await;
                        return (reason, error.to_string());
                    }
                }
            }
        }
    }
}

/// Verifies and stores a chunk. Returns `None` for a chunk that is already here (the last one of a dropped source).
fn verify_and_store(
    content: &ArtifactFile,
    stripe: StripeId,
    index: u32,
    bytes: Vec<u8>,
) -> Result<Option<u32>, ContentError> {
    let stripes = u32::from(content.stripes());
    let mine = index % stripes == u32::from(stripe.stripe);
    if mine && index / stripes < content.held(stripe.stripe).unwrap_or(0) {
        return Ok(None);
    }
    let chunk = VerifiedChunk::check(content.artifact(), index, bytes)?;
    match content.store(stripe.stripe, chunk) {
        Ok(held) => Ok(Some(held)),
        // Another connection stored the chunk between the check and the store.
        Err(ContentError::OutOfOrder { got, wanted }) if mine && got < wanted => Ok(None),
        Err(error) => Err(error),
    }
}

enum ReadError {
    Io(io::Error),
    Idle,
    Frame(FrameError),
    /// A chunk arrives although none was requested.
    Unrequested,
    /// A control message takes too long to arrive.
    Slow,
}

impl ReadError {
    fn reason(self) -> (Reason, String) {
        match self {
            Self::Io(error) => (Reason::Unreachable, error.to_string()),
            Self::Idle => (Reason::Unreachable, format!("nothing received for {} seconds", IDLE_TIMEOUT.as_secs())),
            Self::Frame(error) => (error.reason(), error.to_string()),
            Self::Unrequested => (Reason::ProtocolBroken, "the peer sent a chunk that was not requested".into()),
            Self::Slow => (Reason::Unreachable, "a message of the peer took too long to arrive".into()),
        }
    }
}

/// Reads the next frame. While a long one is arriving, the sender is reported as alive from time to time.
async fn next_frame(
    from: &mut (impl AsyncRead + Unpin),
    socket_control: &SocketControl,
    active_pull: &ActivePull,
    context: &ReadContext,
) -> Result<(Frame, MessageShare), ReadError> {
    let header = read_header(from, context).await?;
    let (kind, length) = frame::parse_header(header, context.limits.frames.longest).map_err(ReadError::Frame)?;
    let is_chunk = frame::is_chunk(kind);
    if is_chunk && lock(active_pull).is_none() {
        return Err(ReadError::Unrequested);
    }
    let share = if is_chunk { MessageShare::default() } else { context.limits.frames.share(length).await };
    // Memory is allocated as bytes arrive, not as the header claims. A chunk was requested and has a known size.
    let mut body = Vec::with_capacity(if is_chunk { length } else { length.min(FIRST_BYTES) });
    let mut began = Instant::now();
    let mut reported_alive = Instant::now();
    while body.len() < length {
        socket_control.expect_bytes(length - body.len());
        let most = if context.limits.rate.is_limited() { LIMITED_PIECE } else { length };
        let mut rest = (&mut *from).take((length - body.len()).min(most) as u64);
        let bytes = match timeout(ALIVE_INTERVAL, rest.read_buf(&mut body)).await {
            Ok(bytes) => bytes.map_err(ReadError::Io)?,
            Err(_) if context.limits.bandwidth_yield.is_throttling_receive() => {
                began += ALIVE_INTERVAL;
                reported_alive = Instant::now();
                context.deliver(PeerEvent::Alive).await;
                continue;
            }
            // A slow link: even less than the wake-up threshold in all this time is a sign of life.
            Err(_) => {
                socket_control.expect_bytes(0);
                with_idle_timeout(rest.read_buf(&mut body)).await?
            }
        };
        if bytes == 0 {
            return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        if !is_chunk && is_too_slow(began.elapsed(), body.len()) {
            return Err(ReadError::Slow);
        }
        context.limits.rate.charge(bytes as u64);
        // This wait is caused by this machine's own limit, so the sender is alive.
        while timeout(ALIVE_INTERVAL, context.limits.rate.until_ready()).await.is_err() {
            began += ALIVE_INTERVAL;
            reported_alive = Instant::now();
            context.deliver(PeerEvent::Alive).await;
        }
        if reported_alive.elapsed() > ALIVE_INTERVAL {
            reported_alive = Instant::now();
            context.deliver(PeerEvent::Alive).await;
        }
    }
    socket_control.expect_bytes(0);
    Ok((frame::parse_body(kind, body).map_err(ReadError::Frame)?, share))
}

/// Reads a frame's header. A delay caused by this machine's yielding does not make the sender dead.
async fn read_header(
    from: &mut (impl AsyncRead + Unpin),
    context: &ReadContext,
) -> Result<[u8; frame::HEADER], ReadError> {
    let mut header = [0; frame::HEADER];
    let mut read = 0;
    let mut last_read = Instant::now();
    while read < header.len() {
        match timeout(ALIVE_INTERVAL, from.read(&mut header[read..])).await {
            Ok(Ok(0)) => return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(bytes) => {
                read += bytes.map_err(ReadError::Io)?;
                last_read = Instant::now();
            }
            Err(_) if context.limits.bandwidth_yield.is_throttling_receive() => {
                last_read = Instant::now();
                context.deliver(PeerEvent::Alive).await;
            }
            Err(_) if last_read.elapsed() >= IDLE_TIMEOUT => return Err(ReadError::Idle),
            Err(_) => {}
        }
    }
    Ok(header)
}

async fn with_idle_timeout<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, ReadError> {
    match timeout(IDLE_TIMEOUT, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(ReadError::Io(error)),
        Err(_) => Err(ReadError::Idle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Socket;
    use banyan_proto::frame::chunk_header;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        time::sleep,
    };

    /// Returns a pull, so that chunks are expected; none arrives completely.
    fn pull() -> (tempfile::TempDir, ActivePull) {
        let folder = tempfile::tempdir().unwrap();
        let artifact = crate::content::tests::sample(&[7; 400 << 10]);
        let content = Arc::new(ArtifactFile::resume(&folder.path().join("file"), artifact, 1).unwrap());
        let stripe = StripeId { order: banyan_proto::OrderId([1; 16]), stripe: 0 };
        (folder, Arc::new(Mutex::new(Some((stripe, content)))))
    }
    fn sender_link() -> ReceiveFrom {
        ReceiveFrom { link: Link(1), peer: MachineId([1; 16]) }
    }
    fn limits(bandwidth_yield: Arc<BandwidthYield>) -> ReceiveLimits {
        let frames = FrameLimits::new(banyan_proto::limits::CONTROL_BYTES);
        ReceiveLimits { rate: Arc::default(), bandwidth_yield, frames, measurement: Arc::default() }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_this_machines_trouble_and_not_the_senders() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::from(listener.accept().await.unwrap().0);
        let control = socket.control();
        let artifact = crate::content::tests::sample(&[7; 400 << 10]);
        let length = artifact.chunk_size as usize;
        // Every write to this file fails as on a full disk.
        let content = Arc::new(ArtifactFile::resume(std::path::Path::new("/dev/full"), artifact, 1).unwrap());
        let stripe = StripeId { order: banyan_proto::OrderId([1; 16]), stripe: 0 };
        let pull = Arc::new(Mutex::new(Some((stripe, content))));
        let (events, mut received) = mpsc::channel(4);
        let reading = tokio::spawn(run(sender_link(), socket, control, pull, events, limits(Arc::default())));
        sender.write_all(&chunk_header(0, length)).await.unwrap();
        sender.write_all(&vec![7; length]).await.unwrap();
        let (_, event) = timeout(20 * ALIVE_INTERVAL, received.recv()).await.expect("an event").unwrap();
        assert!(matches!(event, PeerEvent::NotStored(Reason::DiskFull, _)), "{event:?}");
        reading.abort();
    }

    /// Less data arrives in all that time than the socket wakes for; the low speed is the fault under test.
    #[tokio::test]
    async fn a_sender_on_a_slow_link_is_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::from(listener.accept().await.unwrap().0);
        let (events, mut received) = mpsc::channel(4);
        let control = socket.control();
        let (_folder, pull) = pull();
        let reading = tokio::spawn(run(sender_link(), socket, control, pull, events, limits(Arc::default())));
        let sending = async {
            slow.write_all(&chunk_header(0, 200 << 10)).await.unwrap();
            for _ in 0..10 {
                slow.write_all(&[7; 1 << 10]).await.unwrap();
                sleep(ALIVE_INTERVAL / 4).await;
            }
            std::future::pending::<()>().await;
        };
        let first = timeout(20 * ALIVE_INTERVAL, received.recv());
        let (_, event) = tokio::select! {
            () = sending => panic!("the sender stopped"),
            event = first => event.expect("a sign of life").unwrap(),
        };
        assert!(matches!(event, PeerEvent::Alive), "{event:?}");
        reading.abort();
    }

    /// The sender has sent everything; this machine reads one packet in 15 s because it yields.
    #[tokio::test]
    async fn a_sender_throttled_by_the_receiver_is_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::from(listener.accept().await.unwrap().0);
        let bandwidth_yield = Arc::new(BandwidthYield::default());
        bandwidth_yield.down.set(Some(100));
        let (events, mut received) = mpsc::channel(4);
        let control = socket.control();
        control.register(&bandwidth_yield, socket.duplicate_handle());
        let (_folder, pull) = pull();
        let reading = tokio::spawn(run(sender_link(), socket, control, pull, events, limits(bandwidth_yield)));
        sender.write_all(&chunk_header(0, 200 << 10)).await.unwrap();
        sender.write_all(&[7; 8 << 10]).await.unwrap();
        let event = timeout(6 * ALIVE_INTERVAL, received.recv()).await.expect("a sign of life").unwrap();
        assert!(matches!(event, (_, PeerEvent::Alive)), "{event:?}");
        reading.abort();
    }
}
