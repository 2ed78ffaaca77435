//! The scenes: one sample snapshot for each state that the tray and the window must be able to show.

use banyan_proto::{
    MachineId, OrderId, Reason, UnixSeconds,
    api::OfferedRelease,
    local::{
        About, Enrolled, Happened, HistoryEntry, Later, Link, Mode, Package, Partner, Progress, Scheduling, Seen,
        SeenSignals, Sharing, Snapshot, Update, UpdateState, Wait, When, Wishes,
    },
    manifest::Kind,
    schedule::{
        Choice, DayUse, Gate, Limit, Load, Network, NetworkId, Pause, Policy, Power, Presence, Priority, Stage,
        Verdict, Window, Wish,
    },
};
use banyan_schedule::{Moment, Signal, Signals, Situation, Task, decide, upload_quota::DailyUsage};
use jiff::tz::TimeZone;
use std::{fmt, str::FromStr, time::Duration};

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
        self.set(&mut s, now, zone);
        s.sort();
        decide_all(&mut s, now, zone);
        s
    }

    fn set(self, s: &mut Snapshot, now: UnixSeconds, zone: &TimeZone) {
        let choose = |s: &mut Snapshot, choice: Choice| s.scheduling.choice = Some(choice);
        match self {
            Self::Idle => {}
            Self::Receiving => {
                s.updates.push(moving(office(now)));
                s.updates.push(Update { waits: Some(no_leave(now)), ..ready(browser(now)) });
                s.sharing.download = 3_100_000;
                s.sharing.upload = 1_900_000;
            }
            Self::Forwarding => {
                let mut update = done(office(now), now);
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
                s.updates.push(Update { progress: part(office(now).size, 31), ..office(now) });
            }
            Self::Ready => {
                // Nothing is installed before the night unless the user asks for it.
                let night = rare(now);
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
                s.updates.extend([Update { state, ..ready(browser(now)) }, done(office(now), now)]);
            }
            Self::Paused => {
                let pause = Pause::For { asked: UnixSeconds(now.0 - 600), seconds: 3600 };
                choose(s, Choice { pause: Some(pause), ..Choice::default() });
                s.updates.push(Update { progress: part(office(now).size, 64), ..office(now) });
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
                s.updates.push(done(office(now), now));
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
fn rare(now: UnixSeconds) -> Window {
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

/// Computes the verdicts of the machine and of every update with the real scheduling rules.
pub(crate) fn decide_all(s: &mut Snapshot, now: UnixSeconds, zone: &TimeZone) {
    let mono = Duration::from_secs(3600);
    let moment = Moment { wall: now, mono };
    let seen = &s.scheduling.signals;
    let signals = Signals {
        load: signal(seen.load.value, mono),
        presence: signal(seen.presence.value, mono),
        power: signal(seen.power.value, mono),
        network: signal(seen.network.value.clone(), mono),
        full_screen: signal(seen.full_screen.value, mono),
        free_disk: signal(seen.free_disk.value, mono),
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

fn resting(partners: &[Partner]) -> Vec<Partner> {
    partners.iter().cloned().map(|partner| Partner { now: false, ..partner }).collect()
}

fn signal<T>(value: Option<T>, at: Duration) -> Signal<T> {
    value.map_or_else(Signal::unknown, |value| Signal::seen(value, at))
}

fn open() -> Gate {
    Gate::Open { limit: Limit { rate: None, priority: Priority::Yielding, deadline: None } }
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

fn part(size: u64, percent: u64) -> Progress {
    Progress { held: size / 100 * percent, of: size, ..Progress::default() }
}

fn update(now: UnixSeconds, number: u8, package: &str, version: &str, size: u64, notes: &str) -> Update {
    let tonight = UnixSeconds(now.0 / 3600 * 3600 + 6 * 3600);
    Update {
        order: OrderId([number; 16]),
        number: number.into(),
        package: package.into(),
        version: version.into(),
        sequence: 26,
        publisher: "Lakeside School IT".into(),
        notes: notes.into(),
        kind: Kind::Deb,
        size,
        issued: UnixSeconds(now.0 - 900),
        seen: UnixSeconds(now.0 - 840),
        state: UpdateState::Receiving,
        waits: None,
        progress: part(size, 0),
        verdict: Verdict { receive: open(), install: open(), forward: open(), announce: Vec::new() },
        receive_deadline: None,
        install_deadline: None,
        wishes: Wishes::default(),
        later: vec![
            Later { when: When::InAnHour, at: UnixSeconds(now.0 / 60 * 60 + 3600) },
            Later { when: When::Tonight, at: tonight },
            Later { when: When::Tomorrow, at: UnixSeconds(tonight.0 + 8 * 3600) },
        ],
        alone: false,
    }
}

/// Returns the update that a manually opened package becomes: fully received and installing.
pub(crate) fn by_hand(package: &Package, now: UnixSeconds) -> Update {
    let size = package.file.as_ref().map_or(0, |file| file.size);
    let made = update(now, 31, &package.package, &package.version, size, &package.notes);
    let made = Update { sequence: package.sequence, publisher: package.publisher.clone(), seen: now, ..made };
    let progress = Progress { held: size, of: size, ..Progress::default() };
    let wishes = Wishes { receive: Wish::Now, install: Wish::Now };
    let alone = package.signer.asks;
    Update { issued: now, state: UpdateState::Installing, progress, wishes, kind: Kind::Archive, alone, ..made }
}

/// Returns the update that a release chosen from the catalogue becomes: downloading from the server.
pub(crate) fn chosen(release: &OfferedRelease, now: UnixSeconds) -> Update {
    let number = u8::try_from(release.sequence).unwrap_or(u8::MAX);
    let made = update(now, number, &release.package, &release.version, release.size, &release.notes);
    let progress = Progress { down: 3_100_000, ..part(release.size, 1) };
    let wishes = Wishes { receive: Wish::Now, install: Wish::Now };
    let (sequence, publisher) = (release.sequence, release.publisher.clone());
    Update { sequence, publisher, seen: now, issued: now, progress, wishes, kind: Kind::Archive, ..made }
}

fn office(now: UnixSeconds) -> Update {
    update(now, 9, "libreoffice", "26.2", 655_000_000, "Opens large tables faster.\nFixes label printing.")
}
fn browser(now: UnixSeconds) -> Update {
    update(now, 8, "school-browser", "12.1", 84_000_000, "Fixes three security holes that let pages read files.")
}
fn maths(now: UnixSeconds) -> Update {
    update(now, 7, "maths-tools", "4.0", 231_000_000, "")
}

fn ready(update: Update) -> Update {
    let progress = Progress { held: update.size, from: resting(&partners(false)), ..part(update.size, 100) };
    Update { state: UpdateState::Ready, progress, ..update }
}
fn done(update: Update, now: UnixSeconds) -> Update {
    Update { state: UpdateState::Installed { at: UnixSeconds(now.0 - 300) }, later: Vec::new(), ..ready(update) }
}
fn moving(update: Update) -> Update {
    let progress = Progress {
        down: 3_100_000,
        up: 1_900_000,
        passed_on: 250_000_000,
        from: partners(false),
        to: partners(true),
        ..part(update.size, 64)
    };
    Update { progress, ..update }
}
fn no_leave(now: UnixSeconds) -> Wait {
    Wait {
        stage: Stage::Install,
        reason: Reason::WaitsForPermit,
        detail: "the deployment is waiting for approval".into(),
        since: UnixSeconds(now.0 - 120),
        next: Some(UnixSeconds(now.0 + 40)),
    }
}

fn partners(to: bool) -> Vec<Partner> {
    let partner =
        |id: u8, label: &str, bytes| Partner { machine: MachineId([id; 16]), label: label.into(), bytes, now: true };
    if to {
        vec![partner(11, "room-204-11", 140_000_000), partner(12, "room-204-12", 110_000_000)]
    } else {
        vec![partner(3, "room-204-03", 300_000_000), partner(5, "room-204-05", 119_000_000)]
    }
}
