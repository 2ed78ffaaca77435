//! Sample data for tests and screenshots: a computer with updates in every state, at a fixed time.

use crate::Clock;
use banyan_proto::{
    Digest, MachineId, OrderId, Reason, UnixSeconds,
    api::OfferedRelease,
    local::{
        About, Catalogue, Enrolled, Happened, HistoryEntry, Item, Later, Link, Mode, Partner, Progress, Replaces,
        Scheduling, Seen, SeenSignals, Sharing, Snapshot, Update, UpdateState, When, Wishes,
    },
    manifest::Kind,
    schedule::{
        By, Choice, DayUse, Gate, Limit, Load, Network, NetworkId, Policy, Power, Presence, Priority, Verdict, Why,
        Window, Wish,
    },
};
use jiff::tz::TimeZone;

/// Monday, 23 November 2026, 14:30 in Berlin.
pub const NOW: UnixSeconds = UnixSeconds(1_795_440_600);
const HOUR: u64 = 3600;
const TONIGHT: UnixSeconds = UnixSeconds(NOW.0 + 7 * HOUR + HOUR / 2);
const TOMORROW: UnixSeconds = UnixSeconds(NOW.0 + 15 * HOUR + HOUR / 2);
const ZONE: &str = "Europe/Berlin";

/// Returns a clock that stands at [`NOW`].
///
/// # Panics
/// Panics when the time zone database is missing.
#[must_use]
pub fn clock() -> Clock {
    Clock { now: NOW, zone: TimeZone::get(ZONE).expect("the time zone database is installed") }
}

fn ago(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 - seconds)
}

/// Returns an update that this computer downloads from one computer and shares with two.
#[must_use]
pub fn receiving() -> Update {
    let partner = |label: &str, n: u8| Partner {
        machine: MachineId([n; 16]),
        label: label.to_owned(),
        bytes: 40_000_000,
        now: true,
    };
    let progress = Progress {
        held: 201_600_000,
        of: 315_000_000,
        down: 1_100_000,
        up: 2_000_000,
        passed_on: 180_000_000,
        from: vec![partner("room-204-07", 7)],
        to: vec![partner("room-204-11", 11), partner("room-204-12", 12)],
    };
    // The person chose "Download now"; otherwise the update would wait for the night, like `waiting`.
    let wishes = Wishes { receive: Wish::Now, ..Wishes::default() };
    Update { progress, wishes, size: 315_000_000, ..update(4, "LibreOffice", "26.2", UpdateState::Receiving) }
}

/// Returns an update that is ready to install.
#[must_use]
pub fn ready() -> Update {
    let later = vec![Later { when: When::Tonight, at: TONIGHT }, Later { when: When::Tomorrow, at: TOMORROW }];
    Update {
        later,
        notes: "Opens large pages twice as fast. The school's bookmarks are kept.".to_owned(),
        ..update(5, "School Browser", "12.1", UpdateState::Ready)
    }
}

/// Returns an update that waits for the night.
#[must_use]
pub fn waiting() -> Update {
    Update { verdict: night(), ..update(3, "Maths Tools", "4.0", UpdateState::Receiving) }
}

/// Returns an update that failed its check and was rolled back.
#[must_use]
pub fn failed() -> Update {
    let state = UpdateState::Failed {
        at: ago(5 * HOUR),
        reason: Reason::ProbeFailed,
        detail: "exit code 3".to_owned(),
        restored: true,
    };
    update(2, "Printer Driver", "7.3", state)
}

fn installed() -> Update {
    update(1, "Time Sync", "2.8", UpdateState::Installed { at: ago(22 * HOUR + 1500) })
}

fn open() -> Verdict {
    let gate = Gate::Open { limit: Limit { rate: None, priority: Priority::Yielding, deadline: None } };
    Verdict { receive: gate.clone(), install: gate.clone(), forward: gate, announce: vec![] }
}

/// Returns a verdict without transfers before the night.
fn night() -> Verdict {
    let because = Why::Window { window: Window::Night, by: By::User };
    let closed = Gate::Closed { because, until: Some(TONIGHT) };
    Verdict { receive: closed.clone(), forward: closed, ..open() }
}

fn update(number: u64, package: &str, version: &str, state: UpdateState) -> Update {
    Update {
        order: OrderId([u8::try_from(number).unwrap_or(u8::MAX); 16]),
        number,
        package: package.to_owned(),
        version: version.to_owned(),
        sequence: number,
        publisher: "Lakeside School IT".to_owned(),
        notes: String::new(),
        kind: Kind::Deb,
        size: 84_000_000,
        issued: ago(2 * HOUR),
        seen: ago(2 * HOUR),
        state,
        waits: None,
        progress: Progress { of: 84_000_000, ..Progress::default() },
        verdict: open(),
        receive_deadline: None,
        install_deadline: None,
        wishes: Wishes::default(),
        later: vec![],
        alone: false,
    }
}

/// Returns a catalogue for [`busy`]: an update, a new package, one on its way, one that failed and one installed.
#[must_use]
pub fn catalogue() -> Catalogue {
    let item = |n: u8, package: &str, version: &str, sequence, size, notes: &str| Item {
        release: OfferedRelease {
            package: package.to_owned(),
            version: version.to_owned(),
            sequence,
            manifest: Digest([n; 32]),
            size,
            publisher: "Lakeside School IT".to_owned(),
            notes: notes.to_owned(),
        },
        installed: None,
    };
    let before = Replaces { version: "2.0".to_owned(), sequence: 20, at: ago(40 * 24 * HOUR) };
    let drawing = "Opens drawings in the new format.\nKeeps colours when you save.";
    let chart = item(1, "Chart View", "2.1", 21, 12_400_000, "Prints again.");
    Catalogue {
        items: vec![
            Item { installed: Some(before), ..chart },
            item(2, "Drawing", "3.1", 31, 74_000_000, drawing),
            item(3, "LibreOffice", "26.2", 4, 315_000_000, ""),
            item(4, "Printer Driver", "7.3", 2, 84_000_000, ""),
            item(5, "Time Sync", "2.8", 1, 84_000_000, ""),
        ],
    }
}

/// Returns a connected, enrolled computer without updates.
#[must_use]
pub fn quiet() -> Snapshot {
    let enrolled = Enrolled {
        machine: MachineId([0x2A; 16]),
        server: MachineId([0x51; 16]),
        server_addresses: vec![std::net::SocketAddr::from(([10, 20, 0, 5], 7443)).into()],
        certificate_until: Some(UnixSeconds(NOW.0 + 60 * 86_400)),
        crl_number: 12,
    };
    let seen = |at| Seen::<()> { value: None, at: Some(at), overruled: false, may_overrule: true };
    Snapshot {
        about: About {
            label: "room-204-09".to_owned(),
            software: "banyan-agent 0.1.0".to_owned(),
            platform: "linux-x86_64".to_owned(),
            mode: Mode::System,
            installs_for_everyone: true,
            listen: Some(([10, 20, 4, 9], 7444).into()),
            enrolled: Some(enrolled),
            zone: ZONE.to_owned(),
            signers: vec![],
        },
        link: Link::Connected,
        updates: vec![],
        scheduling: Scheduling {
            choice: Some(Choice { window: Window::Night, ..Choice::default() }),
            policy: Policy::default(),
            verdict: night(),
            signals: SeenSignals {
                load: with(&seen(ago(5)), Load { percent: 7, idle: true }),
                quiet_since: Some(ago(240)),
                presence: with(&seen(ago(20)), Presence::Here),
                power: with(&seen(ago(600)), Power { battery: false, charge: Some(93), saver: false }),
                network: with(
                    &seen(ago(3 * HOUR)),
                    Network { id: NetworkId("lakeside".to_owned()), name: "Lakeside".to_owned(), metered: false },
                ),
                full_screen: with(&seen(ago(20)), false),
                free_disk: Seen { may_overrule: false, ..with(&seen(ago(60)), 48_000_000_000) },
            },
        },
        sharing: Sharing {
            today: DayUse { day: "2026-11-23".to_owned(), given: 0, received: 0 },
            days: vec![],
            quota: None,
            download: 0,
            upload: 0,
        },
        history: vec![],
    }
}

fn with<T>(seen: &Seen<()>, value: T) -> Seen<T> {
    Seen { value: Some(value), at: seen.at, overruled: seen.overruled, may_overrule: seen.may_overrule }
}

/// Returns the same computer with a history and five updates, each in another state.
#[must_use]
pub fn busy() -> Snapshot {
    let updates = vec![ready(), receiving(), waiting(), failed(), installed()];
    let day = |day: &str, given: u64, received: u64| DayUse {
        day: day.to_owned(),
        given: given * 1_000_000,
        received: received * 1_000_000,
    };
    let entry = |hours: u64, update: &Update, what| HistoryEntry {
        at: ago(hours * HOUR + 300),
        order: Some(update.order),
        package: update.package.clone(),
        version: update.version.clone(),
        what,
    };
    let history = vec![
        entry(1, &updates[0], Happened::Received),
        entry(2, &updates[1], Happened::Incoming),
        entry(2, &updates[0], Happened::Incoming),
        entry(5, &updates[3], Happened::Failed { reason: Reason::ProbeFailed, detail: String::new(), restored: true }),
        entry(22, &updates[4], Happened::Installed { already: false }),
        entry(23, &updates[4], Happened::Received),
    ];
    let sharing = Sharing {
        today: day("2026-11-23", 180, 286),
        days: vec![day("2026-11-22", 412, 206), day("2026-11-21", 0, 12), day("2026-11-20", 96, 84)],
        quota: Some(500_000_000),
        download: 1_100_000,
        upload: 2_000_000,
    };
    Snapshot { updates, sharing, history, ..quiet() }
}
