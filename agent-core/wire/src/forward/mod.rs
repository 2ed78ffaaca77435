//! Forwards content over one connection. Only verified chunks are sent, while more are still being received.

pub mod fair_scheduler;

use crate::{
    content::{ArtifactFile, ContentError},
    rate_limit::Bucket,
};
use banyan_proto::{
    OrderId, Reason,
    frame::{self, Frame},
    peer::{Control, PullReply},
};
use fair_scheduler::{Seat, Turns};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

/// The interval at which the serving side sends heartbeats (rule C9).
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A command from the loop to the writer of a connection.
pub(crate) enum Out {
    /// Send this message.
    Send(Control),
    /// A pull of this stripe has arrived: send a heartbeat every second, even while the pull is queued.
    Beat(Arc<ArtifactFile>, u8),
    /// Serve the pull.
    Serve(Serving),
    /// Stop serving.
    Stop,
    /// Send the reason and close the connection.
    Close(Reason),
}

/// A pull that is being served.
pub(crate) struct Serving {
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
pub(crate) enum Ended {
    /// The loop closed the connection.
    Closed,
    /// Writing to the peer failed.
    Broken(std::io::Error),
    /// This machine's disk failed, or changed the bytes.
    Content(ContentError),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Writes to one connection until it is closed or breaks. Calls `sent` when everything a pull requested has been
/// written, `may` with each chunk's length before it is sent, and `passed_on` after it.
pub(crate) async fn write<M: Future<Output = bool>>(
    mut to: impl AsyncWrite + Unpin,
    mut orders: mpsc::Receiver<Out>,
    (turns, limit): (Turns, Arc<Bucket>),
    sent: impl Fn(),
    (may, passed_on): (impl Fn(u64) -> M, impl Fn(OrderId, u64)),
) -> Ended {
    let mut beating: Option<watch::Receiver<u32>> = None;
    let mut serving: Option<Stream> = None;
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let step = tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return Ended::Closed,
                Some(Out::Send(control)) => send(&mut to, &Frame::Control(control)).await,
                Some(Out::Beat(content, stripe)) => { beating = content.watch(stripe); Ok(()) }
                Some(Out::Serve(pull)) => {
                    serving = pull.content.watch(pull.stripe).map(|held| Stream { pull, held, seat: turns.sit() });
                    send(&mut to, &Frame::Control(Control::PullReply(PullReply::Serving))).await
                }
                Some(Out::Stop) => { (serving, beating) = (None, None); Ok(()) }
                Some(Out::Close(reason)) => {
                    // Best effort: the peer may be gone already.
                    drop(send(&mut to, &Frame::Control(Control::Bye { reason })).await);
                    drop(to.shutdown().await);
                    return Ended::Closed;
                }
            },
            _ = beat.tick(), if beating.is_some() => {
                let watermark = beating.as_ref().map_or(0, |held| *held.borrow());
                send(&mut to, &Frame::Heartbeat { watermark }).await
            }
            chunk = next_chunk(&mut serving, &limit) => match chunk {
                Next::Chunk(turn_bytes) if !may(turn_bytes).await => { serving = None; Ok(()) }
                Next::Chunk(turn_bytes) => match send_chunk(&mut to, &mut serving, turn_bytes).await {
                    Ok(order) => { limit.spend(turn_bytes); passed_on(order, turn_bytes); Ok(()) }
                    Err(ended) => return ended,
                },
                Next::End => { serving = None; sent(); Ok(()) }
            },
        };
        if let Err(error) = step {
            return Ended::Broken(error);
        }
    }
}

struct Stream {
    pull: Serving,
    held: watch::Receiver<u32>,
    seat: Seat,
}

enum Next {
    /// A chunk of this many bytes is ready to send.
    Chunk(u64),
    /// No more chunks will follow.
    End,
}

/// Waits until the next chunk is here. Cancelling loses nothing.
async fn next_chunk(serving: &mut Option<Stream>, limit: &Bucket) -> Next {
    let Some(Stream { pull, held, seat }) = serving else { return std::future::pending().await };
    if pull.next >= pull.content.chunks(pull.stripe) {
        return Next::End;
    }
    if pull.next >= *held.borrow_and_update() {
        seat.rest();
        if !pull.wait {
            return Next::End;
        }
        while pull.next >= *held.borrow_and_update() {
            if held.changed().await.is_err() {
                return Next::End;
            }
        }
    }
    limit.ready().await;
    Next::Chunk(u64::from(pull.content.artifact().chunk_len(pull.content.index(pull.stripe, pull.next))))
}

/// Takes a turn and sends the next chunk.
async fn send_chunk(
    to: &mut (impl AsyncWrite + Unpin),
    serving: &mut Option<Stream>,
    bytes: u64,
) -> Result<OrderId, Ended> {
    let Some(Stream { pull, seat, .. }) = serving else { return Err(Ended::Closed) };
    let index = pull.content.index(pull.stripe, pull.next);
    let chunk = pull.content.read(index).map_err(Ended::Content)?;
    let turn = seat.turn(bytes).await;
    to.write_all(&frame::chunk_header(index, chunk.bytes().len())).await?;
    to.write_all(chunk.bytes()).await?;
    to.flush().await?;
    drop(turn);
    pull.content.count_served(chunk.bytes().len());
    pull.next += 1;
    Ok(pull.order)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> std::io::Result<()> {
    to.write_all(&frame.encode()).await?;
    to.flush().await
}
