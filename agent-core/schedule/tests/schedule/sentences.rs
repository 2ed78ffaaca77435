//! Every verdict can be turned into a complete sentence.

use crate::case::{Case, unix, wired};
use banyan_proto::schedule::{By, Gate, Network, Pause, Stage, Unquiet, Why, Window};
use banyan_schedule::sentences::{self, ReaderTime};

const NOON: &str = "2026-01-14T12:00+01:00";

fn closed(case: &Case, at: &str) -> String {
    match case.at(at).receive {
        Gate::Closed { because, until } => {
            sentences::closed_gate(&because, until, ReaderTime { zone: &case.zone, now: unix(at) })
        }
        Gate::Open { .. } => "open".to_owned(),
    }
}

#[test]
fn windows_and_pauses_read_naturally() {
    let mut case = Case::choosing("night");
    assert_eq!(closed(&case, NOON), "Scheduled for tonight at 22:00");
    let Gate::Closed { because, .. } = case.at(NOON).receive else { panic!() };
    assert_eq!(
        sentences::closing_setting(&because, Stage::Receive).unwrap(),
        "Downloads on this computer run only at night."
    );
    case.choice().window = "Fri 08:00-12:00".parse().unwrap();
    assert_eq!(closed(&case, NOON), "Scheduled for Friday at 08:00");
    case.choice().window = "never".parse().unwrap();
    assert_eq!(closed(&case, NOON), "Never: your schedule has no hours");
    case.choice().window = Window::Any;
    case.choice().pause = Some(Pause::an_hour(unix(NOON)));
    assert_eq!(closed(&case, NOON), "Paused until 13:00");
    case.choice().pause = Some(Pause::UntilTomorrow { asked: unix(NOON) });
    assert_eq!(closed(&case, NOON), "Paused until tomorrow at 06:00");
    case.choice().pause = Some(Pause::UntilResumed { asked: unix(NOON) });
    assert_eq!(closed(&case, NOON), "Paused until you resume");
}

#[test]
fn times_read_naturally() {
    let case = Case::default();
    for (now, at, expected) in [
        (NOON, "2026-01-14T14:30+01:00", "14:30"),
        (NOON, "2026-01-14T22:00+01:00", "tonight at 22:00"),
        (NOON, "2026-01-15T01:00+01:00", "tonight at 01:00"),
        (NOON, "2026-01-15T06:00+01:00", "tomorrow at 06:00"),
        (NOON, "2026-01-15T22:00+01:00", "tomorrow at 22:00"),
        (NOON, "2026-01-16T01:00+01:00", "Friday at 01:00"),
        (NOON, "2026-01-20T22:00+01:00", "Tuesday at 22:00"),
        (NOON, "2026-01-21T22:00+01:00", "2026-01-21 at 22:00"),
        ("2026-01-14T01:00+01:00", "2026-01-14T02:00+01:00", "tonight at 02:00"),
        ("2026-01-14T01:00+01:00", "2026-01-14T22:00+01:00", "22:00"),
        ("2026-03-28T23:00+01:00", "2026-03-29T03:00+02:00", "tonight at 03:00"),
    ] {
        assert_eq!(
            sentences::format_time(unix(at), ReaderTime { zone: &case.zone, now: unix(now) }),
            expected,
            "{at} at {now}"
        );
    }
}

#[test]
fn every_reason_is_a_sentence_without_gaps() {
    let case = Case::default();
    let reader = ReaderTime { zone: &case.zone, now: unix(NOON) };
    let later = unix("2026-01-14T22:00+01:00");
    let soon = banyan_proto::UnixSeconds(unix(NOON).0 + 14 * 60);
    let by = By::Policy;
    for (why, until, expected) in [
        (
            Why::DiskLow { free: 512_000_000, least: 3_000_000_000, by },
            None,
            "Waiting for free disk space: 512 MB free, 3.0 GB needed",
        ),
        (Why::DiskUnknown, None, "Waiting: couldn't check the free disk space"),
        (Why::SwitchedOff { by }, None, "Switched off by your administrator"),
        (
            Why::Metered { network: Network { name: "Phone".into(), metered: true, ..wired() }, may_overrule: true },
            None,
            "Waiting for an unmetered network (Phone is metered)",
        ),
        (Why::PowerSaver { may_overrule: true }, None, "Waiting until power saving ends"),
        (
            Why::Battery { charge: Some(12), least: Some(40), may_overrule: true },
            None,
            "Waiting until you plug in: battery at 12%, needs 40%",
        ),
        (Why::Battery { charge: Some(12), least: None, may_overrule: true }, None, "Waiting until you plug in"),
        (Why::FullScreen { may_overrule: true }, None, "Waiting until you leave full screen"),
        (Why::NotIdle { unquiet: Unquiet::Person, by }, None, "Waiting until this computer isn't in use"),
        (
            Why::NotIdle { unquiet: Unquiet::Processor(63), by },
            None,
            "Waiting until this computer is idle (processor at 63%)",
        ),
        (Why::NeverOpens { by }, None, "Never: your administrator allows no hours"),
        (Why::NeverOpens { by }, Some(later), "Scheduled for tonight at 22:00, as set by your administrator"),
        (
            Why::NeverOpens { by: By::User },
            Some(later),
            "Your schedule has no hours, but this has a deadline: tonight at 22:00",
        ),
        (
            Why::NeverOpens { by: By::User },
            Some(soon),
            "Your schedule has no hours, but this has a deadline: in 14 minutes",
        ),
        (Why::PutOff, Some(soon), "Starts in 14 minutes"),
        (Why::NeverOpens { by }, Some(soon), "Starts in 14 minutes, as set by your administrator"),
        (
            Why::QuotaUsed { quota: 500_000_000, by },
            Some(unix("2026-01-14T16:00+01:00")),
            "Today's sharing limit (500 MB) is used up; resumes at 16:00",
        ),
        (Why::NeverMeet, None, "Never: your hours and your administrator's don't overlap"),
        (Why::PutOff, Some(later), "Scheduled for tonight at 22:00"),
        (
            Why::QuotaUsed { quota: 500_000_000, by },
            Some(unix("2026-01-15T00:00+01:00")),
            "Today's sharing limit (500 MB) is used up; resumes tonight at 00:00",
        ),
    ] {
        assert_eq!(sentences::closed_gate(&why, until, reader), expected);
    }
}
