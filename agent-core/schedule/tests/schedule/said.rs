//! A verdict is enough to say it in a sentence.

use crate::case::{Case, unix, wired};
use banyan_proto::schedule::{Announcement, By, Gate, Network, Pause, Stage, Unquiet, Why, Window};
use banyan_schedule::say::{self, Here};

const NOON: &str = "2026-01-14T12:00+01:00";

fn closed(case: &Case, at: &str) -> String {
    match case.at(at).receive {
        Gate::Closed { because, until } => say::closed(&because, until, Here { zone: &case.zone, now: unix(at) }),
        Gate::Open { .. } => "open".to_owned(),
    }
}

#[test]
fn the_window_as_people_say_it() {
    let mut case = Case::choosing("night");
    assert_eq!(closed(&case, NOON), "Waits for tonight, 22:00");
    let Gate::Closed { because, .. } = case.at(NOON).receive else { panic!() };
    assert_eq!(say::setting(&because).unwrap(), "This computer transfers at night only.");
    case.choice().window = "Fri 08:00-12:00".parse().unwrap();
    assert_eq!(closed(&case, NOON), "Waits for Friday, 08:00");
    case.choice().window = "never".parse().unwrap();
    assert_eq!(closed(&case, NOON), "Never: no hour is chosen in your schedule");
    case.choice().window = Window::Any;
    case.choice().pause = Some(Pause::an_hour(unix(NOON)));
    assert_eq!(closed(&case, NOON), "Paused until 13:00");
    case.choice().pause = Some(Pause::UntilTomorrow { asked: unix(NOON) });
    assert_eq!(closed(&case, NOON), "Paused until tomorrow, 06:00");
    case.choice().pause = Some(Pause::UntilResumed { asked: unix(NOON) });
    assert_eq!(closed(&case, NOON), "Paused until you resume");
}

#[test]
fn times_as_people_say_them() {
    let case = Case::default();
    for (now, at, said) in [
        (NOON, "2026-01-14T14:30+01:00", "14:30"),
        (NOON, "2026-01-14T22:00+01:00", "tonight, 22:00"),
        (NOON, "2026-01-15T01:00+01:00", "tonight, 01:00"),
        (NOON, "2026-01-15T06:00+01:00", "tomorrow, 06:00"),
        (NOON, "2026-01-15T22:00+01:00", "tomorrow, 22:00"),
        (NOON, "2026-01-16T01:00+01:00", "Friday, 01:00"),
        (NOON, "2026-01-20T22:00+01:00", "Tuesday, 22:00"),
        (NOON, "2026-01-21T22:00+01:00", "2026-01-21, 22:00"),
        ("2026-01-14T01:00+01:00", "2026-01-14T02:00+01:00", "tonight, 02:00"),
        ("2026-01-14T01:00+01:00", "2026-01-14T22:00+01:00", "22:00"),
        ("2026-03-28T23:00+01:00", "2026-03-29T03:00+02:00", "tonight, 03:00"),
    ] {
        assert_eq!(say::moment(unix(at), Here { zone: &case.zone, now: unix(now) }), said, "{at} at {now}");
    }
}

#[test]
fn every_reason_is_a_sentence_without_gaps() {
    let case = Case::default();
    let here = Here { zone: &case.zone, now: unix(NOON) };
    let later = unix("2026-01-14T22:00+01:00");
    let by = By::Policy;
    for (why, until, said) in [
        (
            Why::DiskLow { free: 512 << 20, least: 3 << 30, by },
            None,
            "Waits for free disk space: 512 MiB of 3.0 GiB are free",
        ),
        (Why::DiskUnknown, None, "Waits: the free disk space cannot be found out"),
        (Why::SwitchedOff { by }, None, "Switched off by your administrator"),
        (
            Why::Metered { network: Network { name: "Phone".into(), metered: true, ..wired() }, may_overrule: true },
            None,
            "Waits for a network that is not metered; Phone is",
        ),
        (Why::PowerSaver { may_overrule: true }, None, "Waits until power saving ends"),
        (
            Why::Battery { charge: Some(12), least: Some(40), may_overrule: true },
            None,
            "Waits for mains power: the battery is at 12 %, 40 % are needed",
        ),
        (Why::Battery { charge: Some(12), least: None, may_overrule: true }, None, "Waits for mains power"),
        (Why::FullScreen { may_overrule: true }, None, "Waits until the full-screen program ends"),
        (Why::NotIdle { unquiet: Unquiet::Person, by }, None, "Waits until nobody uses this computer"),
        (
            Why::NotIdle { unquiet: Unquiet::Processor(63), by },
            None,
            "Waits until this computer is idle; its processor is at 63 %",
        ),
        (Why::NeverOpens { by }, None, "Never: your administrator allows no hour"),
        (Why::NeverOpens { by }, Some(later), "Waits for tonight, 22:00, as your administrator set it"),
        (
            Why::NeverOpens { by: By::User },
            Some(later),
            "No hour is chosen in your schedule; goes ahead tonight, 22:00 in any case",
        ),
        (Why::NeverMeet, None, "Never: your schedule and your administrator's have no hour in common"),
        (Why::PutOff, Some(later), "Waits for tonight, 22:00"),
        (
            Why::QuotaUsed { quota: 500 << 20, by },
            Some(unix("2026-01-15T00:00+01:00")),
            "Today's 500 MiB are passed on; more tonight, 00:00",
        ),
    ] {
        assert_eq!(say::closed(&why, until, here), said);
    }
    let announcement = Announcement { stage: Stage::Install, at: later, before: 14_400 };
    assert_eq!(say::announcement(&announcement, here), "Is installed tonight, 22:00, in any case");
}
