//! Tests the icon in a real panel: every entry of its menu, its window, and what happens without a panel, without an
//! agent, or beside another tray.

use crate::{accessibility::Access, fake_agent::Agent, tray_menu::Menu};
use banyan_fake_agent::Scene;
use banyan_proto::{
    UnixSeconds,
    local::{PauseFor, Request, Snapshot, When},
    schedule::{Pause, Stage as Of, Window, Wish},
};
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::{Clock, Page, sample_data, texts};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Returns whether the agent has applied the request of the entry with this label, or `None` if that entry sends no
/// request.
fn effect(label: &str, asked: &Request, after: &Snapshot) -> Option<bool> {
    let choice = after.scheduling.effective();
    let wished = |stage, wish: &dyn Fn(Wish) -> bool| {
        let Request::Wish { order, stage: asked, wish: said } = asked else { return false };
        let update = after.updates.iter().find(|update| update.order == *order).expect("the update exists");
        let held = if stage == Of::Install { update.wishes.install } else { update.wishes.receive };
        *asked == stage && held == *said && wish(held)
    };
    let until = |when: When| {
        wished(Of::Install, &|wish| {
            let all = after.updates.iter().flat_map(|update| &update.later);
            all.filter(|later| later.when == when).any(|later| wish == Wish::After(later.at))
        })
    };
    let window = |wanted: &Window| matches!(asked, Request::SetWindow { window, .. } if window == wanted && choice.window == *wanted);
    let pause = |wanted: PauseFor, held: fn(&Pause) -> bool| {
        *asked == Request::Pause { until: wanted } && choice.pause.as_ref().is_some_and(held)
    };
    Some(match label {
        texts::updates::INSTALL_NOW | texts::updates::INSTALL_WHEN_DOWNLOADED => {
            wished(Of::Install, &|wish| wish == Wish::Now)
        }
        texts::updates::DOWNLOAD_NOW => wished(Of::Receive, &|wish| wish == Wish::Now),
        "In an hour" => until(When::InAnHour),
        "Tonight" => until(When::Tonight),
        "Tomorrow" | texts::updates::NOT_TODAY => until(When::Tomorrow),
        texts::updates::USE_NETWORK => !choice.overrule.metered.is_empty(),
        texts::updates::USE_BATTERY => choice.overrule.battery,
        texts::updates::INSTALL_DESPITE_FULL_SCREEN => choice.overrule.full_screen,
        texts::schedule::WHEN_IDLE => window(&Window::Idle),
        texts::schedule::ANY_TIME => window(&Window::Any),
        _ if label.starts_with(texts::schedule::AT_NIGHT) => window(&Window::Night),
        texts::schedule::PAUSE_ONE_HOUR => {
            pause(PauseFor::Seconds(3600), |pause| matches!(pause, Pause::For { seconds: 3600, .. }))
        }
        texts::schedule::PAUSE_UNTIL_TOMORROW => {
            pause(PauseFor::UntilTomorrow, |pause| matches!(pause, Pause::UntilTomorrow { .. }))
        }
        texts::schedule::PAUSE_UNTIL_RESUMED => {
            pause(PauseFor::UntilResumed, |pause| matches!(pause, Pause::UntilResumed { .. }))
        }
        texts::schedule::RESUME => *asked == Request::Resume && choice.pause.is_none(),
        _ => return None,
    })
}

/// Entries that open the window, and the one that ends the tray.
const OPEN: [&str; 5] = [
    texts::updates::DETAILS,
    texts::tray_menu::EDIT_MY_SCHEDULE,
    texts::tray_menu::OPEN_BANYAN,
    texts::tray_menu::ABOUT_COMPUTER,
    texts::tray_menu::HIDE_ICON,
];
/// The number of entries that send a request, over all scenes.
const ASK: usize = 17;

#[test]
fn every_entry_of_the_menu_does_what_it_says() {
    let mut desktop = TestDesktop::with_panel();
    let agent = Agent::show_scene(&desktop, Scene::Idle);
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(&mut tray);
    let menu = Menu::of(&desktop, process);
    let show = |scene: Scene| {
        agent.show(scene);
        // A text that counts minutes may change between the two readings, but not twice in a row.
        wait_for(scene.name(), || {
            menu.catch_up(&agent);
            let now = agent.now();
            (menu.status() == texts::status::headline(&now, &Clock::of(Some(&now), UnixSeconds::now()))).then_some(())
        });
        menu.entries()
    };
    let mut pressed = BTreeSet::new();
    for scene in Scene::ALL {
        let labels: Vec<_> = show(scene).into_iter().filter(|entry| entry.does).map(|entry| entry.label).collect();
        for label in labels.into_iter().filter(|label| !OPEN.contains(&label.as_str())) {
            let kind = label.split(" (").next().expect("a label is not empty").to_owned();
            if !pressed.insert(kind) {
                continue;
            }
            show(scene);
            let before = agent.requests().len();
            menu.press(&label);
            let asked = wait_for(&label, || agent.requests().get(before).cloned());
            wait_for(&format!("the effect of {label:?} in scene {scene}, after {asked:?}"), || {
                let held = effect(&label, &asked, &agent.now());
                held.unwrap_or_else(|| panic!("the test does not know the effect of {label:?}")).then_some(())
            });
            if matches!(asked, Request::SetWindow { .. }) {
                wait_for("the menu marks it", || {
                    menu.entries().into_iter().any(|entry| entry.holds && entry.label == label).then_some(())
                });
            }
        }
    }
    assert_eq!(pressed.len(), ASK, "{pressed:?}");
}

#[test]
fn the_window_is_opened_from_the_menu_at_the_right_page() {
    let mut desktop = TestDesktop::with_panel();
    let _agent = Agent::show_snapshot(&desktop, sample_data::busy());
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(&mut tray);
    let menu = Menu::of(&desktop, process);
    wait_for("the agent's update", || menu.status().starts_with("Printer Driver").then_some(()));
    let access = Access::on(&desktop);
    menu.press(texts::tray_menu::OPEN_BANYAN);
    let shown = desktop.window(texts::PRODUCT);
    for (label, page) in [
        (texts::updates::DETAILS, Page::Updates),
        (texts::tray_menu::EDIT_MY_SCHEDULE, Page::Schedule),
        (texts::tray_menu::ABOUT_COMPUTER, Page::Computer),
    ] {
        menu.press(label);
        access.find(crate::page_screenshots::sign(page));
    }
    // A second start asks the first one to show a page in the same window, and exits.
    let status = desktop.ours("banyan-tray").args(["--open", "sharing"]).status().expect("the program can be started");
    assert!(status.success(), "a second tray exits successfully");
    access.find(crate::page_screenshots::sign(Page::Sharing));
    assert_eq!(desktop.window(texts::PRODUCT), shown, "there must be only one window");
    menu.press(texts::tray_menu::HIDE_ICON);
    wait_for("the tray has ended", || (!desktop.runs(process)).then_some(()));
}

#[test]
fn a_window_requested_while_closing_is_opened_again() {
    let mut desktop = TestDesktop::with_panel();
    let _agent = Agent::show_snapshot(&desktop, sample_data::busy());
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(&mut tray);
    let menu = Menu::of(&desktop, process);
    let access = Access::on(&desktop);
    for page in [Page::Schedule, Page::Computer, Page::Sharing] {
        menu.press(texts::tray_menu::OPEN_BANYAN);
        let shown = desktop.window(texts::PRODUCT);
        access.find(crate::page_screenshots::sign(Page::Updates));
        desktop.run("xdotool", &["windowfocus", "--sync", &shown, "key", "alt+F4"]);
        // The window's process ends a moment later.
        wait_for("the window has left the screen", || desktop.no_window(texts::PRODUCT).then_some(()));
        let second =
            desktop.ours("banyan-tray").args(["--open", page.code()]).status().expect("the program can be started");
        assert!(second.success(), "a second tray exits successfully");
        access.find(crate::page_screenshots::sign(page));
    }
}

#[test]
fn without_a_panel_the_window_is_opened_and_says_so() {
    let mut desktop = TestDesktop::without_panel();
    let _agent = Agent::show_snapshot(&desktop, sample_data::quiet());
    let access = Access::on(&desktop);
    let mut tray = desktop.ours("banyan-tray");
    desktop.keep(tray.args(["--panel-within", "1"]));
    desktop.window(texts::PRODUCT);
    access.find(texts::tray_menu::NO_TRAY);
}

#[test]
fn the_tray_waits_for_a_panel_that_starts_late() {
    let mut desktop = TestDesktop::without_panel();
    let _agent = Agent::show_snapshot(&desktop, sample_data::quiet());
    let mut tray = desktop.ours("banyan-tray");
    let begun = Instant::now();
    let process = desktop.keep(tray.args(["--panel-within", "2"]));
    desktop.start_panel();
    let menu = Menu::of(&desktop, process);
    wait_for("the tray has found its agent", || (menu.status() == texts::status::UP_TO_DATE).then_some(()));
    // No event marks that nothing happens, so this waits until the tray's time limit has passed.
    while begun.elapsed() < Duration::from_secs(4) {
        assert!(desktop.no_window(texts::PRODUCT), "a window opened although there is an icon");
    }
}

#[test]
fn the_tray_reconnects_to_its_agent() {
    let mut desktop = TestDesktop::with_panel();
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(&mut tray);
    let menu = Menu::of(&desktop, process);
    for scene in [Scene::Idle, Scene::NotEnrolled] {
        wait_for("the tray reports that there is no agent", || {
            (menu.status() == texts::status::NO_AGENT).then_some(())
        });
        let program = banyan_tests::programs::folder().join("banyan-fake-agent");
        let mut agent = desktop.command(program);
        let agent = desktop.keep(agent.arg("--data").arg(desktop.folder()).args(["--scene", scene.name()]));
        let words = if scene == Scene::Idle { texts::status::UP_TO_DATE } else { "Not set up yet: enter a join code" };
        wait_for("the tray has found the agent", || (menu.status() == words).then_some(()));
        desktop.close(agent);
    }
}
