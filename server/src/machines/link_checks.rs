//! Checks the links of machines of which nothing is known, before their first transfer (rule P14).
//!
//! One machine at a time receives a few bytes and sends as many back. Two checks at once would share the server's link,
//! and show slow links. A check during which the server has sent content does not count, for the same reason.

use crate::{identity::registry::Registry, machines::row_writer::MachineRowWriter, refusal::Refusal};
use axum::body::Body;
use banyan_proto::{
    LinkRates, MachineId, MeasuredRate, Reason, UnixSeconds, api::LinkCheckReading, limits::LINK_CHECK_BYTES,
};
use banyan_swarm::link_check::{LONGEST, LinkCheck};
use http_body_util::BodyExt as _;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a machine waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// The shortest interval between two checks of a machine.
const INTERVAL: Duration = Duration::from_secs(60);

/// The check that is under way.
struct Running {
    machine: MachineId,
    /// The content bytes that the server had sent when it began.
    sent: u64,
    ended: Arc<Notify>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    begun: HashMap<MachineId, Instant>,
}

/// Checks links, one at a time.
pub(crate) struct LinkChecks {
    registry: Arc<Registry>,
    row_writer: Arc<MachineRowWriter>,
    turn: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
    /// The content bytes that the server has sent.
    sent: AtomicU64,
    tasks: TaskTracker,
    /// Fires when the server must stop.
    stop: CancellationToken,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LinkChecks {
    pub(crate) fn new(
        registry: Arc<Registry>,
        row_writer: Arc<MachineRowWriter>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (turn, state) = (Arc::new(Semaphore::new(1)), Arc::default());
        Self { registry, row_writer, turn, state, sent: AtomicU64::new(0), tasks, stop }
    }
    /// Records content bytes that the server has sent.
    pub(crate) fn record_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
    /// Returns whether a machine should check its link.
    pub(crate) fn is_due(&self, machine: MachineId) -> bool {
        self.registry.needs_link_check(machine, UnixSeconds::now())
    }
    /// Begins a check when it is the machine's turn. Returns the bytes to send; `None` if there is nothing to check now.
    pub(crate) async fn begin(&self, machine: MachineId) -> Option<Vec<u8>> {
        let is_early = |state: &State| state.begun.get(&machine).is_some_and(|last| last.elapsed() < INTERVAL);
        if !self.is_due(machine) || is_early(&lock(&self.state)) {
            return None;
        }
        let turn = Arc::clone(&self.turn).acquire_owned();
        let turn = tokio::time::timeout(LONGEST_WAIT, turn).await.ok()?.ok()?;
        let ended = Arc::new(Notify::new());
        let sent = self.sent.load(Ordering::Relaxed);
        {
            let mut state = lock(&self.state);
            state.begun.insert(machine, Instant::now());
            state.running = Some(Running { machine, sent, ended: Arc::clone(&ended) });
        }
        let (state, stop) = (Arc::clone(&self.state), self.stop.clone());
        self.tasks.spawn(async move {
            let ended = tokio::time::timeout(3 * LONGEST, ended.notified());
            stop.run_until_cancelled(ended).await;
            lock(&state).running = None;
            drop(turn);
        });
        Some(vec![0; LINK_CHECK_BYTES])
    }
    /// Receives what the machine sends back, and records what both directions have shown.
    pub(crate) async fn finish(
        &self,
        machine: MachineId,
        reading: LinkCheckReading,
        body: Body,
    ) -> Result<(), Refusal> {
        let running = lock(&self.state).running.take_if(|running| running.machine == machine);
        let Some(running) = running else {
            let detail = "no check of this machine's link is under way; it took too long, or another one has begun";
            return Err(Refusal::conflict(Reason::BadRequest, detail));
        };
        let up = receive(body).await;
        running.ended.notify_one();
        if self.sent.load(Ordering::Relaxed) != running.sent {
            return Ok(());
        }
        let LinkCheckReading { at_least, at_most, upload_limit } = reading;
        let down = Some(MeasuredRate { at_least, at_most, is_rough: true });
        let up = up.map(|up| limited(up, upload_limit));
        let measured = LinkRates { down, up };
        if let Some(row) = self.registry.record_link_check(machine, &measured, UnixSeconds::now()) {
            tracing::debug!(machine = row.label, ?measured, "checked a machine's link");
            self.row_writer.add(row);
        }
        Ok(())
    }
}

/// Returns the rate of a link whose owner has set a limit.
fn limited(rate: MeasuredRate, limit: Option<u64>) -> MeasuredRate {
    let Some(limit) = limit else { return rate };
    let at_most = Some(rate.at_most.map_or(limit, |most| most.min(limit)));
    MeasuredRate { at_least: rate.at_least.min(limit), at_most, ..rate }
}

/// Receives a body, and returns the rate at which it arrived.
async fn receive(mut body: Body) -> Option<MeasuredRate> {
    let (begun, mut check) = (Instant::now(), LinkCheck::default());
    let frames = async {
        while let Some(Ok(frame)) = body.frame().await {
            check.record(begun.elapsed(), frame.data_ref().map_or(0, |data| data.len()));
        }
    };
    drop(tokio::time::timeout(LONGEST, frames).await);
    check.rate(begun.elapsed())
}
