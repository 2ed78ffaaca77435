//! Forwards content over one connection. Only verified chunks are sent, while more are still being received.

pub mod fair_scheduler;
mod fair_turns;

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
                    serving = held.map(|held| ServedPull { pull, held, reader, slot: scheduler.register() });
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
                NextChunk::Ready(bytes) => match send_chunk(&mut to, &mut serving, bytes).await {
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
) -> Result<SentChunk, WriterEnd> {
    let Some(ServedPull { pull, held, reader, slot }) = serving else { return Err(WriterEnd::Closed) };
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
    let sent = SentChunk { stripe, at, bytes, is_next_waiting: !waits_for_others && pull.next < *held.borrow() };
    Ok(sent)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> std::io::Result<()> {
    to.write_all(&frame.encode()).await?;
    to.flush().await
}
