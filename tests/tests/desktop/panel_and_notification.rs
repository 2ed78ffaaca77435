//! What users see without opening the window: the notification on a real desktop, and the icon's menu. Both are pressed
//! as users press them, and captured.

use crate::{accessibility::Access, fake_agent::Agent, page_screenshots, tray_menu::Menu};
use banyan_proto::{
    UnixSeconds,
    local::{Overruled, Request, Snapshot, UpdateState},
    schedule::{Gate, Why},
};
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::{Clock, sample_data, texts};
use std::path::Path;

/// The centre of the only icon in the panel (pixels).
const ICON: [&str; 2] = ["33", "1384"];

/// Returns a state in which one update is ready and waiting for mains power while another is being received. It
/// contains no times, so that the pictures do not change.
fn snapshot() -> Snapshot {
    let mut snapshot = sample_data::busy();
    snapshot.updates.retain(|update| matches!(update.state, UpdateState::Ready | UpdateState::Receiving));
    snapshot.updates.retain(|update| matches!(update.verdict.receive, Gate::Open { .. }));
    for update in snapshot.updates.iter_mut().filter(|update| update.state == UpdateState::Ready) {
        let because = Why::Battery { charge: Some(58), least: None, may_overrule: true };
        update.verdict.install = Gate::Closed { because, until: None };
    }
    snapshot
}

/// Captures this part of the screen for the documentation.
fn picture(desktop: &TestDesktop, part: &str, name: &str) {
    let whole = page_screenshots::path(false, &format!("screen-{name}"));
    page_screenshots::picture(desktop, "root", &whole);
    let path = |path: &Path| path.to_str().expect("the path is valid UTF-8").to_owned();
    let to = page_screenshots::path(true, name);
    desktop.run("convert", &[&path(&whole), "-crop", part, "+repage", "-strip", &path(&to)]);
    assert!(desktop.colours(&to) > 16, "{name} is empty");
}

/// Returns the window of the icon's menu: the only wide window of the panel's plugins.
fn menu_of_the_panel(desktop: &TestDesktop) -> Option<String> {
    let found = desktop.run("xdotool", &["search", "--onlyvisible", "--name", "^wrapper-2.0$"]);
    let width = |window: &str| {
        let shell = desktop.run("xdotool", &["getwindowgeometry", "--shell", window]);
        shell.lines().find_map(|line| line.strip_prefix("WIDTH=")?.parse::<u32>().ok())
    };
    found.lines().find(|window| width(window) > Some(250)).map(ToOwned::to_owned)
}

#[test]
fn a_real_desktop_shows_the_notification_and_its_buttons_work() {
    let mut desktop = TestDesktop::with_panel_and_notifications();
    let agent = Agent::show_snapshot(&desktop, snapshot());
    let access = Access::on(&desktop);
    let mut tray = desktop.ours("banyan-tray");
    desktop.keep(&mut tray);
    access.find(texts::updates::USE_BATTERY);
    let details =
        access.all().into_iter().filter(|thing| thing.name == texts::updates::DETAILS && thing.can_be_pressed());
    assert_eq!(details.count(), 1, "a desktop with a button for the notification itself must show it once");
    picture(&desktop, "440x119+1465+15", "notice");
    access.press(texts::updates::USE_BATTERY);
    let wanted = Request::Overrule { signal: Overruled::Battery, on: true };
    wait_for("the agent is asked", || agent.requests().contains(&wanted).then_some(()));
}

#[test]
fn the_menu_opens_where_it_is_clicked() {
    let mut desktop = TestDesktop::with_panel();
    let _agent = Agent::show_snapshot(&desktop, snapshot());
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(&mut tray);
    let menu = Menu::of(&desktop, process);
    let clock = Clock::of(Some(&snapshot()), UnixSeconds::now());
    wait_for("the agent's update", || (menu.status() == texts::status::headline(&snapshot(), &clock)).then_some(()));
    // Assistive programs do not see a panel's menus, but users do. The icon is placed a moment after it is registered;
    // before that, the same spot opens the panel's own menu, a narrow one.
    let open = wait_for("the menu", || {
        desktop.run("xdotool", &["key", "Escape"]);
        desktop.run("xdotool", &["mousemove", ICON[0], ICON[1], "click", "3"]);
        std::thread::sleep(std::time::Duration::from_millis(300));
        menu_of_the_panel(&desktop)
    });
    let labels: Vec<_> = menu.entries().into_iter().map(|entry| entry.label).collect();
    assert!(
        labels.ends_with(
            &[texts::tray_menu::OPEN_BANYAN, texts::tray_menu::ABOUT_COMPUTER, texts::tray_menu::HIDE_ICON]
                .map(ToOwned::to_owned)
        ),
        "{labels:?}"
    );
    page_screenshots::picture(&desktop, &open, &page_screenshots::path(true, "menu"));
    desktop.run("xdotool", &["key", "Up", "Up", "Up", "Return"]);
    desktop.window(texts::PRODUCT);
}
