//! Delivers events to webhooks. Each receiver has a queue and a task of its own, so that one that fails or hangs delays no
//! other. What waits is in the store, so a restart loses nothing; an event can then arrive twice, with the same id.

use super::webhook_delivery::{AttemptOutcome, ReceiverClient};
use crate::store::{AttemptEnd, DueDelivery, Store, StoreError, WebhookRow};
use banyan_proto::{MachineId, UnixSeconds, webhooks::DeliveryResult};
use futures_util::future::join_all;
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The pauses after failed attempts (seconds): three days in all.
const RETRIES: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// A pause is up to this part longer, so that receivers are not asked by everyone at once.
const JITTER: u64 = 5;
/// Deliveries attempted at once to one receiver.
const AT_ONCE: u32 = 4;
/// How often a queue is looked at without news.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The shortest time between two looks at a queue.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

#[expect(clippy::disallowed_methods, reason = "attempts are planned in milliseconds")]
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Returns when to try again after so many attempts, the failed one included; `None`: give up.
fn next_attempt(attempts: u32, asked: Option<Duration>, now_ms: u64, random: u64) -> Option<u64> {
    let place = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let pause = RETRIES.get(place)? * 1000;
    let asked = asked.map_or(0, |asked| u64::try_from(asked.as_millis()).unwrap_or(u64::MAX));
    let pause = pause.max(asked);
    Some(now_ms + pause + random % (pause / JITTER).max(1))
}

/// The queues of all webhooks.
pub(crate) struct WebhookQueues {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) server: MachineId,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl WebhookQueues {
    /// Keeps a task for each webhook, until the server stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut news = self.store.event_news();
        let mut queues: HashMap<[u8; 16], JoinHandle<()>> = HashMap::new();
        loop {
            news.borrow_and_update();
            match self.store.webhooks().await {
                Ok(webhooks) => {
                    queues.retain(|_, queue| !queue.is_finished());
                    for (row, _) in webhooks.into_iter().filter(|(row, _)| row.paused.is_none()) {
                        let this = Arc::clone(&self);
                        queues.entry(row.id).or_insert_with(|| tokio::spawn(async move { this.serve(row.id).await }));
                    }
                }
                Err(error) => error!("failed to read the webhooks: {error}"),
            }
            tokio::select! {
                changed = news.changed() => drop(changed),
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => break,
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        for (_, queue) in queues {
            drop(queue.await);
        }
    }

    /// Delivers to one receiver until it is removed or paused, or the server stops.
    async fn serve(&self, id: [u8; 16]) {
        let mut client = None;
        let mut news = self.store.event_news();
        loop {
            news.borrow_and_update();
            let wait = match self.look(id, &mut client).await {
                Ok(Some(wait)) => wait,
                Ok(None) => return,
                Err(error) => {
                    error!("failed to deliver to a webhook: {error}");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                changed = news.changed() => drop(changed),
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Attempts what is due. Returns how long nothing more is due; `None` if the webhook is removed or paused.
    async fn look(&self, id: [u8; 16], client: &mut Option<ReceiverClient>) -> Result<Option<Duration>, StoreError> {
        loop {
            let found = self.store.webhooks().await?.into_iter().find(|(row, _)| row.id == id);
            let Some((row, _)) = found.filter(|(row, _)| row.paused.is_none()) else { return Ok(None) };
            let now = now_ms();
            let due = self.store.due_deliveries(id, AT_ONCE).await?;
            let (ready, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|one| one.next_ms <= now);
            if ready.is_empty() || self.stop.is_cancelled() {
                let next = later.first().map_or(LOOK_EVERY, |one| Duration::from_millis(one.next_ms - now));
                return Ok(Some(next.min(LOOK_EVERY)));
            }
            if client.is_none() {
                *client = new_client(row.private);
            }
            let Some(client) = &*client else { return Ok(Some(LOOK_EVERY)) };
            // A receiver that failed last is asked for one event, not for several at once.
            let is_failing = row.last.as_ref().is_some_and(|last| !last.accepted);
            let ready = if is_failing { ready.into_iter().take(1).collect() } else { ready };
            let attempts = ready.into_iter().map(|one| self.attempt(&row, client, one));
            for attempted in join_all(attempts).await {
                if attempted? == Continue::No {
                    return Ok(None);
                }
            }
        }
    }

    async fn attempt(
        &self,
        row: &WebhookRow,
        client: &ReceiverClient,
        due: DueDelivery,
    ) -> Result<Continue, StoreError> {
        let Some(event) = self.store.event(due.event).await? else { return Ok(Continue::Yes) };
        let id = format!("evt_{}_{}", self.server.short(), event.id);
        let outcome = client.post(row, &id, &event, UnixSeconds::now()).await;
        let result = |accepted, what| DeliveryResult { at: UnixSeconds::now(), accepted, what };
        let webhook = MachineId(row.id).short();
        match outcome {
            AttemptOutcome::Accepted(status) => {
                let end = AttemptEnd { result: result(true, format!("HTTP {}", status.as_u16())), next_ms: None };
                self.store.end_attempt(row.id, due.event, end).await?;
            }
            AttemptOutcome::Gone => {
                let end = AttemptEnd { result: result(false, "HTTP 410".into()), next_ms: None };
                self.store.end_attempt(row.id, due.event, end).await?;
                warn!(webhook, "webhook paused: its receiver says that it is gone");
                self.store.pause_webhook(row.id, "the receiver says that it is gone (HTTP 410)", true).await?;
                return Ok(Continue::No);
            }
            AttemptOutcome::Failed(why, asked) => {
                let random = u64::from_le_bytes(*MachineId::random().0.first_chunk().unwrap_or(&[0; 8]));
                let next_ms = next_attempt(due.attempts + 1, asked, now_ms(), random);
                info!(webhook, event = event.id, attempt = due.attempts + 1, "an event was not delivered: {why}");
                let end = AttemptEnd { result: result(false, why.clone()), next_ms };
                self.store.end_attempt(row.id, due.event, end).await?;
                if next_ms.is_none() {
                    warn!(webhook, "webhook paused: its receiver has failed for three days: {why}");
                    let why = format!("the receiver failed for three days; last: {why}");
                    self.store.pause_webhook(row.id, &why, false).await?;
                    return Ok(Continue::No);
                }
            }
        }
        Ok(Continue::Yes)
    }
}

/// Whether a queue goes on after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continue {
    Yes,
    No,
}

fn new_client(private: bool) -> Option<ReceiverClient> {
    let tls = ClientConfig::with_platform_verifier().map_err(|error| error.to_string());
    match tls.and_then(|tls| ReceiverClient::new(tls, private).map_err(|error| error.to_string())) {
        Ok(client) => Some(client),
        Err(error) => {
            error!("webhooks are not delivered: the system's certificates cannot be used: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_go_on_for_three_days_with_growing_pauses() {
        let (mut now, mut attempts) = (0, 0);
        loop {
            attempts += 1;
            let Some(next) = next_attempt(attempts, None, now, u64::MAX) else { break };
            assert!(next > now);
            now = next;
        }
        let days = now / 86_400_000;
        assert_eq!(attempts, 10);
        assert_eq!(days, 3);
        assert_eq!(next_attempt(1, Some(Duration::from_secs(3600)), 0, 0), Some(3_600_000));
        assert_eq!(next_attempt(3, Some(Duration::from_secs(1)), 0, 0), Some(1_800_000));
    }
}
