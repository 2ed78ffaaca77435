//! Tests of the tray's data in each state of the computer.

use super::*;
use banyan_proto::{
    local::Link,
    schedule::{Choice, Gate, Pause},
};
use banyan_ui_common::sample_data;

fn view(snapshot: Snapshot) -> AgentView {
    AgentView { snapshot: Some(snapshot), rights: vec![Right::See, Right::Choose], ..AgentView::default() }
}
fn shown(snapshot: Snapshot) -> TrayModel {
    build_tray(&view(snapshot), None, false, &sample_data::clock())
}
fn with(update: Update) -> Snapshot {
    Snapshot { updates: vec![update], ..sample_data::quiet() }
}
/// Returns all labels, with a dot for each level of submenus.
fn labels(items: &[MenuEntry], depth: usize) -> Vec<String> {
    let dots = ".".repeat(depth);
    let one = |item: &MenuEntry| match item {
        MenuEntry::Text(text) => vec![format!("{dots}{text}")],
        MenuEntry::AgentClient => vec![],
        MenuEntry::Button { label, .. } => vec![format!("{dots}{label}")],
        MenuEntry::Submenu { label, items } => {
            let mut all = vec![format!("{dots}{label}")];
            all.extend(labels(items, depth + 1));
            all
        }
        MenuEntry::RadioGroup { selected, options } => {
            let mark = |n: usize| if n == *selected { "(x)" } else { "( )" };
            options.iter().enumerate().map(|(n, (label, _))| format!("{dots}{} {label}", mark(n))).collect()
        }
    };
    items.iter().flat_map(one).collect()
}

#[test]
fn each_state_has_its_icon_and_its_text() {
    let icon_with = |filled_percent, badge| TrayIcon { filled_percent, badge };
    let mut forwarding = sample_data::receiving();
    forwarding.state = UpdateState::Installed { at: sample_data::NOW };
    forwarding.progress.held = forwarding.progress.of;
    let mut paused = sample_data::quiet();
    let pause = Pause::UntilResumed { asked: sample_data::NOW };
    paused.scheduling.verdict.receive = Gate::Closed { because: Why::Paused { pause }, until: None };
    let away = Snapshot { link: Link::Away { heard: Some(sample_data::NOW) }, ..sample_data::quiet() };
    let alone = Snapshot { link: Link::NotEnrolled, ..sample_data::quiet() };
    let mut full_screen = sample_data::ready();
    full_screen.verdict.install = Gate::Closed { because: Why::FullScreen { may_overrule: true }, until: None };
    let mut unpermitted = sample_data::ready();
    unpermitted.waits = Some(banyan_proto::local::Wait {
        stage: Stage::Install,
        reason: banyan_proto::Reason::WaitsForPermit,
        detail: String::new(),
        since: sample_data::NOW,
        next: None,
    });
    for (snapshot, icon, words) in [
        (sample_data::quiet(), icon_with(None, None), "You're up to date"),
        (with(sample_data::receiving()), icon_with(Some(64), None), "Downloading LibreOffice 26.2 · 64% · 2 min left"),
        (with(forwarding), icon_with(Some(100), Some(Badge::Arrow)), "Sharing LibreOffice 26.2"),
        (
            with(sample_data::waiting()),
            icon_with(None, Some(Badge::Moon)),
            "Maths Tools 4.0: scheduled for tonight at 22:00",
        ),
        (with(full_screen), icon_with(None, Some(Badge::Dot)), "School Browser 12.1 is ready to install"),
        (
            with(sample_data::failed()),
            icon_with(None, Some(Badge::Mark)),
            "Printer Driver 7.3 couldn't be installed: the new version failed its check",
        ),
        (with(unpermitted), icon_with(Some(0), None), "School Browser 12.1: waiting for permission to install"),
        (paused, icon_with(None, Some(Badge::Pause)), "Paused until you resume"),
        (away, icon_with(None, Some(Badge::Crossed)), "Offline · last contact today at 14:30"),
        (alone, icon_with(None, Some(Badge::Dot)), "Not set up yet: enter a join code"),
    ] {
        let shown = shown(snapshot);
        assert_eq!((shown.icon, shown.status.as_str()), (icon, words));
    }
}

/// The first line of the menu is about the computer when an entry below it is about the update.
#[test]
fn the_menu_says_nothing_twice() {
    let alone = |update| Snapshot { link: Link::NotEnrolled, ..with(update) };
    let installing = Update { state: UpdateState::Installing, ..sample_data::ready() };
    let forwarding = Update { state: UpdateState::Installed { at: sample_data::NOW }, ..sample_data::receiving() };
    for (snapshot, words) in [
        (sample_data::quiet(), "You're up to date"),
        (sample_data::busy(), "Connected · 4 updates"),
        (with(sample_data::failed()), "Connected · 1 update"),
        (with(sample_data::waiting()), "Connected · 1 update"),
        (Snapshot { link: Link::Away { heard: None }, ..with(sample_data::failed()) }, "Not connected yet · 1 update"),
        (alone(installing), "1 update"),
        (alone(sample_data::failed()), "Not set up yet: enter a join code"),
        (with(forwarding), "Sharing LibreOffice 26.2"),
    ] {
        let shown = shown(snapshot);
        assert_eq!(shown.menu[0], MenuEntry::Text(words.to_owned()));
        let names =
            labels(&shown.menu[1..], 0).into_iter().filter_map(|label| Some(label.split_once(" – ")?.0.to_owned()));
        names.for_each(|name| assert!(!words.contains(&name), "{words:?} repeats {name:?}"));
    }
}

#[test]
fn the_menu_of_a_busy_computer() {
    assert_eq!(
        labels(&shown(sample_data::busy()).menu, 0)[1..],
        [
            "School Browser 12.1 – ready to install",
            ".Install now",
            ".Tonight",
            ".Tomorrow",
            ".Details",
            "LibreOffice 26.2 – 64%",
            ".Install when downloaded",
            ".Details",
            "Maths Tools 4.0 – scheduled for tonight at 22:00",
            ".Download now",
            ".Details",
            "Printer Driver 7.3 – couldn't install",
            ".The new version failed its check",
            ".Details",
            "Download and sharing hours",
            ".(x) At night (22:00–06:00)",
            ".( ) When idle",
            ".( ) Any time",
            ".( ) My schedule…",
            "Pause",
            ".For 1 hour",
            ".Until tomorrow",
            ".Until I resume",
            "Open Banyan",
            "About this computer",
            "Hide this icon",
        ]
    );
}

#[test]
fn only_what_the_policy_allows_is_offered() {
    let mut bound = sample_data::quiet();
    bound.scheduling.policy.bounds.windows = vec![Kind::Night];
    bound.scheduling.policy.bounds.pause = Some(2 * 3600);
    let all = labels(&shown(bound.clone()).menu, 0);
    assert!(all.iter().any(|label| label == ".For 1 hour") && all.iter().any(|label| label.contains("At night")));
    for label in ["Any time", "When idle", "Until tomorrow", "Until I resume"] {
        assert!(!all.iter().any(|shown| shown.contains(label)), "{label}: {all:?}");
    }
    bound.scheduling.policy.bounds.pause = Some(0);
    assert!(!labels(&shown(bound).menu, 0).iter().any(|label| label == "Pause"));
}

#[test]
fn who_may_only_look_is_offered_nothing() {
    let clock = sample_data::clock();
    let mut may_see = view(sample_data::busy());
    may_see.rights = vec![Right::See];
    let asks = |items: &[MenuEntry]| {
        fn count(item: &MenuEntry) -> usize {
            match item {
                MenuEntry::Button { action: TrayAction::Send(_), .. } => 1,
                MenuEntry::Submenu { items, .. } => items.iter().map(count).sum(),
                MenuEntry::RadioGroup { options, .. } => options.len(),
                _ => 0,
            }
        }
        items.iter().map(count).sum::<usize>()
    };
    assert_eq!(asks(&build_tray(&may_see, None, false, &clock).menu), 0);
    assert!(asks(&build_tray(&view(sample_data::busy()), None, false, &clock).menu) > 5);
}

#[test]
fn a_pause_is_ended_from_the_same_place() {
    let mut paused = sample_data::quiet();
    let pause = Some(Pause::an_hour(sample_data::NOW));
    paused.scheduling.choice = Some(Choice { pause, ..Choice::default() });
    let all = labels(&shown(paused).menu, 0);
    assert!(all.iter().any(|label| label == "Resume") && !all.iter().any(|label| label == "Pause"));
}

#[test]
fn without_an_agent_the_tray_says_so_and_still_opens_the_window() {
    let shown = build_tray(&AgentView::default(), Some(texts::tray_menu::NO_TRAY), false, &sample_data::clock());
    assert_eq!(shown.icon.badge, Some(Badge::Crossed));
    assert_eq!(
        labels(&shown.menu, 0),
        [texts::status::NO_AGENT, texts::tray_menu::NO_TRAY, "Open Banyan", "About this computer", "Hide this icon"]
    );
    // In personal mode the agent ends with the tray, and the menu says so.
    let personal = build_tray(&AgentView::default(), None, true, &sample_data::clock());
    assert_eq!(labels(&personal.menu, 0).last().map(String::as_str), Some("Quit Banyan"));
}
