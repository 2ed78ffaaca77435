//! The monitor: checks that each machine makes progress in its deployments, and runs the periodic maintenance.
//!
//! Every machine has a deadline for its next step. A machine that misses it is told of the order again through its long
//! poll, and then asks for help. A machine that misses it repeatedly gets a reason that administrators see.

use crate::{
    deadline_clock::DeadlineClock,
    deployments::{active_orders::ActiveOrder, order_lifecycle::OrderLifecycle},
    net::{connections::Connections, wake_ups::WakeUps},
    publishing::{repository_cache::RepositoryCache, uploads::Uploads, withdrawal::Withdrawal},
    refusal::Refusal,
    store::{AddresseeRow, ProgressNote, Store},
};
use banyan_proto::{MachineId, OrderId, Reason, UnixSeconds, admin::Stage};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

const TICK: Duration = Duration::from_secs(5);
/// Interval of the maintenance, by the wall clock (seconds).
const MAINTENANCE_SECONDS: u64 = 3600;
/// Pause after a failure to sign the metadata.
const RETRY: Duration = Duration::from_secs(60);
/// How long reports and suspicious events are kept (seconds).
const HISTORY_SECONDS: u64 = 180 * 24 * 3600;
/// How long events are kept for streams and webhooks (seconds), and how many at most.
const EVENT_SECONDS: u64 = 30 * 24 * 3600;
const MAX_EVENTS: u64 = 200_000;
/// Remaining lifetime of the publishers' signatures below which the server warns (seconds).
const EXPIRY_WARNING_SECONDS: u64 = 60 * 24 * 3600;
/// The number of reminders after which a reason is recorded for administrators.
const REMINDERS: u32 = 3;
/// How many notes are stored in one transaction. Thousands of machines can be offline, and every transaction waits for the
/// disk; but while one runs, an administrator cannot change anything.
const NOTES_AT_ONCE: usize = 500;
/// Transfer rate that counts as the slowest acceptable progress (bytes per second).
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;

/// Returns how long a machine may stay at a stage before it is reminded.
fn time_limit(stage: Stage, open: &ActiveOrder, machine: MachineId) -> Duration {
    let seconds = match stage {
        Stage::Expected => u64::from(open.patience_seconds(machine)) + 10,
        Stage::Receiving => 30 + open.artifact.size / SLOWEST_BYTES_PER_SECOND,
        Stage::Verified => 60,
        Stage::Authenticated => 5 * 60,
        // Each of the publisher's commands may take an hour.
        Stage::Installing => 3 * 3600 + 5 * 60,
        Stage::Installed | Stage::Failed => u64::MAX / 2,
    };
    Duration::from_secs(seconds)
}

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProgressPoint {
    stage: Stage,
    /// Verified chunks on the machine.
    held: u32,
}

/// A machine's last progress, and the reminders since.
struct WatchedMachine {
    point: ProgressPoint,
    since: Instant,
    reminders: u32,
}

/// What to do about a machine.
#[derive(Debug, PartialEq, Eq)]
enum OverdueAction {
    /// Nothing yet.
    Wait,
    /// Tell the machine of the order again.
    Remind,
    /// Record a reason for administrators.
    Escalate,
}

impl WatchedMachine {
    /// Compares a connected machine with its last known progress and decides whether it is overdue.
    fn check(&mut self, point: ProgressPoint, limit: Duration, now: Instant) -> OverdueAction {
        if self.point != point {
            *self = Self { point, since: now, reminders: 0 };
            return OverdueAction::Wait;
        }
        if now.duration_since(self.since) < limit {
            return OverdueAction::Wait;
        }
        self.since = now;
        self.reminders += 1;
        if self.reminders == REMINDERS { OverdueAction::Escalate } else { OverdueAction::Remind }
    }
}

type WatchList = HashMap<(OrderId, MachineId), WatchedMachine>;

/// Watches the deployments.
pub(crate) struct Monitor {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) withdrawal: Arc<Withdrawal>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) connections: Connections,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) clock: Arc<DeadlineClock>,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl Monitor {
    /// Runs until the server stops. What is due by a date depends on the wall clock, which is read at every tick, so
    /// neither sleep nor a corrected clock delays it. What ends or deletes something goes by the [`DeadlineClock`].
    pub(crate) async fn run(self) {
        let mut watch = WatchList::new();
        let mut maintained = UnixSeconds::now();
        let mut failed: Option<Instant> = None;
        while self.stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            self.clock.update();
            if let Err(refusal) = self.check_deployments(&mut watch).await {
                error!("failed to check the deployments: {refusal}");
            }
            let now = UnixSeconds::now();
            let is_maintenance_due = now.0.abs_diff(maintained.0) >= MAINTENANCE_SECONDS;
            if is_maintenance_due {
                maintained = now;
                self.maintain().await;
            }
            let may_sign = failed.is_none_or(|at| at.elapsed() >= RETRY);
            if may_sign && (is_maintenance_due || self.repository.is_renewal_due(now)) {
                failed = if self.sign_metadata_again().await { None } else { Some(Instant::now()) };
            }
        }
    }

    async fn maintain(&self) {
        if let Err(error) = self.store.remember_time(self.clock.update()).await {
            error!("failed to store the latest time: {error}");
        }
        let before = UnixSeconds(self.clock.now().0.saturating_sub(HISTORY_SECONDS));
        if let Err(error) = self.store.forget(before).await {
            error!("failed to delete old reports: {error}");
        }
        let before = UnixSeconds(self.clock.now().0.saturating_sub(EVENT_SECONDS));
        match self.store.forget_events(before, MAX_EVENTS).await {
            Ok(0) => {}
            Ok(deleted) => info!(deleted, "old events deleted"),
            Err(error) => error!("failed to delete old events: {error}"),
        }
        self.withdrawal.prune().await;
        self.uploads.remove_old(self.clock.now());
        self.warn_before_expiry();
    }

    /// Signs snapshot and timestamp again when it is due. Returns whether nothing failed.
    async fn sign_metadata_again(&self) -> bool {
        match self.repository.with(|repository| repository.refresh(UnixSeconds::now())).await {
            Ok(true) => info!("snapshot and timestamp renewed"),
            Ok(false) => {}
            Err(refusal) => {
                error!("failed to renew the signed metadata: {refusal}");
                return false;
            }
        }
        true
    }

    /// Warns before the publishers' signatures expire, because only publishers can renew them.
    fn warn_before_expiry(&self) {
        let Some(expires) = self.repository.snapshot().publishers_expire else { return };
        let left = expires.0.saturating_sub(UnixSeconds::now().0);
        if left < EXPIRY_WARNING_SECONDS {
            let days = left / (24 * 3600);
            warn!(
                days,
                "the publishers' signatures expire soon; machines will then install nothing; run `banyan keys renew`"
            );
        }
    }

    async fn check_deployments(&self, watch: &mut WatchList) -> Result<(), Refusal> {
        for open in self.orders.active.all() {
            if open.row.order.expires <= self.clock.now() {
                self.orders.expire(&open).await?;
            }
        }
        self.orders.store_bytes_sent().await?;
        let unfinished = self.store.unfinished().await?;
        let now = Instant::now();
        let (mut still_watched, mut notes) = (WatchList::new(), Vec::new());
        for (id, row) in unfinished {
            let Some(open) = self.orders.active.get(id) else { continue };
            let key = (id, row.machine);
            let point = ProgressPoint { stage: row.stage, held: row.held };
            let mut watched = watch.remove(&key).unwrap_or(WatchedMachine { point, since: now, reminders: 0 });
            if self.connections.is_online(row.machine) {
                match watched.check(point, time_limit(row.stage, &open, row.machine), now) {
                    OverdueAction::Wait => {}
                    OverdueAction::Remind => {
                        info!(order = %id, machine = %row.machine, stage = ?row.stage, "machine overdue; reminded");
                        self.wake_ups.remind(row.machine, id);
                    }
                    OverdueAction::Escalate => {
                        self.wake_ups.remind(row.machine, id);
                        notes.extend(overdue_note(id, &row));
                    }
                }
            } else {
                // The deadline restarts when the machine reconnects.
                watched.since = now;
                if row.stage == Stage::Expected && row.reason.is_none() {
                    let detail = "not connected to the server".to_owned();
                    notes.push(ProgressNote { order: id, machine: row.machine, reason: Reason::Unreachable, detail });
                }
            }
            still_watched.insert(key, watched);
        }
        *watch = still_watched;
        for notes in notes.chunks(NOTES_AT_ONCE) {
            self.store.note(notes).await?;
        }
        Ok(())
    }
}

/// Returns what administrators see of a machine that was reminded in vain, unless a better reason is known.
fn overdue_note(order: OrderId, row: &AddresseeRow) -> Option<ProgressNote> {
    if row.reason.is_some_and(|reason| reason != Reason::Unreachable) {
        return None;
    }
    let (reason, what) = match row.stage {
        Stage::Expected | Stage::Receiving => (Reason::NoSource, "no content has arrived for too long"),
        Stage::Verified => (Reason::ServerAway, "the machine holds the content but has not requested its receipt"),
        Stage::Authenticated | Stage::Installing | Stage::Installed | Stage::Failed => {
            (Reason::InternalError, "the machine has not reported for too long")
        }
    };
    let detail = format!("{what}, although it is connected and was reminded {REMINDERS} times");
    Some(ProgressNote { order, machine: row.machine, reason, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_reminded_when_it_stands_still_and_a_person_is_told_once() {
        let (start, allowed) = (Instant::now(), Duration::from_secs(10));
        let received = |held| ProgressPoint { stage: Stage::Receiving, held };
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watched = WatchedMachine { point: received(1), since: start, reminders: 0 };
        assert_eq!(watched.check(received(1), allowed, at(9)), OverdueAction::Wait);
        assert_eq!(watched.check(received(1), allowed, at(10)), OverdueAction::Remind);
        assert_eq!(watched.check(received(1), allowed, at(15)), OverdueAction::Wait);
        assert_eq!(watched.check(received(2), allowed, at(20)), OverdueAction::Wait, "it made progress");
        let steps: Vec<OverdueAction> = (3..8).map(|tens| watched.check(received(2), allowed, at(10 * tens))).collect();
        assert_eq!(
            steps,
            [
                OverdueAction::Remind,
                OverdueAction::Remind,
                OverdueAction::Escalate,
                OverdueAction::Remind,
                OverdueAction::Remind
            ]
        );
    }
}
