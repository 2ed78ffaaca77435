//! The daily upload quota is never exceeded: not by bytes in flight, not after a crash, not when the clock is set back.
//! Days are local days.

use crate::case::{Case, unix, zone};
use banyan_proto::{
    UnixSeconds,
    schedule::{By, Gate, Why},
};
use banyan_schedule::upload_quota::{DailyUsage, QuotaRefusal};
use jiff::tz::TimeZone;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// Takes bytes as a sender does: stores first if required. `disk` receives what was stored last. Returns whether the
/// quota granted them.
fn take(
    usage: &mut DailyUsage,
    disk: &mut Vec<banyan_proto::schedule::DayUse>,
    zone: &TimeZone,
    now: UnixSeconds,
    bytes: u64,
    quota: u64,
) -> bool {
    match usage.take(zone, now, bytes, Some(quota)) {
        Err(QuotaRefusal::WriteFirst) => {
            let (rows, stored) = usage.write_ahead(zone, now, bytes);
            *disk = rows;
            usage.confirm_stored(stored);
            usage.take(zone, now, bytes, Some(quota)).expect("a reserve was just stored");
            true
        }
        Err(QuotaRefusal::Quota) => false,
        Ok(()) => true,
    }
}

/// Sends megabytes until one is refused. Returns how many were sent.
fn send_all(usage: &mut DailyUsage, zone: &TimeZone, now: UnixSeconds, quota: u64) -> u64 {
    let mut disk = vec![];
    let mut sent = 0;
    while take(usage, &mut disk, zone, now, MIB, quota) {
        sent += 1;
    }
    sent
}

#[test]
fn bytes_given_back_are_available_again() {
    let (mut usage, mut disk, now) = (DailyUsage::default(), vec![], unix("2026-01-14T12:00Z"));
    let mut take = |usage: &mut DailyUsage| take(usage, &mut disk, &TimeZone::UTC, now, MIB, 3 * MIB);
    assert!(take(&mut usage) && take(&mut usage) && take(&mut usage));
    assert!(!take(&mut usage), "bytes in flight count");
    assert_eq!(usage.give_back(&TimeZone::UTC, now, MIB), MIB);
    assert!(take(&mut usage), "unsent bytes are available again");
    assert!(!take(&mut usage));
    let days = usage.days();
    assert_eq!((days.len(), days[0].day.as_str(), days[0].given), (1, "2026-01-14", 3 * MIB));
}

#[test]
fn days_are_local_and_change_with_daylight_saving() {
    let berlin = crate::case::berlin();
    for (last, first) in [
        ("2026-03-28T23:59:59+01:00", "2026-03-29T00:00:00+01:00"),
        ("2026-03-29T23:59:59+02:00", "2026-03-30T00:00:00+02:00"),
        ("2026-10-25T23:59:59+01:00", "2026-10-26T00:00:00+01:00"),
    ] {
        let mut usage = DailyUsage::default();
        assert_eq!(send_all(&mut usage, &berlin, unix(last), 5 * MIB), 5, "{last}");
        assert_eq!(send_all(&mut usage, &berlin, unix(last), 5 * MIB), 0, "{last}");
        assert_eq!(send_all(&mut usage, &berlin, unix(first), 5 * MIB), 5, "{first}");
    }
    // Days in Havana may begin at 01:00, and their first hour may occur twice.
    let mut case = Case { zone: zone("CST5CDT,M3.2.0/0,M11.1.0/1"), ..Case::default() };
    case.choice().daily_upload = Some(5 * MIB);
    let evening = unix("2026-03-07T22:00-05:00");
    send_all(&mut case.usage, &case.zone, evening, 5 * MIB);
    let Gate::Closed { because, until } = case.decide(evening).forward else { panic!("the quota is not used up") };
    assert_eq!(because, Why::QuotaUsed { quota: 5 * MIB, by: By::User });
    assert_eq!(case.local(until.unwrap()), "2026-03-08T01:00-04:00");
    assert_eq!(case.next_change(evening), until);
    let twice = ["2026-11-01T00:30-04:00", "2026-11-01T00:30-05:00"].map(unix);
    assert_eq!(twice.map(|at| send_all(&mut case.usage, &case.zone, at, 5 * MIB)), [5, 0]);
}

#[test]
fn setting_the_clock_back_gives_no_second_quota() {
    for back in
        ["2026-01-14T23:50Z", "2026-01-13T12:00Z", "2026-01-12T12:00Z", "2020-01-01T12:00Z", "1970-01-02T00:00Z"]
    {
        let mut usage = DailyUsage::default();
        assert_eq!(send_all(&mut usage, &TimeZone::UTC, unix("2026-01-15T00:10Z"), 5 * MIB), 5);
        assert_eq!(send_all(&mut usage, &TimeZone::UTC, unix(back), 5 * MIB), 0, "{back}");
        assert_eq!(
            send_all(&mut usage, &TimeZone::UTC, unix(back), 6 * MIB),
            1,
            "{back}: the bytes count, but sharing is not closed"
        );
    }
}

#[test]
fn a_clock_that_was_far_ahead_costs_one_day_only() {
    let mut usage = DailyUsage::default();
    send_all(&mut usage, &TimeZone::UTC, unix("2031-05-05T12:00Z"), 5 * MIB);
    assert_eq!(send_all(&mut usage, &TimeZone::UTC, unix("2026-01-15T12:00Z"), 5 * MIB), 0);
    assert_eq!(send_all(&mut usage, &TimeZone::UTC, unix("2026-01-16T12:00Z"), 5 * MIB), 5);
    assert_eq!(usage.days().len(), 2, "the history is unchanged");
}

#[test]
fn the_gate_closes_when_no_chunk_fits_the_quota_and_a_quota_of_zero_never_opens() {
    let (mut case, now) = (Case::default(), unix("2026-01-14T12:00+01:00"));
    case.choice().daily_upload = Some(5 * MIB);
    let mut disk = vec![];
    let most = 5 * MIB - (272 << 10);
    assert!(take(&mut case.usage, &mut disk, &case.zone, now, most, 5 * MIB));
    assert!(case.decide(now).forward.is_open());
    assert!(take(&mut case.usage, &mut disk, &case.zone, now, 1, 5 * MIB));
    assert_eq!(case.told(&case.decide(now).forward), "until 2026-01-15T00:00+01:00");
    assert_eq!(case.usage.give_back(&case.zone, now, most + 1), most + 1);
    assert!(case.decide(now).forward.is_open());
    case.choice().daily_upload = Some(0);
    assert_eq!(case.told(&case.decide(now).forward), "closed");
}

#[test]
fn history_is_kept_for_92_days_and_restored() {
    let mut usage = DailyUsage::default();
    for day in 0..200u64 {
        usage.count_download(&TimeZone::UTC, unix("2026-01-14T12:00Z").plus(day * 86_400), day + 1);
    }
    let days = usage.days();
    assert_eq!((days.len(), days[0].day.as_str(), days[91].received), (92, "2026-05-02", 200));
    assert_eq!(DailyUsage::restore(&days).days(), days);
    let nonsense = [banyan_proto::schedule::DayUse { day: "yesterday".into(), given: 1, received: 1 }];
    assert_eq!(DailyUsage::restore(&nonsense).days(), []);
}

#[derive(Debug, Clone)]
enum Step {
    Take(u64),
    /// Gives back this many sixteenths of the bytes taken on this day since the start.
    GiveBack(u64),
    Wait(u64),
    SetBack(u64),
    /// A power failure: everything that was not stored is lost.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..3 * MIB).prop_map(Step::Take),
        2 => (0u64..=16).prop_map(Step::GiveBack),
        2 => (1u64..6 * 3600).prop_map(Step::Wait),
        1 => (1u64..12 * 3600).prop_map(Step::SetBack),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_day_exceeds_its_quota(steps in steps(), quota in MIB..30 * MIB) {
        let zone = crate::case::berlin();
        let (mut usage, mut disk, mut now) = (DailyUsage::default(), vec![], unix("2026-03-28T12:00+01:00"));
        // The bytes really sent, by the local day on which they were taken. Bytes in flight at a crash count as sent.
        let mut sent = std::collections::BTreeMap::<String, u64>::new();
        // The part of them that this run of the program may give back.
        let mut taken = std::collections::BTreeMap::<String, u64>::new();
        for step in steps {
            let today = Case::default().local(now)[..10].to_owned();
            match step {
                Step::Take(bytes) => {
                    if take(&mut usage, &mut disk, &zone, now, bytes, quota) {
                        *sent.entry(today.clone()).or_default() += bytes;
                        *taken.entry(today).or_default() += bytes;
                    }
                }
                Step::GiveBack(part) => {
                    let back = taken.get(&today).copied().unwrap_or(0) * part / 16;
                    prop_assert_eq!(usage.give_back(&zone, now, back), back);
                    *sent.entry(today.clone()).or_default() -= back;
                    *taken.entry(today).or_default() -= back;
                }
                Step::Wait(seconds) => now = now.plus(seconds),
                Step::SetBack(seconds) => now = UnixSeconds(now.0 - seconds),
                Step::Crash => {
                    taken.clear();
                    usage = DailyUsage::restore(&disk);
                }
            }
            for (day, sent) in &sent {
                prop_assert!(*sent <= quota, "{sent} on {day}, quota {quota}");
            }
        }
    }
}
