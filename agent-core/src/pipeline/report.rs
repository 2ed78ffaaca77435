//! The report stage: facts for the server, queued on disk while it cannot be reached, delivered in order, and counted
//! once by their number.
//!
//! What other machines do leads to reports. So texts are cut, queues have an end, and each machine has a budget of
//! reports about it. What is left out is counted and logged once a minute.

use crate::{
    database::{Database, NewReport},
    server::api::{CallError, ServerApi},
};
use banyan_proto::{MachineId, OrderId, Reason, UnixSeconds, api::Event, limits};
use banyan_wire::{lock::lock, rare_log::RareLog};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Maximum number of reports in one call.
const BATCH: usize = 256;
/// Maximum number of reports that wait to be stored.
const MAX_QUEUED: usize = 2048;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// How many refusals of one machine's messages are reported in [`BUDGET_PERIOD`], and of all machines.
const REFUSALS_OF_MACHINE: u32 = 20;
const REFUSALS_OF_ALL: u32 = 200;
const BUDGET_PERIOD: Duration = Duration::from_secs(3600);

/// The refusals reported in the current period.
#[derive(Default)]
struct RefusalBudget {
    since: Option<Instant>,
    all: u32,
    machines: HashMap<MachineId, u32>,
}

impl RefusalBudget {
    fn take(&mut self, sender: MachineId, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= BUDGET_PERIOD) {
            *self = Self { since: Some(now), ..Self::default() };
        }
        if self.all >= REFUSALS_OF_ALL {
            return false;
        }
        let of_machine = self.machines.entry(sender).or_default();
        if *of_machine >= REFUSALS_OF_MACHINE {
            return false;
        }
        *of_machine += 1;
        self.all += 1;
        true
    }
}

/// Accepts reports without blocking.
#[derive(Clone)]
pub struct Reporter {
    queue: mpsc::Sender<NewReport>,
    budget: Arc<Mutex<RefusalBudget>>,
}

impl Reporter {
    /// Starts the task that stores and delivers reports, including those of earlier runs.
    #[must_use]
    pub fn start(database: Arc<Database>, server: Arc<ServerApi>) -> Self {
        let (queue, receiver) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(run(database, server, receiver));
        Self { queue, budget: Arc::default() }
    }
    /// Queues an event.
    pub fn report(&self, order: Option<OrderId>, mut event: Event) {
        static LEFT_OUT: RareLog = RareLog::each_minute();
        let has_room = match &event {
            Event::Refused { sender, .. } => lock(&self.budget).take(*sender, Instant::now()),
            _ => true,
        };
        event.bound_texts();
        if (!has_room || self.queue.try_send(NewReport { at: UnixSeconds::now(), order, event }).is_err())
            && let Some(more) = LEFT_OUT.due()
        {
            warn!(more, "reports for the server left out: there are too many");
        }
    }
}

async fn run(database: Arc<Database>, server: Arc<ServerApi>, mut events: mpsc::Receiver<NewReport>) {
    let mut retry = RETRY_FIRST;
    let mut batch = BATCH;
    let mut waiting = has_queued(&database).await;
    // Events that could not be stored, such as on a full disk.
    let mut unstored = Vec::new();
    loop {
        // With nothing to deliver, sleep until an event arrives; otherwise try again after a pause.
        let pause = async {
            if waiting {
                tokio::time::sleep(retry).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                unstored.push(event);
                while unstored.len() < MAX_QUEUED && let Ok(more) = events.try_recv() {
                    unstored.push(more);
                }
            }
            () = pause => {}
        }
        if !unstored.is_empty() {
            unstored = store(&database, unstored).await;
        }
        match deliver_batch(&database, &server, batch).await {
            Ok(more) => (waiting, retry, batch) = (more || !unstored.is_empty(), RETRY_FIRST, BATCH),
            Err(error) => {
                debug!(%error, "failed to deliver reports; trying again");
                (waiting, retry) = (true, (retry * 2).min(RETRY_MOST));
                if error.downcast_ref().is_some_and(is_refused_for_good) {
                    batch = deliver_less(&database, batch, &error).await;
                }
            }
        }
    }
}

/// Returns whether the server will refuse the same delivery again.
fn is_refused_for_good(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if matches!(refusal.reason, Reason::BadRequest | Reason::NotUnderstood))
}

/// Makes the next delivery smaller after one was refused. A single report that the server refuses is dropped, so that it
/// does not keep back those after it. Returns the size of the next batch.
async fn deliver_less(database: &Arc<Database>, batch: usize, error: &anyhow::Error) -> usize {
    if batch > 1 {
        return batch / 2;
    }
    let database = Arc::clone(database);
    let dropped = tokio::task::spawn_blocking(move || {
        let first = database.load_reports(1, usize::MAX)?;
        first.first().map_or(Ok(()), |report| database.delete_reports_up_to(report.number))
    });
    if let Ok(Ok(())) = dropped.await {
        warn!("report dropped, because the server refuses it: {error}");
    }
    BATCH
}

async fn has_queued(database: &Arc<Database>) -> bool {
    let database = Arc::clone(database);
    tokio::task::spawn_blocking(move || database.load_reports(1, usize::MAX))
        .await
        .is_ok_and(|left| left.is_ok_and(|left| !left.is_empty()))
}

/// Stores a batch of events. Returns those that could not be stored; the oldest are dropped if there are too many.
async fn store(database: &Arc<Database>, batch: Vec<NewReport>) -> Vec<NewReport> {
    static LOST: RareLog = RareLog::each_minute();
    static DROPPED: RareLog = RareLog::each_minute();
    let database = Arc::clone(database);
    let stored = tokio::task::spawn_blocking(move || (database.queue_reports(&batch), batch)).await;
    match stored {
        Ok((Err(error), mut batch)) => {
            if let Some(more) = LOST.due() {
                warn!(%error, more, "failed to store reports for the server; trying again");
            }
            batch.drain(..batch.len().saturating_sub(MAX_QUEUED / 2));
            return batch;
        }
        Ok((Ok(dropped @ 1..), _)) => {
            if let Some(more) = DROPPED.due() {
                warn!(dropped, more, "the oldest reports were dropped: the server has been away for too long");
            }
        }
        Ok((Ok(0), _)) | Err(_) => {}
    }
    Vec::new()
}

/// Delivers one batch. Returns whether more reports are queued.
async fn deliver_batch(database: &Arc<Database>, server: &ServerApi, most: usize) -> anyhow::Result<bool> {
    let reader = Arc::clone(database);
    let reports = tokio::task::spawn_blocking(move || reader.load_reports(most, limits::REPORTS_BYTES)).await??;
    let Some(last) = reports.last().map(|report| report.number) else { return Ok(false) };
    let writer = Arc::clone(database);
    server.reports(reports).await?;
    let more = tokio::task::spawn_blocking(move || {
        writer.delete_reports_up_to(last)?;
        writer.load_reports(1, usize::MAX).map(|left| !left.is_empty())
    });
    Ok(more.await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_one_machine_are_reported_a_few_times_and_leave_room_for_those_of_others() {
        let (mut budget, now) = (RefusalBudget::default(), Instant::now());
        let id = |n| MachineId([n; 16]);
        assert_eq!((0..1000).filter(|_| budget.take(id(1), now)).count() as u32, REFUSALS_OF_MACHINE);
        assert!(budget.take(id(2), now));
        let all = (3..=255).map(|n| (0..1000).filter(|_| budget.take(id(n), now)).count() as u32).sum::<u32>();
        assert_eq!(all + REFUSALS_OF_MACHINE + 1, REFUSALS_OF_ALL);
        assert!(budget.take(id(1), now + BUDGET_PERIOD));
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_a_batch_fits_into_a_delivery() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("agent.redb")).unwrap();
        let refused = |n: usize| {
            let event = Event::Refused {
                sender: MachineId([1; 16]),
                reason: Reason::ProtocolBroken,
                detail: "x".repeat(60_000) + &n.to_string(),
            };
            NewReport { at: UnixSeconds(1), order: None, event }
        };
        let mut dropped = 0;
        for round in 0..10 {
            dropped += database.queue_reports(&(0..20).map(|n| refused(20 * round + n)).collect::<Vec<_>>()).unwrap();
        }
        assert!((50..100).contains(&dropped), "{dropped}");
        let reports = database.load_reports(BATCH, limits::REPORTS_BYTES).unwrap();
        assert_eq!(reports[0].number, dropped + 1, "the oldest were dropped");
        let bytes = banyan_proto::format::write(&banyan_proto::api::Reports { reports }).len();
        assert!(bytes <= limits::REPORTS_BYTES, "{bytes}");
    }
}
