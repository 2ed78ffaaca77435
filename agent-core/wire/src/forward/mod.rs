//! Forwards content over one connection. Only verified chunks are sent, while more are still being received.

pub mod fair_scheduler;
mod fair_turns;
mod pace;

use crate::{
    content::{ArtifactFile, ChunkReader, ContentError},
    rate_limit::TokenBucket,
};
use banyan_proto::{
    OrderId, Reason,
    frame::{self, Frame},
    peer::{Control, PullReply},
};
use banyan_swarm::io::StripeId;
use bytes::Buf;
use fair_scheduler::{FairScheduler, Slot};
use pace::{Expected, Pace};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

/// The interval at which the serving side sends heartbeats (rule C9).
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// A command from the loop to the writer of a connection.
pub(crate) enum WriterCommand {
    /// Send this message.
    Send(Control),
    /// A pull of this stripe has arrived: send heartbeats regularly, even while the pull is queued.
    StartHeartbeats(Arc<ArtifactFile>, u8),
    /// Serve the pull.
    Serve(PullToServe),
    /// Stop serving.
    StopServing,
    /// Send the reason and close the connection.
    Close(Reason),
}

/// A pull that is being served.
pub(crate) struct PullToServe {
    /// The artifact's file.
    pub(crate) content: Arc<ArtifactFile>,
    /// The order's identifier.
    pub(crate) order: OrderId,
    /// The stripe's index.
    pub(crate) stripe: u8,
    /// The next chunk to send.
    pub(crate) next: u32,
    /// Whether to wait for chunks that are not here yet.
    pub(crate) wait: bool,
    /// The most that the receiver can use over all stripes (bytes a second), if it is known.
    pub(crate) expected_rate: Option<u64>,
}

impl PullToServe {
    /// Returns how many bytes of the stripe come before a chunk.
    fn bytes_before(&self, ordinal: u32) -> u64 {
        u64::from(ordinal) * u64::from(self.content.artifact().chunk_size)
    }
    fn pace(&self, held: u32) -> Pace {
        let expected = self.expected_rate.map(|rate| rate / u64::from(self.content.stripes().max(1)));
        let is_whole = held >= self.content.chunks(self.stripe);
        Pace::new(
            Instant::now(),
            self.bytes_before(held),
            self.bytes_before(self.next),
            Expected { rate: expected, is_whole },
        )
    }
}

/// The reason why the writer stopped.
#[derive(Debug)]
pub(crate) enum WriterEnd {
    /// The loop closed the connection.
    Closed,
    /// Writing to the peer failed.
    Broken(std::io::Error),
    /// This machine's disk failed, or changed the bytes.
    Content(OrderId, ContentError),
}

impl From<std::io::Error> for WriterEnd {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

/// What the writer asks of its link, and reports to it.
pub(crate) trait WriterLink {
    /// Reports that everything a pull requested has been written.
    fn on_sent(&self);
    /// Returns whether a chunk of this many bytes may be sent now.
    fn may_send(&self, bytes: u64) -> impl Future<Output = bool> + Send;
    /// Sets the most that the connection may send (bytes a second); `None` for as fast as possible.
    fn set_pace(&self, pace: Option<u64>);
    /// Counts a chunk that was sent.
    fn count_sent(&self, chunk: &SentChunk);
}

/// A chunk that was written to the connection.
pub(crate) struct SentChunk {
    pub(crate) stripe: StripeId,
    /// The chunk's place in its stripe.
    pub(crate) at: u32,
    pub(crate) bytes: u64,
    /// Whether the next chunk of the pull is here already, and only the link keeps it from being sent.
    pub(crate) is_next_waiting: bool,
}

/// Writes to one connection until it is closed or breaks.
pub(crate) async fn write(
    mut to: impl AsyncWrite + Unpin,
    mut commands: mpsc::Receiver<WriterCommand>,
    scheduler: FairScheduler,
    limit: Arc<TokenBucket>,
    link: impl WriterLink,
) -> WriterEnd {
    let mut beats: Option<(Arc<ArtifactFile>, u8)> = None;
    let mut serving: Option<ServedPull> = None;
    let mut heartbeat = interval(HEARTBEAT_INTERVAL);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            biased;
            command = commands.recv() => match command {
                None => return WriterEnd::Closed,
                Some(WriterCommand::Send(control)) => send(&mut to, &Frame::Control(control)).await,
                Some(WriterCommand::StartHeartbeats(content, stripe)) => {
                    beats = Some((content, stripe));
                    Ok(())
                }
                Some(WriterCommand::Serve(pull)) => {
                    let held = pull.content.watch(pull.stripe);
                    let reader = pull.content.chunk_reader(pull.stripe, pull.next);
                    serving = held.map(|held| {
                        let pace = pull.pace(*held.borrow());
                        ServedPull { pull, held, reader, slot: scheduler.register(), pace }
                    });
                    send(&mut to, &Frame::Control(Control::PullReply(PullReply::Serving))).await
                }
                Some(WriterCommand::StopServing) => {
                    serving = None;
                    beats = None;
                    Ok(())
                }
                Some(WriterCommand::Close(reason)) => {
                    // Best effort: the peer may be gone already.
                    drop(send(&mut to, &Frame::Control(Control::Bye { reason })).await);
                    drop(to.shutdown().await);
                    return WriterEnd::Closed;
                }
            },
            _ = heartbeat.tick(), if beats.is_some() => {
                let heartbeat = beats.as_ref().map(|(content, stripe)| content.heartbeat(*stripe)).unwrap_or_default();
                send(&mut to, &Frame::Heartbeat(heartbeat)).await
            }
            next = next_chunk(&mut serving, &limit) => match next {
                NextChunk::Ready(bytes) if !link.may_send(bytes).await => { serving = None; Ok(()) }
                NextChunk::Ready(bytes) => match send_chunk(&mut to, &mut serving, bytes, &link).await {
                    Ok(chunk) => { limit.charge(bytes); link.count_sent(&chunk); Ok(()) }
                    Err(end) => return end,
                },
                NextChunk::None => { serving = None; link.on_sent(); Ok(()) }
            },
        };
        if let Err(error) = written {
            return WriterEnd::Broken(error);
        }
    }
}

struct ServedPull {
    pull: PullToServe,
    held: watch::Receiver<u32>,
    reader: ChunkReader,
    slot: Slot,
    pace: Pace,
}

impl ServedPull {
    /// Returns the most that may be sent of the pull (bytes a second); `None` for as fast as possible.
    fn update_pace(&mut self) -> Option<u64> {
        let held = self.pull.bytes_before(*self.held.borrow());
        self.pace.update(Instant::now(), held, self.pull.bytes_before(self.pull.next))
    }
}

enum NextChunk {
    /// A chunk of this many bytes is ready to send.
    Ready(u64),
    /// No more chunks will follow.
    None,
}

/// Waits until the next chunk is here. Cancelling loses nothing.
async fn next_chunk(serving: &mut Option<ServedPull>, limit: &TokenBucket) -> NextChunk {
    let Some(ServedPull { pull, held, slot, .. }) = serving else { return std::future::pending().await };
    if pull.next >= pull.content.chunks(pull.stripe) {
        return NextChunk::None;
    }
    if pull.next >= *held.borrow_and_update() {
        slot.set_idle();
        if !pull.wait {
            return NextChunk::None;
        }
        while pull.next >= *held.borrow_and_update() {
            if held.changed().await.is_err() {
                return NextChunk::None;
            }
        }
    }
    limit.until_ready().await;
    NextChunk::Ready(u64::from(pull.content.artifact().chunk_len(pull.content.index(pull.stripe, pull.next))))
}

/// Takes a turn and sends the next chunk.
async fn send_chunk(
    to: &mut (impl AsyncWrite + Unpin),
    serving: &mut Option<ServedPull>,
    bytes: u64,
    link: &impl WriterLink,
) -> Result<SentChunk, WriterEnd> {
    let Some(served) = serving else { return Err(WriterEnd::Closed) };
    link.set_pace(served.update_pace());
    let ServedPull { pull, held, reader, slot, pace } = served;
    let index = pull.content.index(pull.stripe, pull.next);
    let chunk = reader.read(index).map_err(|error| WriterEnd::Content(pull.order, error))?;
    let asked = Instant::now();
    let permit = slot.acquire(bytes).await;
    let began = Instant::now();
    // In one piece, because a header of its own would be a TLS record and a packet of its own.
    let header = frame::chunk_header(index, chunk.bytes().len());
    to.write_all_buf(&mut header.as_slice().chain(chunk.bytes())).await?;
    to.flush().await?;
    drop(permit);
    // A slower receiver, which this one must not run ahead of, says nothing about this machine's own link.
    let waits_for_others = began.duration_since(asked) > began.elapsed();
    pull.content.count_served(chunk.bytes().len());
    let stripe = StripeId { order: pull.order, stripe: pull.stripe };
    let at = pull.next;
    pull.next += 1;
    let is_next_waiting = pull.next < *held.borrow() && !waits_for_others && !pace.is_limit();
    Ok(SentChunk { stripe, at, bytes, is_next_waiting })
}

async fn send(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> std::io::Result<()> {
    to.write_all(&frame.encode()).await?;
    to.flush().await
}
