//! Tests notifications: what the desktop is asked to show, and what pressing their buttons does.

use crate::{
    fake_agent::Agent,
    mock_notification_server::{Notifications, Shown},
    tray_menu::Menu,
};
use banyan_fake_agent::Scene;
use banyan_proto::{
    Reason, UnixSeconds,
    local::{Request, UpdateState, When},
    schedule::{Stage as Of, Wish},
};
use banyan_tests::test_desktop::{Stage, wait_for};
use banyan_ui_common::{Preferences, texts};
use jiff::tz::TimeZone;
use std::fs;

/// A tray on its stage, and an agent without updates.
struct World {
    menu: Menu,
    notifications: Notifications,
    agent: Agent,
    _stage: Stage,
}

impl World {
    fn start(preferences: Preferences) -> Self {
        let mut stage = Stage::with_panel();
        let folder = stage.path(".config/banyan");
        fs::create_dir_all(&folder).expect("the folder is accessible");
        let text = serde_json::to_vec(&preferences).expect("the preferences can be serialised");
        fs::write(folder.join("faces.json"), text).expect("the preferences can be written");
        let notifications = Notifications::on(&stage);
        let agent = Agent::plays(&stage, Scene::Idle);
        let mut tray = stage.ours("banyan-tray");
        let process = stage.keep(&mut tray);
        let menu = Menu::of(&stage, process);
        let world = Self { menu, notifications, agent, _stage: stage };
        world.seen(texts::status::UP_TO_DATE);
        world
    }
    /// Waits until the tray has seen the agent's state: it merges quick changes into one.
    fn seen(&self, status: &str) {
        wait_for(status, || self.menu.status().starts_with(status).then_some(()));
    }
    /// Shows one package from a scene.
    fn show(&self, scene: Scene, package: &str) {
        let next = scene.snapshot(UnixSeconds::now(), &TimeZone::system());
        self.agent.change(|snapshot| {
            *snapshot = next;
            snapshot.updates.retain(|update| update.package == package);
        });
    }
    fn becomes(&self, state: UpdateState) {
        self.agent.change(|snapshot| {
            snapshot.updates[0].verdict.announce.clear();
            snapshot.updates[0].state = state;
        });
    }
}

fn key(shown: &Shown, label: &str) -> String {
    let found = shown.buttons.iter().find(|(key, its)| its == label && key != "default");
    found.unwrap_or_else(|| panic!("no {label:?} on {shown:?}")).0.clone()
}

#[test]
fn each_button_of_a_notice_does_what_it_says() {
    let world = World::start(Preferences::default());
    let (agent, notifications) = (&world.agent, &world.notifications);
    for (label, wanted) in
        [(texts::updates::INSTALL_NOW, None), ("Tonight", Some(When::Tonight)), ("Tomorrow", Some(When::Tomorrow))]
    {
        agent.show(Scene::Idle);
        world.seen(texts::status::UP_TO_DATE);
        world.show(Scene::Ready, "school-browser");
        let (id, shown) =
            wait_for("the notification is shown", || notifications.only("school-browser 12.1 is ready to install"));
        let before = agent.asked().len();
        // Presses repeatedly: a test presses faster than a user, before the tray listens.
        let asked = wait_for(label, || {
            notifications.press(id, &key(&shown, label));
            agent.asked().get(before).cloned()
        });
        let update = wait_for("the agent has stored the choice", || {
            agent.now().updates.into_iter().find(|update| update.wishes.install != Wish::Unsaid)
        });
        let at = |when| {
            Wish::After(update.later.iter().find(|later| later.when == when).expect("the release is offered").at)
        };
        let wish = wanted.map_or(Wish::Now, at);
        assert_eq!(asked, Request::Wish { order: update.order, stage: Of::Install, wish }, "{label}");
        assert_eq!(update.wishes.install, wish, "{label}");
    }
}

#[test]
fn one_update_has_one_notice_at_a_time() {
    let world = World::start(Preferences::default());
    let notifications = &world.notifications;
    // During a full-screen program no notification is shown. When it has ended, the current state is shown.
    world.show(Scene::NeedsYou, "school-browser");
    world.seen("school-browser 12.1 is ready to install");
    world.show(Scene::Ready, "school-browser");
    let (first, shown) =
        wait_for("the notification is shown", || notifications.only("school-browser 12.1 is ready to install"));
    key(&shown, texts::updates::INSTALL_NOW);
    world.show(Scene::Deadline, "school-browser");
    let (second, shown) = wait_for("the countdown", || notifications.only("school-browser 12.1 will install in"));
    assert_eq!((first, shown.urgency), (second, 2), "it must replace the first and stay until it is answered");
    world.becomes(UpdateState::Installing);
    wait_for("the notification disappears", || notifications.standing().is_empty().then_some(()));
    world.becomes(UpdateState::Installed { at: UnixSeconds::now() });
    wait_for("the final notification", || notifications.only("school-browser 12.1 was installed"));
    assert_eq!(notifications.all().len(), 3, "{:?}", notifications.all());
}

#[test]
fn what_comes_is_told_only_to_those_who_want_to_know() {
    for notify_of_new_updates in [false, true] {
        let world = World::start(Preferences { notify_of_new_updates });
        world.show(Scene::Waiting, "maths-tools");
        world.seen("maths-tools 4.0: scheduled for");
        let (reason, detail) = (Reason::ProbeFailed, String::new());
        world.becomes(UpdateState::Failed { at: UnixSeconds::now(), reason, detail, restored: true });
        let mut wanted = vec!["maths-tools 4.0 is on its way", "maths-tools 4.0 couldn't be installed"];
        wanted.drain(..usize::from(!notify_of_new_updates));
        wait_for("the notifications", || (world.notifications.all() == wanted).then_some(()));
    }
}
