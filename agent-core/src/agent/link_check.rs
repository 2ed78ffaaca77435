//! Checks this machine's link when the server knows nothing of it (rule P14), at a time when the machine may transfer.

use super::Agent;
use banyan_proto::{api::LinkCheckReading, schedule::Gate};
use banyan_schedule::{decide, effective_rates};
use banyan_swarm::link_check::{LONGEST, LinkCheck};
use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tracing::debug;

/// A check that was interrupted is repeated after this time.
const RETRY: Duration = Duration::from_secs(3600);

/// When the last check began that used the link.
pub(super) type LastLinkCheck = Mutex<Option<Instant>>;

impl Agent {
    /// Starts a check, unless this machine may not transfer now or has just done one.
    pub(super) fn start_link_check(&self) {
        let mut last = banyan_wire::lock::lock(&self.last_link_check);
        let Some(agent) = self.this.upgrade() else { return };
        if last.is_some_and(|last| last.elapsed() < RETRY) || !self.may_check_link() {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        tokio::spawn(async move { agent.check_link().await });
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
    async fn check_link(self: Arc<Self>) {
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
            *banyan_wire::lock::lock(&self.last_link_check) = None;
            return;
        }
        let Some(down) = begun.and_then(|begun| check.rate(begun.elapsed())) else { return };
        let inputs = self.gates.schedule.inputs();
        let (download, upload_limit) = effective_rates(inputs.choice.as_ref(), &inputs.policy);
        let at_most = down.at_most.into_iter().chain(download).min();
        let at_least = down.at_least.min(at_most.unwrap_or(u64::MAX));
        let sent = api.send_link_check(&LinkCheckReading { at_least, at_most, upload_limit }).await;
        debug!(?down, ?sent, "checked this machine's link");
    }
}
