//! Asking only at [`banyan_schedule::next_change`] gives the same verdict as asking every minute, "until" is neither
//! too early nor too late, and a window is open exactly when the wall clock says so. The random situations cover both
//! changes of daylight saving time. A failing case prints its values and its seed.

use crate::case::{Case, berlin, zone};
use banyan_proto::{
    UnixSeconds,
    schedule::{Choice, Gate, Load, Network, Night, Pause, Presence, Verdict, Week, Window, Wish},
};
use banyan_schedule::{Moment, Signal, Task};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::time::Duration;

/// The European daylight saving changes of 2026 in UTC, and a time between them.
const MOMENTS: [u64; 3] = [1_774_746_000, 1_792_890_000, 1_780_000_000];

pub(crate) fn zones() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(vec![
        berlin(),
        TimeZone::UTC,
        zone("<+0530>-5:30"),
        // Changes by half an hour, and at midnight, which is then skipped or repeated.
        zone("<+1030>-10:30<+11>-11,M10.5.0,M3.5.0"),
        zone("CST5CDT,M3.5.0/0,M10.5.0/1"),
    ])
}

pub(crate) fn weeks() -> impl Strategy<Value = Week> {
    let span = (0usize..7, 0usize..48, 1usize..60);
    prop::collection::vec(span, 0..6).prop_map(|spans| {
        let mut week = Week::NEVER;
        for (day, from, length) in spans {
            (from..from + length).for_each(|cell| week.set(day + cell / 48, cell, true));
        }
        week
    })
}

pub(crate) fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        1 => Just(Window::Any),
        1 => Just(Window::Idle),
        2 => Just(Window::Night),
        4 => weeks().prop_map(Window::Weekly),
    ]
}

fn nights() -> impl Strategy<Value = Night> {
    prop::sample::select(vec!["22:00-06:00", "00:00-05:30", "20:30-24:00", "01:30-03:00"])
        .prop_map(|text| text.parse().unwrap())
}

/// A time within two days before or after the moment.
fn near(moment: u64) -> impl Strategy<Value = UnixSeconds> {
    (0u64..4 * 86_400).prop_map(move |by| UnixSeconds(moment - 2 * 86_400 + by))
}

fn pauses(moment: u64) -> impl Strategy<Value = Option<Pause>> {
    let pause = (near(moment), 0u32..200_000, 0u8..3).prop_map(|(asked, seconds, kind)| match kind {
        0 => Pause::For { asked, seconds },
        1 => Pause::UntilTomorrow { asked },
        _ => Pause::UntilResumed { asked },
    });
    prop::option::weighted(0.3, pause)
}

fn tasks(moment: u64) -> impl Strategy<Value = Option<Task>> {
    let wish = prop_oneof![3 => Just(Wish::Unsaid), 1 => Just(Wish::Now), 2 => near(moment).prop_map(Wish::After)];
    let task = (near(moment), near(moment), windows(), prop::option::of(near(moment)), wish)
        .prop_map(|(issued, seen, window, deadline, wish)| Task { issued, seen, window, deadline, wish });
    prop::option::of(task)
}

fn choices(moment: u64) -> impl Strategy<Value = Choice> {
    (windows(), windows(), nights(), pauses(moment), prop::option::of(0u64..40_000_000)).prop_map(
        |(window, install, night, pause, daily_upload)| Choice {
            window,
            install,
            night,
            pause,
            daily_upload,
            ..Choice::default()
        },
    )
}

fn cases() -> impl Strategy<Value = (Case, UnixSeconds)> {
    prop::sample::select(MOMENTS.to_vec()).prop_flat_map(|moment| {
        let laid_down =
            (windows(), windows(), nights(), prop::option::of(0u32..100_000), prop::option::of(0u32..100_000));
        let signals = (any::<bool>(), any::<bool>(), any::<bool>(), 0u64..200_000);
        (zones(), choices(moment), tasks(moment), laid_down, signals, near(moment)).prop_map(
            |(zone, choice, task, (window, install, night, receive, pause), (idle, here, metered, stale), start)| {
                let mut case = Case { zone, choice: Some(choice), task, ..Case::default() };
                case.policy.window = window;
                case.policy.install = install;
                case.policy.night = night;
                case.policy.deadline.receive = receive;
                case.policy.deadline.install = receive.map(|after| after * 2);
                case.policy.bounds.pause = pause;
                let at = Duration::ZERO;
                case.signals.load = Signal::seen(Load { percent: 9, idle }, at).good_for(Duration::from_secs(stale));
                case.signals.presence = Signal::seen(if here { Presence::Here } else { Presence::Away }, at);
                case.signals.network = Signal::seen(Network { metered, ..crate::case::wired() }, at);
                case.usage.take(&case.zone, start, 30_000_000, None).unwrap();
                (case, start)
            },
        )
    })
}

fn config(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

const MINUTES: u64 = 3 * 24 * 60;

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn asking_at_next_change_equals_asking_every_minute((case, start) in cases()) {
        let at = |minute: u64| Moment { wall: start.plus(60 * minute), mono: Duration::from_secs(60 * minute) };
        let mut known = case.decide_at(at(0));
        let mut wake = case.wake(at(0));
        for minute in 0..MINUTES {
            let now = at(minute);
            let asked = case.decide_at(now);
            if wake.is_some_and(|wake| wake.at <= now.wall) {
                known = asked.clone();
                wake = case.wake(now);
            }
            prop_assert_eq!(&known, &asked, "at minute {} ({})", minute, case.local(now.wall));
        }
    }

    #[test]
    fn until_is_neither_too_early_nor_too_late((case, start) in cases()) {
        // Signals stay the same, as "until" assumes.
        let asked = |minute: u64| case.decide(start.plus(60 * minute));
        let first = asked(0);
        let gates = |verdict: &Verdict| [verdict.receive.clone(), verdict.install.clone(), verdict.forward.clone()];
        let firsts = gates(&first);
        for gate in &firsts {
            if let Gate::Closed { until: Some(until), .. } = gate {
                prop_assert!(*until > start);
                let verdict = case.decide(*until);
                let again = gates(&verdict);
                let n = firsts.iter().position(|one| one == gate).unwrap();
                prop_assert!(again[n].is_open(), "not open at {}", case.local(*until));
            }
        }
        for minute in 0..MINUTES {
            let now = start.plus(60 * minute);
            for (before, gate) in firsts.iter().zip(gates(&asked(minute))) {
                let Gate::Closed { until, .. } = before else { continue };
                if until.is_none_or(|until| now < until) {
                    prop_assert!(!gate.is_open(), "already open at {}", case.local(now));
                }
            }
        }
    }
}

/// A weekly span as text, and whether it is open according to jiff's calendar.
#[derive(Debug, Clone)]
struct Span {
    days: Vec<bool>,
    from: i32,
    to: i32,
}

impl Span {
    fn text(&self) -> String {
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let days: Vec<_> = names.iter().zip(&self.days).filter(|(_, on)| **on).map(|(name, _)| *name).collect();
        let clock = |half: i32| format!("{:02}:{:02}", half / 2, half % 2 * 30);
        format!("{} {}-{}", days.join(","), clock(self.from), clock(self.to))
    }
    fn open(&self, local: jiff::civil::DateTime) -> bool {
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let today = usize::try_from(local.date().weekday().to_monday_zero_offset()).unwrap();
        let (from, to) = (self.from * 30, self.to * 30);
        if from < to {
            self.days[today] && (from..to).contains(&minute)
        } else {
            (self.days[today] && minute >= from) || (self.days[(today + 6) % 7] && minute < to)
        }
    }
}

fn spans() -> impl Strategy<Value = Span> {
    (prop::collection::vec(any::<bool>(), 7), 0..48, 1..=48)
        .prop_map(|(days, from, to)| Span { days, from, to })
        .prop_filter("at least one day, and two different times", |span| {
            span.days.contains(&true) && span.from != span.to % 48
        })
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_window_follows_the_wall_clock(
        zone in zones(),
        spans in prop::collection::vec(spans(), 1..4),
        start in prop::sample::select(MOMENTS.to_vec()).prop_flat_map(near),
    ) {
        let text = spans.iter().map(Span::text).collect::<Vec<_>>().join(", ");
        let case = Case { zone: zone.clone(), ..Case::choosing(&text) };
        prop_assert_eq!(case.choice.as_ref().unwrap().window.to_string().parse::<Window>().unwrap(), text.parse::<Window>().unwrap());
        for minute in 0..MINUTES {
            let at = start.plus(60 * minute);
            let local = zone.to_datetime(jiff::Timestamp::from_second(i64::try_from(at.0).unwrap()).unwrap());
            let expected = spans.iter().any(|span| span.open(local));
            prop_assert_eq!(case.decide(at).receive.is_open(), expected, "{} at {}", text, local);
        }
    }

    #[test]
    fn a_week_is_formatted_and_parsed_without_loss(week in weeks()) {
        let window = Window::Weekly(week);
        prop_assert_eq!(window.to_string().parse::<Window>().unwrap(), window);
    }

    #[test]
    fn any_text_is_a_window_or_is_refused(text in "[ -~é]{0,40}|((Mon|Tue|Fri|sun)[-, ]){0,3}[0-9:-]{0,12}") {
        if let Ok(window) = text.parse::<Window>() {
            prop_assert_eq!(window.to_string().parse::<Window>().unwrap(), window);
        }
    }
}
