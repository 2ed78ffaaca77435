//! The report stage: facts for the server, queued on disk while it cannot be reached, delivered in order, and counted
//! once by their number.

use crate::{database::State, server::api::ServerApi};
use banyan_proto::{OrderId, UnixSeconds, api::Event};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Maximum number of reports in one call.
const BATCH: usize = 256;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// Accepts reports without blocking.
#[derive(Clone)]
pub struct Reporter(mpsc::UnboundedSender<(Option<OrderId>, Event)>);

impl Reporter {
    /// Starts the task that stores and delivers reports, including those of earlier runs.
    #[must_use]
    pub fn start(state: Arc<State>, server: Arc<ServerApi>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(deliver(state, server, receiver));
        Self(sender)
    }
    /// Queues an event.
    pub fn report(&self, order: Option<OrderId>, event: Event) {
        drop(self.0.send((order, event)));
    }
}

async fn deliver(
    state: Arc<State>,
    server: Arc<ServerApi>,
    mut events: mpsc::UnboundedReceiver<(Option<OrderId>, Event)>,
) {
    let mut retry = RETRY_FIRST;
    let mut waiting = pending(&state).await;
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
                keep(&state, batch).await;
            }
            () = pause => {}
        }
        match send(&state, &server).await {
            Ok(more) => (waiting, retry) = (more, RETRY_FIRST),
            Err(error) => {
                debug!(%error, "failed to deliver reports; trying again");
                (waiting, retry) = (true, (retry * 2).min(RETRY_MOST));
            }
        }
    }
}

async fn pending(state: &Arc<State>) -> bool {
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || state.reports(1))
        .await
        .is_ok_and(|left| left.is_ok_and(|left| !left.is_empty()))
}

async fn keep(state: &Arc<State>, batch: Vec<(Option<OrderId>, Event)>) {
    let state = Arc::clone(state);
    let kept = tokio::task::spawn_blocking(move || {
        batch.into_iter().try_for_each(|(order, event)| state.queue_report(UnixSeconds::now(), order, event))
    });
    if let Ok(Err(error)) = kept.await {
        warn!(%error, "failed to store a report; it is lost");
    }
}

/// Delivers one batch. Returns whether more reports are queued.
async fn send(state: &Arc<State>, server: &ServerApi) -> anyhow::Result<bool> {
    let reader = Arc::clone(state);
    let reports = tokio::task::spawn_blocking(move || reader.reports(BATCH)).await??;
    let Some(last) = reports.last().map(|report| report.number) else { return Ok(false) };
    server.reports(&reports).await?;
    let (writer, more) = (Arc::clone(state), reports.len() == BATCH);
    tokio::task::spawn_blocking(move || writer.reports_delivered(last)).await??;
    Ok(more)
}
