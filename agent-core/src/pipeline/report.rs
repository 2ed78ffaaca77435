//! The report stage: facts for the server, queued on disk while it cannot be reached, delivered in order, and counted
//! once by their number.

use crate::{database::Database, server::api::ServerApi};
use banyan_proto::{OrderId, UnixSeconds, api::Event};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Maximum number of reports in one call.
const BATCH: usize = 256;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// An event to report, of an order or of the machine.
struct QueuedEvent {
    order: Option<OrderId>,
    event: Event,
}

/// Accepts reports without blocking.
#[derive(Clone)]
pub struct Reporter(mpsc::UnboundedSender<QueuedEvent>);

impl Reporter {
    /// Starts the task that stores and delivers reports, including those of earlier runs.
    #[must_use]
    pub fn start(database: Arc<Database>, server: Arc<ServerApi>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(database, server, receiver));
        Self(sender)
    }
    /// Queues an event.
    pub fn report(&self, order: Option<OrderId>, event: Event) {
        drop(self.0.send(QueuedEvent { order, event }));
    }
}

async fn run(database: Arc<Database>, server: Arc<ServerApi>, mut events: mpsc::UnboundedReceiver<QueuedEvent>) {
    let mut retry = RETRY_FIRST;
    let mut waiting = has_queued(&database).await;
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
                let mut batch = vec![event];
                while let Ok(more) = events.try_recv() {
                    batch.push(more);
                }
                store(&database, batch).await;
            }
            () = pause => {}
        }
        match deliver_batch(&database, &server).await {
            Ok(more) => (waiting, retry) = (more, RETRY_FIRST),
            Err(error) => {
                debug!(%error, "failed to deliver reports; trying again");
                (waiting, retry) = (true, (retry * 2).min(RETRY_MOST));
            }
        }
    }
}

async fn has_queued(database: &Arc<Database>) -> bool {
    let database = Arc::clone(database);
    tokio::task::spawn_blocking(move || database.load_reports(1))
        .await
        .is_ok_and(|left| left.is_ok_and(|left| !left.is_empty()))
}

/// Stores a batch of events.
async fn store(database: &Arc<Database>, batch: Vec<QueuedEvent>) {
    let database = Arc::clone(database);
    let stored = tokio::task::spawn_blocking(move || {
        batch
            .into_iter()
            .try_for_each(|QueuedEvent { order, event }| database.queue_report(UnixSeconds::now(), order, event))
    });
    if let Ok(Err(error)) = stored.await {
        warn!(%error, "failed to store a report; it is lost");
    }
}

/// Delivers one batch. Returns whether more reports are queued.
async fn deliver_batch(database: &Arc<Database>, server: &ServerApi) -> anyhow::Result<bool> {
    let reader = Arc::clone(database);
    let reports = tokio::task::spawn_blocking(move || reader.load_reports(BATCH)).await??;
    let Some(last) = reports.last().map(|report| report.number) else { return Ok(false) };
    let (writer, more) = (Arc::clone(database), reports.len() == BATCH);
    server.reports(reports).await?;
    tokio::task::spawn_blocking(move || writer.delete_reports_up_to(last)).await??;
    Ok(more)
}
