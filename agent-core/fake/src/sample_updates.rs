//! The sample updates: what they are, and their states.

use banyan_proto::{
    MachineId, OrderId, Reason, UnixSeconds,
    api::OfferedRelease,
    local::{Later, Package, Partner, Progress, Update, UpdateState, Wait, When, Wishes},
    manifest::Kind,
    schedule::{Gate, Limit, Priority, Stage, Verdict, Wish},
};

pub(crate) fn open() -> Gate {
    Gate::Open { limit: Limit { rate: None, priority: Priority::Yielding, deadline: None } }
}

pub(crate) fn resting(partners: &[Partner]) -> Vec<Partner> {
    partners.iter().cloned().map(|partner| Partner { now: false, ..partner }).collect()
}

pub(crate) fn partly_received(size: u64, percent: u64) -> Progress {
    Progress { held: size / 100 * percent, of: size, ..Progress::default() }
}

pub(crate) fn update(now: UnixSeconds, number: u8, package: &str, version: &str, size: u64, notes: &str) -> Update {
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
        progress: partly_received(size, 0),
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
pub(crate) fn of_package_file(package: &Package, now: UnixSeconds) -> Update {
    let size = package.file.as_ref().map_or(0, |file| file.size);
    let made = update(now, 31, &package.package, &package.version, size, &package.notes);
    let made = Update { sequence: package.sequence, publisher: package.publisher.clone(), seen: now, ..made };
    let progress = Progress { held: size, of: size, ..Progress::default() };
    let wishes = Wishes { receive: Wish::Now, install: Wish::Now };
    let alone = package.signer.asks;
    Update { issued: now, state: UpdateState::Installing, progress, wishes, kind: Kind::Archive, alone, ..made }
}

/// Returns the update that a release chosen from the catalogue becomes: downloading from the server.
pub(crate) fn of_catalogue(release: &OfferedRelease, now: UnixSeconds) -> Update {
    let number = u8::try_from(release.sequence).unwrap_or(u8::MAX);
    let made = update(now, number, &release.package, &release.version, release.size, &release.notes);
    let progress = Progress { down: 3_100_000, ..partly_received(release.size, 1) };
    let wishes = Wishes { receive: Wish::Now, install: Wish::Now };
    let (sequence, publisher) = (release.sequence, release.publisher.clone());
    Update { sequence, publisher, seen: now, issued: now, progress, wishes, kind: Kind::Archive, ..made }
}

pub(crate) fn office(now: UnixSeconds) -> Update {
    update(now, 9, "libreoffice", "26.2", 655_000_000, "Opens large tables faster.\nFixes label printing.")
}
pub(crate) fn browser(now: UnixSeconds) -> Update {
    update(now, 8, "school-browser", "12.1", 84_000_000, "Fixes three security holes that let pages read files.")
}
pub(crate) fn maths(now: UnixSeconds) -> Update {
    update(now, 7, "maths-tools", "4.0", 231_000_000, "")
}

pub(crate) fn ready(update: Update) -> Update {
    let progress = Progress { held: update.size, from: resting(&partners(false)), ..partly_received(update.size, 100) };
    Update { state: UpdateState::Ready, progress, ..update }
}
pub(crate) fn installed(update: Update, now: UnixSeconds) -> Update {
    Update { state: UpdateState::Installed { at: UnixSeconds(now.0 - 300) }, later: Vec::new(), ..ready(update) }
}
pub(crate) fn transferring(update: Update) -> Update {
    let progress = Progress {
        down: 3_100_000,
        up: 1_900_000,
        passed_on: 250_000_000,
        from: partners(false),
        to: partners(true),
        ..partly_received(update.size, 64)
    };
    Update { progress, ..update }
}
pub(crate) fn waiting_for_permit(now: UnixSeconds) -> Wait {
    Wait {
        stage: Stage::Install,
        reason: Reason::WaitsForPermit,
        detail: "the deployment is waiting for approval".into(),
        since: UnixSeconds(now.0 - 120),
        next: Some(UnixSeconds(now.0 + 40)),
    }
}

pub(crate) fn partners(to: bool) -> Vec<Partner> {
    let partner =
        |id: u8, label: &str, bytes| Partner { machine: MachineId([id; 16]), label: label.into(), bytes, now: true };
    if to {
        vec![partner(11, "room-204-11", 140_000_000), partner(12, "room-204-12", 110_000_000)]
    } else {
        vec![partner(3, "room-204-03", 300_000_000), partner(5, "room-204-05", 119_000_000)]
    }
}
