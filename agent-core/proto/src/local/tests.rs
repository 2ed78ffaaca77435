//! Tests of the local API: the wire form of its messages, and events that turn one snapshot into another.

use super::*;
use crate::{
    Reason, UnixSeconds,
    manifest::Kind,
    schedule::{Choice, DayUse, Gate, Limit, Load, Policy, Priority, Verdict, Why},
};

fn open() -> Gate {
    Gate::Open { limit: Limit { rate: None, priority: Priority::Yielding, deadline: None } }
}
fn verdict() -> Verdict {
    Verdict { receive: open(), install: open(), forward: open(), announce: vec![] }
}

fn update(number: u64) -> Update {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Update {
        order: OrderId(id),
        number,
        package: "tool".into(),
        version: "1".into(),
        sequence: number,
        publisher: "IT".into(),
        notes: String::new(),
        kind: Kind::Archive,
        size: 1000,
        issued: UnixSeconds(1),
        seen: UnixSeconds(2),
        state: UpdateState::Receiving,
        waits: None,
        progress: Progress { of: 1000, ..Progress::default() },
        verdict: verdict(),
        receive_deadline: None,
        install_deadline: None,
        wishes: Wishes::default(),
        later: vec![],
        alone: false,
    }
}

fn snapshot(updates: &[u64]) -> Snapshot {
    let mut snapshot = Snapshot {
        about: About {
            label: "room-204-07".into(),
            software: "banyan-agent 1".into(),
            platform: "linux-x86_64".into(),
            mode: Mode::System,
            installs_for_everyone: true,
            listen: None,
            enrolled: None,
            zone: "UTC".into(),
            signers: vec![],
        },
        link: Link::Connected,
        updates: updates.iter().map(|number| update(*number)).collect(),
        scheduling: Scheduling {
            choice: None,
            policy: Policy::default(),
            verdict: verdict(),
            signals: SeenSignals {
                load: Seen::unknown(true),
                quiet_since: None,
                presence: Seen::unknown(true),
                power: Seen::unknown(true),
                network: Seen::unknown(true),
                full_screen: Seen::unknown(true),
                free_disk: Seen::unknown(false),
            },
        },
        sharing: Sharing {
            today: DayUse { day: "2026-11-23".into(), given: 0, received: 0 },
            days: vec![],
            quota: None,
            download: 0,
            upload: 0,
        },
        history: vec![],
    };
    snapshot.sort();
    snapshot
}

/// Returns snapshots that differ from each other in every part.
fn many() -> Vec<Snapshot> {
    let mut all = vec![snapshot(&[]), snapshot(&[1]), snapshot(&[3, 1]), snapshot(&[2, 5, 3])];
    let mut moved = snapshot(&[3, 1]);
    moved.updates[0].progress.held = 500;
    moved.updates[0].progress.down = 100;
    all.push(moved.clone());
    moved.updates[1].state = UpdateState::Installed { at: UnixSeconds(9) };
    moved.updates[1].progress.held = 1000;
    all.push(moved.clone());
    moved.about.label = "other".into();
    moved.about.signers.push(TrustedSigner { root: crate::Digest([1; 32]), name: "Mia".into() });
    moved.link = Link::Away { heard: Some(UnixSeconds(4)) };
    moved.scheduling.choice = Some(Choice { forward: false, ..Choice::default() });
    moved.scheduling.signals.load.value = Some(Load { percent: 7, idle: true });
    moved.sharing.today.given = 7;
    moved.history.push(HistoryEntry {
        at: UnixSeconds(9),
        order: None,
        package: String::new(),
        version: String::new(),
        what: Happened::Enrolled,
    });
    all.push(moved);
    all
}

#[test]
fn changes_lead_from_any_snapshot_to_any_other_and_survive_the_wire() {
    for before in &many() {
        for after in &many() {
            let changes = after.changes(before);
            assert_eq!(changes.is_empty(), before == after);
            let mut told = before.clone();
            for event in changes {
                let line = serde_json::to_string(&Message::Event(event.clone())).unwrap();
                assert!(!line.contains('\n'));
                assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), Message::Event(event.clone()));
                told.apply(event);
            }
            assert_eq!(&told, after);
        }
    }
}

#[test]
fn moving_bytes_are_told_without_repeating_the_update() {
    let all = many();
    assert!(matches!(all[4].changes(&all[2])[..], [Event::Progress { .. }]));
    assert!(matches!(all[5].changes(&all[4])[..], [Event::Update(_)]));
}

#[test]
fn a_whole_snapshot_survives_the_wire() {
    for snapshot in many() {
        let event = Message::Event(Event::Snapshot(Box::new(snapshot)));
        assert_eq!(serde_json::from_str::<Message>(&serde_json::to_string(&event).unwrap()).unwrap(), event);
    }
}

#[test]
fn requests_are_read_as_they_are_written() {
    let order = update(1).order;
    for (request, text) in [
        (Request::Hello { version: 2 }, r#"{"request":"hello","version":2}"#),
        (Request::Subscribe, r#"{"request":"subscribe"}"#),
        (
            Request::SetWindow { window: "night".parse().unwrap(), night: Some("22:00-06:00".parse().unwrap()) },
            r#"{"request":"set-window","window":"night","night":"22:00-06:00"}"#,
        ),
        (Request::Pause { until: PauseFor::Seconds(3600) }, r#"{"request":"pause","until":{"seconds":3600}}"#),
        (
            Request::Wish { order, stage: Stage::Install, wish: Wish::Now },
            r#"{"request":"wish","order":"00000000000000010000000000000000","stage":"install","wish":"now"}"#,
        ),
        (
            Request::Overrule { signal: Overruled::Battery, on: true },
            r#"{"request":"overrule","signal":"battery","on":true}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
    }
    let open = Request::OpenPackage { head: 7, size: 9 };
    assert_eq!((open.followed_by(), open.needs()), (7, Some(Right::See)));
    let install = Request::InstallPackage { manifest: crate::Digest([7; 32]), size: 9, trust: None };
    assert_eq!((install.followed_by(), install.needs()), (9, Some(Right::Install)));
    let text = format!(r#"{{"request":"install-package","manifest":"{}","size":9}}"#, crate::Digest([7; 32]));
    assert_eq!(serde_json::to_string(&install).unwrap(), text);
    let root = crate::Digest([9; 32]);
    let trusts = Request::InstallPackage { manifest: crate::Digest([7; 32]), size: 9, trust: Some(root) };
    let text = serde_json::to_string(&trusts).unwrap();
    assert_eq!((serde_json::from_str(&text).unwrap(), text.contains(&root.to_string())), (trusts, true));
    let forget = Request::ForgetSigner { root };
    assert_eq!((forget.followed_by(), forget.needs()), (0, Some(Right::Install)));
    let get = Request::GetFromCatalogue { package: "drawing".into(), manifest: crate::Digest([7; 32]) };
    assert_eq!((get.followed_by(), get.needs()), (0, Some(Right::Get)));
    assert_eq!(Request::Catalogue.needs(), Some(Right::See));
    let text =
        format!(r#"{{"request":"get-from-catalogue","package":"drawing","manifest":"{}"}}"#, crate::Digest([7; 32]));
    assert_eq!(serde_json::to_string(&get).unwrap(), text);
    for reply in [
        Reply::Done,
        Reply::Catalogue(longest_catalogue()),
        Reply::Ordered { order },
        Reply::Error(ApiError { reason: Reason::NotAllowed, detail: "no".into() }),
    ] {
        let text = serde_json::to_string(&Message::Reply(reply.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), Message::Reply(reply));
    }
}

/// Returns the largest possible catalogue, with every byte of its texts escaped.
fn longest_catalogue() -> Catalogue {
    let words = |bytes| "\u{1}".repeat(bytes);
    let item = |n: usize| Item {
        release: crate::api::OfferedRelease {
            package: format!("{n:064}"),
            version: "1".repeat(64),
            sequence: u64::MAX,
            manifest: crate::Digest([7; 32]),
            size: u64::MAX,
            publisher: words(crate::limits::CATALOGUE_PUBLISHER_BYTES),
            notes: words(crate::limits::CATALOGUE_NOTES_BYTES),
        },
        installed: Some(Replaces { version: "1".repeat(64), sequence: u64::MAX, at: UnixSeconds(u64::MAX) }),
    };
    Catalogue { items: (0..crate::limits::CATALOGUE).map(item).collect() }
}

#[test]
fn the_longest_catalogue_fits_into_one_message() {
    let text = serde_json::to_string(&Message::Reply(Reply::Catalogue(longest_catalogue()))).unwrap();
    assert!((text.len() as u64) < MESSAGE_BYTES, "{} bytes", text.len());
}

#[test]
fn the_headline_says_what_a_person_wants_to_know_first() {
    let mut now = snapshot(&[1]);
    let order = now.updates[0].order;
    assert_eq!(now.headline(), Headline::Working(order));
    now.updates[0].verdict.receive =
        Gate::Closed { because: Why::Window { window: Window::Night, by: crate::schedule::By::User }, until: None };
    assert!(matches!(now.headline(), Headline::Waiting { .. }));
    now.link = Link::Away { heard: None };
    assert_eq!(now.headline(), Headline::NotConnected);
    now.updates[0].progress.up = 1;
    assert_eq!(now.headline(), Headline::Forwarding(order));
    now.updates[0].progress.down = 1;
    assert_eq!(now.headline(), Headline::Receiving(order));
    now.updates[0].state =
        UpdateState::Failed { at: UnixSeconds(1), reason: Reason::ProbeFailed, detail: String::new(), restored: true };
    assert_eq!(now.headline(), Headline::Problem(order));
    now.link = Link::NotEnrolled;
    assert_eq!(now.headline(), Headline::NotEnrolled);
    now.updates[0].state = UpdateState::Installing;
    assert_eq!(now.headline(), Headline::Installing(order), "a user can install without a server too");
    assert_eq!(snapshot(&[]).headline(), Headline::Idle);
}

#[test]
fn progress_in_words() {
    let progress = Progress { held: 999, of: 1000, down: 3, ..Progress::default() };
    assert_eq!((progress.percent(), progress.seconds_left()), (99, Some(1)));
    assert_eq!(Progress::default().seconds_left(), None);
}
