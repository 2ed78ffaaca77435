//! Windows at difficult times: across midnight, at both changes of daylight saving time, after the clock is stepped
//! back, weeks that are empty, full or disjoint, and days that do not exist.

use crate::case::{Case, unix, zone};
use banyan_proto::schedule::{Announcement, By, Gate, Limit, Priority, Stage, Why, Window};

/// Checks the receive gate at each time, and when the verdict is next asked for (local time).
fn check(name: &str, case: &Case, rows: &[(&str, &str, &str)]) {
    for (at, told, next) in rows {
        assert_eq!(case.told(&case.at(at).receive), *told, "{name} at {at}");
        let asked = case.next_change(unix(at)).map_or("never".to_owned(), |at| case.local(at));
        assert_eq!(asked, *next, "{name} at {at}: next change");
    }
}

#[test]
fn the_night_spans_midnight() {
    let rows = [
        ("2026-01-14T21:59:59+01:00", "until 2026-01-14T22:00+01:00", "2026-01-14T22:00+01:00"),
        ("2026-01-14T22:00:00+01:00", "open", "2026-01-15T06:00+01:00"),
        ("2026-01-14T23:59:59+01:00", "open", "2026-01-15T06:00+01:00"),
        ("2026-01-15T00:00:00+01:00", "open", "2026-01-15T06:00+01:00"),
        ("2026-01-15T05:59:59+01:00", "open", "2026-01-15T06:00+01:00"),
        ("2026-01-15T06:00:00+01:00", "until 2026-01-15T22:00+01:00", "2026-01-15T22:00+01:00"),
    ];
    check("night", &Case::choosing("night"), &rows);
    check("the same as a week", &Case::choosing("22:00-06:00"), &rows);
    let rows = [
        ("2026-01-11T23:00:00+01:00", "until 2026-01-12T22:00+01:00", "2026-01-12T22:00+01:00"),
        ("2026-01-16T23:00:00+01:00", "open", "2026-01-17T06:00+01:00"),
        ("2026-01-17T06:00:00+01:00", "until 2026-01-19T22:00+01:00", "2026-01-19T22:00+01:00"),
    ];
    check("the nights that begin on workdays", &Case::choosing("Mon-Fri 22:00-06:00"), &rows);
}

#[test]
fn the_night_is_seven_hours_in_spring_and_nine_in_autumn() {
    let case = Case::choosing("night");
    for (begins, ends, hours) in [
        ("2026-03-27T22:00+01:00", "2026-03-28T06:00+01:00", 8),
        ("2026-03-28T22:00+01:00", "2026-03-29T06:00+02:00", 7),
        ("2026-10-24T22:00+02:00", "2026-10-25T06:00+01:00", 9),
    ] {
        check("night", &case, &[(begins, "open", ends)]);
        assert_eq!(unix(ends).0 - unix(begins).0, hours * 3600);
        let minutes = (0..12 * 60).filter(|n| case.decide(unix(begins).plus(60 * n)).receive.is_open()).count();
        assert_eq!(minutes, 60 * usize::try_from(hours).unwrap(), "counted minute by minute from {begins}");
    }
}

#[test]
fn a_window_in_the_skipped_hour() {
    let rows = [
        ("2026-03-28T12:00+01:00", "until 2026-03-29T03:00+02:00", "2026-03-29T03:00+02:00"),
        ("2026-03-29T01:59:59+01:00", "until 2026-03-29T03:00+02:00", "2026-03-29T03:00+02:00"),
        ("2026-03-29T03:00+02:00", "open", "2026-03-29T04:00+02:00"),
        ("2026-03-29T04:00+02:00", "until 2026-04-05T02:30+02:00", "2026-04-05T02:30+02:00"),
    ];
    check("begins in it", &Case::choosing("Sun 02:30-04:00"), &rows);
    let rows = [("2026-03-28T12:00+01:00", "until 2026-04-05T02:00+02:00", "2026-04-05T02:00+02:00")];
    check("lies in it", &Case::choosing("Sun 02:00-03:00"), &rows);
    let rows = [("2026-03-29T01:30+01:00", "open", "2026-03-29T03:00+02:00")];
    check("ends in it", &Case::choosing("Sun 01:00-02:30"), &rows);
}

#[test]
fn a_window_in_the_repeated_hour() {
    let rows = [
        ("2026-10-25T01:00+02:00", "until 2026-10-25T02:00+02:00", "2026-10-25T02:00+02:00"),
        ("2026-10-25T02:00+02:00", "open", "2026-10-25T02:30+02:00"),
        ("2026-10-25T02:30+02:00", "until 2026-10-25T02:00+01:00", "2026-10-25T02:00+01:00"),
        ("2026-10-25T02:00+01:00", "open", "2026-10-25T02:30+01:00"),
        ("2026-10-25T02:30+01:00", "until 2026-11-01T02:00+01:00", "2026-11-01T02:00+01:00"),
    ];
    check("twice", &Case::choosing("Sun 02:00-02:30"), &rows);
    let rows = [("2026-10-25T02:30+02:00", "open", "2026-10-25T02:00+01:00")];
    check("open until the clock is set back before its beginning", &Case::choosing("Sun 02:30-04:00"), &rows);
}

#[test]
fn half_an_hour_of_daylight_saving_and_a_skipped_day() {
    // Lord Howe Island sets its clocks forward by half an hour, at 02:00.
    let case = Case { zone: zone("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"), ..Case::choosing("Sun 02:00-03:00") };
    let rows = [("2026-10-04T01:59+10:30", "until 2026-10-04T02:30+11:00", "2026-10-04T02:30+11:00")];
    check("half an hour", &case, &rows);
    // An island that crosses the date line at midnight after Sunday, 2026-05-03: Monday is skipped.
    let case = Case { zone: zone("<-11>11<+13>-13,M5.2.1/0,M12.5.0/0"), ..Case::choosing("Mon 00:00-24:00") };
    let rows = [("2026-05-08T12:00-11:00", "until 2026-05-18T00:00+13:00", "2026-05-18T00:00+13:00")];
    check("no Monday", &case, &rows);
}

#[test]
fn a_clock_stepped_back_takes_effect_at_once() {
    let mut case = Case::choosing("night");
    let rows = [
        ("2026-01-14T22:10+01:00", "open", "2026-01-15T06:00+01:00"),
        ("2026-01-14T21:40+01:00", "until 2026-01-14T22:00+01:00", "2026-01-14T22:00+01:00"),
        ("2026-01-14T22:10+01:00", "open", "2026-01-15T06:00+01:00"),
        ("2025-01-14T12:00+01:00", "until 2025-01-14T22:00+01:00", "2025-01-14T22:00+01:00"),
    ];
    check("stepped", &case, &rows);
    case.task().deadline = Some(unix("2026-01-14T12:00+01:00"));
    assert!(case.at("2026-01-14T12:00+01:00").receive.is_open());
    assert!(!case.at("2026-01-14T11:00+01:00").receive.is_open(), "before its deadline again");
}

#[test]
fn an_empty_week_never_opens_and_a_full_one_never_changes() {
    let empty = Case::choosing("never");
    check("empty", &empty, &[("2026-01-14T12:00+01:00", "closed", "never")]);
    let expected = Gate::Closed { because: Why::NeverOpens { by: By::User }, until: None };
    assert_eq!(empty.at("2026-01-14T12:00+01:00").forward, expected);
    assert!(empty.at("2026-01-14T12:00+01:00").install.is_open(), "installing has its own window");
    for full in ["any", "Mon-Sun 00:00-24:00"] {
        check(full, &Case::choosing(full), &[("2026-03-29T01:30+01:00", "open", "never")]);
    }
}

#[test]
fn windows_that_never_overlap_are_reported() {
    let mut case = Case::choosing("Mon-Fri 08:00-16:00");
    case.policy.window = "Mon-Fri 16:00-08:00".parse().unwrap();
    let verdict = case.at("2026-01-14T12:00+01:00");
    assert_eq!(verdict.receive, Gate::Closed { because: Why::NeverMeet, until: None });
    case.policy.window = "Mon 15:30-16:00".parse().unwrap();
    check(
        "half an hour a week",
        &case,
        &[("2026-01-14T12:00+01:00", "until 2026-01-19T15:30+01:00", "2026-01-14T16:00+01:00")],
    );
    assert!(matches!(
        case.at("2026-01-14T12:00+01:00").receive,
        Gate::Closed { because: Why::Window { by: By::Policy, .. }, .. }
    ));
}

#[test]
fn a_deadline_in_a_closed_window_opens_receiving_and_installing() {
    let mut case = Case::choosing("night");
    case.choice().install = "never".parse().unwrap();
    let deadline = unix("2026-01-14T14:00+01:00");
    case.task().deadline = Some(deadline);
    case.task().window = Window::Idle;
    let announced = |at: &str| case.at(at).announce;
    let both = |before| {
        vec![
            Announcement { stage: Stage::Receive, at: deadline, before },
            Announcement { stage: Stage::Install, at: deadline, before },
        ]
    };
    assert_eq!(
        announced("2026-01-13T13:59:59+01:00"),
        [],
        "the window opens before the deadline, and a day ahead is the earliest announcement"
    );
    assert_eq!(announced("2026-01-13T14:00+01:00"), both(24 * 3600));
    assert_eq!(announced("2026-01-14T10:00+01:00"), both(4 * 3600));
    assert_eq!(announced("2026-01-14T13:59:59+01:00"), both(15 * 60));
    assert_eq!(announced("2026-01-14T14:00+01:00"), []);
    let rows = [
        ("2026-01-14T09:00+01:00", "until 2026-01-14T14:00+01:00", "2026-01-14T10:00+01:00"),
        ("2026-01-14T10:00+01:00", "until 2026-01-14T14:00+01:00", "2026-01-14T13:45+01:00"),
        ("2026-01-14T13:59:59+01:00", "until 2026-01-14T14:00+01:00", "2026-01-14T14:00+01:00"),
        ("2026-01-14T14:00+01:00", "open", "2026-01-14T22:00+01:00"),
    ];
    check("deadline", &case, &rows);
    let after = case.at("2026-01-14T14:00+01:00");
    let forced = Limit { rate: None, priority: Priority::Full, deadline: Some(deadline) };
    assert_eq!(after.receive, Gate::Open { limit: forced });
    assert!(after.install.is_open());
    assert_eq!(case.told(&after.forward), "until 2026-01-14T22:00+01:00", "sharing has no deadline");
}
