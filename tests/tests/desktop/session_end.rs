//! Tests the end of a session: tray and window end without a word when their screen is gone.

use crate::fake_agent::Agent;
use banyan_fake_agent::Scene;
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::texts;
use std::{fs, process::Stdio};

#[test]
fn the_window_ends_without_a_panic_when_its_screen_is_gone() {
    let mut desktop = TestDesktop::without_panel();
    let _agent = Agent::show_scene(&desktop, Scene::Ready);
    let log = desktop.path("window.log");
    let mut window = desktop.ours("banyan-window");
    window.env("RUST_BACKTRACE", "1").stdout(Stdio::null());
    let id = desktop.keep(window.stderr(fs::File::create(&log).expect("the log can be created")));
    desktop.window(texts::PRODUCT);
    desktop.close_screen();
    desktop.end_of(id);
    let said = fs::read_to_string(&log).expect("the log is readable");
    for word in ["panicked", "backtrace", "error: "] {
        assert!(!said.contains(word), "{said}");
    }
}

#[test]
fn the_tray_ends_with_its_screen_although_the_bus_stays() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_scene(&desktop, Scene::Ready);
    let mut tray = desktop.ours("banyan-tray");
    let id = desktop.keep(tray.arg("--panel-within").arg("3600"));
    // The tray has connected to the screen before it reports what is on it.
    wait_for("the tray reports", || agent.screen_reports().first().copied());
    desktop.close_screen();
    desktop.end_of(id);
}

#[test]
fn without_a_screen_the_window_says_so_in_plain_words() {
    let desktop = TestDesktop::without_panel();
    let mut window = desktop.ours("banyan-window");
    let done = window.env("DISPLAY", ":65000").output().expect("the window can be started");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success());
    // The windowing library's own words are not shown.
    assert_eq!(said.trim_end(), format!("error: {}", texts::tray_menu::WINDOW_HAS_NO_SCREEN));
}

#[test]
fn a_screen_of_wayland_that_is_gone_leaves_the_one_of_x() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_scene(&desktop, Scene::Ready);
    let mut tray = desktop.ours("banyan-tray");
    tray.env("WAYLAND_DISPLAY", "wayland-9");
    let tray = desktop.keep(tray.arg("--panel-within").arg("3600"));
    wait_for("the tray reports what is on the screen of X", || agent.screen_reports().first().copied());
    let mut window = desktop.ours("banyan-window");
    desktop.keep(window.env("WAYLAND_DISPLAY", "wayland-9"));
    desktop.window(texts::PRODUCT);
    desktop.close_screen();
    desktop.end_of(tray);
}

#[test]
fn without_any_screen_the_window_says_nothing_of_wayland() {
    let desktop = TestDesktop::without_panel();
    let mut window = desktop.ours("banyan-window");
    let done = window.env("WAYLAND_DISPLAY", "wayland-9").env_remove("DISPLAY").output();
    let said = String::from_utf8_lossy(&done.expect("the window can be started").stderr).into_owned();
    assert_eq!(said.trim_end(), format!("error: {}", texts::tray_menu::WINDOW_HAS_NO_SCREEN));
}
