//! Forward: what is sent over one connection. Only verified chunks leave this machine, while receiving still goes on.

pub mod turns;

use crate::{
    content::{ArtifactFile, ContentError},
    limit::Bucket,
};
use banyan_proto::{
    DeploymentId, Reason,
    frame::{self, Frame},
    peer::{Control, PullReply},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use turns::{Seat, Turns};

/// How often a serving side says that it is alive (rule C9).
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the loop tells the writer of a connection.
pub(crate) enum Out {
    /// Send this message.
    Send(Control),
    /// A pull of this stripe has come: say every second that this side is alive, even while the pull has to queue.
    Beat(Arc<ArtifactFile>, u8),
    /// Serve the pull.
    Serve(Serving),
    /// Serve it no longer.
    Stop,
    /// Say why, and hang up.
    Close(Reason),
}

/// A pull that is being served.
pub(crate) struct Serving {
    /// The file.
    pub(crate) content: Arc<ArtifactFile>,
    /// The order.
    pub(crate) order: DeploymentId,
    /// The stripe.
    pub(crate) stripe: u8,
    /// Next chunk to send.
    pub(crate) next: u32,
    /// Whether to wait for chunks that are not here yet.
    pub(crate) wait: bool,
}

/// Why the writer stopped.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was told to.
    Closed,
    /// The other side cannot be written to any more.
    Broken(std::io::Error),
    /// This disk failed, or changed the bytes.
    Content(ContentError),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Writes to one connection until it is closed or breaks. `sent` is called when all that a pull asked for has been
/// written, `may` before each chunk with its length, `passed_on` after it.
pub(crate) async fn write<M: Future<Output = bool>>(
    mut to: impl AsyncWrite + Unpin,
    mut orders: mpsc::Receiver<Out>,
    (turns, limit): (Turns, Arc<Bucket>),
    sent: impl Fn(),
    (may, passed_on): (impl Fn(u64) -> M, impl Fn(DeploymentId, u64)),
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
                    // Best effort: the other side may be gone already.
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
    /// There is a chunk of so many bytes to send.
    Chunk(u64),
    /// There will be no more.
    End,
}

/// Waits for the next chunk to be here. Cancelling loses nothing.
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

/// Takes a turn and sends the chunk that is due.
async fn send_chunk(
    to: &mut (impl AsyncWrite + Unpin),
    serving: &mut Option<Stream>,
    bytes: u64,
) -> Result<DeploymentId, Ended> {
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
