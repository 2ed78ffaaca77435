//! Signals, choices and bounds: what closes which gate, who set it, and what the user may override.

use crate::case::{Case, MAINS, unix, wired};
use banyan_proto::{
    Reason,
    schedule::{
        By, Choice, Gate, GiveWay, Kind, Limit, Load, Network, Overrule, Pause, Power, Presence, Priority, Rate, Stage,
        Unquiet, Why, Window, Wish,
    },
};
use banyan_schedule::{DiskSpace, Moment, OutOfBounds, Signal, Task, check_choice};
use std::time::Duration;

const NOON: &str = "2026-01-14T12:00+01:00";

fn seen<T>(value: T) -> Signal<T> {
    Signal::seen(value, Duration::ZERO)
}

/// A disk of 100 GiB with this much free space (bytes).
fn disk(free: u64) -> Signal<DiskSpace> {
    seen(DiskSpace { free, size: 100 << 30 })
}

/// Returns whether receiving, installing and forwarding are open at noon.
fn open(case: &Case) -> (bool, bool, bool) {
    let verdict = case.at(NOON);
    (verdict.receive.is_open(), verdict.install.is_open(), verdict.forward.is_open())
}

fn because(gate: &Gate) -> &Why {
    match gate {
        Gate::Closed { because, .. } => because,
        Gate::Open { .. } => panic!("the gate is open"),
    }
}

#[test]
fn unknown_signals_count_as_documented() {
    let mut case = Case::default();
    case.signals = banyan_schedule::Signals { disk: case.signals.disk, ..Default::default() };
    assert_eq!(open(&case), (true, true, true));
    case.signals.disk = Signal::unknown();
    assert_eq!(open(&case), (false, true, true));
    assert_eq!(because(&case.at(NOON).receive), &Why::DiskUnknown);
    let mut case = Case::choosing("idle");
    case.signals.presence = Signal::unknown();
    assert_eq!(open(&case), (true, true, true), "a server has no user");
    case.signals.load = Signal::unknown();
    assert_eq!(because(&case.at(NOON).receive), &Why::NotIdle { unquiet: Unquiet::Unknown, by: By::User });
}

#[test]
fn a_stale_signal_counts_as_unknown_and_next_change_predicts_it() {
    let mut case = Case::choosing("idle");
    let idle = Load { percent: 3, idle: true };
    case.signals.load = Signal::seen(idle, Duration::from_secs(100)).good_for(Duration::from_secs(60));
    let at = |mono| Moment { wall: unix(NOON), mono: Duration::from_secs(mono) };
    assert_eq!(case.wake(at(120)).unwrap().after, Duration::from_secs(40));
    assert!(case.decide_at(at(159)).receive.is_open());
    assert!(!case.decide_at(at(160)).receive.is_open());
    assert_eq!(case.wake(at(160)), None);
}

#[test]
fn idle_means_a_quiet_processor_and_no_user_present() {
    let mut case = Case::choosing("idle");
    case.signals.presence = seen(Presence::Here);
    assert_eq!(because(&case.at(NOON).receive), &Why::NotIdle { unquiet: Unquiet::Person, by: By::User });
    case.signals.presence = seen(Presence::Away);
    case.signals.load = seen(Load { percent: 70, idle: false });
    assert_eq!(because(&case.at(NOON).receive), &Why::NotIdle { unquiet: Unquiet::Processor(70), by: By::User });
    case.choice().overrule.processor = true;
    assert_eq!(open(&case), (true, true, true));
    case.policy.bounds.idle = false;
    assert_eq!(open(&case), (false, true, false));
}

#[test]
fn a_metered_network_is_used_only_if_the_user_allowed_it_for_that_network() {
    let mut case = Case::default();
    let phone = Network { name: "Phone".into(), metered: true, ..wired() };
    case.signals.network = seen(phone.clone());
    assert_eq!(open(&case), (false, true, false));
    assert_eq!(because(&case.at(NOON).receive), &Why::Metered { network: phone.clone(), may_overrule: true });
    case.choice().overrule.metered.insert(phone.id.clone());
    assert_eq!(open(&case), (true, true, true));
    case.policy.bounds.metered = false;
    assert_eq!(open(&case), (false, true, false), "the policy does not allow it");
    case.policy.bounds.metered = true;
    case.signals.network = seen(Network { id: banyan_proto::schedule::NetworkId("other".into()), ..phone });
    assert_eq!(open(&case), (false, true, false), "the exception covers one network only");
    case.policy.rules.metered = true;
    assert_eq!(open(&case), (true, true, true));
}

#[test]
fn battery_and_power_saver() {
    let mut case = Case::default();
    let mut with = |power: Power, overrule: bool| {
        case.signals.power = seen(power);
        case.choice().overrule.battery = overrule;
        open(&case)
    };
    let battery = |charge| Power { battery: true, charge, saver: false };
    assert_eq!(with(battery(Some(90)), false), (true, true, false));
    assert_eq!(with(battery(Some(35)), false), (false, true, false));
    assert_eq!(with(battery(Some(10)), false), (false, false, false));
    assert_eq!(with(battery(None), false), (false, false, false));
    assert_eq!(with(battery(Some(10)), true), (true, true, true));
    assert_eq!(with(Power { saver: true, ..MAINS }, false), (false, true, false));
    assert_eq!(with(Power { saver: true, ..MAINS }, true), (true, true, true));
}

#[test]
fn a_full_screen_program_delays_installs_and_nothing_else() {
    let mut case = Case::default();
    case.signals.full_screen = seen(true);
    assert_eq!(open(&case), (true, false, true));
    assert_eq!(because(&case.at(NOON).install), &Why::FullScreen { may_overrule: true });
    case.choice().overrule.full_screen = true;
    assert_eq!(open(&case), (true, true, true));
}

#[test]
fn the_larger_free_disk_minimum_applies_and_a_deadline_overrides_only_the_users() {
    let mut case = Case::default();
    case.policy.free_disk = Some(10 << 30);
    case.choice().free_disk = 20 << 30;
    case.task().wish = Wish::Now;
    case.policy.bounds.now = true;
    case.signals.disk = disk(15 << 30);
    assert_eq!(because(&case.at(NOON).receive), &Why::DiskLow { free: 15 << 30, least: 20 << 30, by: By::User });
    // An endless minimum does not block updates with a deadline.
    case.choice().free_disk = u64::MAX;
    case.task().deadline = Some(unix("2026-01-01T00:00Z"));
    assert!(case.at(NOON).receive.is_open());
    case.signals.disk = disk((10 << 30) - 1);
    let receive = case.at(NOON).receive;
    assert_eq!(because(&receive), &Why::DiskLow { free: (10 << 30) - 1, least: 10 << 30, by: By::Policy });
    assert_eq!(receive.reason(Stage::Receive), Some(Reason::DiskFull));
}

#[test]
fn without_a_policys_minimum_a_tenth_of_a_small_disk_stays_free() {
    let mut case = Case::default();
    let (small, large) = (250 << 20, 100 << 30);
    for (size, least) in [(small, 25 << 20), (large, 1 << 30)] {
        let with = |free| {
            let mut case = case.clone();
            case.signals.disk = seen(DiskSpace { free, size });
            case.at(NOON).receive
        };
        assert!(with(least).is_open(), "{size}");
        assert_eq!(because(&with(least - 1)), &Why::DiskLow { free: least - 1, least, by: By::Policy });
    }
    // What an administrator sets applies to disks of any size.
    case.policy.free_disk = Some(1 << 30);
    case.signals.disk = seen(DiskSpace { free: small, size: small });
    assert_eq!(because(&case.at(NOON).receive), &Why::DiskLow { free: small, least: 1 << 30, by: By::Policy });
}

#[test]
fn a_deadline_overrides_windows_and_pauses_but_no_check_and_no_limit() {
    let mut case = Case::choosing("never");
    case.choice().pause = Some(Pause::UntilResumed { asked: unix("2026-01-14T11:00+01:00") });
    case.choice().download = Some(5000);
    case.policy.window = "never".parse().unwrap();
    case.signals.full_screen = seen(true);
    *case.task() = Task { deadline: Some(unix(NOON)), wish: Wish::After(unix("2026-02-01T00:00Z")), ..Task::default() };
    assert_eq!(open(&case), (true, true, false));
    let rate = Some(Rate { bytes_per_second: 5000, by: By::User });
    let limit = Limit { rate, priority: Priority::Full, deadline: Some(unix(NOON)) };
    assert_eq!(case.at(NOON).receive, Gate::Open { limit });
    case.signals.network = seen(Network { metered: true, ..wired() });
    assert_eq!(open(&case), (false, true, false));
    case.signals.network = seen(wired());
    case.signals.power = seen(Power { battery: true, charge: Some(5), saver: false });
    assert_eq!(open(&case), (false, false, false));
}

#[test]
fn the_earlier_deadline_counts_and_late_machines_get_their_grace_before_installs() {
    let mut case = Case::choosing("never");
    case.choice().install = "never".parse().unwrap();
    case.policy.deadline.receive = Some(3600);
    case.policy.deadline.install = Some(7200);
    case.task().issued = unix("2026-01-14T10:00+01:00");
    case.task().deadline = Some(unix("2026-01-14T11:30+01:00"));
    let told = |case: &Case, at: &str| (case.told(&case.at(at).receive), case.told(&case.at(at).install));
    let at_ten = told(&case, "2026-01-14T10:00+01:00");
    assert_eq!(at_ten, ("until 2026-01-14T11:00+01:00".into(), "until 2026-01-14T11:30+01:00".into()));
    // The machine is switched on two days later.
    case.task().seen = unix("2026-01-16T08:00+01:00");
    let late = told(&case, "2026-01-16T08:00+01:00");
    assert_eq!(late, ("open".into(), "until 2026-01-16T08:15+01:00".into()));
    let announce = case.at("2026-01-16T08:00+01:00").announce;
    assert_eq!(announce.len(), 1, "only what is closed is announced");
    assert_eq!((announce[0].stage, announce[0].before), (Stage::Install, 15 * 60));
}

#[test]
fn now_overrides_the_users_windows_and_the_administrators_only_if_the_policy_allows_it() {
    let mut case = Case::choosing("never");
    case.choice().install = "never".parse().unwrap();
    case.choice().pause = Some(Pause::an_hour(unix("2026-01-14T11:30+01:00")));
    case.task().wish = Wish::Now;
    assert_eq!(open(&case), (true, true, false), "the wish concerns this computer, not others");
    assert!(matches!(case.at(NOON).receive, Gate::Open { limit: Limit { priority: Priority::Full, .. } }));
    case.policy.bounds.windows = vec![Kind::Weekly];
    assert_eq!(open(&case), (false, false, false), "a wish of now does not exceed the bounds");
    case.policy.bounds.windows = Kind::ALL.to_vec();
    case.policy.window = Window::Night;
    assert_eq!(because(&case.at(NOON).receive), &Why::Window { window: Window::Night, by: By::Policy });
    case.policy.window = Window::Any;
    case.task().window = Window::Night;
    assert_eq!(because(&case.at(NOON).receive), &Why::Window { window: Window::Night, by: By::Order });
    case.policy.bounds.now = true;
    assert_eq!(open(&case), (true, true, false));
}

#[test]
fn every_kind_of_pause_ends_on_time() {
    let mut case = Case::default();
    let mut told = |pause| {
        case.choice().pause = Some(pause);
        case.told(&case.at(NOON).install)
    };
    let eleven = unix("2026-01-14T11:30+01:00");
    assert_eq!(told(Pause::an_hour(eleven)), "until 2026-01-14T12:30+01:00");
    assert_eq!(told(Pause::UntilTomorrow { asked: eleven }), "until 2026-01-15T06:00+01:00");
    assert_eq!(told(Pause::UntilResumed { asked: eleven }), "closed");
    case.policy.bounds.pause = Some(4 * 3600);
    assert_eq!(case.told(&case.at(NOON).install), "until 2026-01-14T15:30+01:00", "no longer than allowed");
    // In the night of the change, and where 06:00 itself is skipped.
    case.policy.bounds.pause = None;
    case.choice().pause = Some(Pause::UntilTomorrow { asked: unix("2026-03-28T23:30+01:00") });
    assert_eq!(case.told(&case.at("2026-03-29T00:10+01:00").receive), "until 2026-03-29T06:00+02:00");
    case.zone = crate::case::zone("STD0DST,M3.5.0/5:30,M10.5.0");
    case.choice().pause = Some(Pause::UntilTomorrow { asked: unix("2026-03-28T23:30Z") });
    assert_eq!(case.told(&case.at("2026-03-28T23:40Z").receive), "until 2026-03-29T06:30+01:00");
}

#[test]
fn a_pause_and_a_window_together_open_when_both_do() {
    let mut case = Case::choosing("night");
    case.choice().pause = Some(Pause::UntilTomorrow { asked: unix(NOON) });
    let verdict = case.at("2026-01-14T20:00+01:00");
    assert_eq!(case.told(&verdict.receive), "until 2026-01-15T22:00+01:00");
    assert!(matches!(because(&verdict.receive), Why::Paused { .. }), "the pause ends later than the window opens");
    case.task().wish = Wish::After(unix("2026-01-20T12:00+01:00"));
    let verdict = case.at("2026-01-14T20:00+01:00");
    assert_eq!(
        (case.told(&verdict.receive), because(&verdict.receive)),
        ("until 2026-01-20T22:00+01:00".into(), &Why::PutOff)
    );
}

#[test]
fn the_lower_limit_applies_and_a_limit_of_zero_closes_the_gate() {
    let mut case = Case::default();
    let mut limits = |own: Option<u64>, laid_down: Option<u64>, least: u64| {
        case.choice().upload = own;
        case.policy.upload = laid_down;
        case.policy.bounds.upload = least;
        match case.at(NOON).forward {
            Gate::Open { limit } => Ok(limit.rate.map(|rate| (rate.bytes_per_second, rate.by))),
            Gate::Closed { because, .. } => Err(because),
        }
    };
    assert_eq!(limits(None, None, 0), Ok(None));
    assert_eq!(limits(Some(5), None, 0), Ok(Some((5, By::User))));
    assert_eq!(limits(Some(5), Some(9), 0), Ok(Some((5, By::User))));
    assert_eq!(limits(Some(9), Some(5), 0), Ok(Some((5, By::Policy))));
    assert_eq!(limits(Some(5), None, 7), Ok(Some((7, By::User))), "out of bounds");
    assert_eq!(limits(Some(5), Some(6), 7), Ok(Some((6, By::Policy))));
    assert_eq!(limits(Some(0), Some(6), 0), Err(Why::SwitchedOff { by: By::User }));
    assert_eq!(limits(Some(3), Some(0), 0), Err(Why::SwitchedOff { by: By::Policy }));
    case.policy.upload = None;
    case.choice().forward = false;
    assert_eq!(open(&case), (true, true, false));
    assert_eq!(case.at(NOON).forward.reason(Stage::Forward), Some(Reason::MayNotForward));
    case.policy.bounds.forward = false;
    assert_eq!(open(&case), (true, true, true));
}

#[test]
fn a_choice_out_of_bounds_is_refused_and_the_defaults_apply() {
    let mut case = Case::choosing("night");
    case.policy.defaults.window = "Mon-Fri 12:00-13:00".parse().unwrap();
    case.policy.bounds.windows = vec![Kind::Any, Kind::Weekly];
    assert!(case.at(NOON).receive.is_open());
    let one = case.at("2026-01-14T13:00+01:00").receive;
    assert!(matches!(because(&one), Why::Window { window: Window::Weekly(_), by: By::Policy }));
    let bounds = case.policy.bounds.clone();
    assert_eq!(check_choice(case.choice(), &bounds), Err(OutOfBounds::Window));
    let strict = banyan_proto::schedule::Bounds {
        open_hours: 10,
        pause: Some(600),
        download: 1000,
        forward: false,
        battery: false,
        ..Default::default()
    };
    let week = |text: &str| Choice { window: text.parse().unwrap(), ..Choice::default() };
    for (choice, expected) in [
        (week("any"), Ok(())),
        (week("Mon 00:00-10:00"), Ok(())),
        (week("Mon 00:00-09:30"), Err(OutOfBounds::OpenHours(10))),
        (Choice { install: "never".parse().unwrap(), ..Choice::default() }, Err(OutOfBounds::OpenHours(10))),
        (Choice { pause: Some(Pause::an_hour(unix(NOON))), ..Choice::default() }, Err(OutOfBounds::Pause(600))),
        (Choice { download: Some(999), ..Choice::default() }, Err(OutOfBounds::Download(1000))),
        (Choice { download: Some(1000), ..Choice::default() }, Ok(())),
        (Choice { forward: false, ..Choice::default() }, Err(OutOfBounds::Forward)),
        (
            Choice { overrule: Overrule { battery: true, ..Overrule::default() }, ..Choice::default() },
            Err(OutOfBounds::Overrule),
        ),
    ] {
        assert_eq!(check_choice(&choice, &strict), expected, "{choice:?}");
        assert!(expected.is_ok() || expected.unwrap_err().to_string().starts_with("your administrator"));
    }
}

#[test]
fn stored_and_signed_settings_are_parsed_again() {
    let mut case = Case::choosing("Mon-Fri 22:00-06:00");
    case.choice().pause = Some(Pause::an_hour(unix(NOON)));
    case.choice().overrule.metered.insert(wired().id);
    let text = serde_json::to_string(case.choice()).unwrap();
    assert_eq!(serde_json::from_str::<Choice>(&text).unwrap(), *case.choice());
    assert_eq!(serde_json::from_str::<Choice>("{}").unwrap(), Choice::default());
    let policy = banyan_proto::schedule::Policy { defaults: case.choice().clone(), ..case.policy.clone() };
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<banyan_proto::schedule::Policy>(&text).unwrap(), policy);
    let verdict = case.at(NOON);
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<banyan_proto::schedule::Verdict>(&text).unwrap(), verdict);
}

#[test]
fn what_a_user_wants_now_or_what_is_overdue_is_not_in_the_background() {
    let mut case = Case::default();
    assert!(case.is_background(NOON));
    case.task().wish = Wish::Now;
    assert!(!case.is_background(NOON));
    *case.task() = Task { deadline: Some(unix(NOON)), ..Task::default() };
    assert!(case.is_background("2026-01-14T11:59+01:00") && !case.is_background(NOON));
    // Yielding to other programs is another matter.
    case.task().deadline = None;
    case.policy.give_way = GiveWay::Nobody;
    case.choice().give_way = GiveWay::Nobody;
    assert!(case.is_background(NOON));
}
