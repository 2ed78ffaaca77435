//! The gate of a ring: whether what its machines have shown opens the next ring, halts the deployment, or is not enough
//! for either. Pure: counts and times go in, a verdict comes out. `docs/deployments.md` explains the rules.

use banyan_proto::{
    Reason, UnixSeconds,
    admin::MissingProof,
    rollout::{
        DEFAULT_FAILURE_PERCENT, DEFAULT_SOAK_SECONDS, DEFAULT_SUCCESS_PERCENT, FailureLimit, Gates, SAME_FAILURES,
    },
};
use std::collections::BTreeMap;

/// How a machine's last attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The release works there.
    Worked,
    /// It failed there.
    Failed(Reason),
    /// It failed there, and an administrator resumed the deployment in spite of it.
    Accepted,
}

/// The end of a machine's last attempt. Earlier attempts of the same machine do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingReport {
    pub(crate) at: UnixSeconds,
    pub(crate) outcome: Outcome,
}

/// What is known of the machines of one ring. Machines that no longer take part are left out, and those that had the
/// release before are in `machines` alone: their success proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RingFacts {
    /// How many machines the ring has.
    pub(crate) machines: u32,
    /// How many of them have not ended and are connected to the server.
    pub(crate) open: u32,
    /// How many of them have not ended, connected or not.
    pub(crate) unfinished: u32,
    /// How many machines of the ring no longer take part.
    pub(crate) excluded: u32,
    /// How the others have ended.
    pub(crate) reports: Vec<RingReport>,
}

/// Which ring it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingPosition {
    pub(crate) is_first: bool,
    /// Since when it is open.
    pub(crate) since: UnixSeconds,
}

/// Failures that halt the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GateFailure {
    /// How many machines failed because of the release.
    pub(crate) failed: u32,
    /// How many machines the ring has.
    pub(crate) of: u32,
    /// The most frequent reason.
    pub(crate) reason: Reason,
    /// Whether it is the number of equal failures that halts it.
    pub(crate) is_same: bool,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The next ring may open.
    Pass,
    /// The deployment must be halted.
    Fail(GateFailure),
    /// Neither yet.
    Undecided(MissingProof),
}

/// Returns the verdict about a ring that is open.
pub(crate) fn judge(ring: RingPosition, facts: &RingFacts, gates: &Gates, now: UnixSeconds) -> Verdict {
    if let Some(failure) = find_failure(ring, facts, gates) {
        return Verdict::Fail(failure);
    }
    let missing = MissingProof { since: ring.since, nobody_left: facts.unfinished == 0, ..MissingProof::default() };
    // An empty ring lets nobody wait: its machines are all in the rings before. One that has lost all of its machines has
    // proved nothing.
    if facts.machines == 0 && facts.excluded == 0 {
        return Verdict::Pass;
    }
    let reports = count(facts.reports.len());
    let needed = gates.min_reports.unwrap_or(reports.saturating_add(facts.open)).max(1);
    if reports < needed {
        return Verdict::Undecided(MissingProof { reports: needed - reports, ..missing });
    }
    let Some(complete) = complete_since(facts, needed, gates) else {
        let success_percent = Some(success_percent(facts.reports.iter()));
        return Verdict::Undecided(MissingProof { success_percent, ..missing });
    };
    let soak_ends = complete.max(ring.since).plus(gates.soak_seconds.unwrap_or(DEFAULT_SOAK_SECONDS));
    if now < soak_ends {
        return Verdict::Undecided(MissingProof { soak_ends: Some(soak_ends), nobody_left: false, ..missing });
    }
    Verdict::Pass
}

/// Returns the failures that halt the deployment, if there are enough.
fn find_failure(ring: RingPosition, facts: &RingFacts, gates: &Gates) -> Option<GateFailure> {
    let mut reasons = BTreeMap::<Reason, u32>::new();
    for report in &facts.reports {
        if let Outcome::Failed(reason) = report.outcome
            && reason.tells_against_release()
        {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let failed: u32 = reasons.values().sum();
    let (reason, most) = reasons.into_iter().max_by_key(|(_, count)| *count)?;
    let default = if ring.is_first { FailureLimit::Machines(0) } else { FailureLimit::Share(DEFAULT_FAILURE_PERCENT) };
    let limit = gates.max_failures.unwrap_or(default);
    let exceeds = match limit {
        FailureLimit::Machines(most) => failed > most,
        FailureLimit::Share(percent) => {
            u64::from(failed) * 100 > u64::from(facts.machines.max(failed)) * u64::from(percent)
        }
    };
    // Whoever gives a number means that number; a share of a large ring is reached late.
    let is_same = !exceeds && matches!(limit, FailureLimit::Share(_)) && most >= SAME_FAILURES;
    (exceeds || is_same).then_some(GateFailure { failed, of: facts.machines, reason, is_same })
}

/// Returns since when enough machines have reported and enough of them have succeeded.
fn complete_since(facts: &RingFacts, needed: u32, gates: &Gates) -> Option<UnixSeconds> {
    let mut reports = facts.reports.clone();
    reports.sort_by_key(|report| report.at);
    let percent = gates.success_percent.unwrap_or(DEFAULT_SUCCESS_PERCENT);
    let mut since = None;
    for (at, report) in reports.iter().enumerate() {
        let is_complete = count(at + 1) >= needed && has_succeeded(reports[..=at].iter(), percent);
        match (is_complete, since) {
            (true, None) => since = Some(report.at),
            (false, Some(_)) => since = None,
            (true, Some(_)) | (false, None) => {}
        }
    }
    since
}

/// Counts successes among the reports that an administrator has not accepted in spite of a failure.
fn successes<'a>(reports: impl Iterator<Item = &'a RingReport>) -> (u64, u64) {
    let mut counted = (0, 0);
    for report in reports {
        match report.outcome {
            Outcome::Worked => counted = (counted.0 + 1, counted.1 + 1),
            Outcome::Failed(_) => counted.1 += 1,
            Outcome::Accepted => {}
        }
    }
    counted
}

/// Without any success nothing is proved, whatever an administrator has accepted.
fn has_succeeded<'a>(reports: impl Iterator<Item = &'a RingReport>, percent: u8) -> bool {
    let (worked, all) = successes(reports);
    worked > 0 && worked * 100 >= all * u64::from(percent)
}

/// Returns the share of successes, rounded down.
fn success_percent<'a>(reports: impl Iterator<Item = &'a RingReport>) -> u8 {
    let (worked, all) = successes(reports);
    u8::try_from(worked * 100 / all.max(1)).unwrap_or(100)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: UnixSeconds = UnixSeconds(1000);
    const FIRST: RingPosition = RingPosition { is_first: true, since: SINCE };
    const LATER: RingPosition = RingPosition { is_first: false, since: SINCE };
    const NO_SOAK: Gates =
        Gates { min_reports: None, success_percent: None, soak_seconds: Some(0), max_failures: None };

    /// Reports at 1001, 1002, …: `+` works, `-` fails its probe, `d` fails for a reason of the machine, `a` is accepted.
    fn facts(machines: u32, open: u32, reports: &str) -> RingFacts {
        let report = |(at, sign): (usize, char)| RingReport {
            at: SINCE.plus(at as u64 + 1),
            outcome: match sign {
                '+' => Outcome::Worked,
                '-' => Outcome::Failed(Reason::ProbeFailed),
                'i' => Outcome::Failed(Reason::InstallFailed),
                'd' => Outcome::Failed(Reason::DiskFailed),
                _ => Outcome::Accepted,
            },
        };
        let reports: Vec<RingReport> = reports.chars().enumerate().map(report).collect();
        RingFacts { machines, open, unfinished: machines.saturating_sub(count(reports.len())), excluded: 0, reports }
    }

    fn later() -> UnixSeconds {
        SINCE.plus(1_000_000)
    }

    fn missing_reports(verdict: Verdict) -> Option<u32> {
        match verdict {
            Verdict::Undecided(missing) if missing.success_percent.is_none() && missing.soak_ends.is_none() => {
                Some(missing.reports)
            }
            _ => None,
        }
    }

    #[test]
    fn a_gate_waits_for_its_minimum_and_for_all_that_are_reachable_by_default() {
        let with = |min_reports| Gates { min_reports, ..NO_SOAK };
        // Nobody has reported: neither a pass nor a failure, even if nobody is reachable.
        assert_eq!(missing_reports(judge(FIRST, &facts(5, 5, ""), &NO_SOAK, later())), Some(5));
        assert_eq!(missing_reports(judge(FIRST, &facts(5, 0, ""), &NO_SOAK, later())), Some(1));
        assert_eq!(missing_reports(judge(FIRST, &facts(5, 3, "+"), &NO_SOAK, later())), Some(3));
        // The other four are unreachable.
        assert_eq!(judge(FIRST, &facts(5, 0, "+"), &NO_SOAK, later()), Verdict::Pass);
        // 0, 1, one less than the minimum, the minimum.
        for (reports, expected) in [("", Some(3)), ("+", Some(2)), ("++", Some(1)), ("+++", None), ("++++", None)] {
            let verdict = judge(LATER, &facts(9, 5, reports), &with(Some(3)), later());
            assert_eq!(missing_reports(verdict), expected, "{reports}");
            assert_eq!(verdict == Verdict::Pass, expected.is_none(), "{reports}");
        }
        // Machines that had the release before are no reports.
        assert_eq!(missing_reports(judge(FIRST, &facts(2, 0, ""), &NO_SOAK, later())), Some(1));
        assert_eq!(judge(LATER, &facts(0, 0, ""), &NO_SOAK, SINCE), Verdict::Pass, "an empty ring");
    }

    #[test]
    fn a_success_share_exactly_at_the_limit_passes() {
        let gates = |percent| Gates {
            success_percent: Some(percent),
            max_failures: Some(FailureLimit::Machines(100)),
            ..NO_SOAK
        };
        for (reports, percent, passes) in
            [("+++-", 75, true), ("+++-", 76, false), ("++--", 75, false), ("d+++", 75, true), ("-", 1, false)]
        {
            let verdict = judge(LATER, &facts(4, 0, reports), &gates(percent), later());
            assert_eq!(verdict == Verdict::Pass, passes, "{reports} at {percent}%: {verdict:?}");
        }
        let Verdict::Undecided(missing) = judge(LATER, &facts(4, 0, "++--"), &gates(75), later()) else {
            panic!("undecided")
        };
        assert_eq!((missing.success_percent, missing.reports), (Some(50), 0));
    }

    #[test]
    fn any_failure_of_the_release_halts_the_first_ring_and_more_than_a_share_a_later_one() {
        let fails = |ring, facts: &RingFacts, gates: &Gates| match judge(ring, facts, gates, later()) {
            Verdict::Fail(failure) => Some((failure.failed, failure.of, failure.reason)),
            _ => None,
        };
        assert_eq!(fails(FIRST, &facts(30, 29, "-"), &NO_SOAK), Some((1, 30, Reason::ProbeFailed)));
        assert_eq!(fails(FIRST, &facts(30, 29, "d"), &NO_SOAK), None, "the machine is the cause");
        // 5 % of 20 machines is 1.
        assert_eq!(fails(LATER, &facts(20, 19, "-"), &NO_SOAK), None);
        assert_eq!(fails(LATER, &facts(19, 18, "-"), &NO_SOAK), Some((1, 19, Reason::ProbeFailed)));
        assert_eq!(fails(LATER, &facts(20, 18, "-i"), &NO_SOAK).map(|(failed, ..)| failed), Some(2));
        let with = |limit: &str| Gates { max_failures: Some(limit.parse().unwrap()), ..NO_SOAK };
        for (limit, reports, halts) in
            [("0", "-", true), ("1", "-", false), ("1", "--", true), ("10%", "--", false), ("10%", "-i-", true)]
        {
            assert_eq!(fails(FIRST, &facts(20, 10, reports), &with(limit)).is_some(), halts, "{limit} {reports}");
        }
        assert_eq!(fails(LATER, &facts(0, 0, "-"), &NO_SOAK).map(|(failed, ..)| failed), Some(1));
    }

    #[test]
    fn three_failures_for_the_same_reason_halt_before_the_share_does() {
        let judge = |reports, limit: &str| {
            let gates = Gates { max_failures: Some(limit.parse().unwrap()), ..NO_SOAK };
            judge(LATER, &facts(1000, 900, reports), &gates, later())
        };
        let halts = |reports, limit| matches!(judge(reports, limit), Verdict::Fail(GateFailure { is_same: true, .. }));
        assert!(!halts("--", "5%") && !halts("--i", "5%"), "two are alike");
        assert!(halts("---", "5%") && halts("i-+i-d-", "5%"));
        assert!(!halts("---", "10"), "the administrator gave a number");
    }

    #[test]
    fn the_soak_time_begins_with_the_last_needed_report() {
        let gates = Gates { soak_seconds: Some(60), min_reports: Some(2), ..Gates::default() };
        // The second report, at 1002, was the last that was needed.
        let soak_ends = |verdict| match verdict {
            Verdict::Undecided(missing) => missing.soak_ends,
            _ => None,
        };
        let ring = facts(9, 3, "++++");
        assert_eq!(soak_ends(judge(LATER, &ring, &gates, UnixSeconds(1061))), Some(UnixSeconds(1062)));
        assert_eq!(judge(LATER, &ring, &gates, UnixSeconds(1062)), Verdict::Pass);
        // A failure that takes the share below its limit lets the time begin anew.
        let gates = Gates { success_percent: Some(75), max_failures: Some(FailureLimit::Machines(9)), ..gates };
        let ring = facts(9, 3, "++-+");
        assert_eq!(soak_ends(judge(LATER, &ring, &gates, UnixSeconds(1010))), Some(UnixSeconds(1064)));
        // Machines of a ring can have reported before it opened: what counts begins with the opening.
        let early =
            RingFacts { reports: vec![RingReport { at: UnixSeconds(5), outcome: Outcome::Worked }], ..facts(1, 0, "") };
        let gates = Gates { soak_seconds: Some(60), ..Gates::default() };
        assert_eq!(soak_ends(judge(LATER, &early, &gates, SINCE)), Some(SINCE.plus(60)));
    }

    #[test]
    fn a_gate_says_when_nobody_is_left_who_could_report() {
        let nobody_left = |facts: &RingFacts, gates: &Gates| match judge(LATER, facts, gates, later()) {
            Verdict::Undecided(missing) => missing.nobody_left,
            verdict => panic!("{verdict:?}"),
        };
        let gates = Gates { max_failures: Some(FailureLimit::Machines(9)), ..NO_SOAK };
        assert!(nobody_left(&facts(4, 0, "++--"), &gates));
        assert!(!nobody_left(&facts(5, 0, "++--"), &gates), "one is unreachable");
        let had_it = RingFacts { machines: 1, ..RingFacts::default() };
        assert!(nobody_left(&had_it, &NO_SOAK), "it had the release before");
        let lost = RingFacts { excluded: 1, ..RingFacts::default() };
        assert!(nobody_left(&lost, &NO_SOAK), "its only machine was revoked");
        let soaks = Gates { soak_seconds: Some(u64::from(u32::MAX)), ..NO_SOAK };
        assert!(!nobody_left(&facts(1, 0, "+"), &soaks), "time will pass");
    }

    #[test]
    fn accepted_failures_no_longer_halt_and_count_for_the_minimum_alone() {
        let ring = facts(4, 0, "a+++");
        assert_eq!(judge(FIRST, &ring, &NO_SOAK, later()), Verdict::Pass);
        let gates = Gates { min_reports: Some(2), ..NO_SOAK };
        assert!(
            matches!(judge(FIRST, &facts(4, 2, "aa"), &gates, later()), Verdict::Undecided(_)),
            "nothing is proved"
        );
        assert_eq!(judge(FIRST, &facts(4, 1, "aa+"), &gates, later()), Verdict::Pass);
        assert!(matches!(judge(FIRST, &facts(4, 1, "aa-"), &gates, later()), Verdict::Fail(_)), "a new one");
    }
}
