//! Sends a subscriber what has changed since its last update.
//!
//! A subscriber receives the changes at most four times a second. While bytes move it also receives an update once a
//! second without any reported change, so that displayed speeds fall to zero. Otherwise the task sleeps.

use crate::{backend::Backend, framing::send};
use banyan_proto::local::{Event, Message, Snapshot};
use interprocess::local_socket::tokio::Stream;
use std::{io, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Minimum time between two updates.
const MIN_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time between two updates while bytes move.
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// The state last sent to a subscriber.
pub(crate) struct Subscription {
    snapshot: Snapshot,
    /// The backend's change number at that snapshot, or slightly earlier.
    number: u64,
    at: Instant,
}

impl Subscription {
    fn is_moving(&self) -> bool {
        let speeds = |update: &banyan_proto::local::Update| update.progress.down + update.progress.up;
        self.snapshot.sharing.download + self.snapshot.sharing.upload > 0
            || self.snapshot.updates.iter().any(|u| speeds(u) > 0)
    }

    /// Sends the full snapshot.
    pub(crate) async fn start<B: Backend>(
        backend: &B,
        to: &Stream,
        changes: &watch::Receiver<u64>,
    ) -> io::Result<Self> {
        // Read the number first: later changes are sent with the next update.
        let number = *changes.borrow();
        let snapshot = backend.snapshot();
        send(to, Message::Event(Event::Snapshot(Box::new(snapshot.clone())))).await?;
        Ok(Self { snapshot, number, at: Instant::now() })
    }

    /// Sends what has changed.
    pub(crate) async fn send_changes<B: Backend>(
        &self,
        backend: &B,
        to: &Stream,
        changes: &watch::Receiver<u64>,
    ) -> io::Result<Self> {
        let number = *changes.borrow();
        let snapshot = backend.snapshot();
        for event in snapshot.changes(&self.snapshot) {
            send(to, Message::Event(event)).await?;
        }
        Ok(Self { snapshot, number, at: Instant::now() })
    }

    /// Waits until there may be changes to send. It is cancel-safe.
    pub(crate) async fn wait_for_changes(&self, changes: &mut watch::Receiver<u64>) {
        let changed = async {
            if changes.wait_for(|number| *number != self.number).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        if self.is_moving() {
            drop(tokio::time::timeout_at(self.at + MAX_INTERVAL, changed).await);
        } else {
            changed.await;
        }
        sleep_until(self.at + MIN_INTERVAL).await;
    }
}
