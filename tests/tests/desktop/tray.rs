//! The icon in a real panel, and what happens where there is none.

use crate::{
    access::Access,
    agent::Agent,
    menu::Menu,
    stage::{Stage, wait_for},
};
use banyan_face::{sample, texts};
use banyan_proto::{
    local::{PauseFor, Request},
    schedule::{Stage as Of, Window, Wish},
};

#[test]
fn every_entry_of_the_menu_does_what_it_says() {
    let mut stage = Stage::with_panel();
    let agent = Agent::listen(&stage.path("agent.sock"), sample::busy());
    let mut tray = stage.ours("banyan-tray");
    let process = stage.keep(&mut tray);
    let menu = Menu::of(&stage, process);
    wait_for("the agent's news are shown", || {
        menu.entries().iter().any(|(_, label)| label.starts_with("LibreOffice 26.2")).then_some(())
    });
    assert_eq!(menu.status(), "Printer Driver 7.3 could not be installed");

    let wish = |update: &banyan_proto::local::Update, stage, wish| Request::Wish { order: update.order, stage, wish };
    let (ready, receiving, waiting) = (sample::ready(), sample::receiving(), sample::waiting());
    let pause = |until| Request::Pause { until };
    let window = |window| Request::SetWindow { window, night: None };
    let pressed = [
        ("School Browser", texts::INSTALL_NOW, wish(&ready, Of::Install, Wish::Now)),
        ("School Browser", "Tonight", wish(&ready, Of::Install, Wish::After(ready.later[0].at))),
        ("School Browser", "Tomorrow", wish(&ready, Of::Install, Wish::After(ready.later[1].at))),
        ("LibreOffice", texts::INSTALL_WHEN_HERE, wish(&receiving, Of::Install, Wish::Now)),
        ("Maths Tools", texts::RECEIVE_NOW, wish(&waiting, Of::Receive, Wish::Now)),
        (texts::WHEN_TRANSFER, texts::WHEN_IDLE, window(Window::Idle)),
        (texts::WHEN_TRANSFER, texts::ANY_TIME, window(Window::Any)),
        (texts::WHEN_TRANSFER, "Night only (22:00-06:00)", window(Window::Night)),
        (texts::PAUSE, texts::AN_HOUR, pause(PauseFor::Seconds(3600))),
        (texts::PAUSE, texts::UNTIL_TOMORROW, pause(PauseFor::UntilTomorrow)),
        (texts::PAUSE, texts::UNTIL_RESUMED, pause(PauseFor::UntilResumed)),
    ];
    for (n, (below, label, wanted)) in pressed.into_iter().enumerate() {
        menu.press(below, label);
        let asked = wait_for(label, || agent.asked().get(n).cloned());
        assert_eq!(asked, wanted, "{label}");
    }

    // The window, from the menu; a second start asks the first one to show a page in the same window.
    let access = Access::on(&stage);
    menu.press("", texts::OPEN);
    let shown = stage.window("Banyan");
    access.find("School Browser 12.1");
    stage.photograph("root", "tray-and-window");
    let status = stage.ours("banyan-tray").args(["--open", "schedule"]).status().expect("it can be started");
    assert!(status.success(), "a second tray ends well");
    access.find(texts::SIGNALS);
    assert_eq!(stage.window("Banyan"), shown);

    menu.press("", texts::QUIT);
    wait_for("the tray has ended", || (!stage.runs(process)).then_some(()));
}

#[test]
fn without_a_panel_the_window_is_opened_and_says_so() {
    let mut stage = Stage::bare();
    let _agent = Agent::listen(&stage.path("agent.sock"), sample::quiet());
    let access = Access::on(&stage);
    let mut tray = stage.ours("banyan-tray");
    stage.keep(&mut tray);
    stage.window("Banyan");
    access.find(texts::NO_TRAY);
}

#[test]
fn a_tray_that_was_there_first_comes_back_to_its_agent() {
    let mut stage = Stage::with_panel();
    let mut tray = stage.ours("banyan-tray");
    let process = stage.keep(&mut tray);
    let menu = Menu::of(&stage, process);
    wait_for("it says that there is no agent", || (menu.status() == texts::NO_AGENT).then_some(()));
    let _agent = Agent::listen(&stage.path("agent.sock"), sample::quiet());
    wait_for("it has found it", || (menu.status() == texts::UP_TO_DATE).then_some(()));
}
