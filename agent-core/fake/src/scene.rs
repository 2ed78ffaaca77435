//! The scenes: one sample snapshot for each state that the tray and the window must be able to show.

use crate::{
    sample_updates::{
        browser, installed, maths, office, open, partly_received, partners, ready, transferring, waiting_for_permit,
    },
    verdicts,
};
use banyan_proto::{
    MachineId, Reason, UnixSeconds,
    local::{
        About, Enrolled, Happened, HistoryEntry, Link, Mode, Scheduling, Seen, SeenSignals, Sharing, Snapshot, Update,
        UpdateState,
    },
    schedule::{Choice, DayUse, Load, Network, NetworkId, Pause, Policy, Power, Presence, Verdict, Window},
};
use jiff::tz::TimeZone;
use std::{fmt, str::FromStr};

/// The state that the fake agent simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Nothing to do: everything is installed.
    Idle,
    /// One update is downloading and being shared, one waits for the server, others are installed.
    Receiving,
    /// All content is complete and other machines are downloading it.
    Forwarding,
    /// An update is scheduled for the night.
    Waiting,
    /// An update waits until the computer is not in use.
    Busy,
    /// Updates are ready to install.
    Ready,
    /// An update is ready and only a full-screen program stands in its way.
    NeedsYou,
    /// An installation is running.
    Installing,
    /// The last update failed.
    Failed,
    /// The user paused all transfers and installations.
    Paused,
    /// The network is metered.
    Metered,
    /// The computer runs on a low battery.
    Battery,
    /// The administrator's deadline is close.
    Deadline,
    /// The server cannot be reached.
    NotConnected,
    /// The machine is not enrolled with a server.
    NotEnrolled,
}

impl Scene {
    /// All scenes.
    pub const ALL: [Self; 15] = [
        Self::Idle,
        Self::Receiving,
        Self::Forwarding,
        Self::Waiting,
        Self::Busy,
        Self::Ready,
        Self::NeedsYou,
        Self::Installing,
        Self::Failed,
        Self::Paused,
        Self::Metered,
        Self::Battery,
        Self::Deadline,
        Self::NotConnected,
        Self::NotEnrolled,
    ];
    /// Returns the scene's name as used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Receiving => "receiving",
            Self::Forwarding => "forwarding",
            Self::Waiting => "waiting",
            Self::Busy => "busy",
            Self::Ready => "ready",
            Self::NeedsYou => "needs-you",
            Self::Installing => "installing",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Metered => "metered",
            Self::Battery => "battery",
            Self::Deadline => "deadline",
            Self::NotConnected => "not-connected",
            Self::NotEnrolled => "not-enrolled",
        }
    }
    /// Returns the scene's snapshot at `now` in `zone`. The same arguments always give the same snapshot.
    #[must_use]
    pub fn snapshot(self, now: UnixSeconds, zone: &TimeZone) -> Snapshot {
        let mut s = base(now, zone);
        self.apply_to(&mut s, now, zone);
        s.sort();
        verdicts::update_all(&mut s, now, zone);
        s
    }

    fn apply_to(self, s: &mut Snapshot, now: UnixSeconds, zone: &TimeZone) {
        let choose = |s: &mut Snapshot, choice: Choice| s.scheduling.choice = Some(choice);
        match self {
            Self::Idle => {}
            Self::Receiving => {
                s.updates.push(transferring(office(now)));
                s.updates.push(Update { waits: Some(waiting_for_permit(now)), ..ready(browser(now)) });
                s.sharing.download = 3_100_000;
                s.sharing.upload = 1_900_000;
            }
            Self::Forwarding => {
                let mut update = installed(office(now), now);
                update.progress.up = 2_400_000;
                update.progress.to = partners(true);
                s.sharing.upload = 2_400_000;
                s.updates.push(update);
            }
            Self::Waiting => {
                choose(s, Choice { window: Window::Night, ..Choice::default() });
                // The night window begins in three hours, whatever the time is now.
                let hour = (now.0 / 3600 + offset_hours(now, zone) + 3) % 24;
                let night = format!("{hour:02}:00-{:02}:00", (hour + 8) % 24);
                if let (Ok(night), Some(choice)) = (night.parse(), &mut s.scheduling.choice) {
                    choice.night = night;
                }
                s.updates.push(maths(now));
            }
            Self::Busy => {
                choose(s, Choice { window: Window::Idle, ..Choice::default() });
                s.scheduling.signals.load.value = Some(Load { percent: 83, idle: false });
                s.scheduling.signals.quiet_since = None;
                s.updates.push(Update { progress: partly_received(office(now).size, 31), ..office(now) });
            }
            Self::Ready => {
                // Nothing is installed before the night unless the user asks for it.
                let night = rare_window(now);
                choose(s, Choice { install: night, ..Choice::default() });
                s.updates.extend([ready(browser(now)), ready(office(now))]);
            }
            Self::NeedsYou => {
                s.scheduling.signals.full_screen.value = Some(true);
                s.updates.push(ready(browser(now)));
            }
            Self::Installing => s.updates.push(Update { state: UpdateState::Installing, ..ready(browser(now)) }),
            Self::Failed => {
                let reason = Reason::ProbeFailed;
                let detail =
                    "browser --version: exit code 127\nerror while loading shared libraries: libnss3.so".into();
                let at = UnixSeconds(now.0 - 600);
                let state = UpdateState::Failed { at, reason, detail, restored: true };
                s.updates.extend([Update { state, ..ready(browser(now)) }, installed(office(now), now)]);
            }
            Self::Paused => {
                let pause = Pause::For { asked: UnixSeconds(now.0 - 600), seconds: 3600 };
                choose(s, Choice { pause: Some(pause), ..Choice::default() });
                s.updates.push(Update { progress: partly_received(office(now).size, 64), ..office(now) });
            }
            Self::Metered => {
                let network = Network { id: NetworkId("3f1c".into()), name: "Mia's phone".into(), metered: true };
                s.scheduling.signals.network.value = Some(network);
                s.updates.push(maths(now));
            }
            Self::Battery => {
                s.scheduling.signals.power.value = Some(Power { battery: true, charge: Some(12), saver: false });
                s.updates.push(maths(now));
            }
            Self::Deadline => {
                let choice = Choice { install: Window::Weekly(Default::default()), ..Choice::default() };
                choose(s, choice);
                s.scheduling.policy.deadline.install = Some(3 * 24 * 3600);
                let issued = UnixSeconds(now.0 - 3 * 24 * 3600 + 14 * 60);
                let install_deadline = Some(UnixSeconds(now.0 + 14 * 60));
                s.updates.push(Update { issued, seen: issued, install_deadline, later: vec![], ..ready(browser(now)) });
            }
            Self::NotConnected => {
                s.link = Link::Away { heard: Some(UnixSeconds(now.0 - 3 * 3600)) };
                s.updates.push(installed(office(now), now));
            }
            Self::NotEnrolled => {
                s.link = Link::NotEnrolled;
                (s.about.enrolled, s.about.listen) = (None, None);
                s.history.clear();
                s.sharing.days.clear();
                s.sharing.today = DayUse { given: 0, received: 0, ..s.sharing.today.clone() };
            }
        }
    }
}

/// Returns a window that is open for one half-hour of the week, two days before `now`.
fn rare_window(now: UnixSeconds) -> Window {
    let mut week = banyan_proto::schedule::Week::NEVER;
    // 1970-01-01 was a Thursday: day 3 when Monday is 0. Two days away, so that it is not today in any time zone.
    let day = usize::try_from(now.0 / 86_400 + 3 + 5).unwrap_or(0) % 7;
    week.set(day, 44, true);
    Window::Weekly(week)
}

fn offset_hours(now: UnixSeconds, zone: &TimeZone) -> u64 {
    let at = i64::try_from(now.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let seconds = at.map_or(0, |at| zone.to_offset(at).seconds());
    u64::try_from((seconds / 3600).rem_euclid(24)).unwrap_or(0)
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
impl FromStr for Scene {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|scene| scene.name() == text)
            .ok_or_else(|| format!("unknown scene; choose one of: {}", all()))
    }
}

fn base(now: UnixSeconds, zone: &TimeZone) -> Snapshot {
    fn seen<T>(value: T, at: UnixSeconds) -> Seen<T> {
        Seen { value: Some(value), at: Some(at), overruled: false, may_overrule: true }
    }
    let network = Network { id: NetworkId("a04e".into()), name: "Lakeside".into(), metered: false };
    let signals = SeenSignals {
        load: seen(Load { percent: 7, idle: true }, now),
        quiet_since: Some(UnixSeconds(now.0 - 240)),
        presence: seen(Presence::Here, UnixSeconds(now.0 - 60)),
        power: seen(Power { battery: false, charge: Some(93), saver: false }, UnixSeconds(now.0 - 1800)),
        network: seen(network, UnixSeconds(now.0 - 5400)),
        full_screen: seen(false, UnixSeconds(now.0 - 300)),
        free_disk: Seen { may_overrule: false, ..seen(118_000_000_000, UnixSeconds(now.0 - 10)) },
    };
    let enrolled = Enrolled {
        machine: MachineId([0x4b; 16]),
        server: MachineId([0x01; 16]),
        server_addresses: vec![std::net::SocketAddr::from(([10, 2, 0, 5], 7700)).into()],
        certificate_until: Some(UnixSeconds(now.0 + 212 * 86_400)),
        crl_number: 41,
    };
    let day = |ago: u64| banyan_schedule::day_name(UnixSeconds(now.0 - ago * 86_400), zone);
    let used = |ago, given, received| DayUse { day: day(ago), given, received };
    Snapshot {
        about: About {
            label: "room-204-07".into(),
            software: format!("banyan-agent {}", env!("CARGO_PKG_VERSION")),
            platform: "linux-x86_64".into(),
            mode: Mode::System,
            installs_for_everyone: true,
            listen: Some(([0, 0, 0, 0], 7711).into()),
            enrolled: Some(enrolled),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            signers: Vec::new(),
        },
        link: Link::Connected,
        updates: Vec::new(),
        scheduling: Scheduling {
            choice: None,
            policy: Policy::default(),
            verdict: Verdict { receive: open(), install: open(), forward: open(), announce: Vec::new() },
            signals,
        },
        sharing: Sharing {
            today: used(0, 412_000_000, 230_000_000),
            days: vec![used(1, 96_000_000, 84_000_000), used(4, 1_310_000_000, 655_000_000), used(11, 0, 12_400_000)],
            quota: None,
            download: 0,
            upload: 0,
        },
        history: history(now),
    }
}

fn history(now: UnixSeconds) -> Vec<HistoryEntry> {
    let entry = |ago, package: &str, version: &str, what| HistoryEntry {
        at: UnixSeconds(now.0 - ago),
        order: None,
        package: package.into(),
        version: version.into(),
        what,
    };
    let detail = "chart-view --version: exit code 1".to_owned();
    vec![
        entry(86_400, "pdf-reader", "9.4", Happened::Installed { already: false }),
        entry(86_460, "pdf-reader", "9.4", Happened::Received),
        entry(90_000, "pdf-reader", "9.4", Happened::Incoming),
        entry(345_600, "chart-view", "2.0", Happened::Failed { reason: Reason::ProbeFailed, detail, restored: true }),
        entry(345_700, "chart-view", "2.0", Happened::Received),
        entry(950_400, "certificates", "2026.11", Happened::Installed { already: true }),
        HistoryEntry {
            at: UnixSeconds(now.0 - 2_000_000),
            order: None,
            package: String::new(),
            version: String::new(),
            what: Happened::Enrolled,
        },
    ]
}
