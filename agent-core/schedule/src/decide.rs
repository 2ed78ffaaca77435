//! Computes the verdict, and when it can next change without new input.

use crate::{
    Seconds, Situation,
    clock::{Moment, pause_end, seconds, unix},
    conditions::{Evaluation, Obstacle},
    effective_settings::{effective_give_way, effective_settings},
    local_time,
};
use banyan_proto::{
    UnixSeconds,
    schedule::{Announcement, Gate, GiveWay, Limit, Priority, Stage, Verdict, Why, Wish},
};
use std::time::Duration;

/// When to ask for a new verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// Time until then (monotonic, whole seconds). Up to one second late, because the wall clock is given in whole
    /// seconds.
    pub after: Duration,
    /// The wall-clock time then, unless the clock is stepped.
    pub at: UnixSeconds,
}

/// Returns what may be done now. Ask again at [`next_change`], whenever the situation changes, and after the wall clock
/// was stepped.
#[must_use]
pub fn decide(situation: &Situation<'_>, now: Moment) -> Verdict {
    let (evaluation, at) = (evaluation(situation, now), seconds(now.wall));
    let [receive, install, forward] = STAGES.map(|stage| gate(&evaluation, stage, at));
    let announce = [(Stage::Receive, &receive), (Stage::Install, &install)]
        .into_iter()
        .filter(|(_, gate)| !gate.is_open())
        .filter_map(|(stage, _)| announcement(&evaluation, stage, at))
        .collect();
    Verdict { receive, install, forward, announce }
}

/// Returns when the deadline opens a stage of the current order; `None` without a deadline.
#[must_use]
pub fn deadline(situation: &Situation<'_>, stage: Stage) -> Option<UnixSeconds> {
    let now = Moment { wall: UnixSeconds::default(), mono: Duration::ZERO };
    evaluation(situation, now).deadline(stage).map(unix)
}

/// Returns whether the current order is received in the background: no user wants it now, and its deadline has not
/// passed.
#[must_use]
pub fn is_background(situation: &Situation<'_>, now: Moment) -> bool {
    let is_wanted = situation.task.is_some_and(|task| task.wish == Wish::Now);
    let deadline = evaluation(situation, now).deadline(Stage::Receive);
    !is_wanted && deadline.is_none_or(|deadline| seconds(now.wall) < deadline)
}

const STAGES: [Stage; 3] = [Stage::Receive, Stage::Install, Stage::Forward];
/// Maximum number of consecutive closings to examine. Windows, pause, quota and a wish need only a few.
const MAX_CLOSINGS: usize = 64;

fn evaluation<'a>(situation: &'a Situation<'a>, now: Moment) -> Evaluation<'a> {
    Evaluation { situation, settings: effective_settings(situation.choice, situation.policy), mono: now.mono }
}

fn gate(evaluation: &Evaluation<'_>, stage: Stage, at: Seconds) -> Gate {
    let obstacles = evaluation.obstacles(stage, at);
    let Some(strictest) = strictest(&obstacles) else { return Gate::Open { limit: limit(evaluation, stage, at) } };
    match opening(evaluation, stage, at) {
        Opening::At(until) => Gate::Closed { because: strictest.why.clone(), until: Some(unix(until)) },
        Opening::Unforeseen => Gate::Closed { because: strictest.why.clone(), until: None },
        Opening::Never => Gate::Closed { because: Why::NeverMeet, until: None },
    }
}

/// Returns the obstacle to report. One without a foreseeable end ranks first, then the one that ends last, then the one
/// listed first.
fn strictest(obstacles: &[Obstacle]) -> Option<&Obstacle> {
    obstacles.iter().rev().max_by_key(|obstacle| obstacle.ends.unwrap_or(Seconds::MAX))
}

enum Opening {
    At(Seconds),
    /// The end of an obstacle cannot be foreseen.
    Unforeseen,
    /// Each obstacle ends at some time, but never all at once.
    Never,
}

/// Returns when no obstacle is left, if the signals stay the same.
fn opening(evaluation: &Evaluation<'_>, stage: Stage, from: Seconds) -> Opening {
    let mut at = from;
    for _ in 0..MAX_CLOSINGS {
        let obstacles = evaluation.obstacles(stage, at);
        if obstacles.is_empty() {
            return Opening::At(at);
        }
        if obstacles.iter().any(|obstacle| obstacle.ends.is_none()) {
            return Opening::Unforeseen;
        }
        let other =
            obstacles.iter().filter(|obstacle| !obstacle.follows_clock).filter_map(|obstacle| obstacle.ends).max();
        let deadline = evaluation.deadline(stage).filter(|deadline| *deadline > at);
        let windows = if obstacles.iter().any(|obstacle| obstacle.follows_clock) {
            let together = evaluation.windows_open(stage, at).into_iter().chain(deadline).min();
            let Some(together) = together else { return Opening::Never };
            Some(together)
        } else {
            None
        };
        at = other.into_iter().chain(windows).max().unwrap_or(at).max(at + 1);
    }
    Opening::Unforeseen
}

fn limit(evaluation: &Evaluation<'_>, stage: Stage, at: Seconds) -> Limit {
    let rate = match stage {
        Stage::Receive => evaluation.settings.download,
        Stage::Forward => evaluation.settings.upload,
        Stage::Install => None,
    };
    let deadline = evaluation
        .deadline(stage)
        .filter(|deadline| at >= *deadline && evaluation.is_closed_without_deadline(stage, at));
    let wanted_now = stage != Stage::Forward && evaluation.situation.task.is_some_and(|task| task.wish == Wish::Now);
    let to_nobody = effective_give_way(evaluation.situation.choice, evaluation.situation.policy) == GiveWay::Nobody;
    let priority = if wanted_now || deadline.is_some() || to_nobody { Priority::Full } else { Priority::Yielding };
    Limit { rate, priority, deadline: deadline.map(unix) }
}

fn announcement(evaluation: &Evaluation<'_>, stage: Stage, at: Seconds) -> Option<Announcement> {
    let deadline = evaluation.deadline(stage).filter(|deadline| at < *deadline)?;
    let due =
        evaluation.situation.policy.deadline.announce.iter().filter(|before| at >= deadline - i64::from(**before));
    Some(Announcement { stage, at: unix(deadline), before: *due.min()? })
}

/// Returns when the verdict can next change without new input: never later than it does, and rarely sooner. `None`
/// means never, as long as the situation stays the same.
#[must_use]
pub fn next_change(situation: &Situation<'_>, now: Moment) -> Option<Wake> {
    let (evaluation, at) = (evaluation(situation, now), seconds(now.wall));
    let mut times = Vec::new();
    for stage in STAGES {
        let weeks = evaluation.windows(stage).into_iter().filter_map(|window| window.week());
        times.extend(weeks.filter_map(|week| local_time::next_edge(&week, situation.zone, at)));
        if let Some(deadline) = evaluation.deadline(stage) {
            times.push(deadline);
            times.extend(situation.policy.deadline.announce.iter().map(|before| deadline - i64::from(*before)));
        }
    }
    times.extend(
        evaluation.settings.choice.pause.and_then(|p| pause_end(p, situation.policy.bounds.pause, situation.zone)),
    );
    if let Some(Wish::After(time)) = situation.task.map(|task| task.wish) {
        times.push(seconds(time));
    }
    if evaluation.settings.quota.is_some() {
        times.push(local_time::day_after_begins(situation.zone, at, local_time::day(situation.zone, at)));
    }
    let by_wall = times.into_iter().filter(|time| *time > at).min();
    let by_wall = by_wall.map(|time| Duration::from_secs((time - at).unsigned_abs()));
    let by_age = situation.signals.next_stale(now.mono).map(|stale| stale - now.mono);
    let after = by_wall.into_iter().chain(by_age).min()?;
    Some(Wake { after, at: now.wall.plus(after.as_secs()) })
}
