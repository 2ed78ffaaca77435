//! Tests of the notifications, as tables: the state of an update in each step, and the notifications it causes.

use super::*;
use banyan_proto::{
    Reason,
    local::{Overruled, Request},
    schedule::{Announcement, By, Why, Window},
};
use banyan_ui_common::sample_data;

/// One step: state, install gate, seconds to the deadline, whether a program is in full screen, and what is shown.
struct TestStep(UpdateState, Gate, Option<u32>, bool, &'static [&'static str]);

fn open() -> Gate {
    sample_data::ready().verdict.install
}
fn night() -> Gate {
    Gate::Closed {
        because: Why::Window { window: Window::Night, by: By::User },
        until: Some(sample_data::ready().later[0].at),
    }
}
fn full_screen() -> Gate {
    Gate::Closed { because: Why::FullScreen { may_overrule: true }, until: None }
}
fn installed() -> UpdateState {
    UpdateState::Installed { at: sample_data::NOW }
}
fn failed() -> UpdateState {
    UpdateState::Failed { at: sample_data::NOW, reason: Reason::ProbeFailed, detail: String::new(), restored: true }
}

fn snapshot(state: UpdateState, install: Gate, forced_in: Option<u32>, full_screen: bool) -> Snapshot {
    let mut update = Update { state, ..sample_data::ready() };
    update.verdict.install = install;
    update.verdict.announce = forced_in
        .map(|before| Announcement {
            stage: Stage::Install,
            at: UnixSeconds(sample_data::NOW.0 + u64::from(before)),
            before,
        })
        .into_iter()
        .collect();
    let mut snapshot = Snapshot { updates: vec![update], ..sample_data::quiet() };
    snapshot.scheduling.signals.full_screen.value = Some(full_screen);
    snapshot
}

fn words(say: &NotificationChange) -> String {
    match say {
        NotificationChange::Show(notice) => {
            let buttons: Vec<_> = notice.buttons.iter().map(|(label, _)| label.as_str()).collect();
            format!("{} [{}]", notice.title, buttons.join(", "))
        }
        NotificationChange::Close(_) => "closed".to_owned(),
    }
}

fn walk(name: &str, incoming: bool, steps: Vec<TestStep>) {
    let mut history = NotificationHistory::default();
    for (n, TestStep(state, install, forced_in, full_screen, wanted)) in steps.into_iter().enumerate() {
        let now = snapshot(state, install, forced_in, full_screen);
        let changes;
        (history, changes) = next_changes(&history, &now, true, || incoming, &sample_data::clock());
        assert_eq!(changes.iter().map(words).collect::<Vec<_>>(), wanted, "{name}, step {n}");
    }
}

const COMES: &str = "School Browser 12.1 is on its way [Details]";
const READY: &str = "School Browser 12.1 is ready to install [Install now, Tonight, Tomorrow, Details]";
const SOON: &str = "School Browser 12.1 will install in 15 minutes [Install now, Tonight, Tomorrow, Details]";
const TONIGHT: &str = "School Browser 12.1 will install tonight at 18:30 [Install now, Tonight, Tomorrow, Details]";
const DONE: &str = "School Browser 12.1 was installed [Details]";
const FAILED: &str = "School Browser 12.1 couldn't be installed [Details]";

#[test]
fn one_update_from_its_coming_to_its_end() {
    use UpdateState::{Checking, Installing, Ready, Receiving};
    walk(
        "by default new updates cause no notification",
        false,
        vec![
            TestStep(Receiving, night(), None, false, &[]),
            TestStep(Checking, night(), None, false, &[]),
            TestStep(Ready, night(), None, false, &[READY]),
            TestStep(Ready, night(), None, false, &[]),
            TestStep(Installing, open(), None, false, &["closed"]),
            TestStep(installed(), open(), None, false, &[DONE]),
            TestStep(installed(), open(), None, false, &[]),
        ],
    );
    walk(
        "people who want notifications of new updates get one",
        true,
        vec![
            TestStep(Receiving, open(), None, false, &[COMES]),
            TestStep(Receiving, open(), None, false, &[]),
            TestStep(Ready, open(), None, false, &["closed"]),
            TestStep(Installing, open(), None, false, &[]),
            TestStep(failed(), open(), None, false, &[FAILED]),
        ],
    );
    walk(
        "an update that installs automatically is not announced as ready",
        false,
        vec![
            TestStep(Ready, open(), None, false, &[]),
            TestStep(Ready, night(), None, false, &[READY]),
            TestStep(Ready, open(), None, false, &["closed"]),
            TestStep(Ready, night(), None, false, &[]),
        ],
    );
    walk(
        "the countdown replaces the earlier notification",
        false,
        vec![
            TestStep(Ready, night(), None, false, &[READY]),
            TestStep(Ready, night(), Some(4 * 3600), false, &[TONIGHT]),
            TestStep(Ready, night(), Some(4 * 3600), false, &[]),
            TestStep(Ready, night(), Some(900), false, &[SOON]),
            TestStep(Installing, open(), None, false, &["closed"]),
        ],
    );
    walk(
        "nothing during a full-screen program; afterwards what still applies",
        true,
        vec![
            TestStep(Receiving, open(), None, true, &[]),
            TestStep(Ready, full_screen(), None, true, &[]),
            TestStep(Ready, night(), Some(900), true, &[]),
            TestStep(Ready, night(), Some(900), false, &[SOON]),
            TestStep(failed(), open(), None, true, &["closed"]),
            TestStep(failed(), open(), None, false, &[FAILED]),
        ],
    );
    walk(
        "an update that ended before is not news",
        true,
        vec![TestStep(installed(), open(), None, false, &[]), TestStep(failed(), open(), None, false, &[])],
    );
}

#[test]
fn a_notification_closes_with_its_update() {
    let ready = snapshot(UpdateState::Ready, night(), None, false);
    let (history, changes) =
        next_changes(&NotificationHistory::default(), &ready, true, || false, &sample_data::clock());
    assert_eq!(changes.len(), 1);
    let (history, changes) = next_changes(&history, &sample_data::quiet(), true, || false, &sample_data::clock());
    assert_eq!(changes, [NotificationChange::Close(sample_data::ready().order)]);
    assert!(history.updates.is_empty());
}

#[test]
fn a_postponed_update_is_not_announced_again() {
    let mut put_off = snapshot(UpdateState::Ready, night(), None, false);
    put_off.updates[0].wishes.install = Wish::After(sample_data::ready().later[0].at);
    assert_eq!(next_changes(&NotificationHistory::default(), &put_off, true, || false, &sample_data::clock()).1, []);
}

#[test]
fn buttons_ask_for_what_they_say_and_only_those_who_may() {
    let ready = snapshot(UpdateState::Ready, night(), None, false);
    let shown = |may| match next_changes(&NotificationHistory::default(), &ready, may, || false, &sample_data::clock())
        .1
        .remove(0)
    {
        NotificationChange::Show(notice) => notice,
        NotificationChange::Close(_) => panic!("nothing was shown"),
    };
    let update = sample_data::ready();
    let wish = |wish| TrayAction::Send(Request::Wish { order: update.order, stage: Stage::Install, wish });
    let notice = shown(true);
    let actions: Vec<_> = notice.buttons.into_iter().map(|(_, action)| action).collect();
    let (tonight, tomorrow) = (wish(Wish::After(update.later[0].at)), wish(Wish::After(update.later[1].at)));
    assert_eq!(actions, [wish(Wish::Now), tonight, tomorrow, TrayAction::OpenPage(Page::Updates)]);
    assert_eq!(notice.body, "Scheduled for tonight at 22:00.");
    assert_eq!(shown(false).buttons, [(texts::updates::DETAILS.to_owned(), TrayAction::OpenPage(Page::Updates))]);
    let below = snapshot(UpdateState::Ready, full_screen(), None, false);
    let (_, changes) = next_changes(&NotificationHistory::default(), &below, true, || false, &sample_data::clock());
    let overrule = TrayAction::Send(Request::Overrule { signal: Overruled::FullScreen, on: true });
    assert!(matches!(&changes[..], [NotificationChange::Show(notice)] if notice.buttons[0].1 == overrule));
}

#[test]
fn only_the_last_call_stays_until_it_is_answered() {
    for (before, importance) in
        [(24 * 3600, Importance::Normal), (901, Importance::Normal), (900, Importance::High), (60, Importance::High)]
    {
        let soon = snapshot(UpdateState::Ready, night(), Some(before), false);
        let (_, changes) = next_changes(&NotificationHistory::default(), &soon, true, || false, &sample_data::clock());
        assert!(
            matches!(&changes[..], [NotificationChange::Show(notice)] if notice.importance == importance),
            "{before}: {changes:?}"
        );
    }
}

#[test]
fn an_update_that_was_never_seen_under_way_is_announced_if_it_ended_since_the_first_snapshot() {
    let clock = sample_data::clock();
    let (history, _) = next_changes(&NotificationHistory::default(), &sample_data::quiet(), true, || false, &clock);
    let ended = |at| snapshot(UpdateState::Installed { at }, open(), None, false);
    let announced = |at| next_changes(&history, &ended(at), true, || false, &clock).1.len();
    assert_eq!(announced(UnixSeconds(sample_data::NOW.0 + 1)), 1);
    assert_eq!(announced(UnixSeconds(sample_data::NOW.0 - 1)), 0, "it ended before the tray was there");
}
