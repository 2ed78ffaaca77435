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
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::{Preferences, texts};
use jiff::tz::TimeZone;
use std::fs;

/// A tray on its desktop, and an agent without updates.
struct TestNetwork {
    menu: Menu,
    notifications: Notifications,
    agent: Agent,
    _desktop: TestDesktop,
}

impl TestNetwork {
    fn start(preferences: Preferences) -> Self {
        let mut desktop = TestDesktop::with_panel();
        let folder = desktop.path(".config/banyan");
        fs::create_dir_all(&folder).expect("the folder is accessible");
        let text = serde_json::to_vec(&preferences).expect("the preferences can be serialised");
        fs::write(folder.join("faces.json"), text).expect("the preferences can be written");
        let notifications = Notifications::on(&desktop);
        let agent = Agent::show_scene(&desktop, Scene::Idle);
        let mut tray = desktop.ours("banyan-tray");
        let process = desktop.keep(&mut tray);
        let menu = Menu::of(&desktop, process);
        let network = Self { menu, notifications, agent, _desktop: desktop };
        network.seen(texts::status::UP_TO_DATE);
        network
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
fn each_button_of_a_notification_does_what_it_says() {
    let network = TestNetwork::start(Preferences::default());
    let (agent, notifications) = (&network.agent, &network.notifications);
    for (label, wanted) in
        [(texts::updates::INSTALL_NOW, None), ("Tonight", Some(When::Tonight)), ("Tomorrow", Some(When::Tomorrow))]
    {
        agent.show(Scene::Idle);
        network.seen(texts::status::UP_TO_DATE);
        network.show(Scene::Ready, "school-browser");
        let (id, shown) =
            wait_for("the notification is shown", || notifications.only("school-browser 12.1 is ready to install"));
        let before = agent.requests().len();
        // Presses repeatedly: a test presses faster than a user, before the tray listens.
        let asked = wait_for(label, || {
            notifications.press(id, &key(&shown, label));
            agent.requests().get(before).cloned()
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
fn a_notification_waits_for_a_service_and_outlives_its_restart() {
    let mut desktop = TestDesktop::with_panel();
    let agent = Agent::show_scene(&desktop, Scene::Idle);
    let log = desktop.path("tray.log");
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(tray.stderr(fs::File::create(&log).expect("the log can be created")));
    let menu = Menu::of(&desktop, process);
    let seen = |status: &str| wait_for(status, || menu.status().starts_with(status).then_some(()));
    seen(texts::status::UP_TO_DATE);
    // Nobody shows notifications yet.
    agent.show(Scene::Deadline);
    seen("school-browser 12.1");
    let tried = || fs::read_to_string(&log).is_ok_and(|said| said.contains("no notification service"));
    wait_for("the tray has tried", || tried().then_some(()));
    for service in ["the first service", "the service that replaces it"] {
        let notifications = Notifications::on(&desktop);
        wait_for(service, || notifications.only("school-browser 12.1 will install in"));
        drop(notifications);
    }
    // What the person has answered does not come back.
    let notifications = Notifications::on(&desktop);
    let (id, _) = wait_for("the third service", || notifications.only("school-browser 12.1 will install in"));
    wait_for("the answer is heard", || {
        notifications.press(id, "default");
        desktop.is_window_open(texts::PRODUCT).then_some(())
    });
    drop(notifications);
    let notifications = Notifications::on(&desktop);
    agent.change(|snapshot| snapshot.updates[0].state = UpdateState::Installed { at: UnixSeconds::now() });
    wait_for("the next notification", || notifications.only("school-browser 12.1 was installed"));
    assert_eq!(notifications.all().len(), 1, "{:?}", notifications.all());
}

#[test]
fn an_update_has_one_notification_at_a_time() {
    let network = TestNetwork::start(Preferences::default());
    let notifications = &network.notifications;
    // During a full-screen program no notification is shown. When it has ended, the current state is shown.
    network.show(Scene::NeedsYou, "school-browser");
    network.seen("school-browser 12.1 is ready to install");
    network.show(Scene::Ready, "school-browser");
    let (first, shown) =
        wait_for("the notification is shown", || notifications.only("school-browser 12.1 is ready to install"));
    key(&shown, texts::updates::INSTALL_NOW);
    network.show(Scene::Deadline, "school-browser");
    let (second, shown) = wait_for("the countdown", || notifications.only("school-browser 12.1 will install in"));
    assert_eq!((first, shown.urgency), (second, 2), "it must replace the first and stay until it is answered");
    network.becomes(UpdateState::Installing);
    wait_for("the notification disappears", || notifications.standing().is_empty().then_some(()));
    network.becomes(UpdateState::Installed { at: UnixSeconds::now() });
    wait_for("the final notification", || notifications.only("school-browser 12.1 was installed"));
    assert_eq!(notifications.all().len(), 3, "{:?}", notifications.all());
}

#[test]
fn a_notification_that_comes_at_once_after_another_replaces_it() {
    let network = TestNetwork::start(Preferences::default());
    for _ in 0..10 {
        network.agent.show(Scene::Idle);
        network.seen(texts::status::UP_TO_DATE);
        wait_for("nothing is shown", || network.notifications.standing().is_empty().then_some(()));
        network.show(Scene::Ready, "school-browser");
        network.show(Scene::Deadline, "school-browser");
        wait_for("the countdown alone", || network.notifications.only("school-browser 12.1 will install in"));
        network.becomes(UpdateState::Installed { at: UnixSeconds::now() });
        wait_for("the final notification alone", || network.notifications.only("school-browser 12.1 was installed"));
    }
}

#[test]
fn incoming_updates_are_announced_only_if_the_user_wants_it() {
    for notify_of_new_updates in [false, true] {
        let network = TestNetwork::start(Preferences { notify_of_new_updates });
        network.show(Scene::Waiting, "maths-tools");
        network.seen("maths-tools 4.0: scheduled for");
        let (reason, detail) = (Reason::ProbeFailed, String::new());
        network.becomes(UpdateState::Failed { at: UnixSeconds::now(), reason, detail, restored: true });
        let mut wanted = vec!["maths-tools 4.0 is on its way", "maths-tools 4.0 couldn't be installed"];
        wanted.drain(..usize::from(!notify_of_new_updates));
        wait_for("the notifications", || (network.notifications.all() == wanted).then_some(()));
    }
}
