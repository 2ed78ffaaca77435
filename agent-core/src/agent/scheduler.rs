//! The scheduler: measures conditions while there is work, evaluates the schedule, and has the decisions passed on.
//!
//! It wakes when a user chooses something, when an order arrives or ends, when the verdict is due to change, when the
//! clock is set or the computer wakes, when the time zone changes, and, while there is work, to measure again. Otherwise
//! it sleeps.

use super::Agent;
use crate::scheduling::measuring::{Measuring, WorkState};
use banyan_schedule::ClockWatch;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Applies the schedule until the task is dropped. `idle_after` is the quiet time after which the machine counts as
/// idle.
pub(crate) async fn run(agent: Arc<Agent>, idle_after: Duration) {
    let (user, schedule) = (&agent.user, &agent.gates.schedule);
    let mut measuring = Measuring::new(Arc::clone(&agent.sensors), idle_after);
    let mut clock = ClockWatch::new(agent.sensors.now());
    let mut was_urgent = false;
    let mut steps = agent.changes.clock();
    loop {
        if let Some(step) = clock.detect_step(agent.sensors.now()) {
            user.preferences.adjust_to_clock_step(step);
        }
        let orders = agent.orders.all();
        let has_work = schedule.has_work(&agent.orders);
        measuring.measure_when_due(WorkState {
            has_work,
            needs_idleness: schedule.needs_idleness(&agent.orders),
            is_installing: orders.iter().any(|active| user.history.notes(active.order.id).is_installing),
        });
        user.upload_quota.store_when_due(user.daily_quota().is_some(), !has_work);
        let inputs = schedule.inputs();
        agent.gates.decide_all(&inputs);
        let next_change = schedule.next_change(&inputs, &agent.orders);
        let urgencies = agent.orders.all().into_iter().map(|active| schedule.urgency(&inputs, &active));
        let is_urgent = urgencies.into_iter().any(|urgency| urgency.receive || urgency.install);
        if std::mem::replace(&mut was_urgent, is_urgent) != is_urgent {
            banyan_install_helper::priority::set_low_priority(!is_urgent);
        }
        let until_measurement = has_work.then(|| measuring.time_until_due());
        let wait = until_measurement.into_iter().chain(next_change.map(|wake| wake.after)).min();
        // A wait for an hour of the day is on monotonic time, which stands still during sleep and ignores steps.
        let woken = async {
            tokio::select! {
                () = agent.notifier.decision_requested() => {}
                _ = steps.changed() => {}
            }
        };
        match wait {
            Some(wait) => drop(timeout(wait, woken).await),
            None => woken.await,
        }
    }
}
