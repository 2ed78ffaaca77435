//! The daily upload quota is never exceeded: not by bytes in flight, not after a crash, not when the clock is set back.
//! Days are local days.

use crate::case::{Case, unix, zone};
use banyan_proto::{
    UnixSeconds,
    schedule::{By, Gate, Why},
};
use banyan_schedule::upload_quota::{Ledger, Refusal, Reservation};
use jiff::tz::TimeZone;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// Reserves as a sender does: stores first if required. `disk` receives what was stored last.
fn reserve(
    ledger: &mut Ledger,
    disk: &mut Vec<banyan_proto::schedule::DayUse>,
    zone: &TimeZone,
    now: UnixSeconds,
    bytes: u64,
    quota: u64,
) -> Option<Reservation> {
    match ledger.reserve(zone, now, bytes, Some(quota)) {
        Err(Refusal::WriteFirst) => {
            let (rows, stored) = ledger.write_ahead(zone, now, bytes);
            *disk = rows;
            ledger.stored(stored);
            Some(ledger.reserve(zone, now, bytes, Some(quota)).expect("a reserve was just stored"))
        }
        Err(Refusal::Quota) => None,
        Ok(reservation) => Some(reservation),
    }
}

/// Sends megabytes until one is refused. Returns how many were sent.
fn send_all(ledger: &mut Ledger, zone: &TimeZone, now: UnixSeconds, quota: u64) -> u64 {
    let mut disk = vec![];
    let mut sent = 0;
    while let Some(reservation) = reserve(ledger, &mut disk, zone, now, MIB, quota) {
        ledger.settle(reservation, MIB);
        sent += 1;
    }
    sent
}

#[test]
fn bytes_given_back_are_available_again() {
    let (mut ledger, mut disk, now) = (Ledger::default(), vec![], unix("2026-01-14T12:00Z"));
    let mut reserve = |ledger: &mut Ledger| reserve(ledger, &mut disk, &TimeZone::UTC, now, MIB, 3 * MIB);
    let (first, second) = (reserve(&mut ledger).unwrap(), reserve(&mut ledger).unwrap());
    let third = reserve(&mut ledger).unwrap();
    assert_eq!(reserve(&mut ledger), None);
    ledger.settle(third, 0);
    let fourth = reserve(&mut ledger).expect("unsent bytes are released");
    ledger.settle(first, MIB);
    ledger.settle(second, MIB);
    ledger.settle(fourth, MIB);
    assert_eq!(reserve(&mut ledger), None);
    let days = ledger.days();
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
        let mut ledger = Ledger::default();
        assert_eq!(send_all(&mut ledger, &berlin, unix(last), 5 * MIB), 5, "{last}");
        assert_eq!(send_all(&mut ledger, &berlin, unix(last), 5 * MIB), 0, "{last}");
        assert_eq!(send_all(&mut ledger, &berlin, unix(first), 5 * MIB), 5, "{first}");
    }
    // Days in Havana may begin at 01:00, and their first hour may occur twice.
    let mut case = Case { zone: zone("CST5CDT,M3.2.0/0,M11.1.0/1"), ..Case::default() };
    case.choice().daily_upload = Some(5 * MIB);
    let evening = unix("2026-03-07T22:00-05:00");
    send_all(&mut case.ledger, &case.zone, evening, 5 * MIB);
    let Gate::Closed { because, until } = case.decide(evening).forward else { panic!("the quota is not used up") };
    assert_eq!(because, Why::QuotaUsed { quota: 5 * MIB, by: By::User });
    assert_eq!(case.local(until.unwrap()), "2026-03-08T01:00-04:00");
    assert_eq!(case.next_change(evening), until);
    let twice = ["2026-11-01T00:30-04:00", "2026-11-01T00:30-05:00"].map(unix);
    assert_eq!(twice.map(|at| send_all(&mut case.ledger, &case.zone, at, 5 * MIB)), [5, 0]);
}

#[test]
fn setting_the_clock_back_gives_no_second_quota() {
    for back in
        ["2026-01-14T23:50Z", "2026-01-13T12:00Z", "2026-01-12T12:00Z", "2020-01-01T12:00Z", "1970-01-02T00:00Z"]
    {
        let mut ledger = Ledger::default();
        assert_eq!(send_all(&mut ledger, &TimeZone::UTC, unix("2026-01-15T00:10Z"), 5 * MIB), 5);
        assert_eq!(send_all(&mut ledger, &TimeZone::UTC, unix(back), 5 * MIB), 0, "{back}");
        assert_eq!(
            send_all(&mut ledger, &TimeZone::UTC, unix(back), 6 * MIB),
            1,
            "{back}: the bytes count, but sharing is not closed"
        );
    }
}

#[test]
fn a_clock_that_was_far_ahead_costs_one_day_only() {
    let mut ledger = Ledger::default();
    send_all(&mut ledger, &TimeZone::UTC, unix("2031-05-05T12:00Z"), 5 * MIB);
    assert_eq!(send_all(&mut ledger, &TimeZone::UTC, unix("2026-01-15T12:00Z"), 5 * MIB), 0);
    assert_eq!(send_all(&mut ledger, &TimeZone::UTC, unix("2026-01-16T12:00Z"), 5 * MIB), 5);
    assert_eq!(ledger.days().len(), 2, "the history is unchanged");
}

#[test]
fn the_gate_closes_when_no_chunk_fits_the_quota_and_a_quota_of_zero_never_opens() {
    let (mut case, now) = (Case::default(), unix("2026-01-14T12:00+01:00"));
    case.choice().daily_upload = Some(5 * MIB);
    let mut disk = vec![];
    let most = reserve(&mut case.ledger, &mut disk, &case.zone, now, 5 * MIB - (272 << 10), 5 * MIB).unwrap();
    assert!(case.decide(now).forward.is_open());
    let one_more = reserve(&mut case.ledger, &mut disk, &case.zone, now, 1, 5 * MIB).unwrap();
    assert_eq!(case.told(&case.decide(now).forward), "until 2026-01-15T00:00+01:00");
    case.ledger.settle(most, 0);
    case.ledger.settle(one_more, 0);
    assert!(case.decide(now).forward.is_open());
    case.choice().daily_upload = Some(0);
    assert_eq!(case.told(&case.decide(now).forward), "closed");
}

#[test]
fn history_is_kept_for_92_days_and_restored() {
    let mut ledger = Ledger::default();
    for day in 0..200u64 {
        ledger.received(&TimeZone::UTC, unix("2026-01-14T12:00Z").plus(day * 86_400), day + 1);
    }
    let days = ledger.days();
    assert_eq!((days.len(), days[0].day.as_str(), days[91].received), (92, "2026-05-02", 200));
    assert_eq!(Ledger::restore(&days).days(), days);
    let nonsense = [banyan_proto::schedule::DayUse { day: "yesterday".into(), given: 1, received: 1 }];
    assert_eq!(Ledger::restore(&nonsense).days(), []);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u64),
    /// An open reservation, and how many sixteenths of it were sent.
    Settle(usize, u64),
    Wait(u64),
    Back(u64),
    /// A power failure: everything that was not stored is lost.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..3 * MIB).prop_map(Step::Reserve),
        4 => (0usize..8, 0u64..=16).prop_map(|(which, part)| Step::Settle(which, part)),
        2 => (1u64..6 * 3600).prop_map(Step::Wait),
        1 => (1u64..12 * 3600).prop_map(Step::Back),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_day_exceeds_its_quota(steps in steps(), quota in MIB..30 * MIB) {
        let zone = crate::case::berlin();
        let (mut ledger, mut disk, mut now) = (Ledger::default(), vec![], unix("2026-03-28T12:00+01:00"));
        let mut open: Vec<(String, u64, Reservation)> = vec![];
        // The bytes really sent, by the local day of their reservation. Bytes in flight at a crash count as sent.
        let mut out = std::collections::BTreeMap::<String, u64>::new();
        let today = |now: UnixSeconds| Case::default().local(now)[..10].to_owned();
        for step in steps {
            match step {
                Step::Reserve(bytes) => {
                    if let Some(reservation) = reserve(&mut ledger, &mut disk, &zone, now, bytes, quota) {
                        open.push((today(now), bytes, reservation));
                    }
                }
                Step::Settle(which, part) if !open.is_empty() => {
                    let at = which % open.len();
                    let (day, bytes, reservation) = open.swap_remove(at);
                    let sent = bytes * part / 16;
                    ledger.settle(reservation, sent);
                    *out.entry(day).or_default() += sent;
                }
                Step::Settle(..) => {}
                Step::Wait(seconds) => now = now.plus(seconds),
                Step::Back(seconds) => now = UnixSeconds(now.0 - seconds),
                Step::Crash => {
                    for (day, bytes, _) in open.drain(..) {
                        *out.entry(day).or_default() += bytes;
                    }
                    ledger = Ledger::restore(&disk);
                }
            }
            for (day, sent) in &out {
                let in_flight: u64 = open.iter().filter(|(of, ..)| of == day).map(|(_, bytes, _)| bytes).sum();
                prop_assert!(sent + in_flight <= quota, "{} on {}, quota {}", sent + in_flight, day, quota);
            }
        }
    }
}
