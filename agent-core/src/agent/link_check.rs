//! Checks this machine's link when the server knows nothing of it (rule P14), at a time when the machine may transfer.

use super::Agent;
use banyan_proto::{api::LinkCheckReading, schedule::Gate};
use banyan_schedule::{decide, effective_rates};
use banyan_swarm::link_check::{LONGEST, LinkCheck};
use banyan_wire::lock::lock;
use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tracing::debug;

/// A check that was interrupted is repeated after this time.
const RETRY: Duration = Duration::from_secs(3600);
/// The pauses before a machine looks again whether it may check its link now. An agent that has just started does not know
/// yet what users and sensors allow. Later, the next check-in repeats the request.
const PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(30)];

/// The last check that used the link.
#[derive(Debug, Default)]
pub(super) struct LastLinkCheck {
    began: Mutex<Option<Instant>>,
    /// The most that the link can receive (bytes of content a second); 0 if that is fast or unknown.
    down: AtomicU64,
}

impl LastLinkCheck {
    /// Returns the most that the link can receive (bytes of content a second), if it is known and not fast.
    pub(super) fn down(&self) -> Option<u64> {
        Some(self.down.load(Relaxed)).filter(|down| *down > 0)
    }
}

impl Agent {
    /// Starts a check as soon as this machine may transfer, unless it has just done one.
    pub(super) fn start_link_check(&self) {
        let mut last = lock(&self.last_link_check.began);
        if last.is_some_and(|last| last.elapsed() < RETRY) {
            return;
        }
        *last = Some(Instant::now());
        let this = self.this.clone();
        tokio::spawn(async move {
            for pause in PAUSES {
                tokio::time::sleep(pause).await;
                let Some(agent) = this.upgrade() else { return };
                if agent.may_check_link() && agent.check_link().await {
                    return;
                }
            }
            if let Some(agent) = this.upgrade() {
                *lock(&agent.last_link_check.began) = None;
            }
        });
    }
    /// Returns whether nothing else uses the link, and neither user nor administrator forbids it.
    fn may_check_link(&self) -> bool {
        let schedule = &self.gates.schedule;
        let inputs = schedule.inputs();
        let verdict = inputs.evaluate(None, |situation| decide(situation, inputs.now));
        let is_open = |gate: &Gate| matches!(gate, Gate::Open { .. });
        let has_budget = self.site_budget.notice_number() > 0;
        is_open(&verdict.receive) && is_open(&verdict.forward) && !has_budget && !schedule.has_work(&self.orders)
    }
    /// Checks the link. Returns whether it was used, so that there is no hurry to try again.
    async fn check_link(&self) -> bool {
        let (mut begun, mut check) = (None, LinkCheck::default());
        let api = &self.server.api;
        let receiving = api.receive_link_check(|bytes| {
            let since = begun.get_or_insert_with(Instant::now).elapsed();
            check.record(since, bytes);
            if since < LONGEST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // Most of this time is for other machines, whose turn it is.
        let received = tokio::time::timeout(4 * LONGEST, receiving).await;
        if matches!(received, Ok(Ok(false))) {
            return false;
        }
        let Some(down) = begun.and_then(|begun| check.rate(begun.elapsed())) else { return true };
        self.last_link_check.down.store(down.at_most.unwrap_or(0), Relaxed);
        let inputs = self.gates.schedule.inputs();
        let (download, upload_limit) = effective_rates(inputs.choice.as_ref(), &inputs.policy);
        let at_most = down.at_most.into_iter().chain(download).min();
        let at_least = down.at_least.min(at_most.unwrap_or(u64::MAX));
        let sent = api.send_link_check(&LinkCheckReading { at_least, at_most, upload_limit }).await;
        debug!(?down, ?sent, "checked this machine's link");
        true
    }
}
