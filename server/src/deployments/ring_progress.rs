//! What the machines of each ring have shown, and what the rings' gates say about it. Pure.

use crate::{
    deployments::gate::{GateFailure, Outcome, RingFacts, RingPosition, RingReport, Verdict, judge},
    store::{AddresseeRow, DeploymentRow, TargetProgress},
};
use banyan_proto::{
    MachineId, Reason, UnixSeconds,
    admin::{DeploymentState, MissingProof, RingVerdict, Stage, Totals},
    order::Spread,
    rollout::{FailureLimit, Gates},
};

/// The most failed machines that are named.
const NAMED: usize = 3;

/// The machines of one ring.
#[derive(Debug, Clone, Default)]
pub(crate) struct RingProgress {
    /// What its gate judges.
    pub(crate) facts: RingFacts,
    /// Where its machines are.
    pub(crate) totals: Totals,
    /// The first machines on which the release failed, by the time of their reports.
    failed: Vec<(UnixSeconds, MachineId)>,
}

impl RingProgress {
    /// Returns the first machines on which the release failed, at most three.
    pub(crate) fn first_failed(&self) -> Vec<MachineId> {
        let mut failed = self.failed.clone();
        failed.sort_unstable();
        failed.into_iter().take(NAMED).map(|(_, machine)| machine).collect()
    }
}

/// Returns whether a machine that ended for this reason no longer takes part, so that it has neither succeeded nor failed.
pub(crate) fn is_exclusion(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::OrderSuperseded
            | Reason::Revoked
            | Reason::Retired
            | Reason::Cancelled
            | Reason::WrongPlatform
            | Reason::EpochBack
            | Reason::Withdrawn
    )
}

/// Counts a machine where it is.
pub(crate) fn count_in(totals: &mut Totals, progress: Option<&AddresseeRow>, is_online: bool) {
    match progress {
        None => totals.excluded += 1,
        Some(row) => count_at(totals, row.stage, row.reason, is_online),
    }
}

/// Counts a machine that has an order.
pub(crate) fn count_at(totals: &mut Totals, stage: Stage, reason: Option<Reason>, is_online: bool) {
    let counter = match (stage, reason) {
        (Stage::Installed, _) => &mut totals.done,
        (Stage::Failed, Some(reason)) if is_exclusion(reason) => &mut totals.excluded,
        (Stage::Failed, _) => &mut totals.failed,
        _ if is_online => &mut totals.open,
        _ => &mut totals.unreachable,
    };
    *counter += 1;
}

/// Returns the progress of each ring.
pub(crate) fn ring_progress(
    targets: &[TargetProgress],
    rings: u32,
    is_online: impl Fn(MachineId) -> bool,
) -> Vec<RingProgress> {
    let mut all = vec![RingProgress::default(); usize::try_from(rings.max(1)).unwrap_or(1)];
    for TargetProgress { target, is_accepted, progress } in targets {
        let Some(ring) = usize::try_from(target.ring).ok().and_then(|ring| all.get_mut(ring)) else { continue };
        let is_online = is_online(target.machine);
        count_in(&mut ring.totals, progress.as_ref(), is_online);
        let Some(row) = progress else { continue };
        let outcome = match (row.stage, row.reason) {
            (Stage::Failed, Some(reason)) if is_exclusion(reason) => {
                ring.facts.excluded += 1;
                continue;
            }
            (Stage::Installed, _) => Some(Outcome::Worked).filter(|_| !row.had_it),
            (Stage::Failed, _) if *is_accepted => Some(Outcome::Accepted),
            (Stage::Failed, reason) => Some(Outcome::Failed(reason.unwrap_or(Reason::InternalError))),
            _ => {
                ring.facts.open += u32::from(is_online);
                ring.facts.unfinished += 1;
                None
            }
        };
        ring.facts.machines += 1;
        let Some(outcome) = outcome else { continue };
        let at = row.ended.unwrap_or_default();
        if matches!(outcome, Outcome::Failed(reason) if reason.tells_against_release()) {
            ring.failed.push((at, target.machine));
        }
        ring.facts.reports.push(RingReport { at, outcome });
    }
    all
}

/// What must happen to a deployment because of its gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateStep {
    /// Failures of this ring halt it.
    Halt(u32, GateFailure),
    /// The ring after the open one opens.
    OpenNext,
    /// Nothing yet. If only a soak time is missing, it ends then.
    Wait(Option<UnixSeconds>),
    /// The gate of the open ring cannot pass without an administrator.
    Blocked,
}

/// Returns the gates that apply. With these spreads, one failure stops all further installations, so it also halts the
/// deployment: otherwise its gate would wait for ever.
fn gates_of(deployment: &DeploymentRow) -> Gates {
    let gates = deployment.request.rollout.gates;
    match deployment.request.spread {
        Spread::Proven | Spread::AfterInstall => Gates { max_failures: Some(FailureLimit::Machines(0)), ..gates },
        Spread::CutThrough | Spread::Verified => gates,
    }
}

fn position(deployment: &DeploymentRow, ring: u32) -> RingPosition {
    RingPosition { is_first: ring == 0, since: deployment.ring_since }
}

/// Judges all open rings: failures of any of them halt the deployment; the last open one decides about the next.
pub(crate) fn next_step(deployment: &DeploymentRow, progress: &[RingProgress], now: UnixSeconds) -> GateStep {
    let gates = &gates_of(deployment);
    let mut last = Verdict::Undecided(MissingProof::default());
    for (ring, of_ring) in (0..=deployment.open_ring).zip(progress) {
        last = judge(position(deployment, ring), &of_ring.facts, gates, now);
        if let Verdict::Fail(failure) = last {
            return GateStep::Halt(ring, failure);
        }
    }
    match last {
        Verdict::Pass if deployment.open_ring + 1 < deployment.rings => GateStep::OpenNext,
        Verdict::Undecided(missing) if deployment.open_ring + 1 < deployment.rings => {
            if missing.nobody_left {
                GateStep::Blocked
            } else {
                GateStep::Wait(missing.soak_ends)
            }
        }
        Verdict::Pass | Verdict::Fail(_) | Verdict::Undecided(_) => GateStep::Wait(None),
    }
}

/// Returns what administrators see of a ring's gate.
pub(crate) fn verdict_of(
    deployment: &DeploymentRow,
    ring: u32,
    progress: &RingProgress,
    now: UnixSeconds,
) -> RingVerdict {
    if deployment.halt.as_ref().is_some_and(|halt| halt.ring == Some(ring + 1)) {
        return RingVerdict::Failed;
    }
    let has_ended = matches!(deployment.state, DeploymentState::Cancelled | DeploymentState::Superseded);
    if has_ended && ring >= deployment.open_ring {
        return RingVerdict::Ended;
    }
    if ring > deployment.open_ring {
        return RingVerdict::Waits;
    }
    if ring < deployment.open_ring {
        return RingVerdict::Passed;
    }
    if ring + 1 == deployment.rings {
        let is_over = deployment.state == DeploymentState::Finished;
        return if is_over { RingVerdict::Passed } else { RingVerdict::Open };
    }
    match judge(position(deployment, ring), &progress.facts, &gates_of(deployment), now) {
        Verdict::Undecided(missing) => RingVerdict::Undecided(missing),
        Verdict::Fail(_) => RingVerdict::Failed,
        // The next ring opens with the next look.
        Verdict::Pass => RingVerdict::Undecided(MissingProof { since: deployment.ring_since, ..Default::default() }),
    }
}

/// Says what a gate lacks, in words, such as "waits for 3 more reports".
pub(crate) fn describe_missing(missing: &MissingProof, now: UnixSeconds) -> String {
    if missing.nobody_left {
        return "cannot pass, because nobody is left to report: retry, promote or cancel the deployment".to_owned();
    }
    if missing.reports > 0 {
        let reports = if missing.reports == 1 { "report" } else { "reports" };
        return format!("waits for {} more {reports}", missing.reports);
    }
    if let Some(percent) = missing.success_percent {
        return format!("waits for more successes: {percent}% of the reports so far");
    }
    match missing.soak_ends {
        Some(ends) => format!("soaks for {}", describe_seconds(ends.0.saturating_sub(now.0))),
        None => "has passed".to_owned(),
    }
}

/// Formats a length of time with one unit, rounded up.
fn describe_seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}
