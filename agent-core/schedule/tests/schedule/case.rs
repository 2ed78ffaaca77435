//! A machine's situation in which everything is allowed unless the test changes it.

use banyan_proto::{
    UnixSeconds,
    schedule::{Choice, Gate, Load, Network, NetworkId, Policy, Power, Presence, Verdict, Window},
};
use banyan_schedule::{
    DiskSpace, Moment, Signal, Signals, Situation, Task, Wake, decide, is_background, next_change,
    upload_quota::DailyUsage,
};
use jiff::tz::TimeZone;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) zone: TimeZone,
    pub(crate) signals: Signals,
    pub(crate) choice: Option<Choice>,
    pub(crate) policy: Policy,
    pub(crate) usage: DailyUsage,
    pub(crate) task: Option<Task>,
}

/// Daylight saving time from the last Sunday in March, 02:00, to the last in October, 03:00.
pub(crate) fn berlin() -> TimeZone {
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
}

pub(crate) fn zone(rules: &str) -> TimeZone {
    TimeZone::posix(rules).unwrap()
}

/// Parses `2026-03-28T22:30+01:00`.
pub(crate) fn unix(text: &str) -> UnixSeconds {
    let time: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    UnixSeconds(u64::try_from(time.as_second()).unwrap())
}

pub(crate) fn wired() -> Network {
    Network { id: NetworkId("eth0".into()), name: "School".into(), metered: false }
}

pub(crate) const MAINS: Power = Power { battery: false, charge: None, saver: false };

impl Default for Case {
    fn default() -> Self {
        let now = Duration::ZERO;
        let signals = Signals {
            load: Signal::seen(Load { percent: 3, idle: true }, now),
            presence: Signal::seen(Presence::Away, now),
            power: Signal::seen(MAINS, now),
            network: Signal::seen(wired(), now),
            full_screen: Signal::seen(false, now),
            disk: Signal::seen(DiskSpace { free: 100 << 30, size: 500 << 30 }, now),
        };
        Self {
            zone: berlin(),
            signals,
            choice: None,
            policy: Policy::default(),
            usage: DailyUsage::default(),
            task: None,
        }
    }
}

impl Case {
    pub(crate) fn choosing(window: &str) -> Self {
        let window = window.parse::<Window>().unwrap();
        Self { choice: Some(Choice { window, ..Choice::default() }), ..Self::default() }
    }
    pub(crate) fn choice(&mut self) -> &mut Choice {
        self.choice.get_or_insert_default()
    }
    pub(crate) fn task(&mut self) -> &mut Task {
        self.task.get_or_insert_default()
    }
    fn situation(&self) -> Situation<'_> {
        Situation {
            zone: &self.zone,
            signals: &self.signals,
            choice: self.choice.as_ref(),
            policy: &self.policy,
            usage: &self.usage,
            task: self.task.as_ref(),
        }
    }
    pub(crate) fn decide(&self, wall: UnixSeconds) -> Verdict {
        decide(&self.situation(), Moment { wall, mono: Duration::ZERO })
    }
    pub(crate) fn is_background(&self, at: &str) -> bool {
        is_background(&self.situation(), Moment { wall: unix(at), mono: Duration::ZERO })
    }
    pub(crate) fn decide_at(&self, now: Moment) -> Verdict {
        decide(&self.situation(), now)
    }
    pub(crate) fn next_change(&self, wall: UnixSeconds) -> Option<UnixSeconds> {
        self.wake(Moment { wall, mono: Duration::ZERO }).map(|wake| wake.at)
    }
    pub(crate) fn wake(&self, now: Moment) -> Option<Wake> {
        next_change(&self.situation(), now)
    }
    pub(crate) fn at(&self, time: &str) -> Verdict {
        self.decide(unix(time))
    }
    /// Formats local time and offset.
    pub(crate) fn local(&self, at: UnixSeconds) -> String {
        let time = jiff::Timestamp::from_second(i64::try_from(at.0).unwrap()).unwrap();
        let zoned = time.to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%dT%H:%M%:z").to_string()
    }
    /// Formats a gate: `open`, `until 2026-03-29T03:00+02:00`, or `closed`.
    pub(crate) fn told(&self, gate: &Gate) -> String {
        match gate {
            Gate::Open { .. } => "open".to_owned(),
            Gate::Closed { until: Some(until), .. } => format!("until {}", self.local(*until)),
            Gate::Closed { until: None, .. } => "closed".to_owned(),
        }
    }
}
