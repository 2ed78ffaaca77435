//! Computes the verdicts that the simulated machine shows, with the real scheduling rules.

use crate::sample_updates::resting;
use banyan_proto::{
    UnixSeconds,
    local::Snapshot,
    schedule::{Stage, Window},
};
use banyan_schedule::{DiskSpace, Moment, Signal, Signals, Situation, Task, decide, upload_quota::DailyUsage};
use jiff::tz::TimeZone;
use std::time::Duration;

/// The size of the simulated disk (bytes).
const DISK: u64 = 500_000_000_000;

/// Computes the verdicts of the machine and of every update with the real scheduling rules.
pub(crate) fn update_all(s: &mut Snapshot, now: UnixSeconds, zone: &TimeZone) {
    let mono = Duration::from_secs(3600);
    let moment = Moment { wall: now, mono };
    let seen = &s.scheduling.signals;
    let signals = Signals {
        load: signal(seen.load.value, mono),
        presence: signal(seen.presence.value, mono),
        power: signal(seen.power.value, mono),
        network: signal(seen.network.value.clone(), mono),
        full_screen: signal(seen.full_screen.value, mono),
        disk: signal(seen.free_disk.value.map(|free| DiskSpace { free, size: DISK }), mono),
    };
    let usage = DailyUsage::restore(std::slice::from_ref(&s.sharing.today));
    let (choice, policy) = (s.scheduling.choice.clone(), s.scheduling.policy.clone());
    let ask = |task: Option<&Task>| {
        let choice = choice.as_ref();
        decide(&Situation { zone, signals: &signals, choice, policy: &policy, usage: &usage, task }, moment)
    };
    s.scheduling.verdict = ask(None);
    for update in &mut s.updates {
        let on = |wish| {
            ask(Some(&Task { issued: update.issued, seen: update.seen, window: Window::Any, deadline: None, wish }))
        };
        let (mut verdict, other) = (on(update.wishes.receive), on(update.wishes.install));
        verdict.install = other.install;
        verdict.announce.retain(|announcement| announcement.stage != Stage::Install);
        verdict.announce.extend(other.announce.into_iter().filter(|a| a.stage == Stage::Install));
        update.verdict = verdict;
        if !update.verdict.receive.is_open() {
            (update.progress.down, update.progress.from) = (0, resting(&update.progress.from));
        }
        if !update.verdict.forward.is_open() {
            (update.progress.up, update.progress.to) = (0, resting(&update.progress.to));
        }
    }
    s.sharing.download = s.updates.iter().map(|update| update.progress.down).sum();
    s.sharing.upload = s.updates.iter().map(|update| update.progress.up).sum();
}

fn signal<T>(value: Option<T>, at: Duration) -> Signal<T> {
    value.map_or_else(Signal::unknown, |value| Signal::seen(value, at))
}
