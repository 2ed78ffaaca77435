//! For any policy and any choice: a gate is open exactly if both alone would open it, and the lower of two limits
//! applies and is named.

use crate::{
    case::{Case, wired},
    next_change::{windows, zones},
};
use banyan_proto::{
    UnixSeconds,
    schedule::{By, Charge, Choice, Gate, Load, Network, Policy, Power, Presence, Stage, Verdict, Window},
};
use banyan_schedule::{DiskSpace, Signal};
use proptest::prelude::*;
use std::time::Duration;

fn limits() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(prop_oneof![Just(0u64), 1..100_000_000u64])
}

fn choices() -> impl Strategy<Value = Choice> {
    (windows(), windows(), limits(), limits(), limits(), any::<bool>(), 0u64..200 << 30).prop_map(
        |(window, install, download, upload, daily_upload, forward, free_disk)| Choice {
            window,
            install,
            download,
            upload,
            daily_upload,
            forward,
            free_disk,
            ..Choice::default()
        },
    )
}

fn policies() -> impl Strategy<Value = Policy> {
    let rules = (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of(0u8..100));
    (windows(), windows(), (limits(), limits(), limits()), any::<bool>(), 0u64..200 << 30, rules).prop_map(
        |(window, install, (download, upload, daily_upload), forward, free_disk, (metered, saver, full, least))| {
            let free_disk = Some(free_disk);
            let mut policy = Policy { window, install, download, upload, daily_upload, forward, free_disk, ..lax() };
            policy.rules.metered = metered;
            policy.rules.power_saver = saver;
            policy.rules.full_screen = full;
            policy.rules.battery = Charge { receive: least, install: least, forward: least };
            policy
        },
    )
}

/// A policy without restrictions.
fn lax() -> Policy {
    let mut policy = Policy { free_disk: Some(0), ..Policy::default() };
    policy.rules.metered = true;
    policy.rules.power_saver = true;
    policy.rules.full_screen = true;
    policy.rules.battery = Charge { receive: Some(0), install: Some(0), forward: Some(0) };
    policy
}

fn situations() -> impl Strategy<Value = (Case, UnixSeconds)> {
    let signals = (any::<[bool; 6]>(), 0u8..100, 0u64..300 << 30, 0u64..100_000_000);
    (zones(), signals, 1_767_000_000u64..1_800_000_000).prop_map(|(zone, (flags, charge, free, given), now)| {
        let [idle, here, metered, battery, saver, full_screen] = flags;
        let (mut case, now, at) = (Case { zone, ..Case::default() }, UnixSeconds(now), Duration::ZERO);
        case.signals.load = Signal::seen(Load { percent: 30, idle }, at);
        case.signals.presence = Signal::seen(if here { Presence::Here } else { Presence::Away }, at);
        case.signals.network = Signal::seen(Network { metered, ..wired() }, at);
        case.signals.power = Signal::seen(Power { battery, charge: Some(charge), saver }, at);
        case.signals.full_screen = Signal::seen(full_screen, at);
        case.signals.disk = Signal::seen(DiskSpace { free, size: 300 << 30 }, at);
        case.usage.take(&case.zone, now, given, None).unwrap();
        (case, now)
    })
}

fn gates(verdict: &Verdict) -> [(Stage, &Gate); 3] {
    [(Stage::Receive, &verdict.receive), (Stage::Install, &verdict.install), (Stage::Forward, &verdict.forward)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_stricter_limit_wins((case, now) in situations(), policy in policies(), choice in choices()) {
        let with = |policy: &Policy, choice: &Choice| {
            let case = Case { policy: policy.clone(), choice: Some(choice.clone()), ..case.clone() };
            case.decide(now)
        };
        let free = Choice { window: Window::Any, ..Choice::default() };
        let (both, policy_alone, choice_alone) = (with(&policy, &choice), with(&policy, &free), with(&lax(), &choice));
        for ((stage, both), ((_, laid_down), (_, chosen))) in
            gates(&both).into_iter().zip(gates(&policy_alone).into_iter().zip(gates(&choice_alone)))
        {
            prop_assert_eq!(both.is_open(), laid_down.is_open() && chosen.is_open(), "{:?}", stage);
            let rate = |gate: &Gate| match gate {
                Gate::Open { limit } => limit.rate,
                Gate::Closed { .. } => None,
            };
            if both.is_open() {
                let alone = [rate(laid_down).map(|r| (r.bytes_per_second, By::Policy)), rate(chosen).map(|r| (r.bytes_per_second, By::User))];
                let lower = alone.into_iter().flatten().min_by_key(|(rate, _)| *rate);
                prop_assert_eq!(rate(both).map(|r| (r.bytes_per_second, r.by)), lower, "{:?}", stage);
            }
        }
    }
}
