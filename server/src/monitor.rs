//! Expected-by: every machine has a time by which it should have got further. One that misses it is told of the order
//! once more through its long poll (and then asks for help); one that misses it again and again gets a reason, so that
//! a person sees it. Here too is everything else that has to be done now and then.

use crate::{book::OpenOrder, nms::Nms, refusal::Refusal, store::AddresseeRow};
use banyan_proto::{DeploymentId, MachineId, Reason, UnixSeconds, admin::Stage};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{error, info, warn};

const TICK: Duration = Duration::from_secs(5);
/// Signed metadata is looked at this often; the repository knows when it is due.
const REFRESH_EVERY: Duration = Duration::from_secs(3600);
/// Reports and suspicions are kept for this long (seconds).
const HISTORY: u64 = 180 * 24 * 3600;
/// The publishers' signatures are warned of when they have less than this left (seconds).
const PUBLISHERS_WARNING: u64 = 60 * 24 * 3600;
/// After so many reminders a person should know.
const REMINDERS: u32 = 3;
/// Slower than this (bytes per second) counts as no progress.
const SLOWEST: u64 = 1 << 20;

/// How long a machine may stay where it is before it is reminded.
fn allowed(stage: Stage, open: &OpenOrder, machine: MachineId) -> Duration {
    let seconds = match stage {
        Stage::Expected => u64::from(open.patience(machine)) + 10,
        Stage::Receiving => 30 + open.artifact.size / SLOWEST,
        Stage::Verified => 60,
        Stage::Authenticated => 5 * 60,
        // The publisher's commands may take an hour each.
        Stage::Installing => 3 * 3600 + 5 * 60,
        Stage::Installed | Stage::Failed => u64::MAX / 2,
    };
    Duration::from_secs(seconds)
}

/// Where a machine was when something last changed.
struct Watched {
    at: (Stage, u32),
    since: Instant,
    reminders: u32,
}

/// What shall be done about a machine.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing yet.
    Wait,
    /// Tell it once more.
    Remind,
    /// Tell a person.
    Say,
}

impl Watched {
    /// Looks at a machine that is connected: has it got further, or is it overdue?
    fn look(&mut self, at: (Stage, u32), allowed: Duration, now: Instant) -> Step {
        if self.at != at {
            *self = Self { at, since: now, reminders: 0 };
            return Step::Wait;
        }
        if now.duration_since(self.since) < allowed {
            return Step::Wait;
        }
        self.since = now;
        self.reminders += 1;
        if self.reminders == REMINDERS { Step::Say } else { Step::Remind }
    }
}

type Watch = HashMap<(DeploymentId, MachineId), Watched>;

impl Nms {
    /// Runs for as long as the server does.
    pub(crate) async fn monitor(self: Arc<Self>) {
        let mut watch = Watch::new();
        let mut refreshed = Instant::now();
        while self.stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            if let Err(refusal) = self.look_round(&mut watch).await {
                error!("the deployments could not be looked at: {refusal}");
            }
            if refreshed.elapsed() >= REFRESH_EVERY {
                refreshed = Instant::now();
                let before = UnixSeconds(Self::now().0.saturating_sub(HISTORY));
                if let Err(error) = self.store.forget(before).await {
                    error!("old reports could not be thrown away: {error}");
                }
                self.prune().await;
                self.warn_of_expiry();
                match self.desk.with(|repository| repository.refresh(Self::now())).await {
                    Ok(true) => info!("snapshot and timestamp signed anew"),
                    Ok(false) => {}
                    Err(refusal) => error!("the signed metadata could not be renewed: {refusal}"),
                }
            }
        }
    }

    /// Only publishers can renew what they signed, so they are warned in good time.
    fn warn_of_expiry(&self) {
        let Some(expires) = self.desk.shown().publishers_expire else { return };
        let left = expires.0.saturating_sub(Self::now().0);
        if left < PUBLISHERS_WARNING {
            let days = left / (24 * 3600);
            warn!(
                days,
                "the publishers' signatures expire soon, and machines will install nothing; run `banyan keys renew`"
            );
        }
    }

    async fn look_round(&self, watch: &mut Watch) -> Result<(), Refusal> {
        for open in self.book.all() {
            if open.row.order.expires <= Self::now() {
                self.expire(&open).await?;
            }
        }
        self.count_sent().await?;
        let unfinished = self.store.unfinished().await?;
        let now = Instant::now();
        let mut still = Watch::new();
        for (id, row) in unfinished {
            let Some(open) = self.book.get(id) else { continue };
            let key = (id, row.machine);
            let at = (row.stage, row.held);
            let mut watched = watch.remove(&key).unwrap_or(Watched { at, since: now, reminders: 0 });
            if self.live.is_online(row.machine) {
                match watched.look(at, allowed(row.stage, &open, row.machine), now) {
                    Step::Wait => {}
                    Step::Remind => {
                        info!(order = %id, machine = %row.machine, stage = ?row.stage, "overdue: telling it once more");
                        self.news.remind(row.machine, id);
                    }
                    Step::Say => self.say(id, &row).await?,
                }
            } else {
                // Its time starts again when it is back.
                watched.since = now;
                if row.stage == Stage::Expected && row.reason.is_none() {
                    let detail = "it is not connected to the server";
                    self.store.note(id, row.machine, Reason::Unreachable, detail).await?;
                }
            }
            still.insert(key, watched);
        }
        *watch = still;
        Ok(())
    }

    async fn say(&self, id: DeploymentId, row: &AddresseeRow) -> Result<(), Refusal> {
        self.news.remind(row.machine, id);
        if row.reason.is_some_and(|reason| reason != Reason::Unreachable) {
            return Ok(());
        }
        let (reason, what) = match row.stage {
            Stage::Expected | Stage::Receiving => (Reason::NoSource, "no content has come for too long"),
            Stage::Verified => (Reason::ServerAway, "it holds the content but has not asked for its receipt"),
            _ => (Reason::InternalError, "nothing has been heard of it for too long"),
        };
        let detail = format!("{what}, although it is connected and was told {REMINDERS} times");
        self.store.note(id, row.machine, reason, &detail).await?;
        Ok(())
    }

    /// Adds what the server has sent since the last time to what the store knows.
    pub(crate) async fn count_sent(&self) -> Result<(), Refusal> {
        for open in self.book.all() {
            let bytes = open.newly_served();
            if bytes > 0 {
                self.store.add_server_sent(open.id(), bytes).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_reminded_when_it_stands_still_and_a_person_is_told_once() {
        let (start, allowed) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watched = Watched { at: (Stage::Receiving, 1), since: start, reminders: 0 };
        assert_eq!(watched.look((Stage::Receiving, 1), allowed, at(9)), Step::Wait);
        assert_eq!(watched.look((Stage::Receiving, 1), allowed, at(10)), Step::Remind);
        assert_eq!(watched.look((Stage::Receiving, 1), allowed, at(15)), Step::Wait);
        assert_eq!(watched.look((Stage::Receiving, 2), allowed, at(20)), Step::Wait, "it got further");
        let steps: Vec<Step> = (3..8).map(|tens| watched.look((Stage::Receiving, 2), allowed, at(10 * tens))).collect();
        assert_eq!(steps, [Step::Remind, Step::Remind, Step::Say, Step::Remind, Step::Remind]);
    }
}
