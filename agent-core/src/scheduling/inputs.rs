//! Everything that decisions depend on, captured once, and the verdicts that follow from it.

use super::decisions::{GateState, to_gate};
use crate::{pipeline::active_order::ActiveOrder, sensors::readings::Readings, user::order_notes::OrderNotes};
use banyan_proto::{
    UnixSeconds,
    local::Scheduling,
    schedule::{Choice, Policy, Stage, Verdict, Wish},
};
use banyan_schedule::{Moment, Situation, Task, deadline, decide, is_background, upload_quota::DailyUsage};
use jiff::tz::TimeZone;
use std::sync::Arc;

/// Everything that decisions depend on, captured once.
pub(crate) struct ScheduleInputs {
    pub(crate) now: Moment,
    pub(crate) readings: Readings,
    pub(crate) usage: DailyUsage,
    pub(crate) choice: Option<Choice>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) zone: TimeZone,
}

impl ScheduleInputs {
    /// Evaluates `ask` for one order, or for the machine in general.
    pub(crate) fn evaluate<T>(&self, task: Option<&Task>, ask: impl FnOnce(&Situation<'_>) -> T) -> T {
        let signals = self.readings.signals();
        ask(&Situation {
            zone: &self.zone,
            signals: &signals,
            choice: self.choice.as_ref(),
            policy: &self.policy,
            usage: &self.usage,
            task,
        })
    }
    /// Returns the verdict on one order. Wishes about receiving and installing are separate; each gate uses its own.
    pub(crate) fn verdict(&self, active: &ActiveOrder, notes: &OrderNotes) -> Verdict {
        let for_wish =
            |wish| self.evaluate(Some(&to_task(active, notes, wish)), |situation| decide(situation, self.now));
        let mut verdict = for_wish(notes.wishes.receive);
        if notes.wishes.install != notes.wishes.receive {
            let other = for_wish(notes.wishes.install);
            verdict.install = other.install;
            verdict.announce.retain(|announcement| announcement.stage != Stage::Install);
            verdict.announce.extend(other.announce.into_iter().filter(|a| a.stage == Stage::Install));
        }
        verdict
    }
    /// Returns when a stage of an order must begin at the latest, whatever the user wishes.
    pub(crate) fn deadline(&self, active: &ActiveOrder, notes: &OrderNotes, stage: Stage) -> Option<UnixSeconds> {
        self.evaluate(Some(&to_task(active, notes, Wish::Unsaid)), |situation| deadline(situation, stage))
    }
    /// Returns whether one order is received in the background.
    pub(super) fn is_background(&self, active: &ActiveOrder, notes: &OrderNotes) -> bool {
        let task = to_task(active, notes, notes.wishes.receive);
        self.evaluate(Some(&task), |situation| is_background(situation, self.now))
    }
    /// Returns whether this machine may forward now.
    pub(crate) fn may_forward(&self) -> GateState {
        to_gate(self.evaluate(None, |situation| decide(situation, self.now)).forward.reason(Stage::Forward))
    }
    /// Returns the scheduling state of the machine in general.
    pub(crate) fn overview(&self) -> Scheduling {
        let over = &self.choice.as_ref().unwrap_or(&self.policy.defaults).overrule;
        Scheduling {
            choice: self.choice.clone(),
            policy: Policy::clone(&self.policy),
            verdict: self.evaluate(None, |situation| decide(situation, self.now)),
            signals: self.readings.to_seen(self.now, over, &self.policy.bounds),
        }
    }
}

/// Describes one order to the schedule, with one wish.
pub(super) fn to_task(active: &ActiveOrder, notes: &OrderNotes, wish: Wish) -> Task {
    let order = &active.order;
    Task { issued: order.issued, seen: notes.seen, window: order.window.clone(), deadline: order.deadline, wish }
}
