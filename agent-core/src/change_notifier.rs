//! Tells the local API that the snapshot may have changed, and the scheduler that it should decide again.

use tokio::sync::{Notify, watch};

/// Announces changes to the local API and to the scheduler.
#[derive(Debug)]
pub(crate) struct ChangeNotifier {
    snapshot: watch::Sender<u64>,
    schedule: Notify,
}

impl Default for ChangeNotifier {
    fn default() -> Self {
        Self { snapshot: watch::Sender::new(0), schedule: Notify::new() }
    }
}

impl ChangeNotifier {
    /// Announces that the snapshot may have changed.
    pub(crate) fn notify_snapshot(&self) {
        self.snapshot.send_modify(|number| *number += 1);
    }
    /// Requests a new scheduling decision, which may also change the snapshot.
    pub(crate) fn notify_scheduler(&self) {
        self.schedule.notify_one();
        self.notify_snapshot();
    }
    /// Returns a number that changes whenever the snapshot may have changed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.snapshot.subscribe()
    }
    /// Waits until a new scheduling decision is requested.
    pub(crate) async fn decision_requested(&self) {
        self.schedule.notified().await;
    }
}
