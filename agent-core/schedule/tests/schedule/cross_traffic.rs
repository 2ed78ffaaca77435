//! Yielding to other programs on this machine, on a link that is shared in proportion to demand.

use crate::case::{Case, unix};
use banyan_proto::schedule::{Gate, GiveWay, Priority};
use banyan_schedule::cross_traffic::CrossTraffic;
use std::time::Duration;

const STEP: Duration = Duration::from_millis(100);
const LINK: f64 = 2_500_000.0;

/// Other traffic: how much it wants in a step, given what it got in the last one.
type Wants = fn(second: f64, got: f64) -> f64;

struct Measured {
    ours: f64,
    theirs: f64,
    /// Steps without a limit.
    free: u32,
    steps: u32,
}

/// Runs for `seconds`, and counts from `from` on. `late` of our bytes are counted by us a step before the interface
/// does.
fn run(slack: u64, seconds: u32, from: f64, late: f64, wants: Wants) -> Measured {
    let mut traffic = CrossTraffic::new(Duration::from_millis(slack), Duration::ZERO);
    let mut measured = Measured { ours: 0.0, theirs: 0.0, free: 0, steps: 0 };
    let (mut got, mut queued) = (0.0, 0.0);
    for step in 1..=seconds * 10 {
        let now = STEP * step;
        let second = now.as_secs_f64();
        let may = traffic.limit().map_or(LINK, |limit| (limit as f64).min(LINK)) / 10.0;
        let theirs = wants(second, got);
        let over = ((may + theirs) / (LINK / 10.0)).max(1.0);
        let (ours, theirs) = (may / over, theirs / over);
        got = theirs;
        // A queue of our own bytes in front of the interface, filled and emptied every other second.
        let hold = if late > 0.0 && (second as u32).is_multiple_of(2) { late.min(ours) } else { 0.0 };
        let passed = ours + queued - hold + theirs;
        queued = hold;
        traffic.record(now, ours as u64, passed as u64);
        if second > from {
            measured.ours += ours;
            measured.theirs += theirs;
            measured.free += u32::from(traffic.limit().is_none());
            measured.steps += 1;
        }
    }
    measured
}

#[test]
fn without_other_traffic_there_is_no_limit_despite_our_own_queue() {
    let measured = run(80, 30, 0.0, 0.0, |_, _| 0.0);
    assert_eq!(measured.free, measured.steps);
    let measured = run(100, 30, 0.0, 0.08 * LINK, |_, _| 0.0);
    assert_eq!(measured.free, measured.steps, "our own queue was mistaken for other traffic");
}

/// With busy processors we learn of bytes late, sometimes of many, and then of all at once.
#[test]
fn bytes_counted_late_are_not_mistaken_for_other_traffic() {
    let mut traffic = CrossTraffic::new(Duration::from_millis(80), Duration::ZERO);
    let mut owed = 0.0;
    for step in 1..=600_u32 {
        let came = LINK / 10.0;
        let ours = match step % 37 {
            0 => 0.0,
            1 => 0.3 * came,
            _ => came + owed,
        };
        owed = owed + came - ours;
        traffic.record(STEP * step, ours as u64, came as u64);
        assert_eq!(traffic.limit(), None, "at step {step}");
    }
}

#[test]
fn a_flow_that_takes_everything_keeps_nearly_everything() {
    for slack in [80, 100] {
        // One flow that starts at once, and one that takes half a minute to grow. Alone, the latter would have 0.96.
        let quick = run(slack, 70, 10.0, 0.0, |second, _| if second < 10.0 { 0.0 } else { LINK / 10.0 });
        let slow =
            run(
                slack,
                130,
                10.0,
                0.0,
                |second, got| {
                    if second < 10.0 { 0.0 } else { (1.02 * got).clamp(LINK / 100.0, LINK / 10.0) }
                },
            );
        for (measured, least) in [(quick, 0.93), (slow, 0.87)] {
            let kept = measured.theirs / (LINK * f64::from(measured.steps) / 10.0);
            assert!(kept >= least, "{kept:.3} with slack {slack}");
            assert!(measured.ours > 0.0, "connections must stay alive");
        }
    }
}

#[test]
fn a_video_gets_all_it_wants_and_the_transfer_most_of_the_rest() {
    const VIDEO: f64 = 0.25 * LINK;
    let measured = run(80, 90, 10.0, 0.0, |second, _| if second < 10.0 { 0.0 } else { VIDEO / 10.0 });
    let seconds = f64::from(measured.steps) / 10.0;
    assert!(measured.theirs >= 0.98 * VIDEO * seconds, "{:.3}", measured.theirs / VIDEO / seconds);
    let rest = (LINK - VIDEO) * seconds;
    assert!(measured.ours >= 0.6 * rest, "{:.3} of the rest", measured.ours / rest);
}

#[test]
fn the_limit_is_lifted_soon_after_other_traffic_ends() {
    let measured = run(80, 60, 35.0, 0.0, |second, _| if (10.0..30.0).contains(&second) { LINK / 10.0 } else { 0.0 });
    assert!(
        measured.free + 200 >= measured.steps && measured.ours >= 0.80 * LINK * 25.0,
        "{:.3}",
        measured.ours / LINK / 25.0
    );
}

#[test]
fn transfers_yield_to_nothing_only_if_choice_and_policy_allow_it() {
    let mut case = Case::default();
    let priority = |case: &Case| match case.decide(unix("2026-01-14T12:00Z")).receive {
        Gate::Open { limit } => limit.priority,
        Gate::Closed { because, .. } => panic!("{because:?}"),
    };
    assert_eq!(priority(&case), Priority::Yielding, "it yields by default");
    case.choice().give_way = GiveWay::Nobody;
    assert_eq!(priority(&case), Priority::Full);
    case.policy.give_way = GiveWay::Programs;
    assert_eq!(priority(&case), Priority::Yielding);
}
