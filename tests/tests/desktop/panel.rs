//! What people have before their eyes without opening the window: the notice as a real desktop shows it, and the icon's menu.
//! Pressed where they press, and photographed.

use crate::{access::Access, agent::Agent, menu::Menu, pages};
use banyan_face::{Clock, sample, texts};
use banyan_proto::{
    UnixSeconds,
    local::{Request, Snapshot, UpdateState},
    schedule::{Gate, Stage as Of, Why, Wish},
};
use banyan_tests::stage::{Stage, wait_for};
use std::path::Path;

/// Middle of the only icon in the panel (pixels).
const ICON: [&str; 2] = ["33", "1384"];

/// One update is ready and waits for the mains, another one comes. Nothing in it is said with a time: pictures stay as they are.
fn snapshot() -> Snapshot {
    let mut snapshot = sample::busy();
    snapshot.updates.retain(|update| matches!(update.state, UpdateState::Ready | UpdateState::Receiving));
    snapshot.updates.retain(|update| matches!(update.verdict.receive, Gate::Open { .. }));
    for update in snapshot.updates.iter_mut().filter(|update| update.state == UpdateState::Ready) {
        let because = Why::Battery { charge: Some(58), least: None, may_overrule: true };
        update.verdict.install = Gate::Closed { because, until: None };
    }
    snapshot
}

/// Photographs this part of the screen for documents.
fn picture(stage: &Stage, part: &str, name: &str) {
    let whole = pages::path(false, &format!("screen-{name}"));
    pages::picture(stage, "root", &whole);
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let to = pages::path(true, name);
    stage.run("convert", &[&path(&whole), "-crop", part, "+repage", "-strip", &path(&to)]);
    assert!(stage.colours(&to) > 16, "{name} shows something");
}

#[test]
fn a_real_desktop_shows_the_notice_and_its_buttons_work() {
    let mut stage = Stage::with_panel();
    let agent = Agent::shows(&stage, snapshot());
    let access = Access::on(&stage);
    let mut tray = stage.ours("banyan-tray");
    stage.keep(&mut tray);
    access.find(texts::INSTALL_NOW);
    let details = access.all().into_iter().filter(|thing| thing.name == texts::DETAILS && thing.can_be_pressed());
    assert_eq!(details.count(), 1, "desktops that show a button for the notice itself show it once");
    picture(&stage, "520x130+1400+8", "notice");
    access.press(texts::INSTALL_NOW);
    let order = sample::ready().order;
    let wanted = Request::Wish { order, stage: Of::Install, wish: Wish::Now };
    wait_for("the agent is asked", || agent.asked().contains(&wanted).then_some(()));
}

#[test]
fn the_menu_opens_where_people_press() {
    let mut stage = Stage::with_panel();
    let _agent = Agent::shows(&stage, snapshot());
    let access = Access::on(&stage);
    let mut tray = stage.ours("banyan-tray");
    let process = stage.keep(&mut tray);
    let menu = Menu::of(&stage, process);
    let clock = Clock::of(Some(&snapshot()), UnixSeconds::now());
    wait_for("the agent's news", || (menu.status() == texts::headline(&snapshot(), &clock)).then_some(()));
    stage.run("xdotool", &["mousemove", ICON[0], ICON[1], "click", "3"]);
    access.find(texts::OPEN);
    picture(&stage, "480x260+0+1140", "menu");
    access.press(texts::OPEN);
    stage.window(texts::PRODUCT);
}
