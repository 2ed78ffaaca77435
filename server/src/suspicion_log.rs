//! Suspicious events: stored and logged, so that administrators see them.
//!
//! Whoever can cause an event can cause many. So one task records them, from a bounded queue, and each machine that
//! causes events has a budget. What is left out is counted and logged once a minute.

use crate::store::{Store, StoreResult, Suspicion};
use banyan_proto::{MachineId, OrderId, Reason, UnixSeconds, text};
use banyan_wire::rare_log::RareLog;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

/// Longest explanation of an event (bytes).
const DETAIL_BYTES: usize = 600;
/// Events that wait to be recorded.
const MAX_QUEUED: usize = 256;
/// Events that one machine may cause at once, and the time after which one more is recorded.
const BURST_OF_MACHINE: f64 = 30.0;
const SECONDS_PER_EVENT: f64 = 120.0;
/// The same for all machines together.
const BURST_OF_ALL: f64 = 1000.0;
const SECONDS_PER_EVENT_OF_ALL: f64 = 1.0;
/// How often the number of events that were left out is logged.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// A suspicious event.
pub(crate) struct Event {
    /// The machine whose message led to the event. Its budget is used.
    pub(crate) cause: Option<MachineId>,
    /// The machine under suspicion.
    pub(crate) machine: Option<MachineId>,
    pub(crate) order: Option<OrderId>,
    pub(crate) reason: Reason,
    /// An explanation; escaped and cut when it is recorded.
    pub(crate) detail: String,
}

impl Event {
    /// Returns an event in which the machine that caused it is the one under suspicion.
    pub(crate) fn of(machine: MachineId, order: Option<OrderId>, reason: Reason, detail: impl Into<String>) -> Self {
        Self { cause: Some(machine), machine: Some(machine), order, reason, detail: detail.into() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    fn take(&mut self, burst: f64, seconds_per_event: f64, now: Instant) -> bool {
        let more = now.duration_since(self.at).as_secs_f64() / seconds_per_event;
        (self.left, self.at) = ((self.left + more).min(burst), now);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// What may still be recorded, and what was left out since the last summary.
struct Budgets {
    all: Budget,
    machines: HashMap<Option<MachineId>, Budget>,
    left_out: HashMap<Option<MachineId>, u64>,
    summarised: Instant,
}

impl Budgets {
    fn new(now: Instant) -> Self {
        let all = Budget { left: BURST_OF_ALL, at: now };
        Self { all, machines: HashMap::new(), left_out: HashMap::new(), summarised: now }
    }
    fn take(&mut self, cause: Option<MachineId>, now: Instant) -> bool {
        let of_machine = self.machines.entry(cause).or_insert(Budget { left: BURST_OF_MACHINE, at: now });
        of_machine.take(BURST_OF_MACHINE, SECONDS_PER_EVENT, now)
            && self.all.take(BURST_OF_ALL, SECONDS_PER_EVENT_OF_ALL, now)
    }
    fn leave_out(&mut self, cause: Option<MachineId>) {
        *self.left_out.entry(cause).or_default() += 1;
    }
    /// Returns what was left out, if it is time to log it: the sum, and the machine that caused most of it.
    fn summary(&mut self, now: Instant) -> Option<(u64, Option<MachineId>)> {
        if self.left_out.is_empty() || now.duration_since(self.summarised) < SUMMARY_EVERY {
            return None;
        }
        self.summarised = now;
        let left_out = std::mem::take(&mut self.left_out);
        let most = left_out.iter().max_by_key(|(_, count)| **count).and_then(|(cause, _)| *cause);
        Some((left_out.values().sum(), most))
    }
}

/// Records suspicious events.
#[derive(Clone)]
pub(crate) struct SuspicionLog {
    queue: mpsc::Sender<Suspicion>,
    budgets: Arc<Mutex<Budgets>>,
    store: Arc<dyn Store>,
}

impl SuspicionLog {
    /// `tasks` carries the task that stores events. It ends after `stop` has fired and the queue is empty.
    pub(crate) fn new(store: Arc<dyn Store>, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (queue, mut events) = mpsc::channel::<Suspicion>(MAX_QUEUED);
        let to = Arc::clone(&store);
        tasks.spawn(async move {
            while let Some(Some(event)) = stop.run_until_cancelled(events.recv()).await {
                store_event(&*to, &event).await;
            }
            while let Ok(event) = events.try_recv() {
                store_event(&*to, &event).await;
            }
        });
        Self { queue, budgets: Arc::new(Mutex::new(Budgets::new(Instant::now()))), store }
    }
    /// Returns the latest stored events, newest first.
    pub(crate) async fn latest(&self, most: u32) -> StoreResult<Vec<Suspicion>> {
        self.store.suspicions(most).await
    }
    /// Logs an event and stores it soon, if the budget of the machine that caused it allows that. Never waits.
    pub(crate) fn record(&self, event: &Event) {
        let now = Instant::now();
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let room = budgets.take(event.cause, now).then(|| self.queue.try_reserve().ok()).flatten();
        if room.is_none() {
            budgets.leave_out(event.cause);
        }
        let summary = budgets.summary(now);
        drop(budgets);
        if let Some((left_out, most)) = summary {
            let most = most.map(|id| id.to_string()).unwrap_or_default();
            warn!(
                left_out,
                machine = most,
                "suspicious events not recorded: too many; this machine caused most of them"
            );
        }
        let Some(room) = room else { return };
        let &Event { machine, order, reason, .. } = event;
        let detail = text::bounded(&event.detail, DETAIL_BYTES);
        let name = machine.map(|id| id.to_string()).unwrap_or_default();
        warn!(machine = name, %reason, detail, "suspicious event");
        room.send(Suspicion { at: UnixSeconds::now(), machine, order, deployment: None, reason, detail });
    }
}

async fn store_event(store: &dyn Store, event: &Suspicion) {
    static FAILED: RareLog = RareLog::each_minute();
    if let Err(error) = store.add_suspicion(event).await
        && let Some(more) = FAILED.due()
    {
        error!(more, "failed to store a suspicious event: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_machine_uses_its_own_budget_and_what_is_left_out_is_counted() {
        let start = Instant::now();
        let mut budgets = Budgets::new(start);
        let (flood, honest) = (Some(MachineId([1; 16])), Some(MachineId([2; 16])));
        for _ in 0..10_000 {
            if !budgets.take(flood, start) {
                budgets.leave_out(flood);
            }
        }
        assert!(budgets.take(honest, start));
        assert_eq!(budgets.summary(start), None);
        let later = start + SUMMARY_EVERY;
        assert_eq!(budgets.summary(later), Some((10_000 - BURST_OF_MACHINE as u64, flood)));
        assert_eq!(budgets.summary(later + SUMMARY_EVERY), None);
        assert!(budgets.take(flood, start + Duration::from_secs_f64(SECONDS_PER_EVENT)));
    }
}
